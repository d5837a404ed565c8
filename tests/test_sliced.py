"""Laws of a look in slices: they cover the picture, what they cut off isn't believed, and the surest stands."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt import looks, sliced
from perceptiongpt.cli import main
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.batch import Regions
from perceptiongpt.data.photographed import PHOTOGRAPHS
from perceptiongpt.data.sample import Turn
from perceptiongpt.data.scene_compose import SIZES_WH
from perceptiongpt.model.assemble import IMAGE_SIDE
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.perception import equip
from perceptiongpt.model.pointing import Heard
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.predict import Eye, load
from perceptiongpt.sliced import LARGE, may_slice
from perceptiongpt.telling import Request

PHRASE = "the apple"
ONE: dict[str, Any] = {"min_score": 0, "max_regions": 1}  # a model of random weights says many
SIZE = (200, 120)  # whose slices are 120 wide and 72 high


@pytest.fixture
def slicing(eye: Eye, monkeypatch: pytest.MonkeyPatch) -> Eye:
    monkeypatch.setattr(eye.model, "settings", replace(eye.model.settings, looks_sliced=True))
    monkeypatch.setattr(sliced, "SURE", 1.1)
    return eye


@pytest.fixture(scope="module")
def large() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 255, (*SIZE[::-1], 3)).astype(np.uint8))


@pytest.fixture
def plain(eye: Eye, large: Image.Image) -> Region:
    """What the whole picture shows."""
    (region,) = eye.segment(large, PHRASE, **ONE)
    return region


class Decoders:
    """Find something halfway down each slice, at `x` of its width, that scores so; `runs` counts their looks."""

    def __init__(
        self, eye: Eye, monkeypatch: pytest.MonkeyPatch, scores: list[float], x: float = 0.5, wide: float = 0.2
    ) -> None:
        self.scores, self.x, self.wide, self.runs, self.decode = scores, x, wide, 0, eye.model.decode
        monkeypatch.setattr(eye.model, "decode", self)

    def __call__(self, states: torch.Tensor, seen: Any, *args: Any) -> Any:
        if len(states) != 4:
            return self.decode(states, seen, *args)
        self.runs += 1
        mask = torch.full((4, 20, 20), -9.0)
        mask[:, 4:8, round(20 * (self.x - self.wide / 2)) : round(20 * (self.x + self.wide / 2))] = 9.0
        boxes = torch.tensor([[self.x, 0.3, self.wide, 0.2]]).repeat(4, 1)
        return Regions(boxes, mask, torch.zeros(4, 4, 4), torch.tensor(self.scores))


@given(st.integers(4, 4000), st.integers(4, 4000))
def test_slices_cover_the_picture_and_have_a_third_of_each_other(width: int, height: int) -> None:
    pieces = sliced._pieces((width, height))
    assert len({*pieces}) == 4
    for axis, side in ((0, width), (1, height)):
        low, high = sorted({(p[axis], p[axis + 2]) for p in pieces})
        assert low[0] == 0 and high[1] == side and high[1] - high[0] == low[1]
        assert low[1] - high[0] == pytest.approx(low[1] / 3, abs=1.5)


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((10, 10, 50, 50), False),
        ((0, 0, 50, 50), False),  # the picture ends there, too
        ((10, 10, 118, 50), True),
        ((10, 10, 50, 71), True),
        ((10, 10, 114, 68), False),
    ],
)
def test_what_ends_where_a_slice_was_cut_is_cut_off(box: Any, cut: bool) -> None:
    seen: Any = None
    slices = sliced.Cut(Image.new("RGB", SIZE), sliced._pieces(SIZE), [], seen)
    assert sliced._cut_off(Region(box), slices, 0) is cut
    turned = (120 - box[2], 72 - box[3], 120 - box[0], 72 - box[1])
    assert sliced._cut_off(Region(turned), slices, 3) is cut


@pytest.mark.parametrize(
    ("phrase", "may"),
    [
        ("the apple", True),
        ("the red coffee mug", True),
        ("a dog", True),
        ("the chest", True),
        ("the backpack", True),
        ("all the apples", False),
        ("the apple; the mug", False),
        ("the apple on the left", False),
        ("The Leftmost apple", False),
        ("the second apple", False),
        ("the largest apple", False),
        ("the apple behind the mug", False),
        ("the apple between the mugs", False),
        ("the apple inside the bowl", False),
        ("the apple next to the mug", False),
        ("the 2nd apple", False),
        ("the larger apple", False),
        ("the most distant apple", False),
        ("the highest apple", False),
        ("the other apple", False),
        ("the vest", True),
        ("the side table", True),
        ("the middle apple", False),
        ("the upper apple", False),
    ],
)
def test_only_words_that_mean_the_same_in_a_slice_are_looked_for_there(phrase: str, may: bool) -> None:
    request = Request(Turn("user", "?"), label=phrase)
    doubtful = Answer("", (Region((0, 0, 1, 1), score=0.5),))
    assert may_slice(request, doubtful) is may
    assert not may_slice(request, replace(doubtful, regions=(Region((0, 0, 1, 1), score=sliced.SURE),)))
    assert not may_slice(request, replace(doubtful, regions=doubtful.regions * 2))
    assert not may_slice(request, replace(doubtful, regions=()))
    assert not may_slice(replace(request, box=False), doubtful)
    assert not may_slice(replace(request, label=None), doubtful)


def test_the_surest_slice_stands_in_pixels_of_the_picture(
    plain: Region, slicing: Eye, large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    Decoders(slicing, monkeypatch, [1.0, 3.0, 2.0, 2.5])  # the second lies at the upper right
    (found,) = answer = slicing.segment(large, PHRASE, **ONE)
    assert found.box[0] == pytest.approx(80 + 60 - 12, abs=4) and found.box[2] == pytest.approx(80 + 60 + 12, abs=4)
    assert found.mask.shape == SIZE[::-1] and found.mask[30:42, 132:148].all()
    assert found.mask.sum() == found.mask[20:52, 120:160].sum()
    assert 80 <= found.point[0] <= 200 and 0 <= found.point[1] <= 72
    assert found.score == pytest.approx(1 / (1 + math.exp(sliced.DOUBT - 3.0)))
    assert (found.label, found.span) == (plain.label, plain.span)
    assert "slices" in answer.timings
    boxes = slicing.detect(large, PHRASE, **ONE)
    assert boxes[0].box == found.box and boxes[0].mask is None


def test_what_the_whole_shows_stands_where_no_slice_is_surer_of_something_small_that_is_whole(
    plain: Region, slicing: Eye, large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    Decoders(slicing, monkeypatch, [-30.0] * 4)
    assert slicing.segment(large, PHRASE, **ONE)[0].box == plain.box
    just = math.log(plain.score / (1 - plain.score)) + sliced.DOUBT
    for more, stands in ((-0.01, False), (0.01, True)):
        Decoders(slicing, monkeypatch, [just + more] * 4)
        assert (slicing.segment(large, PHRASE, **ONE)[0].box != plain.box) is stands
    Decoders(slicing, monkeypatch, [30.0] * 4, wide=0.5)  # 60 by 24 pixels of 200 by 120
    assert slicing.segment(large, PHRASE, **ONE)[0].box == plain.box
    Decoders(slicing, monkeypatch, [30.0, -30.0, 30.0, -30.0], x=0.9)  # at their right ends, where both were cut
    assert slicing.segment(large, PHRASE, **ONE)[0].box == plain.box
    Decoders(slicing, monkeypatch, [-30.0, 30.0, -30.0, 29.0], x=0.9)  # and where the picture ends
    assert slicing.segment(large, PHRASE, **ONE)[0].box != plain.box


def test_what_a_slice_shows_is_looked_at_closer_there(
    slicing: Eye, large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearer = list[Any]()

    def closer(_: Any, regions: Any, said: Any, pictures: Any, which: Any = None) -> Any:
        nearer.append([pictures[i].size for i in said.pictures])
        return tuple(replace(r, score=0.0) for r in regions)

    monkeypatch.setattr(sliced, "closer", closer)
    monkeypatch.setattr(slicing.model, "settings", replace(slicing.model.settings, looks_closer=True))
    Decoders(slicing, monkeypatch, [1.0, 30.0, 2.0, 3.0])
    (found,) = slicing.segment(large, PHRASE, **ONE)
    assert nearer == [[(120, 72)]] and found.score > 0  # what is less sure from closer by doesn't stand


def test_of_slices_the_surest_of_the_colour_that_was_asked_for_stands(
    slicing: Eye, large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tinted(_: Any, said: Any, phrase: str) -> Any:
        if phrase != "the red apple" or len(said.regions.boxes) != 4:
            return said
        return replace(said, regions=replace(said.regions, scores=said.regions.scores - torch.tensor([0, 9.0, 0, 0])))

    monkeypatch.setattr(sliced, "tinted", tinted)
    Decoders(slicing, monkeypatch, [1.0, 6.0, 4.0, 1.0])
    (other,) = slicing.segment(large, "the apple", **ONE)
    (red,) = slicing.segment(large, "the red apple", **ONE)
    assert other.box[0] > 100 > red.box[0] and other.score > red.score


def test_what_looks_cut_off_from_closer_by_gives_way_to_the_next(
    slicing: Eye, large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closer(_: Any, regions: Any, __: Any, pictures: Any, ___: Any = None) -> Any:
        tried.append(pictures[0].size)
        return (replace(regions[0], box=(*regions[0].box[:2], 120, 72)) if len(tried) == 1 else regions[0],)

    tried = list[Any]()
    monkeypatch.setattr(sliced, "closer", closer)
    monkeypatch.setattr(slicing.model, "settings", replace(slicing.model.settings, looks_closer=True))
    Decoders(slicing, monkeypatch, [6.0, 1.0, 5.0, 1.0])  # both at the left, the lower one ends with the picture
    (found,) = slicing.segment(large, PHRASE, **ONE)
    assert len(tried) == 2 and found.box[1] > 48


def test_decoders_that_enumerate_are_shown_no_others_there(large: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    eye, shown = Eye(equip(*FAMILIES["aya_vision"](), enumerates=True, looks_sliced=True)), list[Any]()
    decode = eye.model.decode

    def shown_to(states: Any, seen: Any, where: Any, words: Any, others: Any, *args: Any) -> Any:
        shown.append((len(states), None if others is None else float(others.abs().sum())))
        return decode(states, seen, where, words, others, *args)

    monkeypatch.setattr(eye.model, "decode", shown_to)
    request, answer = Request(Turn("user", "?"), label=PHRASE), Answer("", (Region((0, 0, 1, 1), score=0.1),))
    cut = sliced.Slices(eye, [large], [eye.model.backbone.canvas(large.size)]).of(0)
    assert cut is not None
    width = eye.model.backbone.width
    none = Regions(torch.zeros(1, 4), torch.zeros(1, 8, 8), torch.zeros(1, 4, 4), torch.zeros(1))
    heard = [Heard(torch.zeros(1, width), None)]
    spoken = Spoken([eye.model.vis_id], [0], none, [0], heard=heard, shades=[torch.zeros(width)])
    assert isinstance(sliced.in_slices(eye, answer[0], spoken, request, cut), Region)
    assert shown == [(4, 0.0)]


def test_slices_are_seen_once_and_only_where_something_is_asked_in_doubt(
    slicing: Eye, large: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    views, see = list[int](), slicing.model.see

    def counted(pixels: Any) -> Any:
        views.append(len(pixels["pixel_values"]))
        return see(pixels)

    monkeypatch.setattr(slicing.model, "see", counted)
    decoders, other = Decoders(slicing, monkeypatch, [9.0, 9.5, 9.0, 9.0]), large.resize((150, 150))
    seen = slicing.look([large, other])
    assert views == [2]
    seen.segment(["all the apples", "the apple on the left"], **ONE)
    assert views == [2] and decoders.runs == 0
    found = seen.pick([0, 1, 0]).segment([PHRASE, PHRASE, "the mug"], **ONE)
    assert views == [2, 4, 4] and decoders.runs == 3  # of each picture its own
    for one, picture in zip(found, (large, other), strict=False):
        assert one[0].box == slicing.segment(picture, PHRASE, **ONE)[0].box
    monkeypatch.setattr(sliced, "SURE", 0.0)
    assert all("slices" not in a.timings for a in seen.segment(PHRASE, **ONE))


def test_small_pictures_are_not_cut(slicing: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    side = max(slicing.model.backbone.canvas(photo.size).view_wh)
    just = int(LARGE * side)
    for size, cut in (((just, 8), True), ((8, just), True), ((just - 1, just - 1), False)):
        answer = slicing.segment(photo.resize(size), PHRASE, **ONE)
        assert ("slices" in answer.timings) is cut


def test_no_picture_that_the_package_makes_or_brings_is_large_for_its_host() -> None:
    brought = [Image.open(file).size for file in (PHOTOGRAPHS / "images").iterdir()]
    assert len(brought) > 80 and max(map(max, (*SIZES_WH, *brought))) < LARGE * IMAGE_SIDE


def test_every_host_family_looks_at_slices(any_eye: Eye, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced, "SURE", 1.1)
    grown = {"looks_sliced": True, "looks_closer": True, "looks_mirrored": True}
    monkeypatch.setattr(any_eye.model, "settings", replace(any_eye.model.settings, **grown))
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (700, 900, 3)).astype(np.uint8))
    answer = any_eye.segment(picture, "a", **ONE)
    assert all(0 <= r.box[0] <= r.box[2] <= 900 and r.mask.shape == (700, 900) for r in answer)
    assert len(answer) and ("slices" in answer.timings or any_eye.model.backbone.dynamic)


def test_a_model_looks_at_slices_unless_it_is_told_not_to(
    model_folder: Path,
    tmp_path: Path,
    large: Image.Image,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looks, "may_slice", lambda *_: True)
    monkeypatch.setattr(looks, "in_slices", lambda _, region, *__: region)
    folder = tmp_path / "slicing"
    shutil.copytree(model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["settings"]["looks_sliced"] = True
    (folder / "config.json").write_text(json.dumps(config))
    assert load(folder, device="cpu").look(large).all.further.slices is not None
    assert load(folder, device="cpu", slices=False).look(large).all.further.slices is None
    large.save(tmp_path / "large.png")
    told = ["segment", str(tmp_path / "large.png"), PHRASE, "--model", str(folder), "--json", "--device", "cpu"]
    for flags, there in (([], True), (["--no-slices"], False)):
        assert main([*told, *flags]) == 0
        assert ("slices" in json.loads(capsys.readouterr().out)["timings"]) is there


def test_an_eye_that_shows_what_was_found_at_first_cuts_nothing(slicing: Eye, large: Image.Image) -> None:
    slicing.as_found = True
    try:
        further = slicing.look(large).all.further
        assert further.slices is None and not further.pictures
    finally:
        slicing.as_found = False

"""Laws of a look in the mirror: turned back it is the picture's, it means the same, and no language model is asked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from perceptiongpt import looks, mirrored
from perceptiongpt.cli import main
from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import Regions
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.core.slots import Words
from perceptiongpt.data.sample import Turn
from perceptiongpt.mirrored import Mirror, both_ways, instead, may_mirror
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import Heard
from perceptiongpt.predict import Eye, load
from perceptiongpt.telling import Request

PLAIN = Request(Turn("user", "Where is the apple?"), label="the apple")


@pytest.fixture
def mirroring(eye: Eye, monkeypatch: pytest.MonkeyPatch) -> Eye:
    monkeypatch.setattr(eye.model, "settings", replace(eye.model.settings, looks_mirrored=True))
    return eye


def at(x: float, score: float = 1.0, cell: int = 0) -> Regions:
    """A region around x, 0.2 wide, as decoders say it; `cell`: the column that it points at, of four."""
    mask = torch.full((1, 20, 20), -9.0)
    mask[:, 6:10, round(20 * x) - 2 : round(20 * x) + 2] = 9.0
    points = torch.zeros(1, 4, 4)
    points[:, :, cell] = 1.0
    return Regions(torch.tensor([[x, 0.4, 0.2, 0.2]]), mask, points, torch.tensor([score]))


def spoken(eye: Eye, *found: Regions, apart: bool = True) -> Spoken:
    """An answer that said these, each in a breath of its own or all in one."""
    names = ("boxes", "masks", "points", "scores")
    together = Regions(*(torch.cat([getattr(f, n) for f in found]) for n in names))
    count, width = len(found), eye.model.backbone.width
    places = [2 * n if apart else n for n in range(count)]
    heard = [Heard(torch.full((1, width), float(n)), None) for n in range(count)]
    ids = [eye.model.vis_id] * (places[-1] + 1)
    return Spoken(ids, places, together, [0] * count, heard=heard, shades=[torch.zeros(width)] * count)


class Decoders:
    """Find in the mirror what they are told to; `shown` keeps where they were told that others are."""

    def __init__(self, eye: Eye, monkeypatch: pytest.MonkeyPatch, *found: Regions) -> None:
        names = ("boxes", "masks", "points", "scores")
        self.found = Regions(*(torch.cat([getattr(f, n) for f in found]) for n in names))
        self.shown: list[Any] = []
        monkeypatch.setattr(eye.model, "decode", self)

    def __call__(self, states: torch.Tensor, _: Any, __: Any, ___: Any, others: Any, several: torch.Tensor) -> Regions:
        assert several.tolist() == [False] * len(states)
        self.shown.append(others)
        assert len(states) == len(self.found.boxes)
        return self.found


def looked_both_ways(eye: Eye, said: Spoken, size: tuple[int, int] = (40, 40)) -> tuple[Spoken, Spoken, list[int]]:
    canvas, picture = eye.model.backbone.canvas(size), Image.new("RGB", size, "teal")
    return both_ways(eye, said, canvas, Mirror(eye, [picture], [canvas]))


def test_where_both_looks_find_the_same_their_mean_stands(mirroring: Eye, monkeypatch: pytest.MonkeyPatch) -> None:
    said = spoken(mirroring, at(0.3, 1.0, cell=0))
    Decoders(mirroring, monkeypatch, at(0.7, 3.0, cell=3))  # the same, turned
    both, _, elsewhere = looked_both_ways(mirroring, said)
    assert elsewhere == []
    torch.testing.assert_close(both.regions.boxes, said.regions.boxes)
    torch.testing.assert_close(both.regions.masks, said.regions.masks)
    torch.testing.assert_close(both.regions.points, said.regions.points)
    assert both.regions.scores.tolist() == [2.0]
    Decoders(mirroring, monkeypatch, at(0.65, 3.0))  # nearly the same
    both, _, _ = looked_both_ways(mirroring, said)
    assert both.regions.boxes[0, 0] == pytest.approx(0.325)


def test_what_one_look_finds_elsewhere_is_kept_apart(mirroring: Eye, monkeypatch: pytest.MonkeyPatch) -> None:
    said = spoken(mirroring, at(0.3))
    Decoders(mirroring, monkeypatch, at(0.3, 3.0))
    both, other, elsewhere = looked_both_ways(mirroring, said)
    assert elsewhere == [0]
    for name in ("boxes", "masks", "points", "scores"):
        assert torch.equal(getattr(both.regions, name), getattr(said.regions, name)), name
    assert other.regions.boxes[0, 0] == pytest.approx(0.7) and other.regions.scores.tolist() == [3.0]
    crowd = spoken(mirroring, at(0.3), at(0.8), apart=False)  # where it may be another of the row
    Decoders(mirroring, monkeypatch, at(0.3), at(0.2))
    assert looked_both_ways(mirroring, crowd)[2] == []


@pytest.mark.parametrize(("scores", "stands"), [((1.0, 3.0), 0.7), ((3.0, 1.0), 0.3)])
@pytest.mark.parametrize("closer", [True, False])
def test_of_two_things_the_surer_one_stands_once_both_were_looked_at_closer(
    mirroring: Eye, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, float], stands: float, closer: bool
) -> None:
    picture, closely = Image.new("RGB", (40, 40), "teal"), list[Any]()

    def nearer(_: Any, regions: Any, __: Any, ___: Any, which: Any = None) -> Any:
        closely.append(which)
        return tuple(regions)

    monkeypatch.setattr(looks, "closer", nearer)
    monkeypatch.setattr(mirroring.model, "settings", replace(mirroring.model.settings, looks_closer=closer))
    seen = mirroring.look(picture).all
    said = spoken(mirroring, at(0.3, scores[0]))
    Decoders(mirroring, monkeypatch, at(0.3, scores[1]))
    further = looks.Further((picture,), Mirror(mirroring, [picture], seen.canvases))
    answer, _ = looks.looked(mirroring, said, PLAIN, seen.canvases[0], seen.encoded, further, 32)
    (region,) = answer
    assert sum(region.box[::2]) / 80 == pytest.approx(stands, abs=0.02)
    assert region.score == pytest.approx(float(torch.tensor(3.0).sigmoid()))
    assert region.mask is not None and region.mask[:, :20].any() == (stands < 0.5)
    assert closely == ([None, [0]] if closer else [])
    assert "mirror" in answer.timings and ("closer" in answer.timings) is closer


def test_what_stands_instead_is_what_was_said(mirroring: Eye) -> None:
    one, other = spoken(mirroring, at(0.3), at(0.8, 2.0)), spoken(mirroring, at(0.6, 3.0), at(0.1, 4.0))
    other = replace(other, shades=[s + 1 for s in other.shades])
    both = instead(one, other, [1])
    assert both.regions.boxes[:, 0].tolist() == pytest.approx([0.3, 0.1])
    assert both.regions.scores.tolist() == [1.0, 4.0] and torch.equal(both.regions.masks[1], other.regions.masks[1])
    assert [float(s.mean()) for s in both.shades] == [0.0, 1.0]


def test_in_a_crowd_the_mirror_shows_where_the_others_are(mirroring: Eye, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirroring.model, "settings", replace(mirroring.model.settings, enumerates=True))
    decoders = Decoders(mirroring, monkeypatch, at(0.8), at(0.3))
    looked_both_ways(mirroring, spoken(mirroring, at(0.2), at(0.7), apart=False))
    first, second = decoders.shown[0]
    across = torch.arange(first.shape[-1]) / first.shape[-1]
    assert float((first.sum(0) * across).sum() / first.sum()) == pytest.approx(0.3, abs=0.04)  # the second, turned
    assert float((second.sum(0) * across).sum() / second.sum()) == pytest.approx(0.8, abs=0.04)
    alone = Decoders(mirroring, monkeypatch, at(0.8), at(0.3))
    looked_both_ways(mirroring, spoken(mirroring, at(0.2), at(0.7)))
    assert float(alone.shown[0].max()) == 0


@pytest.mark.parametrize("x", [0.1, 0.4])
def test_in_a_portrait_what_lies_at_the_edge_stays_off_the_padding(mirroring: Eye, x: float) -> None:
    """A canvas whose right half is filled up: a thing at an edge of the picture is found where it was."""
    canvas = mirroring.model.backbone.canvas((20, 40))
    assert canvas.reach_xy == (0.5, 1.0)
    found, there = at(x, cell=round(4 * x - 0.5)), at(0.5 - x, cell=round(4 * (0.5 - x) - 0.5))
    turned = canvas.mirrored(there)
    assert float(turned.masks[..., 10:].max()) == -9.0 and float(turned.points[..., 2:].max()) == 0.0
    torch.testing.assert_close(turned.masks, found.masks)
    torch.testing.assert_close(turned.points, found.points)
    assert np.allclose(canvas.found_out(turned, 0.5)[0], canvas.found_out(found, 0.5)[0], atol=1e-3)


def test_rows_about_several_pictures_look_into_their_own_mirrors(mirroring: Eye, photo: Image.Image) -> None:
    upright = photo.transpose(Image.Transpose.ROTATE_90)
    together = mirroring.look([photo, upright]).pick([1, 0, 1]).segment("the apple")
    alone = [mirroring.segment(p, "the apple") for p in (upright, photo)]
    for answer, same in zip(together, (alone[0], alone[1], alone[0]), strict=True):
        assert len(answer) == len(same) > 0 and "mirror" in answer.timings
        assert np.allclose(answer.xyxy, same.xyxy, atol=0.05) and np.allclose(answer.score, same.score, atol=1e-3)


def test_a_mirror_may_be_left_out(
    model_folder: Path, tmp_path: Path, photo_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mirroring"
    shutil.copytree(model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["settings"]["looks_mirrored"] = True
    (folder / "config.json").write_text(json.dumps(config))
    with_one, without = load(folder, device="cpu"), load(folder, device="cpu", mirror=False)
    assert with_one.does("looks_mirrored") and with_one.look(photo_file).all.further.mirror is not None
    assert not without.does("looks_mirrored") and without.look(photo_file).all.further.mirror is None
    told = ["segment", str(photo_file), "the apple", "--model", str(folder), "--json", "--device", "cpu"]
    for flags, mirror in (([], True), (["--no-mirror"], False)):
        assert main([*told, *flags]) == 0
        assert ("mirror" in json.loads(capsys.readouterr().out)["timings"]) is mirror


def test_words_for_sides_are_turned_and_no_others(mirroring: Eye) -> None:
    tokenizer, model = mirroring.renderer.tokenizer, mirroring.model
    pairs = dict(mirrored._sides(mirroring).values())
    assert pairs and all(pairs[other] == side for side, other in pairs.items())
    assert {tokenizer.decode([i]).strip().lower() for i in pairs} == {"left", "right"}
    ids = torch.tensor([[*pairs, *(i for i in range(5, 12) if i not in pairs)]])
    words = Words(model.embed_words(ids), torch.ones_like(ids, dtype=torch.bool))
    turned = mirrored._turned(words, mirrored._embedded_sides(mirroring))
    expected = torch.tensor([[pairs.get(i, i) for i in ids[0].tolist()]])
    assert torch.equal(turned.vectors, model.embed_words(expected)) and torch.equal(turned.there, words.there)
    assert torch.equal(mirrored._turned(turned, mirrored._embedded_sides(mirroring)).vectors, words.vectors)


def test_only_what_means_the_same_in_the_mirror_is_looked_for_there(
    mirroring: Eye, monkeypatch: pytest.MonkeyPatch
) -> None:
    sided, shown = Turn("user", "the cup on the left"), Turn("user", "what is {0}?", (Region(box=(1, 2, 3, 4)),))
    tokenizer = mirroring.renderer.tokenizer
    plain = spoken(mirroring, at(0.3))
    saying = replace(plain, ids=tokenizer("the left one", add_special_tokens=False).input_ids)

    def means(turn: Turn, said: Spoken = plain) -> bool:
        return may_mirror(mirroring, turn, said)

    monkeypatch.setattr(mirroring.model, "settings", replace(mirroring.model.settings, read_window=4))
    assert means(PLAIN.turn) and means(sided) and means(PLAIN.turn, saying) and not means(shown)
    for words in ("the bright cup", "an upright piano", "what is leftover"):
        assert not mirrored._SIDED.search(words)
    for words in ("the leftmost cup", "the RIGHT-hand one", "go leftward"):
        assert len(mirrored._SIDED.findall(words)) == 1
    with monkeypatch.context() as few:  # a host of whose spellings not all, or none, are one token
        few.setattr(mirrored, "SIDES", ((" left", " right"),))
        assert means(PLAIN.turn, saying) and not means(Turn("user", "the cup on the LEFT"))
        few.setattr(mirrored, "SIDES", (("a word of many tokens", "another one"),))
        assert means(PLAIN.turn) and not means(sided) and not means(PLAIN.turn, saying)
    monkeypatch.setattr(mirroring.model, "settings", replace(mirroring.model.settings, read_window=0))
    assert means(PLAIN.turn) and not means(sided)  # the state alone tells of sides


def test_a_picture_is_encoded_once_more_when_something_was_found_and_only_once(
    mirroring: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, sights = list[int](), list[Any]()
    see = mirroring.model.see
    monkeypatch.setattr(mirroring.model, "call_counter", calls.append)

    def looking(pixels: Any) -> Any:
        sights.append(pixels)
        return see(pixels)

    monkeypatch.setattr(mirroring.model, "see", looking)
    seen = mirroring.look(photo)
    assert len(sights) == 1
    answer = seen.segment("the apple")
    asked = len(calls)
    assert len(answer) > 0 and len(sights) == 2 and "mirror" in answer.timings
    seen.many(2).segment("the apple")
    assert len(sights) == 2
    expected = mirroring.model.backbone.pixels([seen.all.canvases[0].view(ImageOps.mirror(photo))])
    assert all(torch.equal(sights[1][name], value) for name, value in expected.items())
    calls.clear()
    monkeypatch.setattr(mirroring.model, "settings", replace(mirroring.model.settings, looks_mirrored=False))
    plain = mirroring.segment(photo, "the apple")
    assert len(calls) == asked and "mirror" not in plain.timings and plain.text == answer.text
    assert not np.allclose(plain.score, answer.score)


def test_many_regions_are_looked_for_a_few_at_a_time_and_as_all_at_once(
    mirroring: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = list[int]()
    decode = mirroring.model.decode

    def counted(states: torch.Tensor, *rest: Any) -> Regions:
        sizes.append(len(states))
        return decode(states, *rest)

    monkeypatch.setattr(mirrored, "AT_ONCE", 99)
    whole = mirroring.segment(photo, "the apple")
    assert len(whole) > 2
    monkeypatch.setattr(mirrored, "AT_ONCE", 2)
    monkeypatch.setattr(mirroring.model, "decode", counted)
    parts = mirroring.segment(photo, "the apple")
    assert max(sizes) == 2 and np.allclose(parts.xyxy, whole.xyxy, atol=0.01)
    assert np.allclose(parts.score, whole.score, atol=1e-4) and np.array_equal(parts.masks, whole.masks)


def test_where_nothing_was_said_no_mirror_is_looked_into(mirroring: Eye, photo: Image.Image) -> None:
    canvas = mirroring.model.backbone.canvas(photo.size)
    nothing = Spoken([1], [], at(0.3).at([]))
    mirror = Mirror(mirroring, [photo], [canvas])
    assert both_ways(mirroring, nothing, canvas, mirror) == (nothing, nothing, [])
    assert "seen" not in vars(mirror)


@pytest.mark.parametrize("size", [(1, 1), (300, 4), (30, 60)])
def test_every_host_family_looks_into_the_mirror(
    any_eye: Eye, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (*size[::-1], 3)).astype(np.uint8))
    first = any_eye.segment(picture, "a")
    settings = replace(any_eye.model.settings, looks_mirrored=True, looks_closer=True)
    monkeypatch.setattr(any_eye.model, "settings", settings)
    answer = any_eye.segment(picture, "a")
    assert len(answer) == len(first) > 0
    assert all(0 <= r.box[0] <= r.box[2] <= size[0] and r.mask.shape == size[::-1] for r in answer)


def test_points_alone_are_looked_for_in_the_mirror_too(
    mirroring: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = mirroring.point(photo, "the apple")
    monkeypatch.setattr(mirroring, "without", ["looks_mirrored"])
    plain = mirroring.point(photo, "the apple")
    assert len(answer) == len(plain) > 0 and not np.allclose(answer.score, plain.score)
    for region in answer:
        assert region.box is None and region.mask is None and 0 <= region.point[0] <= photo.width


def test_an_eye_that_shows_what_was_found_at_first_has_no_mirror(mirroring: Eye, photo: Image.Image) -> None:
    mirroring.as_found = True
    try:
        assert mirroring.look(photo).all.further.mirror is None
    finally:
        mirroring.as_found = False


def test_rows_are_looked_for_in_the_mirror_too(
    mirroring: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With random weights, too, answers stay within picture and limit."""
    settings = replace(mirroring.model.settings, looks_closer=True, enumerates=True)
    monkeypatch.setattr(mirroring.model, "settings", settings)
    monkeypatch.setattr(mirroring, "operating", OperatingPoint(more=0.0))
    answer = mirroring.segment(photo, "all the apples", max_regions=5)
    assert 0 < len(answer) <= 5
    for region in answer:
        assert 0 <= region.box[0] <= region.box[2] <= photo.width and region.mask.shape == (photo.height, photo.width)

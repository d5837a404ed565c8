"""Laws of what a row missed: only crowds are looked at again, what is there stays, and nothing is found twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from perceptiongpt import missed as module
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.batch import Regions
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.data.sample import Turn
from perceptiongpt.missed import missed
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import Heard
from perceptiongpt.predict import Eye
from perceptiongpt.tasks.mask import MASK_SIDE
from perceptiongpt.telling import Request

REQUEST = Request(Turn("user", "Where are all the apples?"), label="all the apples")
XS = (0.5, 0.1)  # middles, in 0..1 of the canvas, of what a row already has


def at(x: float, score: float = 5.0) -> Regions:
    """A region around x, 0.1 wide, as decoders say it."""
    mask = torch.full((1, 20, 20), -9.0)
    mask[:, 6:10, int(20 * x) - 1 : int(20 * x) + 1] = 9.0
    return Regions(torch.tensor([[x, 0.4, 0.1, 0.2]]), mask, torch.zeros(1, 4, 4), torch.tensor([score]))


class Crowd:
    """A row of two, and an eye whose decoders find what they are told to, one after the other."""

    def __init__(self, eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch, finds: list[Regions]) -> None:
        self.eye, self.photo, self.finds = eye, photo, iter(finds)
        self.shown: list[torch.Tensor] = []
        self.looked: list[list[int]] = []
        self.seen = eye.look(photo).all
        self.canvas = self.seen.canvases[0]
        monkeypatch.setattr(eye, "operating", OperatingPoint(more=0.5))
        monkeypatch.setattr(eye.model, "settings", replace(eye.model.settings, enumerates=True))
        monkeypatch.setattr(eye.model, "decode", self.decode)
        monkeypatch.setattr(module, "closer", self.closer)
        parts = [at(x) for x in XS]
        both = Regions(*(torch.cat([getattr(p, n) for p in parts]) for n in ("boxes", "masks", "points", "scores")))
        boxes, logits = self.canvas.found_out(both, 1.0)
        masks = self.canvas.masks_out(logits)
        self.regions = tuple(
            Region(box=b, mask=m, score=0.9, label="all the apples") for b, m in zip(boxes, masks, strict=True)
        )
        width = eye.model.backbone.width
        heard = [Heard(torch.full((1, width), float(n)), None) for n in range(2)]
        shades = [torch.zeros(width)] * 2
        vis = eye.model.vis_id
        self.said = Spoken([vis] * 2, [0, 1], both, [0, 0], heard=heard, shades=shades)

    def decode(self, states: torch.Tensor, _: Any, where: torch.Tensor, *rest: Any) -> Regions:
        _, earlier, several = rest
        assert several.tolist() == [False]
        assert float(states.mean()) == 1.0 and where.tolist() == [0]  # heard as the last one was
        self.shown.append(earlier)
        return next(self.finds)

    def closer(self, _: Any, regions: list[Region], said: Spoken, __: Any, which: list[int]) -> tuple[Region, ...]:
        assert len(regions) == len(said.regions.boxes)
        self.looked.append(which)
        return tuple(regions)

    def again(self, request: Request = REQUEST, most: int = 32, **changed: Any) -> tuple[Answer, Spoken]:
        answer = Answer("All the apples.", self.regions, self.photo.size)
        said = replace(self.said, **changed)
        return missed(self.eye, answer, said, request, self.canvas, self.seen.encoded, [self.photo], most)


@pytest.fixture
def crowd(eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda *finds: Crowd(eye, photo, monkeypatch, list(finds))


def test_what_is_found_beside_the_others_stands_in_its_place_of_the_row(crowd: Any) -> None:
    made = crowd(at(0.3), at(0.8), at(0.6, score=-5.0))
    answer, said = made.again()
    assert answer.text == "All the apples." and [r.label for r in answer] == ["all the apples"] * 4
    middles = [(r.box[0] + r.box[2]) / 2 / made.photo.width for r in answer]
    assert middles == pytest.approx([0.1, 0.3, 0.5, 0.8], abs=0.01)
    assert said.regions.boxes[:, 0].tolist() == pytest.approx([0.1, 0.3, 0.5, 0.8])
    assert len(said.ids) == len(said.places) == len(said.heard) == len(said.shades) == len(said.pictures) == 4
    assert made.looked == [[2], [3]]  # each new one from closer by, and no other
    assert all(any(r is old for r in answer) for old in made.regions)
    assert all(r.mask is not None and r.mask.any() and r.point is not None for r in answer if r not in made.regions)


@pytest.mark.parametrize("k", [1, 3])
def test_what_is_added_is_named_by_the_words_of_its_row_and_said_in_its_breath(
    crowd: Any, monkeypatch: pytest.MonkeyPatch, k: int
) -> None:
    made = crowd(at(0.3), at(0.8), at(0.7), at(0.6, score=-5.0))
    monkeypatch.setattr(made.eye.model, "settings", replace(made.eye.model.settings, vis_tokens=k))
    tokens = made.eye.renderer.tokenizer
    before, after = (tokens(words, add_special_tokens=False).input_ids for words in ("All the apples", ". There."))
    ids = [*before, *[made.eye.model.vis_id] * 2 * k, *after]
    places = [len(before) + k - 1, len(before) + 2 * k - 1]
    answer, said = made.again(ids=ids, places=places)
    new = [r for r in answer if r not in made.regions]
    assert len(new) == 3 and {(r.label, r.span) for r in new} == {("All the apples", (0, 14))}
    assert said.breaths(k) == [0] * 5
    assert said.ids == [*before, *[made.eye.model.vis_id] * 5 * k, *after]


def test_the_decoders_are_shown_all_that_was_found_so_far(crowd: Any) -> None:
    made = crowd(at(0.3), at(0.8, score=-5.0))
    made.again()
    first, second = (areas[0] for areas in made.shown)
    assert first.shape == (MASK_SIDE, MASK_SIDE) and 0 <= float(first.min()) <= float(first.max()) <= 1
    masks = [torch.from_numpy(made.canvas.mask_in(r.mask, MASK_SIDE)).float() for r in made.regions]
    torch.testing.assert_close(first, sum(masks).clamp(max=1))
    added = second - first
    assert float(added.min()) >= 0 and np.flatnonzero(added.amax(0).numpy()).mean() == pytest.approx(
        0.3 * made.canvas.reach_xy[0] * MASK_SIDE, abs=1.5
    )


@pytest.mark.parametrize("end", [at(0.5), at(0.3), at(0.8, score=-0.1)])
def test_what_was_found_already_or_scores_too_little_ends_it(crowd: Any, end: Regions) -> None:
    made = crowd(at(0.3), end)
    answer, _ = made.again()
    assert len(answer) == 3 and len(made.shown) == 2


@pytest.mark.parametrize("most", [2, 3, 4])
def test_an_answer_holds_no_more_than_it_may(crowd: Any, most: int) -> None:
    made = crowd(at(0.3), at(0.8), at(0.9, score=-5.0))
    assert len(made.again(most=most)[0]) == most


@pytest.mark.parametrize(
    "request_",
    [
        replace(REQUEST, label=None),  # a question in words, which told a number perhaps
        replace(REQUEST, label="the apple"),
        replace(REQUEST, label="all the apples; the dogs"),
        replace(REQUEST, mask=False),
        replace(REQUEST, box=False),
    ],
)
def test_only_a_phrase_for_all_of_a_kind_is_looked_for_again(crowd: Any, request_: Request) -> None:
    made = crowd()
    answer, said = made.again(request_)
    assert answer.regions == made.regions and said.ids == made.said.ids and not made.shown


@pytest.mark.parametrize("changed", [{"places": [0, 5]}, {"pictures": [0, 1]}])
def test_one_thing_alone_or_things_of_several_pictures_are_no_crowd(crowd: Any, changed: dict[str, Any]) -> None:
    made = crowd()
    assert made.again(**changed)[0].regions == made.regions and not made.shown


def test_where_nothing_was_said_nothing_was_missed(crowd: Any) -> None:
    made = crowd()
    nothing = replace(made.said, ids=[], places=[], regions=made.said.regions.at([]), pictures=[], heard=[], shades=[])
    answer = Answer("There are no apples.", (), made.photo.size)
    found = missed(made.eye, answer, nothing, REQUEST, made.canvas, made.seen.encoded, [made.photo], 32)
    assert found == (answer, nothing) and not made.shown


def test_a_model_that_does_not_enumerate_is_not_asked_again(crowd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = crowd()
    monkeypatch.setattr(made.eye.model, "settings", replace(made.eye.model.settings, enumerates=False))
    assert made.again()[0].regions == made.regions and not made.shown


def test_what_has_another_colour_than_the_phrase_asks_for_is_not_added(
    crowd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = crowd(at(0.3))
    lowered: list[str | None] = []

    def tinted(_: Any, said: Spoken, phrase: str | None) -> Spoken:
        lowered.append(phrase)
        return replace(said, regions=replace(said.regions, scores=said.regions.scores - 9))

    monkeypatch.setattr(module, "tinted", tinted)
    assert len(made.again()[0]) == 2 and lowered == ["all the apples"]


def test_detect_finds_what_segment_finds(eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def nothing(_: Any, answer: Answer, said: Spoken, request: Request, *__: Any) -> tuple[Answer, Spoken]:
        asked.append(request.mask)
        return answer, said

    monkeypatch.setattr("perceptiongpt.looks.missed", nothing)
    monkeypatch.setattr(eye.model, "settings", replace(eye.model.settings, looks_closer=True))
    for phrase, masks in (("all the apples", True), ("the apple", False)):
        asked.clear()
        detected, segmented = eye.detect(photo, phrase), eye.segment(photo, phrase)
        assert asked == [masks, True]
        assert len(detected) > 0 and np.array_equal(detected.xyxy, segmented.xyxy)
        assert all(r.mask is None for r in detected) and all(r.mask is not None for r in segmented)


@pytest.mark.parametrize("most", [3, 6])
def test_with_random_weights_too_answers_stay_within_picture_and_limit(
    eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Nothing is faked here; whatever is found counts."""
    monkeypatch.setattr(eye.model, "settings", replace(eye.model.settings, looks_closer=True, enumerates=True))
    monkeypatch.setattr(eye, "operating", OperatingPoint(more=0.0))
    answer = eye.segment(photo, "all the apples", max_regions=most)
    assert 0 < len(answer) <= most
    for region in answer:
        assert 0 <= region.box[0] <= region.box[2] <= photo.width and region.mask.shape == (photo.height, photo.width)

"""Laws of a second look: it asks no language model, keeps order and size, and leaves what it finds elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from perceptiongpt import closer as second
from perceptiongpt.closer import OUTLINED
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.batch import Regions
from perceptiongpt.core.boxes import around, painted
from perceptiongpt.core.canvas import Four
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import Heard
from perceptiongpt.predict import Eye
from perceptiongpt.talk import Talk
from perceptiongpt.tasks.mask import MASK_SIDE


@pytest.fixture
def closely(eye: Eye, monkeypatch: pytest.MonkeyPatch) -> Eye:
    monkeypatch.setattr(second, "AGREE", 0.0)  # a model of random weights never means the same twice
    monkeypatch.setattr(second, "OUTLINED", 0.0)  # nor in two ways
    monkeypatch.setattr(second, "TIMES", 0.5)  # and its boxes fill pictures
    monkeypatch.setattr(eye.model, "settings", replace(eye.model.settings, looks_closer=True))
    return eye


def at_once(eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """The answer of a model that looks no closer."""
    monkeypatch.setattr(eye.model, "settings", replace(eye.model.settings, looks_closer=False))
    return eye.segment(photo, "the red circle")


def test_regions_keep_their_number_and_words_and_lie_in_the_piece_that_was_looked_at(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = closely.segment(photo, "the red circle")
    first = at_once(closely, photo, monkeypatch)
    assert len(again) == len(first) > 0 and again.text == first.text
    assert not np.allclose(again.xyxy, first.xyxy) and not np.allclose(again.score, first.score)
    for new, old in zip(again, first, strict=True):
        x0, y0, x1, y1 = around(old.box, photo.size, second.TIMES)
        assert x0 <= new.box[0] <= new.box[2] <= x1 and y0 <= new.box[1] <= new.box[3] <= y1
        assert new.mask.shape == old.mask.shape and new.mask.sum() == new.mask[y0:y1, x0:x1].sum()
        assert (new.label, new.span, new.point) == (old.label, old.span, old.point)
    assert "closer" in again.timings and "closer" not in first.timings


def test_what_the_second_look_finds_elsewhere_changes_no_region(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second, "AGREE", 1.1)
    again = closely.segment(photo, "the red circle")
    first = at_once(closely, photo, monkeypatch)
    assert np.array_equal(again.xyxy, first.xyxy) and np.array_equal(again.masks, first.masks)
    assert not np.allclose(again.score, first.score)  # which tells that it was doubted


def test_a_second_look_calls_no_language_model_and_points_need_none(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(closely.model, "call_counter", calls.append)
    closely.segment(photo, "the red circle")
    looked = len(calls)
    calls.clear()
    pointed = closely.point(photo, "the red circle")
    assert len(calls) == looked and all(r.box is None and r.point is not None for r in pointed)
    calls.clear()
    at_once(closely, photo, monkeypatch)
    assert len(calls) == looked


def test_many_regions_are_looked_at_a_few_at_a_time_and_as_one_by_one(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second, "AT_ONCE", 4)
    answer = closely.segment(photo, "the red circle")
    assert len(answer) > 1
    monkeypatch.setattr(second, "AT_ONCE", 1)
    alone = closely.segment(photo, "the red circle")
    assert np.allclose(answer.xyxy, alone.xyxy, atol=1e-2) and np.allclose(answer.score, alone.score, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (300, 4)])
def test_pictures_of_any_size_are_looked_at_closer(closely: Eye, size: tuple[int, int]) -> None:
    for region in closely.segment(Image.new("RGB", size, "teal"), "the red circle"):
        assert 0 <= region.box[0] <= region.box[2] <= size[0] and region.mask.shape == size[::-1]


def test_in_a_talk_each_region_is_looked_at_in_its_own_picture(closely: Eye) -> None:
    talk, rng = Talk(closely), np.random.default_rng(0)
    for size in ((40, 30), (20, 60)):
        noise = Image.fromarray(rng.integers(0, 255, (*size[::-1], 3)).astype(np.uint8))
        answer = talk.say("what is in", noise, max_new_tokens=6)
    sizes = [(40, 30), (20, 60)]
    assert len(answer) > 0
    for region in answer:
        assert region.mask.shape == sizes[region.picture][::-1] and region.box[2] <= sizes[region.picture][0]


def test_every_host_family_looks_closer(any_eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second, "AGREE", 0.0)
    monkeypatch.setattr(second, "TIMES", 0.5)
    first = any_eye.segment(photo, "a")
    monkeypatch.setattr(any_eye.model, "settings", replace(any_eye.model.settings, looks_closer=True))
    answer = any_eye.segment(photo, "a")
    assert len(answer) == len(first) > 0 and not np.allclose(answer.score, first.score)
    assert all(0 <= r.box[0] <= r.box[2] <= photo.width and r.mask.shape == photo.size[::-1] for r in answer)


def test_where_the_piece_is_all_of_the_picture_nothing_is_looked_at_again(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second, "TIMES", 1000.0)
    again = closely.segment(photo, "the red circle")
    first = at_once(closely, photo, monkeypatch)
    assert np.array_equal(again.xyxy, first.xyxy) and np.array_equal(again.score, first.score)


def test_in_a_crowd_a_second_look_is_told_where_the_others_of_its_breath_are(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three breaths: two things, one, and two in different pictures; what is elsewhere, or alone, is no other."""
    told: list[torch.Tensor | None] = []
    decode: Any = closely.model.decode

    def telling(*given: Any) -> Any:
        told.append(given[4])
        return decode(*given[:4], None)

    states, words = torch.randn(5, 1, closely.model.backbone.width), None
    masks = torch.full((5, 8, 8), -20.0)
    masks[1, 3:, :] = 20.0  # the lower half of the picture, whose canvas is filled up below
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.4]] * 5)
    regions = Regions(boxes, masks, torch.zeros(5, 4, 4), torch.zeros(5))
    heard = [Heard(s, words) for s in states]
    said = Spoken([7] * 9, [0, 1, 4, 7, 8], regions, [0, 0, 0, 0, 1], heard=heard)
    assert said.breaths(1) == [0, 0, 2, 3, 3]
    shown = [Region(box=(10.0, 7.0, 30.0, 23.0), score=0.5)] * 5
    monkeypatch.setattr(closely.model, "decode", telling)
    monkeypatch.setattr(closely.model, "settings", replace(closely.model.settings, read_window=0))
    second.closer(closely, shown, said, [photo, photo])
    assert told == [None] * 5  # a model that doesn't enumerate knows no others
    told.clear()
    monkeypatch.setattr(closely.model, "settings", replace(closely.model.settings, enumerates=True))
    second.closer(closely, shown, said, [photo, photo])
    first, *rest = [one[0] for one in told if one is not None]
    assert first.shape == (MASK_SIDE, MASK_SIDE) and len(rest) == 4
    lower = first[int(0.75 * closely.model.backbone.canvas((10, 8)).reach_xy[1] * MASK_SIDE) :]
    assert float(first[0].max()) < 0.01 and float(lower.max()) > 0.6  # above there is nothing, below the other
    assert max(float(one.max()) for one in rest) < 1e-6  # the other is drawn nowhere, or there is none


def test_what_has_no_box_stays(closely: Eye, photo: Image.Image) -> None:
    said: Any = None
    region = Region(point=(3.0, 4.0), score=0.5)
    assert second.closer(closely, [region], said, [photo]) == (region,)


# Halves of a piece of the photograph, all of it, and nothing.
LEFT, RIGHT, ALL, NONE = (11, 6, 19, 24), (21, 6, 29, 24), (11, 6, 29, 24), (11, 6, 11, 6)


@pytest.mark.parametrize(
    ("first", "second_look", "stands"),
    [
        ((ALL, ALL), (ALL, LEFT), True),  # outlined alike: the second sees finer, whatever its box
        ((LEFT, LEFT), (ALL, ALL), True),  # another outline, as sure of itself
        ((LEFT, ALL), (ALL, ALL), True),  # and surer
        ((LEFT, LEFT), (ALL, RIGHT), False),  # less sure
        ((LEFT, (11, 6, 24, 24)), (ALL, RIGHT), False),  # though neither is sure
        ((NONE, LEFT), (ALL, RIGHT), True),  # with an empty mask nothing agrees
    ],
)
def test_of_two_looks_that_differ_the_one_stands_whose_box_and_mask_agree(
    closely: Eye,
    photo: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
    first: tuple[Four, Four],
    second_look: tuple[Four, Four],
    stands: bool,
) -> None:
    """Looks are told as masks and boxes, in pixels of the photograph; its piece is ALL."""
    monkeypatch.setattr(second, "OUTLINED", OUTLINED)
    monkeypatch.setattr(second, "TIMES", 0.9)
    canvas = closely.model.backbone.canvas
    shown = Region(box=(10.0, 5.0, 30.0, 25.0), mask=np.zeros(photo.size[::-1], bool), score=0.5)
    assert around(shown.box, photo.size, second.TIMES) == ALL

    def look(parts: tuple[Four, Four], at: Four) -> Regions:
        """As the decoders say it of a piece of the photograph."""
        where = canvas((int(at[2] - at[0]), int(at[3] - at[1])))
        mask, box = (
            torch.tensor([where.box_in((p[0] - at[0], p[1] - at[1], p[2] - at[0], p[3] - at[1]))]) for p in parts
        )
        return Regions(box, 40 * painted(mask, 64) - 20, torch.zeros(1, 4, 4), torch.zeros(1))

    width, height = photo.size
    heard = [Heard(torch.randn(1, closely.model.backbone.width), None)]
    said = Spoken([7], [0], look(first, (0, 0, width, height)), [0], heard=heard)
    found = replace(look(second_look, ALL), scores=torch.tensor([1.0]))
    monkeypatch.setattr(closely.model, "decode", lambda *_: found)
    monkeypatch.setattr(closely.model, "settings", replace(closely.model.settings, read_window=0))
    (region,) = second.closer(closely, [shown], said, [photo])
    assert region.score == pytest.approx(float(torch.tensor(0.5).sigmoid()))  # of both looks, whichever stands
    if stands:
        assert region.mask is not None and region.mask.any()
        assert region.box == pytest.approx(second_look[1], abs=0.3)
    else:
        assert region.box == shown.box and region.mask is shown.mask

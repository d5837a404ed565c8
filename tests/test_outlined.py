"""Laws of refined outlines in answers: one thing asked for alone, as two looks see it, and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from perceptiongpt import closer as second
from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import Regions
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import Heard
from perceptiongpt.predict import Eye


@pytest.fixture
def closely(eye: Eye, monkeypatch: pytest.MonkeyPatch) -> Eye:
    settings = replace(eye.model.settings, looks_closer=True, tells_apart=True, refines=True, read_window=0)
    monkeypatch.setattr(eye.model, "settings", settings)
    monkeypatch.setattr(second, "AGREE", 0.0)  # a model of random weights never means the same twice
    monkeypatch.setattr(second, "OUTLINED", 0.0)  # nor in two ways
    return eye


BOX = (10.0, 7.0, 30.0, 23.0)


def answered(eye: Eye, photo: Image.Image, mask: bool = True) -> tuple[tuple[Region, ...], list[Region]]:
    """What a second look makes of five regions, and these: one that is alone, two of a breath, one alone of several
    that were asked for, one without a box."""
    canvas = eye.model.backbone.canvas(photo.size)
    seen = eye.model.see(eye.model.backbone.pixels([canvas.view(photo)]))
    masks = torch.full((5, *seen.prepared.map.fine.shape[-2:]), -20.0)
    masks[:, 2:6, 3:9] = 20.0
    torch.manual_seed(0)
    heard = [Heard(torch.randn(1, eye.model.backbone.width), None, several=n == 3) for n in range(5)]
    found = Regions(torch.tensor([canvas.box_in(BOX)] * 5), masks, torch.zeros(5, 4, 4), torch.zeros(5))
    said = Spoken([7] * 9, [0, 2, 3, 5, 7], found, [0] * 5, heard=heard)
    drawn = np.zeros(photo.size[::-1], bool) if mask else None
    shown = [Region(box=BOX, mask=drawn, score=0.5)] * 4 + [Region(point=(3.0, 4.0), score=0.5)]
    return second.closer(eye, shown, said, [photo]), shown


def left_half(masks: torch.Tensor, *_: Any) -> torch.Tensor:
    halves = torch.full_like(masks, -5.0)
    halves[..., : masks.shape[-1] // 2] = 5.0
    return halves


class Calls:
    """Leaves masks as they are, and keeps them."""

    def __init__(self) -> None:
        self.masks: list[torch.Tensor] = []

    def __call__(self, masks: torch.Tensor, *_: Any) -> torch.Tensor:
        self.masks.append(masks)
        return masks


def same(one: Region, other: Region) -> bool:
    return one.box == other.box and one.score == other.score and np.array_equal(one.mask, other.mask)


def test_what_is_asked_for_alone_has_the_refined_mask_and_a_box_round_it_and_nothing_else_has(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second, "TIMES", 1.5)
    monkeypatch.setattr(closely.model.decoder, "refined", left_half)
    after, _ = answered(closely, photo)
    boxes, _ = answered(closely, photo, mask=False)
    monkeypatch.setattr(closely.model, "settings", replace(closely.model.settings, refines=False))
    before, shown = answered(closely, photo)
    assert all(same(a, b) for a, b in zip(after[1:], before[1:], strict=True)) and before[4] is shown[4]
    refined = after[0]
    assert refined.score == before[0].score and refined.mask is not None
    rows, columns = np.nonzero(refined.mask)
    drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.array(refined.box) - drawn).max() <= 1.5 and not same(refined, before[0])
    assert boxes[0].box == refined.box and boxes[0].mask is None  # its box, too, where no mask was asked for


def test_it_is_given_the_look_that_stands_and_what_the_piece_shows(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def telling(masks: torch.Tensor, others: torch.Tensor, prepared: Any, owner: torch.Tensor) -> torch.Tensor:
        given.append((masks, others, prepared.map.cells[owner]))
        return masks

    monkeypatch.setattr(second, "TIMES", 1.5)
    monkeypatch.setattr(closely.model.decoder, "refined", telling)
    answered(closely, photo)
    outline: Any = second._outline
    monkeypatch.setattr(second, "OUTLINED", 2.0)
    # The first look is surer of itself, so it stands.
    monkeypatch.setattr(
        second, "_outline", lambda where, found: (outline(where, found)[0], where.size_wh == photo.size)
    )
    answered(closely, photo)
    (then, before, piece), (first, after, same_piece) = given
    assert torch.equal(piece, same_piece)
    assert then.shape == first.shape and not torch.equal(then, first)
    assert torch.equal(before, first) and torch.equal(after, then)  # the other look's
    assert float((first > 0).float().mean()) > 2 * 4 * 6 / first[0].numel()  # the same thing, from closer by


def test_nothing_is_refined_without_a_second_look_or_where_it_means_another_thing(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = Calls()
    monkeypatch.setattr(second, "TIMES", 1.5)
    monkeypatch.setattr(closely.model.decoder, "refined", called)
    answered(closely, photo)
    assert len(called.masks) == 1
    monkeypatch.setattr(second, "AGREE", 2.0)
    answered(closely, photo)
    monkeypatch.setattr(second, "AGREE", 0.0)
    monkeypatch.setattr(second, "TIMES", 1000.0)
    (region, *_), shown = answered(closely, photo)
    assert region is shown[0] and len(called.masks) == 1


def test_a_mask_that_is_refined_to_nothing_stays(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second, "TIMES", 1.5)
    monkeypatch.setattr(closely.model.decoder, "refined", lambda masks, *_: torch.full_like(masks, -9.0))
    after, _ = answered(closely, photo)
    monkeypatch.setattr(closely.model, "settings", replace(closely.model.settings, refines=False))
    before, _ = answered(closely, photo)
    assert all(same(a, b) for a, b in zip(after[:4], before[:4], strict=True))


def test_what_is_not_looked_at_again_is_not_refined(
    closely: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = Calls()
    monkeypatch.setattr(closely.model.decoder, "refined", called)
    monkeypatch.setattr(second, "TIMES", 0.5)  # boxes of random weights fill pictures
    monkeypatch.setattr(closely, "as_found", True)
    assert len(closely.segment(photo, "the red circle")) and not called.masks
    monkeypatch.setattr(closely, "as_found", False)
    assert len(closely.segment(photo, "the red circle")) and called.masks

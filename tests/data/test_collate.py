"""Laws of batches: order, owners and padding; what is shown is known; a picture's place is a share of its canvas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from perceptiongpt.core.answer import Region
from perceptiongpt.data.collate import MASK_SIDE, region_in
from perceptiongpt.data.render import IGNORED
from perceptiongpt.data.sample import Sample, Turn

Make = Callable[..., Any]


def test_regions_keep_their_order_and_their_owners(family: str, equipped: Make, sample: Make, batch: Make) -> None:
    model = equipped(family)
    samples = [
        sample(said=["box+mask", "mask"], shown=["box"]),
        sample(seed=-1),
        sample(said=["point"], seed=1),
        sample(seed=2, said=["box"]),
    ]
    made = batch(model, samples)
    assert made.owner.tolist() == [0, 0, 0, 2, 3]
    assert made.asked.tolist() == [True, False, False, False, False]
    assert made.has_box.tolist() == [True, True, True, False, True]  # a mask has a box
    assert made.has_mask.tolist() == [False, True, True, False, False]
    assert made.boxes.shape == (5, 4) and made.masks.shape == (5, MASK_SIDE, MASK_SIDE)
    canvas = model.backbone.canvas((40, 30))
    for row, at in ((0, 0), (1, 2), (2, 3), (4, 2)):
        x, y = 4 + 3 * at, 5 + 2 * at
        assert torch.allclose(made.boxes[row], torch.tensor(canvas.box_in((x, y, x + 12, y + 10))), atol=1e-5)
    assert made.masks[1].sum() == pytest.approx(MASK_SIDE**2 * float(made.boxes[1, 2] * made.boxes[1, 3]), rel=1e-3)
    shows = (made.input_ids == model.backbone.image_token_id).any(1)
    assert shows.tolist() == [True, False, True, True]
    assert model.picture_of(made).tolist() == [0, -1, 1, 2]


def test_training_is_padded_on_the_right_and_asking_on_the_left(
    family: str, equipped: Make, sample: Make, batch: Make, prompts: Make
) -> None:
    model = equipped(family)
    samples = [sample(), sample(seed=-1, words="is")]
    pad = model.backbone.processor.tokenizer.pad_token_id
    for made, side in ((batch(model, samples), slice(-1, None)), (prompts(model, samples), slice(0, 1))):
        short, full = made.attention_mask[1], made.attention_mask[0]
        assert full.all() and short[side].tolist() == [0] and 0 < short.sum() < len(short)
        assert (made.input_ids[1][short == 0] == pad).all()
        assert (made.labels[1][short == 0] == IGNORED).all()
        assert made.boxes.shape == (0, 4) and made.masks.shape == (0, MASK_SIDE, MASK_SIDE)
        assert made.shown.shape == (0, 3) and len(made.owner) == 0


def test_a_batch_of_text_alone_has_no_pixels(family: str, equipped: Make, sample: Make, batch: Make) -> None:
    assert batch(equipped(family), [sample(seed=-1)]).pixels == {}


def test_the_same_generator_makes_the_same_batch(equipped: Make, sample: Make, batch: Make) -> None:
    model, samples = equipped(), [sample(said=["box+mask"], shown=["mask"], seed=i) for i in range(6)]
    one, again, other = (batch(model, samples, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.shown, again.shown) and torch.equal(one.points, again.points)
    assert not torch.equal(one.shown, other.shown)


BOX, MASK, BOTH, POINT = (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1)


@pytest.mark.parametrize(
    ("known", "asked", "choices"),
    [
        ("box", False, {BOX}),
        ("box", True, {BOX}),
        ("mask", False, {BOX, MASK, BOTH}),  # a mask has a box
        ("box+mask", False, {BOX, MASK, BOTH}),
        ("box+mask", True, {BOX, MASK, BOTH, POINT}),  # and pixels to point at
        ("point", True, {POINT}),
        ("point", False, {POINT}),
        ("box+point", True, {BOX, POINT}),
        ("box+mask+point", False, {BOX, MASK, BOTH}),
    ],
)
def test_every_known_part_is_shown_now_and_then_and_no_other(
    known: str, asked: bool, choices: set[Any], equipped: Make, region: Make
) -> None:
    canvas = equipped().backbone.canvas((40, 30))
    rng = np.random.default_rng(0)
    found = {tuple(map(int, region_in(region(known), canvas, asked, rng)["shown"])) for _ in range(60)}
    assert found == choices


def test_in_answering_all_that_a_user_gives_is_shown(equipped: Make, region: Make) -> None:
    canvas = equipped().backbone.canvas((40, 30))
    for known, shown in (("box", BOX), ("mask", BOTH), ("point", POINT), ("box+mask+point", (1, 1, 1))):
        assert tuple(map(int, region_in(region(known), canvas, True, None)["shown"])) == shown
    assert tuple(map(int, region_in(region("box+mask+point"), canvas, False, None)["shown"])) == BOTH


def test_a_drawn_point_lies_on_the_mask(equipped: Make) -> None:
    canvas = equipped().backbone.canvas((40, 30))
    ring = np.zeros((30, 40), bool)
    ring[5:25, 5:35] = True
    ring[8:22, 8:32] = False
    rng, seen = np.random.default_rng(0), set()
    for _ in range(100):
        made = region_in(Region(mask=ring), canvas, True, rng)
        if made["shown"] == [False, False, True]:
            x, y = canvas.point_out(tuple(made["point"].tolist()))
            assert ring[int(y), int(x)]
            seen.add((int(x), int(y)))
    assert len(seen) > 10


def test_a_region_of_nothing_shows_nothing(equipped: Make) -> None:
    canvas = equipped().backbone.canvas((40, 30))
    for rng in (None, np.random.default_rng(0)):
        made = region_in(Region(mask=np.zeros((30, 40), bool)), canvas, True, rng)
        assert list(made["shown"]) == [False] * 3 and not made["has_box"] and not made["has_mask"]


@pytest.mark.parametrize("size", [(500, 3), (3, 500), (1, 1), (33, 32)])
def test_extreme_pictures_become_batches(family: str, size: tuple[int, int], equipped: Make, batch: Make) -> None:
    model = equipped(family)
    mask = np.ones(size[::-1], bool)
    whole = Region(box=(0, 0, *size), mask=mask)
    turns = (Turn("user", "what is {0}?", (whole,)), Turn("assistant", "it is {0}", (whole,)))
    made = batch(model, [Sample(Image.new("RGB", size, "red"), turns)])
    reach = torch.tensor(model.backbone.canvas(size).reach_xy)
    assert torch.allclose(made.boxes, torch.cat([reach / 2, reach]).expand(2, 4), atol=1e-5)
    assert ((made.boxes >= 0) & (made.boxes <= 1)).all()
    assert made.masks[0].mean() == pytest.approx(float(reach.prod()), rel=1e-4)
    with torch.no_grad():
        assert model(made).regions.boxes.isfinite().all()


def test_a_region_without_a_picture_is_refused(equipped: Make, batch: Make, region: Make) -> None:
    sample = Sample(None, (Turn("user", "where?"), Turn("assistant", "here {0}", (region("box"),))))
    with pytest.raises(ValueError, match="without a picture"):
        batch(equipped(), [sample])


def test_a_picture_may_be_made_when_it_is_needed(equipped: Make, batch: Make, picture: Make) -> None:
    turns = (Turn("user", "where?"), Turn("assistant", "here"))
    model = equipped()
    one, other = (batch(model, [Sample(i, turns)]) for i in (picture(3), lambda: picture(3)))
    assert torch.equal(one.pixels["pixel_values"], other.pixels["pixel_values"])

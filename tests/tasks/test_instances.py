"""Laws of telling apart: a mask keeps the one thing that was pointed at, and all of it where there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perceptiongpt.core.boxes import giou_xyxy, xyxy_to_cxcywh
from perceptiongpt.core.losses import owners, place_costs
from perceptiongpt.tasks import instances
from perceptiongpt.tasks.instances import InstanceReader
from perceptiongpt.tasks.region import RegionDecoder

SIDE = 28  # places to a side; masks are twice as fine, cells four times as coarse
Four = tuple[int, int, int, int]  # xyxy in places


def within(box: Four) -> torch.Tensor:
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[box[1] : box[3], box[0] : box[2]] = True
    return inside


def said(*boxes: Four) -> torch.Tensor:
    """What places say that know whose they are: [1, 4, SIDE, SIDE]; elsewhere the whole canvas."""
    told = torch.tensor([0.0, 0.0, 1.0, 1.0])[:, None, None].repeat(1, SIDE, SIDE)
    for box in boxes:
        told[:, within(box)] = torch.tensor(box)[:, None] / SIDE
    return told[None]


def mask_of(*boxes: Four) -> torch.Tensor:
    inside = torch.stack([within(box) for box in boxes]).any(0)
    return torch.where(inside, 3.0, -3.0).repeat_interleave(2, 0).repeat_interleave(2, 1)[None]


def pointed(box: Four) -> torch.Tensor:
    """Logits of 7 x 7 cells, the greatest at the middle of a box."""
    at = torch.zeros(1, 7, 7)
    at[0, (box[1] + box[3]) // 2 * 7 // SIDE, (box[0] + box[2]) // 2 * 7 // SIDE] = 1.0
    return at


def alone(*given: torch.Tensor) -> torch.Tensor:
    """The masks alone."""
    return instances.alone(*given)[0]


FIRST, ONE = torch.tensor([0]), torch.tensor([True])


@given(st.integers(8, 12), st.integers(8, 12), st.integers(5, 20), st.booleans(), st.booleans())
def test_of_two_that_touch_the_one_stays_that_was_pointed_at(
    one: int, other: int, across: int, stacked: bool, second: bool
) -> None:
    near, far = (2, 3, 2 + one, 3 + across), (2 + one, 3, 2 + one + other, 3 + across)
    if stacked:
        near, far = ((b[1], b[0], b[3], b[2]) for b in (near, far))
    wanted = far if second else near
    kept, its, told = instances.alone(mask_of(near, far), pointed(wanted), said(near, far), FIRST, ONE)
    assert torch.equal(kept > 0, mask_of(wanted) > 0) and told.all()
    assert torch.allclose(its[0] * SIDE, torch.tensor(wanted).float(), atol=1e-4)


@given(st.integers(1, 25), st.integers(1, 25), st.integers(0, 6), st.integers(0, 6))
def test_a_mask_of_one_thing_stays_as_it_is(wide: int, high: int, x: int, y: int) -> None:
    box = (x, y, min(x + wide, SIDE), min(y + high, SIDE))
    mask = mask_of(box)
    assert torch.equal(alone(mask, pointed(box), said(box), FIRST, ONE), mask)
    noisy = said(box) + 0.01 * torch.randn(1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    if min(box[2] - box[0], box[3] - box[1]) > 4:
        assert torch.equal(alone(mask, pointed(box), noisy, FIRST, ONE), mask)


def test_what_is_no_thing_by_itself_stays() -> None:
    body, speck = (2, 2, 14, 14), (14, 2, 15, 12)  # 10 of 154 places say another box
    mask = mask_of(body, speck)
    assert torch.equal(alone(mask, pointed(body), said(body, speck), FIRST, ONE), mask)
    few = (4, 4, 14, 5)  # ten places
    assert torch.equal(alone(mask_of(few), pointed(few), said((4, 4, 7, 5), (7, 4, 14, 5)), FIRST, ONE), mask_of(few))
    nothing = torch.full((1, 56, 56), -3.0)
    assert torch.equal(alone(nothing, pointed(body), said(body), FIRST, ONE), nothing)
    none = torch.zeros(0, 56, 56)
    assert (
        alone(
            none, torch.zeros(0, 7, 7), said(body), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.bool)
        ).shape
        == none.shape
    )


def test_a_things_box_is_what_its_places_say_and_those_who_say_nothing_have_none() -> None:
    box, few, where = (4, 4, 20, 12), (4, 4, 14, 5), pointed((4, 4, 20, 12))
    reaches = (3, 5, 23, 10)  # not that of the mask, which stays as it is
    for mask, told, wanted in (
        (mask_of(box), said(reaches).where(~within(box), torch.tensor(reaches)[:, None, None] / SIDE), reaches),
        (mask_of(box), said(), None),  # the whole canvas, as at birth
        (mask_of(box), torch.full((1, 4, SIDE, SIDE), float("nan")), None),
        (mask_of(few), said(few), None),
    ):
        kept, its, there = instances.alone(mask, where, told, FIRST, ONE)
        assert torch.equal(kept, mask) and there.tolist() == [wanted is not None]
        if wanted is not None:
            assert torch.allclose(its[0] * SIDE, torch.tensor(wanted).float(), atol=1e-4)
    assert not instances.alone(mask_of(box), where, said(box), FIRST, ~ONE)[2].any()  # nor one that is of one thing


def test_three_are_told_apart_and_each_is_of_its_picture() -> None:
    row: list[Four] = [(1, 5, 9, 20), (9, 5, 18, 20), (18, 5, 26, 20)]
    boxes = torch.cat([said((1, 5, 26, 20)), said(*row)])
    masks, points = mask_of(*row).repeat(4, 1, 1), torch.cat([pointed(b) for b in (row[1], *row)])
    kept = alone(masks, points, boxes, torch.tensor([0, 1, 1, 1]), torch.ones(4, dtype=torch.bool))
    assert torch.equal(kept[0], masks[0])
    for mask, box in zip(kept[1:], row, strict=True):
        assert torch.equal(mask > 0, mask_of(box)[0] > 0)


def test_where_it_points_beside_the_mask_the_nearest_stays() -> None:
    near, far = (4, 4, 12, 12), (12, 4, 20, 12)
    kept = alone(mask_of(near, far), pointed((22, 4, 28, 12)), said(near, far), FIRST, ONE)
    assert torch.equal(kept > 0, mask_of(far) > 0)


def test_places_that_agree_on_nothing_tell_nothing_apart() -> None:
    torch.manual_seed(0)
    corners = torch.rand(1, 2, SIDE, SIDE) * 0.9
    noise = torch.cat([corners, corners + 0.02 + 0.08 * torch.rand(1, 2, SIDE, SIDE)], dim=1)
    whole = mask_of((0, 0, SIDE, SIDE))
    assert torch.equal(alone(whole, pointed((4, 4, 12, 12)), noise, FIRST, ONE), whole)
    odd = torch.full((1, 4, SIDE, SIDE), float("nan"))
    assert torch.equal(alone(whole, pointed((4, 4, 12, 12)), odd, FIRST, ONE), whole)


# -- what is learnt --------------------------------------------------------------------------------------------------


def test_owners_are_those_that_cover_most_of_a_place() -> None:
    masks = torch.zeros(3, 64, 64)
    masks[0, :, :32] = 1.0
    masks[1, :32, 24:] = 0.9
    masks[2, 32:] = 0.4
    whose = owners(masks, torch.tensor([2, 2, 0]), (3, 16, 16))
    assert whose[2, 2, 2] == 0 and whose[2, 2, 14] == 1 and whose[2, 14, 14] == -1
    assert whose[2, 2, 6] == 0  # of two that overlap, the one that covers more
    assert (whose[:2] == -1).all()  # nothing lies there, or less than half a place of it
    assert (owners(torch.zeros(0, 64, 64), torch.zeros(0, dtype=torch.long), (1, 4, 5)) == -1).all()


def test_true_boxes_cost_nothing_and_every_place_of_a_thing_counts() -> None:
    large, small = (0, 0, 20, 20), (20, 20, 24, 24)
    owner = torch.where(within(small), 1, torch.where(within(large), 0, -1))[None]
    boxes = xyxy_to_cxcywh(torch.tensor([large, small, (0, 0, 1, 1)]) / SIDE)
    assert torch.allclose(place_costs(said(large, small), owner, boxes), torch.zeros(3), atol=1e-5)
    half = said(large, (20, 20, 24, 22))  # half of its places say a box half as high; the others that of the canvas
    wrong = place_costs(half, owner, boxes)
    one, other = (
        2 * float((xyxy_to_cxcywh(b) - boxes[1]).abs().sum()) + 1 - float(giou_xyxy(b, torch.tensor(small) / SIDE))
        for b in (torch.tensor([20, 20, 24, 22]) / SIDE, torch.tensor([0.0, 0.0, 1.0, 1.0]))
    )
    assert float(wrong[1]) == pytest.approx((one + other) / 2, rel=1e-4) and float(wrong[0]) == pytest.approx(
        0, abs=1e-5
    )
    nobody = torch.full((1, 4, SIDE, SIDE), 0.5, requires_grad=True)
    cost = place_costs(nobody, torch.full((1, SIDE, SIDE), -1), torch.zeros(0, 4)).sum()
    cost.backward()
    assert cost == 0 and not nobody.grad.any()


def test_a_fresh_one_tells_nothing_apart() -> None:
    torch.manual_seed(0)
    plain = RegionDecoder(20, 12, 32, window=4).eval()
    telling = RegionDecoder(20, 12, 32, window=4, tells_apart=True).eval()
    telling.load_state_dict(plain.state_dict(), strict=False)
    pictures, owner = (torch.randn(2, 12, 6, 6), torch.randn(2, 20, 3, 3)), torch.tensor([0, 1, 1])
    states = torch.randn(3, 1, 20)
    with torch.no_grad():
        several = torch.ones(3, dtype=torch.bool)
        one, other = (d(states, d.prepare(*pictures), owner, several=several) for d in (plain, telling))
    for a, b in zip(vars(one).values(), vars(other).values(), strict=True):
        assert torch.equal(a, b)


def test_a_fresh_reader_says_the_whole_canvas_everywhere() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        told = InstanceReader(32)(torch.randn(1, 32, 14, 14), torch.randn(1, 8, SIDE, SIDE))
    assert (told[:, :2] <= 0).all() and (told[:, 2:] >= 1).all()
    whole = mask_of((0, 0, SIDE, SIDE))
    assert torch.equal(alone(whole, pointed((0, 0, 4, 4)), told, FIRST, ONE), whole)


def test_what_boxes_say_beyond_the_canvas_tells_nothing_apart() -> None:
    whole, told = mask_of((0, 0, SIDE, SIDE)), said((0, 0, SIDE, SIDE))
    told[:, 0, :, : SIDE // 2] = -2.0  # the left half sees the thing go on
    assert torch.equal(alone(whole, pointed((0, 0, 4, 4)), told, FIRST, ONE), whole)


def test_masks_of_several_are_cut_and_the_map_learns_nothing_of_it() -> None:
    torch.manual_seed(0)
    decoder = RegionDecoder(20, 12, 32, window=4, tells_apart=True).eval()
    feature_map = torch.randn(2, 12, 6, 5)
    prepared = decoder.prepare(feature_map, torch.randn(2, 20, 3, 3))
    assert prepared.instances.shape == (2, 4, 12, 10)
    prepared.instances.sum().backward()
    assert {n.split(".")[0] for n, p in decoder.named_parameters() if p.grad is not None} == {"apart"}
    places = torch.zeros(2, 4, 12, 10)  # left and right half say a thing each
    places[:, 2, :, :5], places[:, 0, :, 5:], places[:, 2, :, 5:], places[:, 3] = 0.5, 0.5, 1.0, 1.0
    prepared = replace(prepared, instances=places)
    with torch.no_grad():
        decoder.mask.bias.bias.fill_(50.0)  # masks cover everything
        given = torch.randn(2, 1, 20), prepared, torch.tensor([0, 1])
        whole, cut = decoder(*given), decoder(*given, several=torch.tensor([False, True]))
    assert (whole.masks > 0).all() and torch.equal(cut.masks[0], whole.masks[0])
    assert (cut.masks[1] > 0).float().mean() == 0.5
    assert (whole.boxes[:, 2] > 0.9).all() and torch.equal(cut.boxes[0], whole.boxes[0])
    halves = torch.tensor([[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]])  # as the places of what is left say it
    assert any(torch.allclose(cut.boxes[1], half) for half in halves)


def test_what_two_like_things_are_is_learnt() -> None:
    torch.manual_seed(0)
    reader, halves = InstanceReader(32), [(2, 4, 10, 20), (10, 4, 18, 20)]
    cells, fine = torch.zeros(1, 32, 14, 14), torch.zeros(1, 8, SIDE, SIDE)
    cells[0, 0], cells[0, 1] = torch.linspace(-1, 1, 14), torch.linspace(-1, 1, 14)[:, None]  # eyes know their places
    for n, box in enumerate(halves):
        fine[0, n, within(box)] = 1.0
    owner = torch.where(within(halves[1]), 1, torch.where(within(halves[0]), 0, -1))[None]
    boxes = xyxy_to_cxcywh(torch.tensor(halves) / SIDE)
    optimiser = torch.optim.Adam(reader.parameters(), 1e-2)
    mask = mask_of(*halves)
    assert torch.equal(alone(mask, pointed(halves[1]), reader(cells, fine).detach(), FIRST, ONE), mask)
    for _ in range(250):
        optimiser.zero_grad()
        place_costs(reader(cells, fine), owner, boxes).mean().backward()
        optimiser.step()
    for box in halves:
        kept = alone(mask, pointed(box), reader(cells, fine).detach(), FIRST, ONE)[0] > 0
        assert (kept == (mask_of(box)[0] > 0)).float().mean() > 0.97

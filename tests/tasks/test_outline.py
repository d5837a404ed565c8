"""Laws of refining outlines: a fresh refiner changes nothing, a taught one sees what a mask lies on."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from perceptiongpt.tasks.outline import SURE, OutlineRefiner
from perceptiongpt.tasks.region import RegionDecoder

SIDE = 16  # places; masks are twice as fine


def box_mask(x0: int, y0: int, x1: int, y1: int) -> torch.Tensor:
    """A mask of a rectangle of places: logits [1, 2 SIDE, 2 SIDE]."""
    mask = torch.full((1, 2 * SIDE, 2 * SIDE), -5.0)
    mask[:, 2 * y0 : 2 * y1, 2 * x0 : 2 * x1] = 5.0
    return mask


def a_picture(x0: int, y0: int, x1: int, y1: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What places are told, and the boxes that they say, where a rectangle is a thing and the rest another."""
    inside = box_mask(x0, y0, x1, y1)[:, ::2, ::2] > 0
    told = torch.where(inside[:, None], 1.0, -1.0).expand(1, 8, SIDE, SIDE).clone()
    told[:, 4:] *= -1
    its, whole = torch.tensor([x0, y0, x1, y1]) / SIDE, torch.tensor([0.0, 0.0, 1.0, 1.0])
    boxes = torch.where(inside[:, None], its.view(1, 4, 1, 1), whole.view(1, 4, 1, 1))
    return told, boxes


def test_a_fresh_one_leaves_masks_as_they_are_up_to_where_they_are_sure() -> None:
    torch.manual_seed(0)
    masks = 10 * torch.randn(3, 2 * SIDE, 2 * SIDE)
    fresh = OutlineRefiner(8)
    refined = fresh(masks, torch.randn_like(masks), torch.randn(3, 8, SIDE, SIDE), torch.rand(3, 4, SIDE, SIDE))
    assert torch.equal(refined, masks.clamp(-SURE, SURE))
    none = fresh(masks[:0], masks[:0], torch.randn(0, 8, SIDE, SIDE), torch.rand(0, 4, SIDE, SIDE))
    assert none.shape == (0, 2 * SIDE, 2 * SIDE)


def test_each_mask_is_refined_by_itself_and_an_empty_one_is_finite() -> None:
    torch.manual_seed(0)
    net = OutlineRefiner(8)
    torch.nn.init.normal_(net.out.weight)
    masks = torch.stack([box_mask(2, 2, 9, 9)[0], torch.full((2 * SIDE, 2 * SIDE), -40.0)])
    given = masks, masks.flip(0), torch.randn(2, 8, SIDE, SIDE), torch.rand(2, 4, SIDE, SIDE)
    together = net(*given)
    assert together.isfinite().all()
    for n in (0, 1):
        assert torch.allclose(net(*(x[n : n + 1] for x in given))[0], together[n], atol=1e-5)


def test_it_learns_to_fill_out_what_a_mask_covers_in_part_and_to_leave_what_it_took_along() -> None:
    torch.manual_seed(0)
    net = OutlineRefiner(8)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    rectangles = [(2, 3, 10, 9), (5, 5, 13, 14), (1, 6, 8, 15), (4, 1, 14, 8)]

    def spoilt(x0: int, y0: int, x1: int, y1: int, grown: bool) -> torch.Tensor:
        middle = (x0 + x1) // 2
        return box_mask(x0, y0, min(x1 + 3, SIDE) if grown else middle, y1)

    for step in range(120):
        it = rectangles[step % 3]
        looks = [spoilt(*it, grown=(step + look) % 2 == 0) for look in (0, step % 3 % 2)]
        refined = net(*looks, *a_picture(*it))
        loss = F.binary_cross_entropy_with_logits(refined, (box_mask(*it) > 0).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    it = rectangles[3]  # one that it never saw
    for grown in (False, True):
        before, true = spoilt(*it, grown=grown) > 0, box_mask(*it) > 0
        mask = spoilt(*it, grown=grown)
        after = net(mask, mask, *a_picture(*it)) > 0
        assert iou(before, true) < 0.9 < 0.95 < iou(after, true)


def test_what_another_look_outlined_is_told_too() -> None:
    torch.manual_seed(0)
    net = OutlineRefiner(8)
    torch.nn.init.normal_(net.out.weight)
    mask, picture = box_mask(2, 3, 10, 9), a_picture(2, 3, 10, 9)
    assert not torch.allclose(net(mask, mask, *picture), net(mask, box_mask(2, 3, 14, 9), *picture), atol=0.1)


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_decoders_refine_masks_of_the_picture_that_each_lies_in_and_those_that_dont_leave_them() -> None:
    torch.manual_seed(0)
    decoder = RegionDecoder(20, 12, 32, window=4, tells_apart=True, refines=True).eval()
    plain = RegionDecoder(20, 12, 32, window=4, tells_apart=True).eval()
    assert decoder.outline is not None
    torch.nn.init.normal_(decoder.outline.out.weight)
    pictures = torch.randn(2, 12, 6, 6), torch.randn(2, 20, 3, 3)
    masks, others = torch.randn(3, 24, 24), torch.randn(3, 24, 24)
    with torch.no_grad():
        prepared = decoder.prepare(*pictures)
        refined = decoder.refined(masks, others, prepared, torch.tensor([1, 0, 1]))
        assert not torch.allclose(refined, masks)
        for n, owner in enumerate((1, 0, 1)):
            one = decoder.prepare(*(p[owner : owner + 1] for p in pictures))
            alone = decoder.refined(masks[n : n + 1], others[n : n + 1], one, torch.tensor([0]))
            assert torch.allclose(alone[0], refined[n], rtol=1e-4, atol=1e-4)
        assert plain.prepare(*pictures).told is None
        assert torch.equal(plain.refined(masks, others, plain.prepare(*pictures), torch.tensor([1, 0, 1])), masks)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_refined_is_float32_whatever_came(dtype: torch.dtype) -> None:
    decoder = RegionDecoder(20, 12, 32, window=4, tells_apart=True, refines=True).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        prepared = decoder.prepare(torch.randn(1, 12, 6, 6), torch.randn(1, 20, 3, 3))
        masks = torch.randn(1, 24, 24, dtype=dtype)
        assert decoder.refined(masks, masks, prepared, torch.tensor([0])).dtype == torch.float32

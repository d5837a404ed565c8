"""Boxes: formats, IoU and GIoU on rows worked by hand, degenerate rows, gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptiongpt.core.boxes import (
    LEAST_AROUND,
    area_xyxy,
    around,
    cxcywh_to_xyxy,
    drawn_round,
    giou_xyxy,
    iou_xyxy,
    pairwise_inside,
    pairwise_iou,
    xyxy_to_cxcywh,
)

# a, b, IoU, GIoU, worked by hand
ROWS = [
    ([0, 0, 2, 2], [0, 0, 2, 2], 1.0, 1.0),  # the same
    ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7, 1 / 7 - 2 / 9),  # 1 shared of 7; hull 9
    ([0, 0, 1, 1], [2, 0, 3, 1], 0.0, -1 / 3),  # apart: hull 3, union 2
    ([0, 0, 1, 1], [1, 0, 2, 1], 0.0, 0.0),  # touching: the hull is the union
    ([0, 0, 4, 4], [1, 1, 3, 3], 1 / 4, 1 / 4),  # one in the other
    ([0, 0, 4, 1], [0, 0, 1, 4], 1 / 7, 1 / 7 - 9 / 16),  # a cross of two bars; hull 16
    ([1, 1, 1, 1], [1, 1, 1, 1], 0.0, 0.0),  # a point on itself: no area, no claim
    ([1, 0, 1, 2], [1, 0, 1, 2], 0.0, 0.0),  # a line on itself
    ([0, 0, 0, 0], [2, 2, 2, 2], 0.0, -1.0),  # two points apart: the hull is all gap
    ([1, 1, 1, 1], [0, 0, 2, 2], 0.0, 0.0),  # a point in a box
]


def rows():
    columns = list(zip(*ROWS, strict=True))
    return [torch.tensor(c, dtype=torch.float32) for c in columns]


def test_iou_and_giou_equal_the_rows_worked_by_hand():
    a, b, iou, giou = rows()
    torch.testing.assert_close(iou_xyxy(a, b), iou)
    torch.testing.assert_close(giou_xyxy(a, b), giou)
    torch.testing.assert_close(iou_xyxy(b, a), iou)
    torch.testing.assert_close(giou_xyxy(b, a), giou)


def test_what_lies_inside_is_a_share_of_the_one_and_not_of_the_other():
    one = torch.tensor([[0.0, 0, 4, 4], [1, 1, 3, 3], [3, 0, 5, 4], [2, 2, 2, 2]])
    wanted = [[1, 1 / 4, 1 / 4, 0], [1, 1, 0, 0], [1 / 2, 0, 1, 0], [0, 0, 0, 0]]  # the last has no area
    torch.testing.assert_close(pairwise_inside(one, one), torch.tensor(wanted))
    assert pairwise_inside(one, torch.zeros(0, 4)).shape == (4, 0)


def test_giou_equals_a_count_of_grid_cells():
    g = torch.Generator().manual_seed(0)
    for _ in range(200):
        corners = torch.randint(0, 9, (2, 2, 2), generator=g).sort(1).values
        corners[:, 1] += 1  # at least one cell wide and high
        covered = torch.zeros(2, 10, 10, dtype=torch.bool)
        for i, ((x0, y0), (x1, y1)) in enumerate(corners.tolist()):
            covered[i, y0:y1, x0:x1] = True
        union = covered.any(0)
        ys, xs = torch.nonzero(union, as_tuple=True)
        hull = (int(ys.max() - ys.min()) + 1) * (int(xs.max() - xs.min()) + 1)
        n = int(union.sum())
        wanted = int(covered.all(0).sum()) / n - (hull - n) / hull
        a, b = corners.reshape(2, 4).float()
        assert giou_xyxy(a[None], b[None]).item() == pytest.approx(wanted, abs=1e-6)


def test_formats_there_and_back():
    xyxy = torch.tensor([[10.0, 20.0, 30.0, 60.0], [5.0, 5.0, 5.0, 5.0]])
    cxcywh = xyxy_to_cxcywh(xyxy)
    assert cxcywh.tolist() == [[20.0, 40.0, 20.0, 40.0], [5.0, 5.0, 0.0, 0.0]]
    assert torch.equal(cxcywh_to_xyxy(cxcywh), xyxy)


def test_pairwise_iou_is_every_row_against_every_row():
    a, b, iou, _ = rows()
    table = pairwise_iou(a, b[:3])
    assert table.shape == (len(ROWS), 3)
    torch.testing.assert_close(table.diagonal(), iou[:3])
    assert pairwise_iou(a[:0], b).shape == (0, len(ROWS))


def test_an_inverted_box_has_no_area():
    assert area_xyxy(torch.tensor([[2.0, 0.0, 1.0, 5.0], [0.0, 0.0, 2.0, 5.0]])).tolist() == [0.0, 10.0]


def test_giou_of_degenerate_rows_has_finite_gradients():
    a, b, _, _ = rows()
    a = (a / 10).requires_grad_()
    giou_xyxy(a, b / 10).sum().backward()
    assert torch.isfinite(a.grad).all()
    assert a.grad.abs().max() < 1e3
    assert a.grad[2].abs().sum() > 0  # boxes apart are pulled together


def test_geometry_is_float32_whatever_comes():
    half = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.bfloat16)
    for value in (giou_xyxy(half, half), pairwise_iou(half, half), xyxy_to_cxcywh(half), cxcywh_to_xyxy(half)):
        assert value.dtype == torch.float32


# -- the box of a mask -------------------------------------------------------------------------------------------------


def logits(x0: int, y0: int, x1: int, y1: int, size: int = 16) -> torch.Tensor:
    """A filled rectangle of cells [1, size, size]."""
    made = torch.full((1, size, size), -4.0)
    made[:, y0:y1, x0:x1] = 4.0
    return made


@settings(max_examples=40)
@given(st.data())
def test_a_box_is_drawn_round_its_mask_where_they_agree(data: st.DataObject) -> None:
    (x0, x1), (y0, y1) = (
        (start, data.draw(st.integers(start + 3, 16))) for start in (data.draw(st.integers(0, 13)) for _ in "xy")
    )
    mask, true = logits(x0, y0, x1, y1), torch.tensor([[x0, y0, x1, y1]]) / 16
    drawn = cxcywh_to_xyxy(drawn_round(xyxy_to_cxcywh(true * 0.98 + 0.01), mask, 0.5))
    assert (drawn - true).abs().max() <= 0.5 / 16 + 1e-6  # a rim lies half-way between the cells that it parts


def test_a_mask_that_is_elsewhere_empty_or_speckled_leaves_the_box() -> None:
    box = torch.tensor([[0.25, 0.25, 0.25, 0.25]])
    speckled = logits(2, 2, 6, 6)
    speckled[:, 15, 15] = 4.0
    for mask in (logits(10, 10, 14, 14), torch.full((1, 16, 16), -4.0), speckled):
        torch.testing.assert_close(drawn_round(box, mask, 0.6), box)
    torch.testing.assert_close(drawn_round(box, logits(2, 2, 6, 6), 1.0), box)  # born so: nothing changes
    assert drawn_round(torch.zeros(0, 4), torch.zeros(0, 0, 0), 0.6).shape == (0, 4)


def test_boxes_are_drawn_each_round_its_own_mask() -> None:
    boxes = torch.tensor([[0.25, 0.25, 0.30, 0.30], [0.75, 0.75, 0.30, 0.30]])
    masks = torch.cat([logits(2, 2, 6, 6), logits(0, 0, 2, 2)])
    drawn = drawn_round(boxes, masks, 0.6)
    assert drawn[0, 2] < 0.28
    torch.testing.assert_close(drawn[1], boxes[1])


@given(
    size=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
    times=st.floats(1, 10),
)
def test_the_piece_around_a_box_lies_in_the_picture_and_holds_the_box_where_it_fits(
    size: tuple[int, int], corners: tuple[float, ...], times: float
) -> None:
    (x0, x1), (y0, y1) = (sorted(v * s for v in corners[i::2]) for i, s in enumerate(size))
    left, top, right, bottom = around((x0, y0, x1, y1), size, times)
    assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    long = max(times * max(x1 - x0, y1 - y0), LEAST_AROUND * min(size), 1)
    for low, high, begin, end, length in ((x0, x1, left, right, size[0]), (y0, y1, top, bottom, size[1])):
        assert end - begin == min(length, round(long))
        assert begin - 1 <= low and high <= end + 1  # whole pixels
        free = begin > 0 and end < length
        assert not free or abs((begin + end) - (low + high)) <= 1.001  # in the middle, but for the picture's rim

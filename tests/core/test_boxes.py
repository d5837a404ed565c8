"""Boxes: formats, IoU and GIoU on rows worked by hand, degenerate rows, gradients."""

import pytest
import torch

from perceptiongpt.core.boxes import (
    area_xyxy,
    cxcywh_to_xyxy,
    giou_xyxy,
    iou_xyxy,
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

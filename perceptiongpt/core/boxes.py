"""Boxes as numbers: two formats, areas, overlaps, and the box of a mask.

Every function works on the last dimension (4 numbers), in float32, in whatever unit comes in (pixels or 0..1).
Knows nothing of pictures (core.canvas) nor of what a wrong box costs (core.losses).
N, M rows of boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Under this area a box is a line or a point: a ratio of two such areas says nothing, and its gradient would explode.
NO_AREA = 1e-12
SAME = 0.7  # IoU of boxes above which two are of one thing; usual for suppressing what was found twice
PART = 0.6  # share of a box inside a surer one of the same group from which it is a part of that thing
LEAST_AROUND = 0.25  # of a picture's shorter side: what is smaller is looked at no closer
FINER = 4  # times as fine as a decoded mask its rim is looked for


def xyxy_to_cxcywh(xyxy: Tensor) -> Tensor:
    """[..., 4] corners to [..., 4] centre and size, float32."""
    x0, y0, x1, y1 = xyxy.float().unbind(-1)
    return torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], -1)


def cxcywh_to_xyxy(cxcywh: Tensor) -> Tensor:
    """[..., 4] centre and size to [..., 4] corners, float32."""
    cx, cy, w, h = cxcywh.float().unbind(-1)
    return torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], -1)


def area_xyxy(xyxy: Tensor) -> Tensor:
    """[..., 4] to areas [...], float32; an inverted box has area 0."""
    x0, y0, x1, y1 = xyxy.float().unbind(-1)
    return (x1 - x0).clamp(min=0) * (y1 - y0).clamp(min=0)


def iou_xyxy(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union row by row: [..., 4] and [..., 4] to [...], float32; 0 where neither has an area."""
    intersection, union = _overlap(a.float(), b.float())
    return _ratio(intersection, union)


def pairwise_iou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Intersection over union of every pair: [N, 4] and [M, 4] to [N, M], float32."""
    return iou_xyxy(a_xyxy[:, None, :], b_xyxy[None, :, :])


def pairwise_inside(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """What share of each box lies inside each other one: [N, 4] and [M, 4] to [N, M], float32; without area 0."""
    intersection, _ = _overlap(a_xyxy[:, None, :].float(), b_xyxy[None, :, :].float())
    return _ratio(intersection, area_xyxy(a_xyxy)[:, None].expand_as(intersection))


def giou_xyxy(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU row by row, in -1..1: [..., 4] and [..., 4] to [...], float32.

    IoU - (hull - union) / hull, the hull being the smallest box around both (Rezatofighi et al., CVPR 2019).
    Degenerate rows stay finite, and so do their gradients: a ratio over no area counts as 0.
    """
    a, b = a.float(), b.float()
    intersection, union = _overlap(a, b)
    hull = area_xyxy(torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1))
    return _ratio(intersection, union) - _ratio(hull - union, hull)


def around(xyxy: Sequence[float], size_wh: tuple[int, int], times: float) -> tuple[int, int, int, int]:
    """The square around a box of a picture, `times` as long as its longer side, moved and cut so as to lie within.

    No less than LEAST_AROUND of the picture's shorter side. Pixels, whole, right and lower end left out.
    """
    width, height = size_wh
    side = max(times * max(xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]), LEAST_AROUND * min(size_wh), 1.0)
    spans = []
    for low, high, end in ((xyxy[0], xyxy[2], width), (xyxy[1], xyxy[3], height)):
        length = min(end, round(side))
        begin = min(max(round((low + high - length) / 2), 0), end - length)
        spans.append((begin, begin + length))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def drawn_round(cxcywh: Tensor, masks: Tensor, agree: float) -> Tensor:
    """Boxes [N, 4] of 0..1, float32, each drawn round its mask where the two boxes have an IoU of `agree` or more.

    `masks` are logits [N, h, w] of the same canvas, above 0 inside; their rims are looked for between cells, as by
    upsampling. An `agree` of 1 changes nothing. A mask far from its box, or with specks far off, leaves the box alone.
    """
    boxes = cxcywh_to_xyxy(cxcywh)
    for n, mask in enumerate(masks if agree < 1 else ()):  # one at a time: many fine masks at once would be large
        inside = F.interpolate(mask[None, None].float(), scale_factor=FINER, mode="bilinear")[0, 0] > 0
        if inside.any():
            (x0, x1), (y0, y1) = (_ends(inside.any(axis)) for axis in (0, 1))
            its = boxes.new_tensor([x0, y0, x1, y1])
            if iou_xyxy(its, boxes[n]) >= agree:
                boxes[n] = its
    return xyxy_to_cxcywh(boxes)


def _ends(inside: Tensor) -> tuple[float, float]:
    """Where in 0..1 a row of cells, bool [n], is first and last inside."""
    cells = torch.nonzero(inside)
    return float(cells[0]) / len(inside), float(cells[-1] + 1) / len(inside)


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    inner = torch.cat([torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])], -1)
    intersection = area_xyxy(inner)
    return intersection, area_xyxy(a) + area_xyxy(b) - intersection


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    there = whole > NO_AREA
    # Both branches must be finite: the gradient of torch.where is 0 * inf = NaN otherwise.
    return torch.where(there, part, 0.0) / torch.where(there, whole, 1.0)


def painted(boxes_cxcywh: Tensor, side: int) -> Tensor:
    """Boxes [N, 4] as masks [N, side, side] of 0 and 1, where only a box is known."""
    centre = (torch.arange(side, device=boxes_cxcywh.device) + 0.5) / side
    x0, y0, x1, y1 = cxcywh_to_xyxy(boxes_cxcywh).unbind(-1)
    across = (centre >= x0[:, None]) & (centre <= x1[:, None])
    down = (centre >= y0[:, None]) & (centre <= y1[:, None])
    return (down[:, :, None] & across[:, None, :]).float()

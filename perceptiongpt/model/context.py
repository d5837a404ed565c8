"""What a region is told besides its words: what the picture shows there, and what was pointed at in the same breath.

Knows where regions lie and what was prepared of pictures. Knows no language model.

N regions, S side of a mask, P pictures, C width of the decoders, D width of the language model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from perceptiongpt.core.batch import Batch
from perceptiongpt.core.boxes import painted
from perceptiongpt.core.losses import cells_target
from perceptiongpt.core.slots import breaths
from perceptiongpt.tasks.mask import PreparedMap
from perceptiongpt.tasks.point import matches


def enumerated(batch: Batch, slot: Tensor, size: int, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What each region is shown of its breath, float32 [N, S, S] in 0..1, and which of it it may be: bool [N, N].

    `slot` bool [B, T] are the places of regions, `size` of each. The region number k of a breath is shown where k of
    its regions lie, those that come first by `order` (float [N]; without it as they are said), and may be any of the
    others. What is nowhere comes last, and lies nowhere; regions of several pictures don't meet.
    """
    breath, number = breaths(slot, size)
    somewhere = batch.has_box | batch.has_mask
    together = (breath[:, None] == breath) & (batch.picture[:, None] == batch.picture) & somewhere
    key = number.to(torch.float32) if order is None else order
    rank = (together & (key < key[:, None])).sum(1)  # of each among those of its breath
    number = (together & (number < number[:, None])).sum(1)
    before = together & (rank < number[:, None])
    areas = torch.where(batch.has_mask[:, None, None], batch.masks, painted(batch.boxes, batch.masks.shape[-1]))
    shown = (before.to(areas) @ areas.flatten(1)).clamp(max=1.0).view_as(areas)
    return shown, together & ~before & somewhere[:, None]


def shuffled(batch: Batch) -> Tensor:
    """A number of each region, float32 [N] in 0..1, by which a breath's regions come in an order that means nothing.

    It hangs on where the region lies alone, so that processes that share a batch agree.
    """
    x, y = batch.boxes[:, 0], batch.boxes[:, 1]
    return (1e4 * torch.sin(12.9898 * x + 78.233 * y)).frac().abs()


def written_areas(batch: Batch) -> Tensor:
    """Where each region lies by what is written of it, mask or else box; empty for a point alone: [N, S, S]."""
    boxes = painted(batch.boxes, batch.masks.shape[-1]) * batch.shown[:, 0, None, None]
    return torch.where(batch.shown[:, 1, None, None], batch.masks, boxes)


def looks(prepared: PreparedMap, areas: Tensor, points: Tensor, picture: Tensor) -> Tensor:
    """What pictures show at areas [N, S, S], each in its own (long [N]), or at points [N, 2] of empty ones: [N, C]."""
    share = cells_target(areas, prepared.hw, points)
    return matches(share, prepared.keys.float().transpose(1, 2), picture)


def appearances(cells: Tensor, areas: Tensor, points: Tensor, picture: Tensor) -> Tensor:
    """Directions of the image tokens `cells` [P, D, h, w] under areas [N, S, S], each of its own picture (long [N]), or
    at points [N, 2] of empty ones: [N, D], each of norm 1."""
    share = cells_target(areas, (cells.shape[-2], cells.shape[-1]), points)
    return F.normalize(matches(share, cells.float().flatten(2), picture), dim=-1)

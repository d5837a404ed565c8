"""What a region is told besides its words: what the picture shows there, and what was pointed at in the same breath.

Knows where regions lie and what was prepared of pictures. Knows no language model.

N regions, S side of a mask, P pictures, C width of the decoders.
"""

from __future__ import annotations

import torch
from torch import Tensor

from perceptiongpt.core.batch import Batch
from perceptiongpt.core.boxes import painted
from perceptiongpt.core.losses import cells_target
from perceptiongpt.core.slots import earlier
from perceptiongpt.tasks.mask import PreparedMap
from perceptiongpt.tasks.point import matches


def earlier_areas(batch: Batch, slot: Tensor, size: int) -> Tensor:
    """Where the regions lie that stand before each in one breath, and in its picture: float32 [N, S, S] in 0..1.

    `slot` bool [B, T] are the places of regions, `size` of each.
    """
    areas = torch.where(batch.has_mask[:, None, None], batch.masks, painted(batch.boxes, batch.masks.shape[-1]))
    before = earlier(slot, size) & (batch.picture[:, None] == batch.picture)
    return (before.to(areas) @ areas.flatten(1)).clamp(max=1.0).view_as(areas)


def written_areas(batch: Batch) -> Tensor:
    """Where each region lies by what is written of it, mask or else box; empty for a point alone: [N, S, S]."""
    boxes = painted(batch.boxes, batch.masks.shape[-1]) * batch.shown[:, 0, None, None]
    return torch.where(batch.shown[:, 1, None, None], batch.masks, boxes)


def looks(prepared: PreparedMap, areas: Tensor, points: Tensor, picture: Tensor) -> Tensor:
    """What pictures show at areas [N, S, S], each in its own (long [N]), or at points [N, 2] of empty ones: [N, C]."""
    share = cells_target(areas, prepared.hw, points)
    return matches(share, prepared.keys.float().transpose(1, 2), picture)

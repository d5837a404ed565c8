"""Outlines refined: a mask that covers part of a thing, or more than it, is filled out or cut to what it lies on.

Decoders find where a thing is by its words, and of one that they never saw they may outline the part that they know, or
take its neighbour along. What a thing is called doesn't matter any more once a mask lies on it: a small convolutional
network sees the mask, what another look outlined, how alike every place looks to what the mask covers, and whether the
place says the same box (`tasks.instances`), and says where the mask is to grow and to shrink. Knows maps and masks;
nothing of words. Beyond the papers.

N regions, c width of what places were told, h w the decoders' map, H W = 2 h, 2 w the places.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiongpt.tasks.instances import INNER, Wider

GROUPS = 4  # in which channels are normed
SURE = 6.0  # logits beyond which a mask says no more
STEP = 3.0  # logits that one unit of the network's answer moves a mask by


class OutlineRefiner(nn.Module):
    """Masks [N, 4 h, 4 w] (logits), those of another look at the same things (the same, if there was none), what the
    places of their pictures were told [N, c, H, W] and the boxes that these say [N, 4, H, W] xyxy -> masks, logits
    [N, 4 h, 4 w]; as they came at birth, but for what is beyond `SURE`."""

    def __init__(self, width: int = INNER, inner: int = 16) -> None:
        super().__init__()
        self.told = nn.Sequential(nn.GroupNorm(1, width), nn.Conv2d(width, inner, 1))
        self.mask = nn.Conv2d(5, inner, 3, padding=1)
        self.norm = nn.GroupNorm(GROUPS, inner)
        self.down = nn.Sequential(nn.Conv2d(inner, inner, 1), nn.GroupNorm(GROUPS, inner), nn.ReLU())
        self.wider = nn.Sequential(*(Wider(inner, apart, GROUPS) for apart in (1, 2, 4)))
        self.up = nn.Conv2d(inner, inner, 1)
        self.last = Wider(inner, 1, GROUPS)
        self.out = nn.Conv2d(inner, 1, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, masks: Tensor, others: Tensor, told: Tensor, boxes: Tensor) -> Tensor:
        masks = masks.clamp(-SURE, SURE)
        covered, other = (F.avg_pool2d(m.sigmoid().unsqueeze(1), 2) for m in (masks, others))  # [N, 1, H, W]
        share = covered / covered.sum((2, 3), keepdim=True).clamp(min=1e-3)
        sure = [part.logit(1e-3) / STEP for part in (other, covered)]
        shown = [*sure, covered, _alike(told, share), _same(boxes, share)]
        fine = F.relu(self.norm(self.mask(torch.cat(shown, dim=1)) + self.told(told)))
        coarse = self.wider(self.down(F.avg_pool2d(fine, 2)))
        fine = self.last(fine + F.interpolate(self.up(coarse), fine.shape[-2:], mode="bilinear", align_corners=False))
        moved = F.interpolate(self.out(fine).float(), masks.shape[-2:], mode="bilinear", align_corners=False)
        return masks + STEP * moved.squeeze(1)


def _alike(told: Tensor, share: Tensor) -> Tensor:
    """How alike each place is to what a mask covers (`share` of it [N, 1, H, W]): cosines [N, 1, H, W]."""
    from_mean = told - told.mean((2, 3), keepdim=True)
    return F.cosine_similarity(from_mean, (from_mean * share).sum((2, 3), keepdim=True), dim=1).unsqueeze(1)


def _same(boxes: Tensor, share: Tensor) -> Tensor:
    """The IoU of the box that each place says and the mean of those that a mask's say: [N, 1, H, W]."""
    mean = (boxes * share).sum((2, 3), keepdim=True)  # [N, 4, 1, 1]
    sides = torch.minimum(boxes[:, 2:], mean[:, 2:]) - torch.maximum(boxes[:, :2], mean[:, :2])
    both = sides.clamp(min=0).prod(1, keepdim=True)
    either = _area(boxes) + _area(mean) - both
    return both / either.clamp(min=1e-4)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1, keepdim=True)

"""Things that look alike told apart: every place of a map says the box of the thing that covers it.

A mask is a product of one vector with a map that looks alike wherever things do, so of two cups that touch it outlines
both. A box said by each place for itself (FCOS, arXiv 1904.01355: how far it is to the left, the top, the right and the
lower end) differs on either side of the line between them. Where several are asked for, the decoded box of a thing
is what its places say, and of a mask whose places say boxes of several things the one stays that was pointed at. Knows
maps, masks and boxes; nothing of words. Beyond the papers.

B pictures, N regions, C width of the decoders, h w their map, H W = 2 h, 2 w the places, c places of one mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiongpt.core.boxes import pairwise_iou

ALIKE = 0.6  # IoU from which two places say the same box
APART = 0.5  # IoU up to which two boxes are of two things
LEAST = 0.2  # share of a mask's places from which they are a thing
NEAR = 0.75  # cells from the middle of the one that is pointed at
FEW = 12  # places of a mask that are too few to tell anything
TRIED = 24  # boxes of a mask that may be another thing's
SAMPLED = 400  # places of a mask that are compared with each other
OUTSIDE = -4.0  # logit of a mask's places that are another thing's
INNER = 32  # numbers that a place is told
WHOLE = 0.5413  # softplus of it is 1: at birth each place says the whole canvas, and nothing is told apart


class Wider(nn.Module):
    """A residual 3 x 3 convolution that looks at places `apart` from each other, its channels normed in `groups`."""

    def __init__(self, width: int, apart: int, groups: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=apart, dilation=apart)
        self.norm = nn.GroupNorm(groups, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.norm(self.conv(x)))


class InstanceReader(nn.Module):
    """The decoders' map [B, C, h, w] and their finest one, halved [B, C / 4, H, W] -> boxes xyxy [B, 4, H, W] in 0..1
    of the canvas, which may reach beyond it."""

    def __init__(self, width: int, inner: int = INNER) -> None:
        super().__init__()
        self.cells = nn.Sequential(nn.GroupNorm(1, width), nn.Conv2d(width, inner, 1))
        self.fine = nn.Sequential(nn.GroupNorm(1, width // 4), nn.Conv2d(width // 4, inner, 1))
        self.wider = nn.Sequential(*(Wider(inner, apart) for apart in (1, 2, 4)))
        self.out = nn.Conv2d(inner, 4, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, WHOLE)  # type: ignore[arg-type]

    def forward(self, cells: Tensor, fine: Tensor) -> Tensor:
        return self.say(self.look(cells, fine))

    def look(self, cells: Tensor, fine: Tensor) -> Tensor:
        """What each place is told of the thing that covers it: [B, inner, H, W]."""
        # Contiguous: see `pyramid.normal`.
        cells, fine = cells.float().contiguous(), fine.float().contiguous()
        coarse = F.interpolate(self.cells(cells), fine.shape[-2:], mode="bilinear", align_corners=False)
        told: Tensor = self.wider(F.relu(coarse + self.fine(fine)))
        return told

    def say(self, told: Tensor) -> Tensor:
        """The boxes of places that were told so: [B, 4, H, W]."""
        far = F.softplus(self.out(told).float())
        x, y = (((torch.arange(n, device=far.device) + 0.5) / n) for n in (far.shape[-1], far.shape[-2]))
        left, top, right, bottom = far.unbind(1)
        return torch.stack([x - left, y[:, None] - top, x + right, y[:, None] + bottom], dim=1)


@torch.no_grad()
def alone(masks: Tensor, points: Tensor, boxes: Tensor, owner: Tensor, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Masks that cover one thing each, of those that `which` (bool [N]) chooses: logits [N, 4 h, 4 w], where each is
    pointed at [N, hc, wc], what the places of their pictures say [B, 4, H, W], the picture of each (long [N]) -> logits
    [N, 4 h, 4 w], the box of each thing as its places say it, xyxy in 0..1 [N, 4], and which have one (bool [N]).

    A mask stays as it is where its places say one box. One of a few places has no box, nor one whose places say the
    whole canvas, as at birth.
    """
    masks, its = masks.clone(), masks.new_tensor([0.0, 0.0, 1.0, 1.0]).repeat(len(masks), 1)
    for n in which.nonzero().flatten().tolist():
        masks[n], its[n] = _alone(masks[n], points[n], boxes[int(owner[n])])
    return masks, its, ((its[:, :2] > 0) | (its[:, 2:] < 1)).any(1)


def _alone(mask: Tensor, points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """What one mask covers of the thing that is pointed at, and its box; a few places say the whole canvas."""
    inside = F.avg_pool2d(mask[None].float(), 2)[0] > 0  # [H, W]
    places = inside.nonzero()  # [c, 2]
    if len(places) < FEW:
        return mask, boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    said = boxes[:, inside].T.clamp(0, 1)  # [c, 4]
    sampled = said[torch.linspace(0, len(said) - 1, min(len(said), SAMPLED), device=said.device).round().long()]
    told = (pairwise_iou(said, sampled) > ALIKE).float().mean(1)  # how many say the same, [c]
    things = [_mean(said, said[_pointed(places, points, inside, told)])]
    left = pairwise_iou(said, things[0][None])[:, 0] < APART
    least = max(LEAST * len(said), FEW / 2)
    for _ in range(TRIED):
        if int(left.sum()) < least:
            break
        first = int(torch.where(left, told, -1.0).argmax())
        thing = _mean(said, said[first])
        same = pairwise_iou(said, thing[None])[:, 0] > ALIKE
        another = bool((pairwise_iou(thing[None], torch.stack(things)) < APART).all())
        if another and int((same & left).sum()) >= least:
            things.append(thing)
        left &= ~same
        left[first] = False
    if len(things) == 1:
        return mask, things[0]
    others = places[pairwise_iou(said, torch.stack(things)).argmax(1) > 0]
    outside = torch.zeros_like(inside)
    outside[others[:, 0], others[:, 1]] = True
    outside = F.interpolate(outside[None, None].float(), mask.shape, mode="nearest")[0, 0] > 0
    return torch.where(outside, mask.clamp(max=OUTSIDE), mask), things[0]


def _mean(said: Tensor, box: Tensor) -> Tensor:
    """The mean of the boxes [c, 4] that are alike to one of them [4]."""
    for _ in range(2):
        same = pairwise_iou(said, box[None])[:, 0] > ALIKE
        box = said[same].mean(0) if same.any() else box
    return box


def _pointed(places: Tensor, points: Tensor, inside: Tensor, told: Tensor) -> int:
    """Which of a mask's places [c, 2] speaks for where it is pointed at: of those near that cell's middle, or the
    nearest, the one whose box most of the mask says (`told`, [c])."""
    cells = points.shape
    row, column = divmod(int(points.argmax()), cells[1])
    size = torch.tensor([n / m for n, m in zip(inside.shape, cells, strict=True)], device=places.device)
    at = torch.tensor([row + 0.5, column + 0.5], device=places.device) * size - 0.5
    way = ((places - at) / size).square().sum(1)  # in cells
    near = way <= max(float(way.min()), NEAR**2)
    return int(torch.where(near, told, -1.0).argmax())

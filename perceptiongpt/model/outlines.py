"""Refining outlines, learnt by itself: kept pictures, things in them, and masks of these that were spoilt on purpose.

Decoders are wrong about few things that they were taught on, so their mistakes can't be had from these. So the true
mask of a thing loses a part, or takes on some of a neighbour or of what lies around, and only what refines masks
(`tasks.outline`) learns to undo it. How often, and how much of it, are first guesses. Knows kept pictures and masks;
nothing of words.

C width of the decoders, h w their map, H W = 2 h, 2 w the places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from perceptiongpt.core.losses import mask_bce, mask_dice
from perceptiongpt.model.instances import Instances

ALONE = 0.3  # how often there is one look only
FEW = 25  # places under which a thing is learnt from only where its picture shows no larger one
REACH = 3  # places from a thing up to which others are its neighbours
WHOLE, HALF, ALIKE, NEIGHBOUR, BLOB = range(5)  # how a mask is spoilt: not at all, a half is lost, all but what looks
# like one of its places is lost, it takes on a neighbour or a part of one, it takes on what lies around a place
ODDS = (0.25, 0.15, 0.2, 0.25, 0.15)


class Outlines(Instances):
    """Pictures as the decoders see them, with the things in them, to learn from how to refine their masks."""

    part = "outline"

    def loss(self, model: Any, rows: Tensor, share: Mapping[str, float] | None = None) -> Tensor:
        """What it costs to mend the spoilt mask of a thing of each picture at `rows` (long [n]); its mean is multiplied
        by the share of "pictures". Which thing, and how it is spoilt, is drawn from torch's generator."""
        rows = rows[(self.owner[rows] >= 0).flatten(1).any(1)]
        if not len(rows):
            return sum(p.sum() * 0.0 for p in model.decoder.outline.parameters())
        cells, owner = self.cells[rows].float(), self.owner[rows]
        true = [whose == _drawn(whose) for whose in owner]
        masks = torch.stack([_looks(*each) for each in zip(true, owner, cells, strict=True)])  # [n, 2, H, W]
        masks = F.interpolate(masks, scale_factor=2, mode="bilinear", align_corners=False).logit(1e-3)
        with torch.no_grad():
            told = model.decoder.apart.look(cells, self.halved[rows])
            boxes = model.decoder.apart.say(told)
        refined = model.decoder.outline(masks[:, 0], masks[:, 1], told, boxes)
        refined, truth = F.avg_pool2d(refined.float().unsqueeze(1), 2).squeeze(1), torch.stack(true).float()
        cost = 2 * mask_bce(refined, truth) + mask_dice(refined, truth)
        return cost.mean() * (share or {}).get("pictures", 1.0)


def _looks(true: Tensor, owner: Tensor, cells: Tensor) -> Tensor:
    """Two looks' masks of a thing, 0..1 [2, H, W]: each spoilt by itself, or both in one way."""
    one = spoilt(true, owner, cells)
    return torch.stack([one, one if _between(0.0, 1.0) < ALONE else spoilt(true, owner, cells)])


def spoilt(true: Tensor, owner: Tensor, cells: Tensor) -> Tensor:
    """The mask of a thing (bool [H, W]), spoilt: 0..1 [H, W]. `owner` [H, W]: whose each place of its picture is, -1
    for nobody's; `cells` [C, h, w]: what the picture's map shows. All is drawn from torch's generator."""
    how, place = _choice(ODDS), _place(true)
    made = true.float()
    if how == HALF:
        made[_beyond(true, place)] = 0.0
    elif how == ALIKE:
        made = _looks_like(true, place, cells).float()
    elif how in (NEIGHBOUR, BLOB):
        near = (F.max_pool2d(made[None], 2 * REACH + 1, 1, REACH)[0] > 0) & ~true & (owner >= 0)
        if how == BLOB or not near.any():
            more = _round(true, place, _between(0.05, 0.25) * len(true))
        else:
            at = _place(near)
            other = owner == owner[at[0], at[1]]
            parts = (lambda: other, lambda: _looks_like(other, at, cells), lambda: other & _beyond(other, at))
            more = parts[_choice((1.0, 1.0, 1.0))]()
        made = torch.maximum(made, more.float() * _between(0.5, 1.0))
    if _between(0.0, 1.0) < 0.6:
        made = F.avg_pool2d(made[None], 3, 1, 1)[0]
    low, high = _between(0.005, 0.1), _between(0.9, 0.995)
    return low + (high - low) * made


def _drawn(owner: Tensor) -> int:
    """One of the things of a picture, of whose places are more than a few if one has."""
    things, places = owner[owner >= 0].unique(return_counts=True)
    large = things[places >= FEW]
    things = large if len(large) else things
    return int(things[_choice([1.0] * len(things))])


def _looks_like(area: Tensor, place: Tensor, cells: Tensor) -> Tensor:
    """The part of an area that looks most like one of its places."""
    from_mean = cells - cells.mean((1, 2), keepdim=True)
    row, column = (int(p) * n // m for p, n, m in zip(place, cells.shape[1:], area.shape, strict=True))
    alike = F.cosine_similarity(from_mean, from_mean[:, row, column, None, None], dim=0)
    alike = F.interpolate(alike[None, None], area.shape, mode="bilinear", align_corners=False)[0, 0]
    return area & (alike >= torch.quantile(alike[area], _between(0.2, 0.75)))


def _beyond(area: Tensor, place: Tensor) -> Tensor:
    """The places on one side of a line through a place, in any direction: bool [H, W]."""
    angle = _between(0.0, 2 * math.pi)
    rows, columns = (torch.arange(n, device=area.device) - int(p) for n, p in zip(area.shape, place, strict=True))
    return columns * math.cos(angle) + rows[:, None] * math.sin(angle) > 0


def _round(area: Tensor, place: Tensor, radius: float) -> Tensor:
    """The places in a circle around one: bool [H, W]."""
    rows, columns = (torch.arange(n, device=area.device) - int(p) for n, p in zip(area.shape, place, strict=True))
    return columns.square() + rows[:, None].square() < radius**2


def _place(area: Tensor) -> Tensor:
    """One of the places of an area that has one: long [2]."""
    places = area.nonzero()
    return places[int(torch.randint(len(places), ()))]


def _choice(odds: Sequence[float]) -> int:
    return int(torch.multinomial(torch.tensor(odds), 1))


def _between(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))

"""Telling things of one kind apart, learnt by itself: what places of a picture's map see is kept, and whose each is.

Only what says boxes of places learns (`tasks.instances`), so tower and decoders run once a picture. Knows batches and
the decoders' maps; nothing of words.

P pictures, R things, C width of the decoders, h w their map, H W = 2 h, 2 w the places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from perceptiongpt.core.batch import Batch
from perceptiongpt.core.losses import owners, place_costs


@dataclass(frozen=True, eq=False)
class Instances:
    """Pictures as the decoders see them, in bfloat16, with the things in them."""

    cells: Tensor  # bfloat16 [P, C, h, w]
    halved: Tensor  # bfloat16 [P, C / 4, H, W]
    owner: Tensor  # long [P, H, W]: whose each place is, -1 for nobody's
    boxes: Tensor  # float32 [R, 4] cxcywh
    picture: Tensor  # long [R]
    part = "apart"  # of the loss

    @staticmethod
    @torch.no_grad()
    def look(model: Any, batch: Batch) -> dict[str, Tensor]:
        """What tower and decoders see of a batch's pictures, as they do when they answer; what has a mask is a thing.

        The fields by name; nothing where there is no picture. Raises ValueError for hosts of dynamic resolution, whose
        maps differ in size.
        """
        if model.backbone.dynamic:
            raise ValueError("this host's pictures differ in size, so maps cannot be kept; leave out the aim 'apart'")
        if not batch.pixels:
            return {}
        training = model.training
        model.eval()  # nothing is dropped
        try:
            seen = model.see(batch.pixels).prepared.map
        finally:
            model.train(training)
            model.host.eval()
        masks, where = batch.masks[batch.has_mask], batch.picture[batch.has_mask]
        owner = owners(masks, where, (len(seen.cells), *seen.halved.shape[-2:]))
        boxes = batch.boxes[batch.has_mask]
        cells, halved = seen.cells.bfloat16(), seen.halved.bfloat16()
        return {"cells": cells, "halved": halved, "owner": owner, "boxes": boxes, "picture": where}

    @classmethod
    def of(cls, looks: Iterable[dict[str, Tensor]]) -> Self:
        """From looks at batches, one after the other, which it empties, so that little is held twice.

        Raises ValueError where nothing is a thing.
        """
        seen = [look for look in looks if look]
        things = pictures = 0
        for look in seen:
            owner, boxes = look["owner"], look["boxes"]
            look["owner"] = torch.where(owner >= 0, owner + things, -1)
            look["picture"] = look["picture"] + pictures
            things, pictures = things + len(boxes), pictures + len(owner)
        if not things:
            raise ValueError("none of the pictures has a region with a mask; telling things apart needs them")
        names = ("cells", "halved", "owner", "boxes", "picture")
        return cls(**{name: torch.cat([look.pop(name) for look in seen]) for name in names})

    def __len__(self) -> int:
        return len(self.cells)

    def inside(self, rows: Tensor) -> Tensor:
        """Which of the things lie in the pictures at `rows` (long [n]): bool [R]."""
        return torch.isin(self.picture, rows)

    def loss(self, model: Any, rows: Tensor, share: Mapping[str, float] | None = None) -> Tensor:
        """What the boxes cost that are said in the pictures at `rows` (long [n]); its mean over things is multiplied by
        the share of "named"."""
        said = model.decoder.apart(self.cells[rows].float(), self.halved[rows].float())
        costs = place_costs(said, self.owner[rows], self.boxes)[self.inside(rows)]
        return costs.sum() / max(1, len(costs)) * (share or {}).get("named", 1.0)

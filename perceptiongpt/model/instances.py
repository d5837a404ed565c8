"""Telling things of one kind apart, learnt by itself: what places of a picture's map see is kept, and whose each is.

Only what says boxes of places learns (`tasks.instances`), so tower and decoders run once a picture. Knows batches and
the decoders' maps; nothing of words.

P pictures, R things, C width of the decoders, h w their map, H W = 2 h, 2 w the places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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

    @classmethod
    @torch.no_grad()
    def fill(cls, model: Any, batches: Iterable[Batch]) -> Instances:
        """Run tower and decoders' map once over all pictures; what has a mask is a thing.

        Raises ValueError where nothing has, and for hosts of dynamic resolution, whose maps differ in size.
        """
        if model.backbone.dynamic:
            raise ValueError("this host's pictures differ in size, so maps cannot be kept; leave out the aim 'apart'")
        cells, halved, owner, boxes, picture = (list[Tensor]() for _ in range(5))
        things = pictures = 0
        training = model.training
        model.eval()  # as it sees when it answers: nothing is dropped
        try:
            for batch in (b.to(model.backbone.device) for b in batches if b.pixels):
                seen = model.see(batch.pixels).prepared.map
                cells.append(seen.cells.bfloat16())
                halved.append(seen.halved.bfloat16())
                masks, where = batch.masks[batch.has_mask], batch.picture[batch.has_mask]
                whose = owners(masks, where, (len(seen.cells), *halved[-1].shape[-2:]))
                owner.append(torch.where(whose >= 0, whose + things, -1))
                boxes.append(batch.boxes[batch.has_mask])
                picture.append(where + pictures)
                things, pictures = things + len(masks), pictures + len(whose)
        finally:
            model.train(training)
            model.host.eval()
        if not things:
            raise ValueError("none of the pictures has a region with a mask; telling things apart needs them")
        return cls(*(torch.cat(part) for part in (cells, halved, owner, boxes, picture)))

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

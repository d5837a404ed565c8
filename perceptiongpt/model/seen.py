"""Encoded pictures as a value: what the language model reads of them and what the decoders look at.

I tokens a picture, D width, P pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from perceptiongpt.tasks.region import PreparedPicture


@dataclass(frozen=True, eq=False)
class Seen:
    """P encoded pictures: what the language model reads and what the decoders look at. May be kept and asked again."""

    tokens: tuple[Tensor, ...]  # each [I, D]
    prepared: PreparedPicture | None  # None when there is no picture
    cells: Tensor | None = None  # [P, D, hc, wc]
    grids: dict[str, Tensor] = field(default_factory=dict)  # what position ids need of hosts of dynamic resolution
    sources: Tensor | None = None  # [P, n, d]: what requests look at
    sources_hw: tuple[int, int] = (0, 0)
    deep: tuple[tuple[Tensor, ...], ...] = ()  # of each picture, what hosts with a deep stack add at its tokens
    named: Tensor | None = None  # [P, D, hc, wc]: what a pyramid adds to the cells that decoders look at
    colours: Tensor | None = None  # [P, 3, s, s]: the plain pixels, where an echo hears their colours

    def read(self, rows: Sequence[int]) -> Seen:
        """What the language model reads of the pictures at `rows`, in that order, each as often as it is named."""
        if not rows:
            return Seen((), None)
        chosen = torch.as_tensor(rows, dtype=torch.long, device=self.tokens[0].device)
        grids = {k: v[chosen] for k, v in self.grids.items()}
        deep = tuple(self.deep[i] for i in rows) if self.deep else ()
        return Seen(tuple(self.tokens[i] for i in rows), None, grids=grids, deep=deep)

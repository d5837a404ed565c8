"""The word after a region is told what the region's vector carries, outright: from what is written to what is said.

A small language model learns slowly to read a vector that is no word of its own; what stands in it for a colour is one
linear step away from the row of that colour's word. Colours that were counted (palette.py) are told here and nowhere
else: in the written vector they would move all later states, and with these what is pointed at next.

N regions, D width of the language model, S side of an area, P pictures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiongpt.model.palette import BINS, histograms

RANK = 64  # names and colours are few directions


class Echo(nn.Module):
    """Written vectors [..., D] -> what is added to the states that the head reads in their places; silent at birth.

    With `colours` it hears beside each region's vector a shade of what was counted there: none at birth, and never
    longer than `row_norm`, as vectors are.
    """

    def __init__(self, width: int, row_norm: float, colours: bool = False) -> None:
        super().__init__()
        self.row_norm = row_norm
        self.read = nn.Linear(width, RANK, bias=False)
        self.tell = nn.Linear(RANK, width, bias=False)
        nn.init.zeros_(self.tell.weight)
        self.palette = nn.Linear(BINS, width, bias=False) if colours else None
        if self.palette is not None:
            nn.init.zeros_(self.palette.weight)

    def forward(self, states: Tensor, heard: Tensor, slot: Tensor) -> Tensor:
        """States [..., D] and what was heard there, [..., D]; only the places of `slot` (bool [...]) are told."""
        told = self.tell(self.read(heard.to(self.read.weight.dtype))) * slot.unsqueeze(-1)
        return states + told.to(states.dtype)

    def hears(
        self, vectors: Tensor, colours: Tensor | None, areas: Tensor, picture: Tensor, points: Tensor | None = None
    ) -> Tensor:
        """Region vectors [N, D] with the shades of where they were written; nowhere (zeros) has none."""
        if self.palette is None or colours is None:
            return vectors
        with torch.autocast(vectors.device.type, enabled=False):
            return vectors + self.shades(colours, areas, picture, points) * vectors.any(-1, keepdim=True)

    def shades(self, colours: Tensor, areas: Tensor, picture: Tensor, points: Tensor | None = None) -> Tensor:
        """What is heard of the plain pixels `colours` [P, 3, s, s] under areas [N, S, S], each in its own picture
        (long [N]), or at points [N, 2] of empty ones: [N, D]."""
        assert self.palette is not None, "an echo without a palette hears no colours"
        counted = histograms(colours, areas, picture, points)
        return self.row_norm * F.normalize(self.palette(counted), dim=-1, eps=self.row_norm)

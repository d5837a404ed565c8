"""The word after a region is told what the region's vector carries, outright: from what is written to what is said.

A small language model learns slowly to read a vector that is no word of its own; what stands in it for a colour is one
linear step away from the row of that colour's word. Knows vectors; nothing of how they came about.
"""

from __future__ import annotations

from torch import Tensor, nn

RANK = 64  # names and colours are few directions


class Echo(nn.Module):
    """Written vectors [..., D] -> what is added to the states that the head reads in their places; silent at birth."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, RANK, bias=False)
        self.tell = nn.Linear(RANK, width, bias=False)
        nn.init.zeros_(self.tell.weight)

    def forward(self, states: Tensor, written: Tensor, slot: Tensor) -> Tensor:
        """States [..., D] and what was read there, [..., D]; only the places of `slot` (bool [...]) are told."""
        told = self.tell(self.read(written.to(self.read.weight.dtype))) * slot.unsqueeze(-1)
        return states + told.to(states.dtype)

"""Read a vector out of a token's place; write a vector into a token's place.

Knows tensors and places only: neither what a token means nor what is written. Every off-by-one of this family of
models lives here (`papers.md` 1.2: the state *before* `<vis>` predicts it; at `<vis>` the input already is the region).

B batch rows, T tokens, D width, N places in reading order (row by row, left to right).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def places(input_ids: Tensor, token_id: int) -> Tensor:
    """Where a token stands, in reading order: bool [B, T]."""
    return input_ids == token_id


def owner(slot: Tensor) -> Tensor:
    """The batch row of each place of `slot` (bool [B, T]): long [N]."""
    return slot.nonzero()[:, 0]


def before(slot: Tensor) -> Tensor:
    """The places whose states predict the tokens at `slot`: bool [B, T] shifted one to the left.

    Raises ValueError when a row's first token is in `slot`: nothing stands before it.
    """
    if bool(slot[:, 0].any()):
        rows = slot[:, 0].nonzero()[:, 0].tolist()
        raise ValueError(f"rows {rows} begin with the token, so no state predicts it; put a token before it")
    return torch.cat([slot[:, 1:], torch.zeros_like(slot[:, :1])], dim=1)


def read(states: Tensor, slot: Tensor) -> Tensor:
    """The vectors of `states` [B, T, D] at `slot` (bool [B, T]), in reading order: [N, D]."""
    if states.shape[:2] != slot.shape:
        raise ValueError(f"states of {tuple(states.shape[:2])} places, slot of {tuple(slot.shape)}; they must agree")
    return states[slot]


@dataclass(frozen=True, eq=False)
class Words:
    """What was said last before each of N places."""

    vectors: Tensor  # [N, W, D], the nearest last
    there: Tensor  # bool [N, W]: False before the row began, and for what belongs to an earlier region

    def at(self, rows: Tensor | slice) -> Words:
        """The words before some of the places."""
        return Words(self.vectors[rows], self.there[rows])


def window(states: Tensor, slot: Tensor, size: int, regions: Tensor) -> Words:
    """The last `size` vectors of `states` [B, T, D] up to and including each place of `slot`, in reading order.

    `regions` (bool [B, T]) are the places that hold regions: see `since_region`.
    """
    row, at = slot.nonzero().unbind(1)
    back = at[:, None] - torch.arange(size - 1, -1, -1, device=at.device)
    row, back, begun = row[:, None], back.clamp(min=0), back >= 0
    return Words(states[row, back], begun & since_region(regions[row, back]))


def since_region(regions: Tensor) -> Tensor:
    """For windows of places (bool [N, W], True at regions), what was said since the last region but one's run: [N, W].

    "the cup <vis> and the two dogs <vis>": of the words before the next place, "and the two dogs <vis>".
    """
    run = regions.flip(-1).cumprod(-1).flip(-1).bool()  # regions just before the place itself
    earlier = regions & ~run
    return earlier.flip(-1).cumsum(-1).flip(-1) == 0


def breaths(slot: Tensor, size: int = 1) -> tuple[Tensor, Tensor]:
    """Of N regions of `size` places each at `slot` (bool [B, T]): in which breath each is said, and as which, from 0.

    "the cups <vis><vis> and a dog <vis>": breaths 0, 0, 1 and numbers 0, 1, 0. Both long [N].
    """
    row, at = slot.nonzero()[::size].unbind(1)
    begins = torch.ones_like(row, dtype=torch.bool)
    begins[1:] = (row[1:] != row[:-1]) | (at[1:] != at[:-1] + size)
    order = torch.arange(len(row), device=row.device)
    return begins.cumsum(0) - 1, order - torch.where(begins, order, 0).cummax(0).values


def write(states: Tensor, slot: Tensor, vectors: Tensor) -> Tensor:
    """A copy of `states` [B, T, D] with `vectors` [N, D] at `slot` (bool [B, T]), in reading order.

    Counts before it scatters: a wrong number of vectors raises ValueError naming both numbers.
    """
    if states.shape[:2] != slot.shape:
        raise ValueError(f"states of {tuple(states.shape[:2])} places, slot of {tuple(slot.shape)}; they must agree")
    count = int(slot.sum())
    if vectors.shape != (count, states.shape[-1]):
        raise ValueError(
            f"{vectors.shape[0]} vectors of width {vectors.shape[-1]} for {count} places of width {states.shape[-1]}; "
            "give one vector for each place"
        )
    return states.masked_scatter(slot.unsqueeze(-1), vectors.to(states.dtype))

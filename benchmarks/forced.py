"""Answers made equally long, or made of given tokens, by the product's own loop: what benchmarks of time need.

Knows the loop's two doors: the head that it asks for logits, and the tokens that end an answer. Measures nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from perceptiongpt.model import generate as loop


@contextmanager
def endless() -> Iterator[None]:
    """No token ends an answer, nor can one that would be said: `max_new_tokens` alone does."""
    ends = loop.end_tokens
    setattr(loop, "end_tokens", lambda model: set())  # noqa: B010 - mypy knows functions as constants
    try:
        yield
    finally:
        setattr(loop, "end_tokens", ends)  # noqa: B010


@contextmanager
def saying(model: Any, plan: Sequence[Sequence[int]]) -> Iterator[None]:
    """Row b of every answer says the tokens `plan[b]`, all of one length; ask for as many (`max_new_tokens`)."""
    if len({len(row) for row in plan}) != 1:
        raise ValueError(f"plans of {sorted({len(row) for row in plan})} tokens came; give rows of one length")
    head, tokens = model.head, torch.tensor(plan, device=model.backbone.device)
    step = 0

    def forced(states: Tensor) -> Tensor:
        nonlocal step
        logits = head(states)
        kept = logits.gather(1, tokens[:, step % tokens.shape[1], None])
        step += 1
        column = tokens[:, (step - 1) % tokens.shape[1], None]
        return torch.full_like(logits, float("-inf")).scatter(1, column, kept)

    with endless():
        model.head = forced  # an attribute of this one model: what it is a class's method is seen again afterwards
        try:
            yield
        finally:
            del model.head

"""How fast what learns: the rate of each group of parameters, and its course over a stage.

Knows names of parameters. Knows nothing of losses or data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import nn

from perceptiongpt.config import Rates
from perceptiongpt.model.adapt import is_vision
from perceptiongpt.model.perception import PerceptionModel

# Vectors of new tokens and the gate want more than a network.
ROWS = ("vis_row", "locations", "location_heads", "asker.ask", "asker.base", "asker.row", "asker.gate")


def group_of(name: str) -> str:
    """The rate's name of a parameter."""
    adapter = "vision" if is_vision(name) else "adapter"
    kind = adapter if ".lora_" in name else "host" if name.startswith("host.") else "heads"
    return "rows" if name in ROWS else kind


def freeze(model: PerceptionModel, rates: Rates, frozen: Sequence[str] = ()) -> None:
    """Train nothing at a rate of 0, nor what has a name that begins with one of `frozen`."""
    peaks = asdict(rates)
    for name, p in model.named_parameters():
        if p.requires_grad and (not peaks[group_of(name)] or name.startswith(tuple(frozen))):
            p.requires_grad_(False)


def optimiser_of(model: PerceptionModel, rates: Rates, decay: float) -> torch.optim.Optimizer:
    """AdamW with the peak rate of each group."""
    peaks = asdict(rates)
    groups: dict[str, list[nn.Parameter]] = {k: [] for k in peaks}
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups[group_of(name)].append(p)
    return torch.optim.AdamW(
        [{"params": ps, "lr": peaks[k], "peak": peaks[k], "weight_decay": decay} for k, ps in groups.items() if ps],
        betas=(0.9, 0.98),
    )


def schedule(step: int, steps: int, warmup: int) -> float:
    """Share of the peak rate: linear warm-up, then a cosine to a twentieth."""
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share))

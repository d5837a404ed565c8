"""A few steps down a cost, for tests of what can be learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def descended(cost: Callable[[], Tensor], parameters: Iterable[nn.Parameter], steps: int) -> list[float]:
    """What `cost` was before each of `steps` steps of Adam on `parameters`."""
    optimiser = torch.optim.Adam(parameters, 1e-2)
    costs = []
    for _ in range(steps):
        now = cost()
        optimiser.zero_grad()
        now.backward()
        optimiser.step()
        costs.append(float(now.detach()))
    return costs

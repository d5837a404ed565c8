"""Adaptive multi-layer fusion: one map out of the hidden states of all layers (PerceptionGPT 1.2).

F = sum over l of softmax(w)_l * LayerNorm(H_l), w learned scalars, peaked at birth on the layer that the host uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerFusion(nn.Module):
    """Layers of equal shape [..., C] -> one [..., C]; the `native` ones weigh most when fresh."""

    def __init__(self, layers: int, *native: int) -> None:
        super().__init__()
        weights = torch.zeros(layers)
        weights[list(native)] = (
            3.0  # softmax weight about 0.6 among 13 layers: peaked, yet every layer feels a gradient
        )
        self.weights = nn.Parameter(weights)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        if len(layers) != len(self.weights):
            raise ValueError(f"{len(layers)} layers for {len(self.weights)} fusion weights; they must agree")
        share = self.weights.softmax(0)
        parts = (w * F.layer_norm(h.float(), h.shape[-1:]) for w, h in zip(share, layers, strict=True))
        return sum(parts, start=torch.zeros((), device=share.device))

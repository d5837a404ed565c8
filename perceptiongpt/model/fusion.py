"""Several vectors as one: the layers of a tower, and the words of a phrase. Knows neither pictures nor regions.

Adaptive multi-layer fusion: one map out of the hidden states of all layers (PerceptionGPT 1.2).

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


class PhraseReader(nn.Module):
    """The words just said, as one vector: attention of the state over the input embeddings of the last W tokens.

    A frozen language model's state only hints at the words; their embeddings name the thing outright, in the very space
    that the image tokens are taught to be named in (align.py). Beyond the paper, which reads the state alone.
    """

    def __init__(self, width: int, window: int, inner: int = 64) -> None:
        super().__init__()
        self.scale = inner**-0.5
        self.ask = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inner))
        self.offer = nn.Sequential(nn.LayerNorm(width, bias=False), nn.Linear(width, inner, bias=False))
        self.recency = nn.Parameter(torch.linspace(-1.0, 1.0, window))  # the last words first, until taught otherwise

    def forward(self, states: Tensor, words: Tensor, there: Tensor) -> Tensor:
        """states [N, D], words [N, W, D], `there` bool [N, W] (at least one in each row) -> [N, D]."""
        words = words.float()
        likeness = torch.einsum("nk,nwk->nw", self.ask(states.float()), self.offer(words))
        logits = likeness * self.scale + self.recency
        return torch.einsum("nw,nwd->nd", logits.masked_fill(~there, float("-inf")).softmax(-1), words)

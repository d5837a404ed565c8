"""How good a found region is, from the region's own vector: a logit whose sigmoid estimates the mask's or box's IoU."""

from __future__ import annotations

from torch import Tensor, nn


class ScoreDecoder(nn.Module):
    """Vectors [N, width] -> logits [N]."""

    def __init__(self, width: int, hidden: int = 128) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, vectors: Tensor) -> Tensor:
        return self.mlp(vectors).squeeze(-1)

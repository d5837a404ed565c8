"""How good a found region is: a logit whose sigmoid estimates the mask's or box's IoU, 0 for what isn't there.

It is read from the region's own vector, and where it is told from how well the words match the picture, outright: a
vector that has looked where the match is best no longer knows how good that is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MATCHES = 4  # numbers that tell a match


class ScoreDecoder(nn.Module):
    """Vectors [N, width] -> logits [N]; one that `weighs_match` is told [N, MATCHES], see `match`, too, which is silent
    at birth."""

    def __init__(self, width: int, hidden: int = 128, weighs_match: bool = False) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.match = nn.Linear(MATCHES, hidden, bias=False) if weighs_match else None
        if self.match is not None:
            nn.init.zeros_(self.match.weight)

    def forward(self, vectors: Tensor, match: Tensor | None = None) -> Tensor:
        told = self.mlp[0](vectors)
        if self.match is not None and match is not None:
            told = told + self.match(match)
        return self.mlp[2](self.mlp[1](told)).squeeze(-1)


def match(logits: Tensor, masks: Tensor, hw: tuple[int, int]) -> Tensor:
    """A pointer's logits over cells [N, h * w] -> [N, MATCHES]: at best, where the mask (logits [N, H, W]) lies, their
    mean and their standard deviation.

    No gradient flows to the masks, so that none moves to where it would be scored well.
    """
    covered = F.adaptive_avg_pool2d(masks.detach().sigmoid(), hw).flatten(1)
    share = covered / covered.sum(-1, keepdim=True).clamp(min=1e-6)
    mean = logits.mean(-1)
    spread = ((logits - mean.unsqueeze(-1)).square().mean(-1) + 1e-6).sqrt()  # of logits that are all alike, too
    return torch.stack([logits.amax(-1), (share * logits).sum(-1), mean, spread], dim=-1)

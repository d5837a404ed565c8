"""A point as a vector, and a vector as a place: which cell of the picture the language model means.

Pointing is what breaks the plateau of small models (`design.md` 7): logits over the image's cells are the match of the
state, or of the words just said, with the very tokens that the language model read. The region decoder refines them.
Points are x, y in 0..1 of the canvas.

N regions, D width of the language model, I image cells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiongpt.tasks.positions import fourier, grid_xy


class PointEncoder(nn.Module):
    """Points [N, 2] -> [N, width]."""

    def __init__(self, width: int, hidden: int = 128, bands: int = 6) -> None:
        super().__init__()
        self.bands = bands
        self.mlp = nn.Sequential(nn.Linear(2 + 4 * bands, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, points_xy: Tensor) -> Tensor:
        return self.mlp(torch.cat([points_xy, fourier(points_xy, self.bands)], dim=-1))


class StatePointer(nn.Module):
    """States [N, D] against the cells of pictures -> [N, I], by learned queries and keys."""

    def __init__(self, width: int, hidden: int = 256) -> None:
        super().__init__()
        # Biases of the keys would shift all cells alike, which softmax cannot see.
        self.key = nn.Sequential(nn.LayerNorm(width, bias=False), nn.Linear(width, hidden, bias=False))
        self.norm = nn.LayerNorm(width)
        self.direct = nn.Linear(width, hidden, bias=False)
        self.further = nn.Sequential(nn.Linear(width, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden))
        self.sharpness = nn.Parameter(torch.tensor(10.0).log())
        key, last = self.key[1], self.further[2]
        assert isinstance(key, nn.Linear) and isinstance(last, nn.Linear)
        with torch.no_grad():  # a fresh one already points at the token that is most like the state
            self.direct.weight.copy_(key.weight)
            last.weight.zero_()
            last.bias.zero_()

    def prepare(self, cells: Tensor) -> Tensor:
        """The language model's own cells [B, I, D] -> unit keys [B, I, H], once a picture."""
        return F.normalize(self.key(cells), dim=-1)

    def forward(self, states: Tensor, keys: Tensor, owner: Tensor) -> Tensor:
        """states [N, D], keys [B, I, H], the picture of each state (long [N])."""
        states = self.norm(states)
        query = F.normalize(self.direct(states) + self.further(states), dim=-1)  # [N, H]
        return matches(query, keys, owner) * self.sharpness.exp()


class WordPointer(nn.Module):
    """Phrases [N, D] against the cells of pictures -> [N, I], outright by cosine: nothing learned but the sharpness.

    Both are input embeddings of the language model: image tokens are taught to lie at the names of what they show
    (model/align.py), at the temperature that `sharpness` begins with. With `features`, the width of the decoders' map,
    a learnt match of phrases with that map is added, silent at birth: the cosine is bound to embeddings as they are.
    """

    def __init__(self, width: int = 0, features: int = 0, hidden: int = 192) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(14.0).log())
        self.asked = nn.Sequential(nn.LayerNorm(width), enter := nn.Linear(width, hidden)) if features else None
        self.shown = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, hidden)) if features else None
        if features:
            nn.init.zeros_(enter.weight)
            nn.init.zeros_(enter.bias)

    def prepare(self, cells: Tensor, features: Tensor | None = None) -> Tensor:
        """The language model's own cells [B, I, D], and where a match is learnt the decoders' map at each [B, I, C] ->
        keys [B, I, D + H], of which the first D are of length 1, once a picture."""
        keys = F.normalize(cells, dim=-1)
        return keys if self.shown is None or features is None else torch.cat([keys, self.shown(features)], dim=-1)

    def queries(self, phrases: Tensor) -> Tensor:
        """Phrases [N, D] -> what keys are multiplied with, but for the sharpness: [N, D + H]."""
        unit = F.normalize(phrases, dim=-1)
        if self.asked is None:
            return unit
        learnt = self.asked(phrases)
        return torch.cat([unit, learnt / learnt.shape[-1]], dim=-1)

    def forward(self, phrases: Tensor, keys: Tensor, owner: Tensor) -> Tensor:
        """phrases [N, D], keys [B, I, D + H], the picture of each phrase (long [N])."""
        return matches(self.queries(phrases), keys, owner) * self.sharpness.exp()


def matches(queries: Tensor, keys: Tensor, owner: Tensor) -> Tensor:
    """Dot products [N, I] of queries [N, C] with the cells of their own pictures, keys [B, I, C], owner long [N].

    A picture's cells are never copied for its regions: each picture is multiplied with all of its queries.
    """
    count = len(keys)
    if count == 1:
        return queries @ keys[0].T
    order = owner.argsort(stable=True)
    several = torch.bincount(owner, minlength=count).tolist()
    parts = [q @ k.T for q, k in zip(queries[order].split(several), keys, strict=True)]
    return torch.cat(parts)[order.argsort()]


def best_xy(logits: Tensor, height: int, width: int) -> Tensor:
    """The centre of gravity around the best cell, one cell each way: logits [N, height * width] -> [N, 2]."""
    grid = grid_xy(height, width, logits.device)
    peak = grid[logits.argmax(-1)]  # [N, 2]
    reach = torch.tensor([1.5 / width, 1.5 / height], device=logits.device)
    near = ((grid[None] - peak[:, None]).abs() < reach).all(-1)  # [N, I]
    return logits.masked_fill(~near, float("-inf")).softmax(-1) @ grid


def narrowed(heat: Tensor, logits: Tensor, hw: tuple[int, int], reach: float = 0.2) -> Tensor:
    """A heat map [N, h * w], fallen off around the best cell of logits [N, hc, wc]; its greatest value is 1 again.

    As a Gaussian, with a standard deviation of `reach` in sides of the canvas: of several places that are meant by the
    same words one is left. No gradient flows to the logits.
    """
    hc, wc = logits.shape[-2:]
    best = grid_xy(hc, wc, logits.device)[logits.detach().flatten(1).argmax(1)]  # [N, 2]
    away = grid_xy(*hw, logits.device) - best[:, None]  # [N, h * w, 2]
    near = heat * torch.exp(-away.square().sum(-1) / (2 * reach**2))
    return near / near.amax(-1, keepdim=True).clamp(min=1e-3)

"""A box as a vector, and a vector as a box (PerceptionGPT 1.2). Boxes are cxcywh in 0..1 of the canvas, float32.

N regions, D width of the language model, C width of the decoders.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from perceptiongpt.tasks.positions import fourier


class BoxEncoder(nn.Module):
    """Boxes [N, 4] cxcywh -> [N, width]. The paper's three-layer MLP, over Fourier features beside the four numbers."""

    def __init__(self, width: int, hidden: int = 256, bands: int = 6) -> None:
        super().__init__()
        self.bands = bands
        self.mlp = nn.Sequential(
            nn.Linear(4 + 8 * bands, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, width)
        )

    def forward(self, boxes_cxcywh: Tensor) -> Tensor:
        return self.mlp(torch.cat([boxes_cxcywh, fourier(boxes_cxcywh, self.bands)], dim=-1))


class BoxDecoder(nn.Module):
    """Vectors [N, width] and a reference point [N, 2] -> boxes [N, 4] cxcywh in 0..1.

    The paper's MLP with a sigmoid and a zero-initialised last layer; its centre is an offset to the reference, where
    the pointing task looks, so that a fresh decoder already answers with a box around that place.
    """

    def __init__(self, width: int, hidden: int = 256) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 4)
        )
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        with torch.no_grad():
            last.bias[2:] = -1.0  # sigmoid(-1) = 0.27: nearer to a usual object than half the picture

    def forward(self, vectors: Tensor, reference_xy: Tensor) -> Tensor:
        offsets = self.mlp(vectors)
        centre = offsets[:, :2] + torch.logit(reference_xy.clamp(1e-3, 1 - 1e-3))
        return torch.cat([centre, offsets[:, 2:]], dim=-1).sigmoid()

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
    """Vectors [N, width] and a rough box [N, 4] -> boxes [N, 4] cxcywh in 0..1.

    The paper's MLP with a sigmoid and a zero-initialised last layer; what it says is an offset to the rough box, the
    extent of the mask found for the same vector, so that a fresh decoder already answers with the mask's box.
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

    def forward(self, vectors: Tensor, rough_cxcywh: Tensor) -> Tensor:
        return (self.mlp(vectors) + torch.logit(rough_cxcywh.clamp(1e-3, 1 - 1e-3))).sigmoid()


def extent_cxcywh(masks: Tensor) -> Tensor:
    """The rough box of each mask, by its mean and spread: logits [N, h, w] -> [N, 4] cxcywh in 0..1.

    A rectangle of even weight and width w has the variance w^2 / 12. Shares are cubed, so that a faint haze over the
    whole picture weighs less than the thing.
    """
    weight = masks.sigmoid() ** 3 + 1e-6
    boxes = []
    for along, size in ((weight.sum(-2), masks.shape[-1]), (weight.sum(-1), masks.shape[-2])):
        share = along / along.sum(-1, keepdim=True)  # [N, size]
        place = (torch.arange(size, device=masks.device) + 0.5) / size
        mean = share @ place
        spread = (share * (place - mean[:, None]).square()).sum(-1) + 1 / (12 * size * size)
        boxes.append((mean, (12 * spread).sqrt()))
    (cx, w), (cy, h) = boxes
    return torch.stack([cx, cy, w, h], dim=-1)

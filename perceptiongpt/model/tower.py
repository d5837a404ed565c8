"""A light vision tower of the plug-in's own, for hosts whose image tokens form no grid that regions could be placed on.

It is a model of `transformers` like any other (DINOv2, say), frozen, found again by its name: the decoders look at its
maps while the language model goes on reading the host's. Knows canvas views; nothing of language.

P pictures, C width of the tower, h w its grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from perceptiongpt.model.sight import HostError, square_map

CELLS = 16  # of the view, along each side
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as DINOv2 and its kind were trained
PIXELS = "tower_pixels"


class Tower:
    """A frozen vision tower by its name: a folder or a hub id. Raises HostError for what is none."""

    def __init__(self, name: str, device: torch.device) -> None:
        from transformers import AutoModel

        try:
            self.model: Any = AutoModel.from_pretrained(name, use_safetensors=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise HostError(
                f"tower {name!r} cannot be loaded ({str(error).splitlines()[0]}); give a folder or hub id of a "
                "vision model with safetensors, such as facebook/dinov2-small"
            ) from error
        config = self.model.config
        if not isinstance(getattr(config, "patch_size", None), int) or not hasattr(config, "num_hidden_layers"):
            raise HostError(f"tower {name!r} has no square patches; give a vision transformer such as DINOv2")
        self.model = self.model.to(device).requires_grad_(False).eval()
        self.side = CELLS * config.patch_size

    def pixels(self, views: Sequence[Image.Image]) -> Tensor:
        """Canvas views as the tower takes them: float32 [P, 3, side, side]."""
        return coloured(views, self.side, MEAN, STD)

    @torch.no_grad()
    def look(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The hidden states of all layers as maps, each [P, h, w, C], first to last."""
        taken = pixels.to(self.model.device, self.model.dtype)
        return tuple(square_map(h) for h in self.model(taken, output_hidden_states=True).hidden_states)


def coloured(views: Sequence[Image.Image], side: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Canvas views as squares whose colours have this mean and deviation: float32 [P, 3, side, side]."""
    small = [np.asarray(v.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)) for v in views]
    colours = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255
    means, stds = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    return (colours - means) / stds

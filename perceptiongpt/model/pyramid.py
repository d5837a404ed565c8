"""A small convolutional network of the plug-in's own, whose feature pyramid the decoders see beside the host's map.

A vision transformer's patches are coarse; a convolutional network tells edges at a quarter of the resolution, and
what kind of thing it is by another training. It is a model of `transformers` like any other (EfficientNet, ConvNeXt),
frozen, found again by its name, or in the host's own folder. Knows canvas views; nothing of language.

P pictures, C channels, h w a level's cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from perceptiongpt.model.folding import folded
from perceptiongpt.model.sight import HostError
from perceptiongpt.model.tower import MEAN, STD, coloured

PIXELS = "pyramid_pixels"
STRIDES = (32, 16, 8, 4)  # of the levels, coarse to fine
BESIDE = "host:"  # before the name of a folder inside the host's own


class Pyramid:
    """The levels of a frozen convolutional network: a folder, a hub id, or `host:FOLDER`. Raises HostError for none.

    It sees pictures at 16 times `cells`, so that the cells of its second level are those of the map beside it; of an
    odd number of cells one more, which every level divides.
    """

    def __init__(self, name: str, host: str, cells: int, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoModel

        where, inside = (host, name.removeprefix(BESIDE)) if name.startswith(BESIDE) else (name, "")
        how: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False, "dtype": torch.float32}
        try:
            self.model: Any = AutoModel.from_pretrained(where, subfolder=inside, **how)
        except (OSError, ValueError, KeyError) as error:
            raise HostError(
                f"pyramid {name!r} cannot be loaded ({str(error).splitlines()[0]}); give a folder or hub id of a "
                "convolutional network with safetensors, or fetch the default host again"
            ) from error
        self.colours = _colours(where, inside)
        self.side = STRIDES[1] * (cells + cells % 2)
        try:
            noise = torch.rand(1, 3, *[2 * STRIDES[0]] * 2, generator=torch.Generator().manual_seed(0))
            self.model = folded(self.model.requires_grad_(False).eval(), noise)
            self.model = self.model.to(device, dtype, memory_format=torch.channels_last)
            probe = self.look(torch.zeros(1, 3, self.side, self.side, device=device))
        except (TypeError, AttributeError, RuntimeError, ValueError) as error:
            raise HostError(
                f"pyramid {name!r} shows no maps of pictures; give a network such as EfficientNet"
            ) from error
        self.widths = tuple(level.shape[1] for level in probe)  # coarse to fine
        if len(probe) != len(STRIDES):
            raise HostError(
                f"pyramid {name!r} has {len(probe)} of the levels at 1/{', 1/'.join(map(str, STRIDES))} of a picture; "
                "give a network with all of them, such as EfficientNet"
            )

    def pixels(self, views: Sequence[Image.Image]) -> Tensor:
        """Canvas views as the network takes them: float32 [P, 3, side, side]."""
        return coloured(views, self.side, *self.colours)

    @torch.no_grad()
    def look(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The last state of each level as a map [P, C, h, w], coarse to fine."""
        taken = pixels.to(self.model.device, self.model.dtype, memory_format=torch.channels_last)
        states = self.model(taken, output_hidden_states=True).hidden_states
        last = {s.shape[-2:]: s for s in states if s.ndim == 4}
        sides = [(self.side // stride, self.side // stride) for stride in STRIDES]
        return tuple(last[torch.Size(hw)] for hw in sides if torch.Size(hw) in last)


def _colours(where: str, inside: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the colours that a network was trained with, ImageNet's where its folder tells none."""
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        told, _ = ImageProcessingMixin.get_image_processor_dict(where, subfolder=inside)
        mean, std = tuple(map(float, told["image_mean"])), tuple(map(float, told["image_std"]))
    except (OSError, ValueError, KeyError, TypeError):
        return MEAN, STD
    return (mean, std) if len(mean) == len(std) == 3 and all(std) else (MEAN, STD)

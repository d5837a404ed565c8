"""What colours a picture shows where, counted: what the word after a region is told so that it can be a colour.

Features of vision towers are taught to tell what a thing is under any light, and tell its colour poorly; its pixels,
counted by colour under its mask, tell it to a linear layer. Knows canvas views and areas; nothing of language.

P pictures, N regions, S side of an area.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from perceptiongpt.core.losses import cells_target
from perceptiongpt.model.tower import coloured

PIXELS = "palette_pixels"
SIDE = 112  # pixels of a view, along each side
TONES = 5  # of each of red, green and blue
BINS = TONES**3


class Palette:
    """Canvas views as plain colours; it holds no weights."""

    def pixels(self, views: Sequence[Image.Image]) -> Tensor:
        """Canvas views as red, green and blue: float32 [P, 3, SIDE, SIDE] in 0..1."""
        return coloured(views, SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def histograms(colours: Tensor, areas: Tensor, picture: Tensor, points: Tensor | None = None) -> Tensor:
    """The roots of the shares that BINS colours have of areas [N, S, S], each in its own of `colours` [P, 3, s, s]
    (`picture` long [N]), or of empty ones at points [N, 2] (else the middle): float32 [N, BINS], of mean square 1.

    A pixel counts for the eight colours of a cube of TONES^3 that it lies between, by how near it is. Roots
    (Hellinger's distance; Arandjelović and Zisserman, 2012) tell a colour that covers a little from one that isn't
    there.
    """
    share = cells_target(areas, (colours.shape[-2], colours.shape[-1]), points)  # [N, s * s]
    tones = torch.linspace(0.0, 1.0, TONES, device=colours.device).view(TONES, 1)
    near = (1 - (TONES - 1) * (colours.float().flatten(2).unsqueeze(2) - tones).abs()).clamp(min=0)  # [P, 3, TONES, s²]
    counted = share.new_zeros(len(share), BINS)
    for number, (red, green, blue) in enumerate(near.unbind(0)):
        here = (picture == number).nonzero().squeeze(1)
        if len(here):
            pairs = (red.unsqueeze(1) * green).flatten(0, 1)  # [TONES^2, s * s]
            cube = (pairs.unsqueeze(1) * blue).flatten(0, 1)  # [BINS, s * s], however many regions a picture has
            counted[here] = share[here] @ cube.T
    return (BINS * counted.clamp(min=0)).sqrt()

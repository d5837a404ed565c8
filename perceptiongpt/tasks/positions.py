"""2-D positions as vectors: where a place on a picture is, for encoders and decoders alike.

Knows coordinates in 0..1 only, x before y. Source: random-free Fourier features at octaves, as in NeRF's encoding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fourier(coordinates: Tensor, bands: int) -> Tensor:
    """Sines and cosines of each coordinate at `bands` octaves: [..., n] in 0..1 -> float32 [..., n * 2 * bands]."""
    octaves = math.pi * 2.0 ** torch.arange(bands, device=coordinates.device, dtype=torch.float32)
    angles = coordinates.float().unsqueeze(-1) * octaves
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def grid_xy(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """The centres of a grid's cells, row by row: float32 [height * width, 2] of x, y in 0..1."""
    y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
    x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
    return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1).reshape(-1, 2)

"""Named tensors in a safetensors file: as they are, in narrower floats, or in a byte a number.

A byte a number: int8 [R, ...] beside the float32 scales [R] of its rows, under its name with SCALE. Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

SCALE = ".scale"
LEAST = 1024  # numbers of a tensor; smaller ones are few bytes anyway, and stay floats
MOST = 127  # of int8, on both sides of 0
HALF = 0.5001  # of a step, and what floats round


def write(
    tensors: Mapping[str, Tensor],
    path: Path,
    dtype: torch.dtype | None = None,
    coarse: float = 0.0,
    like: Path | None = None,
) -> None:
    """Write tensors as they are or in `dtype`; torch.int8 is a byte a number for matrices of LEAST numbers or more, and
    bfloat16 for the rest. A row's numbers are then off by at most half a step: a 127th of its largest or, if that is
    more, `coarse` of its root mean square (0.15 takes some 5 bits a number where files are packed). A tensor that the
    file `like` holds to within half a step is written as it stands there, so that two files share its bytes."""
    before = load_file(like) if like is not None and dtype == torch.int8 else {}
    floats = torch.bfloat16 if dtype == torch.int8 else dtype
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        held = tensor.detach().cpu()
        if dtype == torch.int8 and held.dim() > 1 and held.numel() >= LEAST:
            pair = _narrowed(held.float(), coarse)
            kept[name], kept[name + SCALE] = _same(held.float(), before.get(name), before.get(name + SCALE)) or pair
        else:
            kept[name] = held.to(floats or held.dtype).contiguous()
    save_file(kept, path)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; what is held in bytes comes as float32.

    Raises OSError or SafetensorError for a file that can't be read, ValueError for scales that don't fit their tensor.
    """
    held = load_file(path)
    for name in [n for n, t in held.items() if t.dtype == torch.int8 and n + SCALE in held]:
        scale, whole = held.pop(name + SCALE), held[name]
        if scale.dtype != torch.float32 or scale.shape != whole.shape[:1]:
            raise ValueError(
                f"{name + SCALE} is {str(scale.dtype).removeprefix('torch.')} {tuple(scale.shape)}, wanted float32 "
                f"{tuple(whole.shape[:1])}"
            )
        held[name] = whole * _by_row(scale, whole)
    return held


def _narrowed(tensor: Tensor, coarse: float) -> tuple[Tensor, Tensor]:
    flat = tensor.flatten(1)
    scale = torch.maximum(flat.abs().amax(1) / MOST, coarse * flat.square().mean(1).sqrt())
    rows = _by_row(torch.where(scale > 0, scale, 1.0), tensor)
    return (tensor / rows).round().clamp(-MOST, MOST).to(torch.int8).contiguous(), scale


def _same(tensor: Tensor, held: Tensor | None, scale: Tensor | None) -> tuple[Tensor, Tensor] | None:
    if held is None or scale is None or held.dtype != torch.int8 or held.shape != tensor.shape:
        return None
    rows = _by_row(scale, tensor)
    return (held, scale) if bool(((held * rows - tensor).abs() <= HALF * rows).all()) else None


def _by_row(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (tensor.dim() - 1))

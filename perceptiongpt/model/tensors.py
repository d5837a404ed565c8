"""Named tensors in a safetensors file: as they are, in narrower floats, or in a byte a number.

A byte a number: int8 [R, ...] beside the float32 scales [R] of its rows, or, of a matrix that is taller than wide,
[1, C] of its columns, under its name with SCALE. Knows no model. A file may be gzipped, with PACKED after its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, load_file, save_file
from torch import Tensor

from perceptiongpt.core import gzipped

SCALE = ".scale"
LEAST = 1024  # numbers of a tensor; smaller ones are few bytes anyway, and stay floats
MOST = 127  # of int8, on both sides of 0
PACKED = ".gz"
UNPACKED_LIMIT = 1 << 30  # bytes


def write(
    tensors: Mapping[str, Tensor],
    path: Path,
    dtype: torch.dtype | None = None,
    coarse: float = 0.0,
    stored: Mapping[str, Tensor] | None = None,
) -> None:
    """Write tensors as they are or in `dtype`; torch.int8 is a byte a number for matrices of LEAST numbers or more, and
    bfloat16 for the rest. Numbers of one scale are then off by at most half a step: a 127th of their largest or, if
    that is more, `coarse` of their root mean square (0.2 takes some 4.4 bits a number once the file is packed). What
    is `stored` already (see `stored`) with just these numbers is written as it stands, so that it is the same again."""
    floats = torch.bfloat16 if dtype == torch.int8 else dtype
    kept: dict[str, Tensor] = {}
    before = _widened(dict(stored or {}))
    for name, tensor in tensors.items():
        held = tensor.detach().cpu()
        if name in before and before[name].shape == held.shape and torch.equal(before[name].to(held), held):
            kept |= {n: t for n, t in (stored or {}).items() if n in (name, name + SCALE)}
        elif dtype == torch.int8 and held.dim() > 1 and held.numel() >= LEAST:
            kept[name], kept[name + SCALE] = _narrowed(held.float(), coarse)
        else:
            kept[name] = held.to(floats or held.dtype).contiguous()
    save_file(kept, path)


def pack(path: Path) -> None:
    """Gzip a file of tensors in its place, under its name with PACKED; the same file gives the same bytes."""
    gzipped.pack(path.read_bytes(), _packed(path), numbers=True)
    path.unlink()


def exists(path: Path) -> bool:
    """Whether a file of tensors is there, as it is or packed."""
    return path.is_file() or _packed(path).is_file()


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, as it is or packed; what is held in bytes comes as float32.

    Raises OSError or SafetensorError for a file that can't be read, ValueError for a packed one that is broken or holds
    more than UNPACKED_LIMIT bytes, and for scales that don't fit their tensor.
    """
    return _widened(stored(path))


def stored(path: Path) -> dict[str, Tensor]:
    """The tensors of a file as they stand in it, bytes beside their scales. Raises as `read` does."""
    return load_file(path) if path.is_file() else load(gzipped.unpack(_packed(path), UNPACKED_LIMIT))


def _widened(held: dict[str, Tensor]) -> dict[str, Tensor]:
    for name in [n for n, t in held.items() if t.dtype == torch.int8 and n + SCALE in held]:
        scale, whole = held.pop(name + SCALE), held[name]
        wanted = [tuple(whole.shape[:1])] + [(1, whole.shape[-1])] * (whole.dim() == 2)
        if scale.dtype != torch.float32 or tuple(scale.shape) not in wanted:
            raise ValueError(
                f"{name + SCALE} is {str(scale.dtype).removeprefix('torch.')} {tuple(scale.shape)}, wanted float32 "
                f"{' or '.join(map(str, wanted))}"
            )
        held[name] = whole * _along(scale, whole)
    return held


def _packed(path: Path) -> Path:
    return path.with_name(path.name + PACKED)


def _narrowed(tensor: Tensor, coarse: float) -> tuple[Tensor, Tensor]:
    if tensor.dim() == 2 and tensor.shape[0] > tensor.shape[1]:
        steps, scale = _narrowed(tensor.T, coarse)
        return steps.T.contiguous(), scale.unsqueeze(0)
    flat = tensor.flatten(1)
    scale = torch.maximum(flat.abs().amax(1) / MOST, coarse * flat.square().mean(1).sqrt())
    along = _along(torch.where(scale > 0, scale, 1.0), tensor)
    return (tensor / along).round().clamp(-MOST, MOST).to(torch.int8).contiguous(), scale


def _along(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale if scale.dim() == 2 else scale.view(-1, *[1] * (tensor.dim() - 1))

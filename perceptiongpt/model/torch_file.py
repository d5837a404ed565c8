"""Tensors out of an old file of PyTorch's (before 1.6: pickles, then raw numbers), without running what it names.

Such a file is a small program that could call anything. Here the few names that a table of weights needs stand for
values of our own, and every other name is refused. Knows nothing of what the tensors are (sources.py).
"""

from __future__ import annotations

import io
import math
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from perceptiongpt.core.plain_pickle import named

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
LIMIT = 256 << 20  # bytes
_KINDS = {"FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8"}


class _Piece(NamedTuple):
    """Where a tensor lies: its storage's key and type, the first number in it, its shape, and steps along each side."""

    key: str
    kind: np.dtype[Any]
    first: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]


def _piece(storage: Any, first: int, shape: tuple[int, ...], steps: tuple[int, ...], *_rest: Any) -> _Piece:
    key, kind = storage
    return _Piece(key, kind, int(first), tuple(map(int, shape)), tuple(map(int, steps)))


def _storage(told: Any) -> tuple[str, Any]:
    what, kind, key = told[:3]
    if what != "storage" or not isinstance(kind, np.dtype) or not isinstance(key, str):
        raise ValueError("it refers to something outside")
    return key, kind


_NAMES: dict[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict}
_NAMES |= {("torch._utils", "_rebuild_tensor_v2"): _piece} | {("torch", n): np.dtype(k) for n, k in _KINDS.items()}


def read_torch_file(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a table of weights by name. Raises ValueError for whatever else the file holds or names."""
    path = Path(path)
    if path.stat().st_size > LIMIT:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {LIMIT} are read")
    file = io.BytesIO(path.read_bytes())
    try:
        magic, protocol, _, table, keys = (named(file, _NAMES, _storage) for _ in range(5))
        if (magic, protocol) != (MAGIC, PROTOCOL):
            raise ValueError("it is of another format")
        kinds = {piece.key: piece.kind for piece in table.values()}
        stored = {key: _numbers(file, kinds[key]) for key in keys}
        return {str(name): _tensor(stored[piece.key], piece) for name, piece in table.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError, struct.error) as error:
        raise ValueError(f"{path} is no plain table of weights ({error}); it may be hostile, get it anew") from error


def _numbers(file: io.BytesIO, kind: np.dtype[Any]) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    raw = file.read(max(count, 0) * kind.itemsize)
    if count < 0 or len(raw) != count * kind.itemsize:
        raise ValueError("it ends too early")
    return np.frombuffer(raw, kind)


def _tensor(numbers: np.ndarray, piece: _Piece) -> Tensor:
    last = piece.first + sum((n - 1) * step for n, step in zip(piece.shape, piece.steps, strict=True))
    if min((piece.first, *piece.shape, *piece.steps)) < 0 or max(last + 1, math.prod(piece.shape)) > len(numbers):
        raise ValueError("a tensor lies outside of its numbers")
    return torch.tensor(numbers).as_strided(piece.shape, piece.steps, piece.first).contiguous()

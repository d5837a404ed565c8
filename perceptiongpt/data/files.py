"""Annotation files from outside, read as hostile: limits before reading, plain values, pictures below a folder only.

Knows nothing of any one format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from perceptiongpt.core.plain_pickle import plain

FILE_LIMIT = 2_000_000_000  # bytes
TEXT_LIMIT = 64 << 20
PICKLE_LIMIT = 512 << 20


def read_bytes(path: Path, limit: int = FILE_LIMIT) -> bytes:
    """A file's bytes; FileNotFoundError for none, ValueError for one over `limit` bytes."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; check the path")
    if path.stat().st_size > limit:
        raise ValueError(f"{path} is larger than {limit} bytes; split it")
    return path.read_bytes()


def read_text(path: Path, limit: int = TEXT_LIMIT) -> str:
    """A text file in UTF-8."""
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file again") from error


def read_json(path: Path, what: str, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The JSON value of a file; `hook` may replace each object as soon as it is read, to keep memory small."""
    raw = read_bytes(path)
    try:
        text = raw.decode("utf-8-sig")
        del raw
        return json.loads(text, object_hook=hook)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); give {what}") from error


def read_pickle(path: Path) -> Any:
    """The value of a pickle that holds plain values only. Raises ValueError for everything else: nothing is run."""
    try:
        return plain(read_bytes(path, PICKLE_LIMIT))
    except ValueError as error:
        if path.name in str(error):
            raise
        raise ValueError(f"{path} is no pickle of plain values ({error}); it may be hostile, get it anew") from error


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Whatever a value of the wrong kind brings about becomes a ValueError that names the file and what was wanted."""
    try:
        yield
    except (KeyError, IndexError) as error:
        raise ValueError(f"{path} lacks the field or category {error}; give {what}") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} holds a value of another kind than it should ({error}); give {what}") from error
    except ValueError as error:
        if path.name in str(error):
            raise
        raise ValueError(f"{path}: {error}; give {what}") from error


def below(folder: Path, name: Any, where: str) -> Path:
    """The file called `name` below a folder; ValueError for a name that would lead out of it."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"{where}: picture {str(name)[:60]!r} is no name; give a path relative to {folder}")
    posix = PurePosixPath(name.replace("\\", "/"))
    if posix.is_absolute() or PureWindowsPath(name).drive or ".." in posix.parts:
        raise ValueError(f"{where}: picture {name!r} lies outside {folder}; use names relative to it")
    return folder / posix


def folder_of(name: str | None, candidates: Iterable[Path]) -> Path:
    """The first folder that holds the picture `name`; the first of all where none does."""
    places = list(candidates)
    if name is not None:
        for place in places:
            if (place / name).is_file():
                return place
    return places[0]


def numbers(value: Any, n: int) -> tuple[float, ...] | None:
    """`n` finite numbers of a sensible size as floats; None for anything else."""
    if not isinstance(value, (list, tuple)) or len(value) != n:
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e9 for v in value):
        return None
    return tuple(float(v) for v in value) if all(math.isfinite(v) for v in value) else None


def words(text: Any) -> str:
    """A text from outside on one line; curly braces would be read as places of regions, so they become brackets."""
    return " ".join(str(text).replace("{", "(").replace("}", ")").split())

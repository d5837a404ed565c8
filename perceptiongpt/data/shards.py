"""WebDataset tar shards: pictures and JSON side by side under one key, read without unpacking, from disk or by http.

From disk a picture is read from its place in the tar when it is wanted; over a network all is read in passing, once.
Knows nothing of what the JSON says (dialects). A tar is hostile: only plain files count, their names are never paths.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from perceptiongpt.data.dialects import Row, parsed, record_of
from perceptiongpt.data.files import words
from perceptiongpt.data.readings import READINGS
from perceptiongpt.data.record import Fault, Record, Say
from perceptiongpt.data.remote import RemoteError, opened

PICTURES = {"jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"}
PICTURE_LIMIT, TEXT_LIMIT = 64 << 20, 16 << 20  # bytes
_RANGE = re.compile(r"^(.*)\{(\d+)\.\.(\d+)\}(.*)$")


def read(path: Path | str, part: str = "", say: Say = print) -> Iterator[Record | Fault]:
    """The samples of one tar, of the tars of a folder, or of `name-{000000..000009}.tar` (also an address), in order.

    A sample is `KEY.jpg` (or png …) beside `KEY.json`, a line of our format or of another dialect, or `KEY.txt`, a
    caption. `part` names the reading of coordinates where the JSON itself doesn't tell it.
    """
    if part and part not in READINGS:
        raise ValueError(f"there is no reading {part!r}; choose {', '.join(READINGS)}")
    say(f"{_name(path)}: coordinates are read as {READINGS[part] if part else 'each JSON says'}")
    for shard in _shards(path):
        yield from _read_one(shard, part)


def _shards(path: Path | str) -> list[Path | str]:
    if isinstance(path, Path) and path.is_dir():
        found: list[Path | str] = [*sorted(path.glob("*.tar"))]
    elif match := _RANGE.match(str(path)):
        head, first, last, tail = match.groups()
        if int(last) - int(first) > 100_000:
            raise ValueError(f"{_name(path)} names over 100,000 shards; give fewer")
        names = [f"{head}{i:0{len(first)}}{tail}" for i in range(int(first), int(last) + 1)]
        found = [*names] if isinstance(path, str) else [Path(name) for name in names]
    else:
        found = [path]
    if not found:
        raise FileNotFoundError(f"{path} holds no .tar; give a WebDataset shard or a folder of them")
    return found


def _name(shard: Path | str) -> str:
    return shard if isinstance(shard, str) else shard.name


def _read_one(shard: Path | str, reading: str) -> Iterator[Record | Fault]:
    name, key = _name(shard), ""
    parts: dict[str, Any] = {}
    if isinstance(shard, Path) and not shard.is_file():
        raise FileNotFoundError(f"{shard} is not a file; give WebDataset shards")
    try:
        # Plain only: a compressed one cannot be read from the middle.
        with (
            opened(shard) if isinstance(shard, str) else shard.open("rb") as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            for member in tar:
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile would remember every one
                stem, _, suffix = member.name.rpartition("/")[2].partition(".")
                stem = f"{member.name.rpartition('/')[0]}/{stem}".lstrip("/")
                if not member.isreg() or member.issparse() or not suffix:
                    continue
                if stem != key and parts:
                    yield _sample(name, key, parts, reading)
                    parts = {}
                key, kind = stem, suffix.lower().rpartition(".")[2]
                if kind in PICTURES:
                    if member.size > PICTURE_LIMIT:
                        yield Fault(f"{name}:{key}", f"its picture has over {PICTURE_LIMIT} bytes; make it smaller")
                        continue
                    if isinstance(shard, Path):
                        parts["picture"] = partial(_bytes, shard, member.offset_data, member.size)
                    else:
                        parts["picture"] = _content(tar, member)
                elif kind in ("json", "txt") and member.size <= TEXT_LIMIT:
                    parts[kind] = _content(tar, member)
            if parts:
                yield _sample(name, key, parts, reading)
    except RemoteError as error:
        yield Fault(name, str(error).removeprefix(f"{name} "))
    except (tarfile.TarError, EOFError, OSError) as error:
        yield Fault(name, f"it is no whole plain tar ({error}); make it anew, uncompressed")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return b"" if file is None else file.read()


def _sample(shard: str, key: str, parts: dict[str, Any], reading: str) -> Record | Fault:
    where, image = f"{shard}:{key}", parts.get("picture")
    called = f"{PurePosixPath(urlsplit(shard).path).name}:{key}" if "://" in shard else where  # wherever a shard lies
    if image is None:
        return Fault(where, "it has no picture; wanted one beside the JSON")
    try:
        if "json" not in parts:
            caption = words(parts.get("txt", b"").decode("utf-8"))
            return (
                Record(image, where, called, captions=((caption, ()),)) if caption else Fault(where, "it has no text")
            )
        row = parsed(json.loads(parts["json"].decode("utf-8")))
    except (ValueError, RecursionError) as error:
        return Fault(where, f"broken JSON or text ({error}); mend it")
    if isinstance(row, str):
        return Fault(where, row)
    if isinstance(row, Row) and not (reading or row.reading) and any(boxes for *_, boxes in row.turns):
        return Fault(where, f"its numbers may mean several things; name the reading: {', '.join(READINGS)}")
    found = record_of(where, row, image, reading)
    return replace(found, key=called) if isinstance(found, Record) and found.key == where else found


def _bytes(shard: Path, offset: int, size: int) -> bytes:
    with shard.open("rb") as file:
        file.seek(offset)
        return file.read(size)

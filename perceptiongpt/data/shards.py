"""WebDataset tar shards: pictures and JSON side by side under one key, read without unpacking.

A first pass reads headers and annotations only; a picture is read from its place in the tar when it is wanted. Knows
nothing of what the JSON says (dialects). A tar is hostile: only plain files count, their names are never paths.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from perceptiongpt.data.dialects import Row, parsed, record_of
from perceptiongpt.data.files import words
from perceptiongpt.data.readings import READINGS
from perceptiongpt.data.record import Fault, Record, Say

PICTURES = {"jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"}
PICTURE_LIMIT, TEXT_LIMIT = 64 << 20, 16 << 20  # bytes
_RANGE = re.compile(r"^(.*)\{(\d+)\.\.(\d+)\}(.*)$")


def read(path: Path, part: str = "", say: Say = print) -> Iterator[Record | Fault]:
    """The samples of one tar, of the tars of a folder, or of `name-{000000..000009}.tar`, in order.

    A sample is `KEY.jpg` (or png …) beside `KEY.json`, a line of our format or of another dialect, or `KEY.txt`, a
    caption. `part` names the reading of coordinates where the JSON itself doesn't tell it.
    """
    if part and part not in READINGS:
        raise ValueError(f"there is no reading {part!r}; choose {', '.join(READINGS)}")
    say(f"{path.name}: coordinates are read as {READINGS[part] if part else 'each JSON says'}")
    for shard in _shards(path):
        yield from _read_one(shard, part)


def _shards(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.tar"))
    elif match := _RANGE.match(path.name):
        head, first, last, tail = match.groups()
        if int(last) - int(first) > 100_000:
            raise ValueError(f"{path.name} names over 100,000 shards; give fewer")
        found = [path.with_name(f"{head}{i:0{len(first)}}{tail}") for i in range(int(first), int(last) + 1)]
    else:
        found = [path]
    if not found:
        raise FileNotFoundError(f"{path} holds no .tar; give a WebDataset shard or a folder of them")
    return found


def _read_one(shard: Path, reading: str) -> Iterator[Record | Fault]:
    if not shard.is_file():
        raise FileNotFoundError(f"{shard} is not a file; give WebDataset shards")
    key = ""
    parts: dict[str, Any] = {}
    try:
        with tarfile.open(shard, "r:") as tar:  # plain only: a compressed one cannot be read from the middle
            for member in tar:
                stem, _, suffix = member.name.rpartition("/")[2].partition(".")
                stem = f"{member.name.rpartition('/')[0]}/{stem}".lstrip("/")
                if not member.isreg() or member.issparse() or not suffix:
                    continue
                if stem != key and parts:
                    yield _sample(shard, key, parts, reading)
                    parts = {}
                key, kind = stem, suffix.lower().rpartition(".")[2]
                if kind in PICTURES:
                    if member.size > PICTURE_LIMIT:
                        yield Fault(
                            f"{shard.name}:{key}", f"its picture has over {PICTURE_LIMIT} bytes; make it smaller"
                        )
                        continue
                    parts["picture"] = partial(_bytes, shard, member.offset_data, member.size)
                elif kind in ("json", "txt") and member.size <= TEXT_LIMIT:
                    file = tar.extractfile(member)
                    parts[kind] = b"" if file is None else file.read()
            if parts:
                yield _sample(shard, key, parts, reading)
    except (tarfile.TarError, EOFError, OSError) as error:
        yield Fault(shard.name, f"it is no whole plain tar ({error}); make it anew, uncompressed")


def _sample(shard: Path, key: str, parts: dict[str, Any], reading: str) -> Record | Fault:
    where = f"{shard.name}:{key}"
    image = parts.get("picture")
    if image is None:
        return Fault(where, "it has no picture; wanted one beside the JSON")
    try:
        if "json" not in parts:
            caption = words(parts.get("txt", b"").decode("utf-8"))
            return Record(image, where, where, captions=((caption, ()),)) if caption else Fault(where, "it has no text")
        row = parsed(json.loads(parts["json"].decode("utf-8")))
    except (ValueError, RecursionError) as error:
        return Fault(where, f"broken JSON or text ({error}); mend it")
    if isinstance(row, str):
        return Fault(where, row)
    if isinstance(row, Row) and not (reading or row.reading) and any(boxes for *_, boxes in row.turns):
        return Fault(where, f"its numbers may mean several things; name the reading: {', '.join(READINGS)}")
    return record_of(where, row, image, reading)


def _bytes(shard: Path, offset: int, size: int) -> bytes:
    with shard.open("rb") as file:
        file.seek(offset)
        return file.read(size)

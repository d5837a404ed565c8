"""Bring your own: dialogues about pictures as JSON lines, read and written.

One line a sample:

    {"image": "images/0001.jpg", "id": "a", "turns": [{"role": "user", "text": "Where is the red mug?"},
     {"role": "assistant", "text": "The red mug{0}.", "regions": [{"box": [x0, y0, x1, y1]}]}]}

`image` is a path below the root (the file's folder unless told) or null; a region has a box xyxy, a mask (COCO RLE) or
`polygons`, a point, and perhaps a label, all in pixels of the picture. Every error is a sentence that begins with
file:line. Knows nothing of models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import decode_rle, encode_rle, polygons_to_mask
from perceptiongpt.data.files import numbers
from perceptiongpt.data.picture import picture_size
from perceptiongpt.data.sample import Sample, Turn

LINE_LIMIT = 16 << 20  # bytes
MASK_PIXELS = 50_000_000
SAMPLE_KEYS = {"image", "id", "turns", "meta"}
TURN_KEYS = {"role", "text", "regions"}
REGION_KEYS = {"box", "mask", "polygons", "point", "label", "score", "span"}


def read_jsonl(
    path: str | Path, root: str | Path | None = None, bad: Callable[[str], object] | None = None
) -> Iterator[Sample]:
    """The samples of a JSONL file, one at a time; pictures are paths below `root` (default: the file's folder).

    Raises ValueError, or FileNotFoundError for an absent file or picture: `file:line: what came; what was wanted; what
    to do`. With `bad` a sample that is wrong is told to it and left out.
    """
    path = Path(path)
    base = path.parent if root is None else Path(root)
    for where, row in read_rows(path):
        try:
            yield _sample(row, base, where)
        except (FileNotFoundError, ValueError) as error:
            if bad is None:
                kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
                raise kind(f"{where}: {error}") from error
            bad(f"{where}: {error}")


def read_rows(path: str | Path) -> Iterator[tuple[str, Any]]:
    """("file:line", JSON value) of each line that isn't blank; broken or over-long lines raise ValueError."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; give the path of a JSONL file")
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(LINE_LIMIT + 1):
            number += 1
            where = f"{path.name}:{number}"
            if len(line) > LINE_LIMIT:
                raise ValueError(f"{where}: the line is over {LINE_LIMIT} bytes; wanted one sample a line; split it")
            if not line.strip():
                continue
            try:
                yield where, json.loads(line.decode("utf-8"), parse_constant=_no_constant)
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{where}: byte {error.start} is not UTF-8; wanted UTF-8; save the file again"
                ) from error
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{where}: broken JSON ({error}); wanted one JSON object; mend the line") from error


def write_jsonl(path: str | Path, samples: Iterable[Sample], root: str | Path | None = None) -> Path:
    """Writes samples whose pictures are files below `root` (default: the file's folder), whole or not at all."""
    path = Path(path)
    base = (path.parent if root is None else Path(root)).resolve()
    part = path.with_name(f".{path.name}.partial")
    try:
        with part.open("w", encoding="utf-8") as out:
            for sample in samples:
                out.write(json.dumps(_sample_row(sample, base), ensure_ascii=False, allow_nan=False) + "\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _sample(row: Any, root: Path, where: str) -> Sample:
    row = _mapping(row, SAMPLE_KEYS, "the line")
    for key in ("image", "turns"):
        if key not in row:
            raise ValueError(f"no key {key!r}; wanted image (a path or null) and turns; add it")
    image = _picture(row["image"], root)
    turns = row["turns"]
    if not isinstance(turns, list) or not turns:
        raise ValueError("turns is not a filled list; wanted user and assistant in turn; write at least two")
    name, meta = row.get("id", ""), row.get("meta", {})
    if not isinstance(name, str) or not isinstance(meta, dict):
        raise ValueError("id is not text or meta is no object; wanted text and an object; mend them")
    size = _Size(image)
    return Sample(image, tuple(_turn(turn, i, size) for i, turn in enumerate(turns)), name, meta, where)


def _picture(value: Any, root: Path) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"image {str(value)[:60]!r} is no path; wanted a path below the root, or null; name the file")
    if Path(value).is_absolute() or not (root / value).resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"image {value!r} lies outside the root {root.name!r}; wanted a path below it; move the picture"
        )
    if not (root / value).is_file():
        raise FileNotFoundError(f"image {value!r} is not there; wanted a file below the root; check path and root")
    return root / value


class _Size:
    """The size (h, w) of a line's picture: from a mask's own words, else from the file's head when it is needed."""

    def __init__(self, image: Path | None) -> None:
        self.image = image
        self.hw: tuple[int, int] | None = None

    def wanted(self) -> tuple[int, int]:
        if self.hw is None:
            if self.image is None:
                raise ValueError(
                    "polygons came without a picture; wanted an image to draw them on; give a mask instead"
                )
            width, height = picture_size(self.image)
            self.hw = (height, width)
        return self.hw

    def agrees(self, hw: tuple[int, int]) -> None:
        if self.hw is not None and self.hw != hw:
            raise ValueError(f"a mask is {hw} and the picture or another mask {self.hw}; wanted one [h, w]; mend it")
        self.hw = hw


def _turn(value: Any, i: int, size: _Size) -> Turn:
    row = _mapping(value, TURN_KEYS, f"turn {i}")
    role, text, regions = row.get("role"), row.get("text"), row.get("regions", [])
    if role not in ("user", "assistant"):
        raise ValueError(f"turn {i} has role {str(role)[:40]!r}; wanted user or assistant; mend it")
    if not isinstance(text, str) or not isinstance(regions, list):
        raise ValueError(f"turn {i} has no text or regions that are no list; wanted text and a list; mend it")
    return Turn(role, text, tuple(_region(region, f"turn {i}, region {j}", size) for j, region in enumerate(regions)))


def _region(value: Any, what: str, size: _Size) -> Region:
    row = _mapping(value, REGION_KEYS, what)
    box, point, span = (
        _numbers(row.get(key), n, f"{what}: {key}") for key, n in (("box", 4), ("point", 2), ("span", 2))
    )
    if row.get("mask") is not None and row.get("polygons") is not None:
        raise ValueError(f"{what} has a mask and polygons; wanted one of them; drop the other")
    mask = None
    if row.get("mask") is not None:
        mask = decode_rle(row["mask"], MASK_PIXELS)
        size.agrees((mask.shape[0], mask.shape[1]))
    elif row.get("polygons") is not None:
        if not isinstance(row["polygons"], list):
            raise ValueError(f"{what}: polygons is no list; wanted [[x, y, x, y, …], …]; mend it")
        mask = polygons_to_mask(row["polygons"], size.wanted(), MASK_PIXELS)
    if size.hw is not None and box is not None:
        height, width = size.hw
        if box[0] < -1 or box[1] < -1 or box[2] > width + 1 or box[3] > height + 1:
            raise ValueError(
                f"{what}: box {list(box)} leaves a picture {width} wide, {height} high; wanted pixels; clip it"
            )
    label, score = (
        row.get("label"),
        _numbers([row["score"]], 1, f"{what}: score") if row.get("score") is not None else None,
    )
    if label is not None and not isinstance(label, str):
        raise ValueError(f"{what}: label {str(label)[:40]!r} is not text; wanted text or null; mend it")
    return Region(
        box=box,  # type: ignore[arg-type]
        mask=mask,
        point=point,  # type: ignore[arg-type]
        score=score[0] if score else None,
        label=label,
        span=None if span is None else (int(span[0]), int(span[1])),
    )


def _mapping(value: Any, known: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is a {type(value).__name__}; wanted an object with keys {sorted(known)}; mend it")
    if unknown := sorted(set(value) - known):
        raise ValueError(
            f"{what} has the unknown key {unknown[0][:60]!r}; wanted some of {sorted(known)}; drop or rename it"
        )
    return value


def _numbers(value: Any, n: int, what: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    if (found := numbers(value, n)) is None:
        raise ValueError(f"{what} is {str(value)[:60]}; wanted {n} numbers in pixels; mend it")
    return found


def _sample_row(sample: Sample, root: Path) -> dict[str, Any]:
    image = sample.image
    if image is not None and not isinstance(image, (str, Path)):
        raise ValueError(
            f"sample {sample.id!r} holds its picture in memory ({type(image).__name__}); wanted a file; save it first"
        )
    if image is not None:
        full = (root / image if not Path(image).is_absolute() else Path(image)).resolve()
        if not full.is_relative_to(root):
            full = Path(image).resolve()  # a path relative to where we are rather than to the root
        if not full.is_relative_to(root):
            raise ValueError(
                f"sample {sample.id!r}: picture {image} lies outside {root.name!r}; wanted it below; move it"
            )
        image = full.relative_to(root).as_posix()
    row: dict[str, Any] = {"image": image, "id": sample.id, "turns": [_turn_row(turn) for turn in sample.turns]}
    return {**row, "meta": sample.meta} if sample.meta else row


def _turn_row(turn: Turn) -> dict[str, Any]:
    row: dict[str, Any] = {"role": turn.role, "text": turn.text}
    return {**row, "regions": [_region_row(region) for region in turn.regions]} if turn.regions else row


def _region_row(region: Region) -> dict[str, Any]:
    row = {
        "box": None if region.box is None else list(region.box),
        "mask": None if region.mask is None else encode_rle(np.asarray(region.mask)),
        "point": None if region.point is None else list(region.point),
        "label": region.label,
        "score": None if region.score is None else float(region.score),
        "span": None if region.span is None else list(region.span),
    }
    return {key: value for key, value in row.items() if value is not None}

"""Data sets of the `datasets` package with a column `objects`: on disk, a folder of files, or by their hub id.

Knows the usual columns (image, objects with bbox and category). No code that comes with a data set is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from perceptiongpt.data.files import numbers, words
from perceptiongpt.data.picture import PictureError, picture_size
from perceptiongpt.data.record import Fault, Four, Record, Say, Thing

NAMES = ("category", "categories", "category_id", "label", "labels", "name")
FIRST = 200  # rows of a stream that tell how boxes are written
KINDS = {
    "xywh": "x, y, width, height in pixels",
    "xyxy": "x0, y0, x1, y1 in pixels",
    "shares": "x, y, width, height as shares of the picture",
}


def read(path: Path, part: str = "train", say: Say = print) -> Iterator[Record | Fault]:
    """The rows of a split. Whether boxes are x, y, width, height or two corners is told from all of them, aloud."""
    rows, column, names = _prepared(path, part, streaming=False)
    lean = rows.select_columns([c for c in ("objects", "width", "height", "image_id", "id") if c in rows.column_names])
    sizes = [_size(row, partial(_picture, rows, column, i)) for i, row in enumerate(lean)]
    kind = _kind([(b, size) for row, size in zip(lean, sizes, strict=True) if size for b in _listed(row["objects"])[0]])
    say(f"{path.name}, split {part}: boxes are read as {KINDS[kind]}")
    for i, (row, size) in enumerate(zip(lean, sizes, strict=True)):
        yield _record(f"{path.name}:{part} row {i}", i, row, size, kind, partial(_picture, rows, column, i), names)


def stream(path: Path, part: str = "train", say: Say = print) -> Iterator[Record | Fault]:
    """The same, row after row as they come, pictures held in memory; boxes are told from the first ones."""
    rows, column, names = _prepared(path, part, streaming=True)
    ahead = iter(rows)
    first = list(islice(ahead, FIRST))
    sizes = [_size(row, _held(row[column])) for row in first]
    kind = _kind(
        [(b, size) for row, size in zip(first, sizes, strict=True) if size for b in _listed(row["objects"])[0]]
    )
    say(f"{path.name}, split {part}: boxes are read as {KINDS[kind]}, told from the first {len(first)} rows")
    for i, row in enumerate(chain(first, ahead)):
        picture = _held(row[column])
        yield _record(f"{path.name}:{part} row {i}", i, row, _size(row, picture), kind, picture, names)


def _prepared(path: Path, part: str, streaming: bool) -> tuple[Any, str, list[str]]:
    """A split with its pictures undecoded, the name of their column, and the names of classes."""
    import datasets

    rows = _open(path, part, streaming)
    found = list(rows.column_names or rows._resolve_features().column_names)
    column = next((c for c in ("image", "img", "picture") if c in found), None)
    if "objects" not in found or column is None:
        raise ValueError(f"{path} has the columns {', '.join(found)}; wanted image and objects")
    rows = rows.cast_column(column, datasets.Image(decode=False))
    return rows, column, _class_names(rows.features["objects"])


def _record(
    where: str, i: int, row: dict[str, Any], size: tuple[int, int] | None, kind: str, picture: Any, names: list[str]
) -> Record | Fault:
    if size is None:
        return Fault(where, "its picture cannot be read; replace it")
    boxes, labels = _listed(row["objects"])
    if len(boxes) != len(labels):
        return Fault(where, f"it has {len(boxes)} boxes and {len(labels)} categories; wanted one for each box")
    things = [
        Thing(_xyxy(box, kind, size), name=_name(label, names), id=f"object {k}")
        for k, (box, label) in enumerate(zip(boxes, labels, strict=True))
    ]
    key = str(row.get("image_id", row.get("id", i)))
    return Record(picture, where, key, size, tuple(things), known=names, id=key)


def _open(path: Path, part: str, streaming: bool) -> Any:
    import datasets

    try:
        if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(str(path))
            rows = found[part] if isinstance(found, datasets.DatasetDict) else found
            return rows.to_iterable_dataset() if streaming else rows
        return datasets.load_dataset(str(path), split=part, streaming=streaming)
    except KeyError as error:
        raise ValueError(f"{path} has no split {error}; choose another") from error
    except (ValueError, OSError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        raise ValueError(f"{path} cannot be opened as a data set ({said}); give a folder or a hub id") from error


def _picture(rows: Any, column: str, i: int) -> Any:
    """The bytes or the path of a row's picture, when it is wanted."""
    return _held(rows[i][column])


def _held(picture: dict[str, Any]) -> Any:
    return picture["bytes"] or picture["path"]


def _size(row: dict[str, Any], picture: Any) -> tuple[int, int] | None:
    if isinstance(row.get("width"), int) and isinstance(row.get("height"), int):
        return row["width"], row["height"]
    try:
        return picture_size(picture() if callable(picture) else picture)
    except (PictureError, OSError):
        return None


def _class_names(feature: Any) -> list[str]:
    """The names of the ClassLabel somewhere below `objects`."""
    inner = getattr(feature, "feature", feature)
    for key in NAMES:
        found: Any = inner.get(key) if isinstance(inner, dict) else None
        names = getattr(getattr(found, "feature", found), "names", None)
        if names:
            return [words(str(name).replace("_", " ")) for name in names]
    return []


def _listed(objects: Any) -> tuple[list[Any], list[Any]]:
    """Boxes and labels of a row, whether it holds a dict of lists or a list of dicts."""
    if isinstance(objects, dict):
        boxes = list(objects.get("bbox") or objects.get("bboxes") or [])
        labels = next((list(objects[key]) for key in NAMES if objects.get(key)), [None] * len(boxes))
        return boxes, labels
    found = [(o.get("bbox"), next((o[key] for key in NAMES if key in o), None)) for o in objects or []]
    return [box for box, _ in found], [label for _, label in found]


def _name(label: Any, names: list[str]) -> str | None:
    if isinstance(label, int) and 0 <= label < len(names):
        return names[label]
    return words(label) if isinstance(label, str) else None


def _kind(seen: list[tuple[Any, tuple[int, int]]]) -> str:
    fours = [(b, size) for box, size in seen if (b := numbers(list(box), 4)) is not None]
    if fours and all(max(b) <= 1 for b, _ in fours):
        return "shares"
    if all(b[0] + b[2] <= w + 1 and b[1] + b[3] <= h + 1 for b, (w, h) in fours):
        return "xywh"
    corners = all(b[0] <= b[2] <= w + 1 and b[1] <= b[3] <= h + 1 for b, (w, h) in fours)
    return "xyxy" if corners else "xywh"


def _xyxy(box: Any, kind: str, size_wh: tuple[int, int]) -> Four | None:
    four = numbers(list(box), 4)
    if four is None or kind == "xyxy":
        return four  # type: ignore[return-value]
    x, y, w, h = (v * size_wh[i % 2] for i, v in enumerate(four)) if kind == "shares" else four
    return x, y, x + w, y + h

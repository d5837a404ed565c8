"""Data sets of the `datasets` package with a column `objects`: on disk, a folder of files, or by their hub id.

Knows the usual columns (image, objects with bbox and category). No code that comes with a data set is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from perceptiongpt.data.files import numbers, words
from perceptiongpt.data.picture import PictureError, picture_size
from perceptiongpt.data.record import Fault, Four, Record, Say, Thing

NAMES = ("category", "categories", "category_id", "label", "labels", "name")
KINDS = {
    "xywh": "x, y, width, height in pixels",
    "xyxy": "x0, y0, x1, y1 in pixels",
    "shares": "x, y, width, height as shares of the picture",
}


def read(path: Path, part: str = "train", say: Say = print) -> Iterator[Record | Fault]:
    """The rows of a split. Whether boxes are x, y, width, height or two corners is told from all of them, aloud."""
    rows = _open(path, part)
    if "objects" not in rows.column_names:
        raise ValueError(f"{path} has the columns {', '.join(rows.column_names)}; wanted image and objects")
    column = next((c for c in ("image", "img", "picture") if c in rows.column_names), None)
    if column is None:
        raise ValueError(f"{path} has the columns {', '.join(rows.column_names)}; wanted one called image")
    rows = _undecoded(rows, column)
    names = _class_names(rows.features["objects"])
    lean = rows.select_columns([c for c in ("objects", "width", "height", "image_id", "id") if c in rows.column_names])
    sizes = [_size(rows, column, i, row) for i, row in enumerate(lean)]
    kind = _kind([(b, size) for row, size in zip(lean, sizes, strict=True) if size for b in _listed(row["objects"])[0]])
    say(f"{path.name}, split {part}: boxes are read as {KINDS[kind]}")
    for i, (row, size) in enumerate(zip(lean, sizes, strict=True)):
        where = f"{path.name}:{part} row {i}"
        if size is None:
            yield Fault(where, "its picture cannot be read; replace it")
            continue
        boxes, labels = _listed(row["objects"])
        things = [
            Thing(_xyxy(box, kind, size), name=_name(label, names), id=f"object {k}")
            for k, (box, label) in enumerate(zip(boxes, labels, strict=True))
        ]
        key = str(row.get("image_id", row.get("id", i)))
        picture = partial(_picture, rows, column, i)
        yield Record(picture, where, key, size, tuple(things), known=names, id=key)


def _open(path: Path, part: str) -> Any:
    import datasets

    try:
        if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(str(path))
            return found[part] if isinstance(found, datasets.DatasetDict) else found
        return datasets.load_dataset(str(path), split=part)
    except KeyError as error:
        raise ValueError(f"{path} has no split {error}; choose another") from error
    except (ValueError, OSError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        raise ValueError(f"{path} cannot be opened as a data set ({said}); give a folder or a hub id") from error


def _undecoded(rows: Any, column: str) -> Any:
    import datasets

    return rows.cast_column(column, datasets.Image(decode=False))


def _picture(rows: Any, column: str, i: int) -> Any:
    """The bytes or the path of a row's picture."""
    held = rows[i][column]
    return held["bytes"] or held["path"]


def _size(rows: Any, column: str, i: int, row: dict[str, Any]) -> tuple[int, int] | None:
    if isinstance(row.get("width"), int) and isinstance(row.get("height"), int):
        return row["width"], row["height"]
    try:
        return picture_size(_picture(rows, column, i))
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

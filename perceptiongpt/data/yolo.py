"""YOLO's folders, read and written: a data.yaml, pictures, and a text file of boxes or outlines for each.

Knows that every number is a share of the picture's width or height, and that `labels` stands beside `images`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from perceptiongpt.core.masks import mask_to_polygons
from perceptiongpt.data.files import read_text, words
from perceptiongpt.data.picture import PictureError, picture_size
from perceptiongpt.data.record import Fault, Record, Say, Thing

YAML_LIMIT, LABEL_LIMIT = 1 << 20, 16 << 20  # bytes
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def read(path: Path, part: str = "train", say: Say = print) -> Iterator[Record | Fault]:
    """The pictures of a split; `path` is the data.yaml or its folder.

    A line is class cx cy w h, or class x y x y … of an outline; a picture without a text file holds nothing.
    """
    file = path / "data.yaml" if path.is_dir() else path
    told = _yaml(file)
    names = told.get("names")
    listed = (
        names if isinstance(names, list) else [names[k] for k in sorted(names)] if isinstance(names, dict) else None
    )
    if not listed:
        raise ValueError(f"{file} names no classes; write `names:` with one for each")
    if part not in told:
        have = [key for key in ("train", "val", "test") if key in told]
        raise ValueError(f"{file} has no split {part!r}; choose {', '.join(have) or 'none: write one'}")
    say(f"{file.name}, split {part}: numbers are shares of the picture's width and height; boxes by their centre")
    known = [words(str(name).replace("_", " ")) for name in listed]
    for picture in _pictures(file, told, part):
        yield from _read_one(picture, known)


def _yaml(file: Path) -> dict[str, Any]:
    try:
        told = yaml.safe_load(read_text(file, YAML_LIMIT))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{file} is not YAML ({' '.join(str(error).split())[:120]}); give YOLO's data.yaml") from error
    if not isinstance(told, dict):
        raise ValueError(f"{file} holds no keys; give YOLO's data.yaml with names and train")
    return told


def _pictures(file: Path, told: dict[str, Any], part: str) -> Iterator[Path]:
    """The pictures of a split: a folder, a text file of names, or a list of those, relative to `path`."""
    root = (file.parent / str(told.get("path") or "")).resolve()
    roots = [root, file.parent.resolve()]  # many files state a `path` of the machine that they were made on
    entries = told[part] if isinstance(told[part], list) else [told[part]]
    for entry in entries:
        place = next((r / str(entry) for r in roots if (r / str(entry)).exists()), root / str(entry))
        if not place.resolve().is_relative_to(file.parent.resolve()):
            raise ValueError(f"{file}: {str(entry)!r} lies outside the folder of the file; move the pictures below it")
        if place.is_dir():
            yield from sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES)
        elif place.suffix == ".txt":
            for line in read_text(place).split("\n"):
                if line.strip():
                    inside = (place.parent / line.strip()).resolve()
                    if not inside.is_relative_to(file.parent.resolve()):
                        raise ValueError(f"{place}: {line.strip()!r} lies outside {file.parent}; use names below it")
                    yield inside
        else:
            raise FileNotFoundError(f"{place} is neither a folder nor a list of pictures; mend `{part}` in {file}")


def _read_one(picture: Path, known: list[str]) -> Iterator[Record | Fault]:
    parts = list(picture.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    labels = Path(*parts).with_suffix(".txt")
    try:
        width, height = picture_size(picture)
    except (PictureError, OSError) as error:
        yield Fault(str(picture.name), str(error))
        return
    things = []
    lines = read_text(labels, LABEL_LIMIT).splitlines() if labels.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            label, *shares = (float(word) for word in line.split())
            if not np.isfinite([label, *shares]).all() or not 0 <= label < len(known) or label % 1:
                raise ValueError(f"class {label:g}; there are {len(known)}")
            if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
                raise ValueError(f"{len(shares)} numbers after the class")
        except ValueError as error:
            yield Fault(f"{labels.name}:{number}", f"{error}; wanted a class, then cx cy w h or an outline's x y x y …")
            continue
        xy = np.asarray(shares).reshape(-1, 2) * (width, height)
        if len(xy) == 2:
            (cx, cy), (w, h) = xy.tolist()
            box, shape = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), None
        else:
            box, shape = (*xy.min(0).tolist(), *xy.max(0).tolist()), [xy.ravel()]
        things.append(Thing(box, shape, known[int(label)], id=f"{labels.name}:{number}"))
    yield Record(picture, picture.name, picture.stem, (width, height), tuple(things), known=known)


def write(folder: Path, records: Iterable[Record], outlines: bool = False) -> None:
    """Named things as YOLO boxes, or outlines where there are masks, beside pictures that lie in `folder`/images."""
    names: dict[str, int] = {}
    (folder / "labels").mkdir(exist_ok=True)
    for record in records:
        size_wh = record.size()
        lines = []
        for t in record.things:
            box = t.bounds(size_wh)
            if t.name is None or box is None or t.crowd:
                continue
            mask = t.mask(size_wh) if outlines else None
            if mask is not None and mask.any():
                shares = _one_outline(mask_to_polygons(mask)) / size_wh
            else:
                x0, y0, x1, y1 = box
                shares = np.asarray([[(x0 + x1) / 2, (y0 + y1) / 2], [x1 - x0, y1 - y0]]) / size_wh
            label = names.setdefault(t.name, len(names))
            lines.append(" ".join([str(label), *(f"{v:.10g}" for v in shares.ravel().tolist())]))
        image = Path(str(record.image))
        (folder / "labels" / image.name).with_suffix(".txt").write_text("".join(f"{line}\n" for line in lines))
    told = {"train": "images", "names": list(names)}
    (folder / "data.yaml").write_text(yaml.safe_dump(told, allow_unicode=True), encoding="utf-8")


def _one_outline(polygons: list[list[float]]) -> np.ndarray:
    """Several polygons as one [K, 2]: ways of no width, along rows and columns, lead to each and back."""
    pieces = [np.asarray(p).reshape(-1, 2) for p in polygons]
    start = pieces[0][0]
    out = [pieces[0], start[None]]
    for piece in pieces[1:]:
        corner = np.asarray([[start[0], piece[0][1]]])
        out += [corner, piece, piece[:1], corner, start[None]]
    return np.concatenate(out)

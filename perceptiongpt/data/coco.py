"""COCO's official JSON, read and written: instances, captions, and the things of panoptic files.

Knows the format's fields and where its pictures usually lie. Annotation of classes is exhaustive: what isn't there
may be asked for, too.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from perceptiongpt.core.masks import encode_rle, mask_to_polygons
from perceptiongpt.data.files import below, folder_of, numbers, read_json, reading, words
from perceptiongpt.data.picture import BROKEN
from perceptiongpt.data.record import Fault, Record, Say, Thing

WHAT = "a COCO file with images, annotations and categories"
# Pictures of some files say in `masks` that not every class was looked for in them: nothing else may be called absent.
LOOKED_FOR = {"persons only": ["person"], "unannotated": []}


def read(path: Path, part: str = "", say: Say = print) -> Iterator[Record | Fault]:
    """The pictures of a COCO file, or of the only one in a folder, with what is annotated in them; else ValueError.

    Pictures are looked for where `file_name` says below the file's folder, then in the folders beside it.
    """
    if path.is_dir():
        found = files_in(path)
        if len(found) != 1:
            raise ValueError(f"{path} holds {len(found)} COCO files ({', '.join(f.name for f in found[:4])}); name one")
        path = found[0]
    data = read_json(path, WHAT, compact)
    with reading(path, WHAT):
        classes = {int(c["id"]): words(c["name"]) for c in data.get("categories", [])}
        thingly = {int(c["id"]) for c in data.get("categories", []) if c.get("isthing", 1)}
        by_picture: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for number, annotation in enumerate(data["annotations"]):
            annotation.setdefault("id", f"#{number}")
            by_picture[int(annotation["image_id"])].append(annotation)
        images = data["images"]
        pictures = folder_of(images[0]["file_name"] if images else None, places(path))
        known = sorted(classes[i] for i in thingly)
        for row in images:
            yield _record(path, row, by_picture.pop(int(row["id"]), []), classes, thingly, pictures, known)
    for image, lost in by_picture.items():
        yield Fault(f"{path.name}:annotation {lost[0]['id']}", f"its picture {image} is not among the images")


def files_in(folder: Path) -> list[Path]:
    """The annotation files in a folder by their usual names, captions and panoptic ones aside."""
    names = ("annotations.json", "_annotations.coco.json", "instances*.json", "annotations/instances*.json")
    return sorted(file for name in names for file in folder.glob(name))


def compact(row: dict[str, Any]) -> dict[str, Any]:
    """An object of the JSON with its polygons as arrays: a fifth of the memory."""
    shape = row.get("segmentation")
    if isinstance(shape, list):
        try:
            row["segmentation"] = [np.asarray(p, np.float64) for p in shape]
        except (TypeError, ValueError):
            pass  # what is no list of numbers is refused where it is used
    return row


def places(path: Path) -> list[Path]:
    """Where the pictures of an annotation file may lie: beside it, in the folder of its split, in `images`."""
    split = path.stem.removesuffix("_things").rpartition("_")[2]
    roots = [path.parent, path.parent.parent]
    return [*(root / name for name in ("", split, "images", f"images/{split}") for root in roots)]


def _record(
    path: Path,
    row: dict[str, Any],
    annotations: list[dict[str, Any]],
    classes: dict[int, str],
    thingly: set[int],
    pictures: Path,
    known: list[str],
) -> Record:
    where = f"{path.name}:image {row['id']}"
    things: list[Thing] = []
    captions = []
    for a in annotations:
        if "segments_info" in a:
            png = below(path.with_suffix(""), a["file_name"], where)
            things += [
                thing(s, classes, partial(_segment, png, int(s["id"])), a["id"])
                for s in a["segments_info"]
                if int(s["category_id"]) in thingly
            ]
        elif "caption" in a:
            captions.append((words(a["caption"]), ()))
        else:
            things.append(thing(a, classes, a.get("segmentation")))
    image = below(pictures, row["file_name"], where)
    size = (int(row["width"]), int(row["height"]))
    known = LOOKED_FOR.get(str(row.get("masks")), known)
    return Record(
        image, where, str(row["id"]), size, tuple(things), captions=tuple(captions), known=known, id=str(row["id"])
    )


def thing(a: dict[str, Any], classes: dict[int, str], shape: Any, of: Any = None) -> Thing:
    """An annotation as a Thing; `bbox` is x, y, width, height in pixels."""
    name = classes[int(a["category_id"])]
    number = f"annotation {a['id']}" if of is None else f"annotation {of} segment {a['id']}"
    xywh = numbers(a.get("bbox"), 4)
    box = None if xywh is None else (xywh[0], xywh[1], xywh[0] + xywh[2], xywh[1] + xywh[3])
    return Thing(
        box, shape if shape is not None and len_of(shape) else None, name, None, bool(a.get("iscrowd")), number
    )


def len_of(shape: Any) -> int:
    return len(shape) if hasattr(shape, "__len__") else 1


def _segment(png: Path, number: int, hw: tuple[int, int]) -> np.ndarray:
    """One segment of a panoptic PNG, whose ids are red + 256 green + 65536 blue."""
    return _ids(png, hw) == number


@lru_cache(maxsize=2)
def _ids(png: Path, hw: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(png, formats=["PNG"]) as picture:
            if picture.size != (hw[1], hw[0]):
                raise ValueError(f"{png.name} is {picture.width} x {picture.height} and the picture {hw[1]} x {hw[0]}")
            rgb = np.asarray(picture.convert("RGB"), np.uint32)
    except BROKEN as error:
        raise ValueError(f"{png} is no panoptic picture ({error}); give the PNG files beside the JSON") from error
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


def write(path: Path, records: Iterable[Record], polygons: bool = False) -> None:
    """Named things as COCO instances; masks as compressed run lengths, or as polygons. `path` is the JSON file."""
    names: dict[str, int] = {}
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for record in records:
        file = os.path.relpath(Path(str(record.image)).resolve(), path.parent.resolve()).replace(os.sep, "/")
        width, height = size_wh = record.size()
        row = images.setdefault(file, {"id": len(images) + 1, "file_name": file, "width": width, "height": height})
        for t in record.things:
            box = t.bounds(size_wh)
            if t.name is None or box is None:
                continue
            mask = t.mask(size_wh)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": row["id"],
                "category_id": names.setdefault(t.name, len(names) + 1),
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "area": int(mask.sum()) if mask is not None else (box[2] - box[0]) * (box[3] - box[1]),
                "iscrowd": int(t.crowd),
            }
            if mask is not None and mask.any():
                annotation["segmentation"] = mask_to_polygons(mask) if polygons and not t.crowd else encode_rle(mask)
            annotations.append(annotation)
    categories = [{"id": i, "name": name} for name, i in names.items()]
    whole = {"images": list(images.values()), "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")

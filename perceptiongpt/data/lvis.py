"""LVIS instances: COCO's fields, with names of many words and classes that were looked for in some pictures only.

Knows what a picture's two lists mean: what is surely absent, and of what there may be more than is annotated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perceptiongpt.data.coco import compact, places, thing
from perceptiongpt.data.files import below, folder_of, read_json, reading, words
from perceptiongpt.data.record import Fault, Record, Say

WHAT = "an LVIS file such as lvis_v1_train.json"


def read(path: Path, part: str = "", say: Say = print) -> Iterator[Record | Fault]:
    """The pictures of an LVIS file; they lie in COCO's folders, as the end of their address says."""
    data = read_json(path, WHAT, compact)
    with reading(path, WHAT):
        classes = {int(c["id"]): words(c["name"].replace("_", " ")) for c in data["categories"]}
        by_picture: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in data["annotations"]:
            by_picture[int(annotation["image_id"])].append(annotation)
        names = {row["id"]: "/".join(row["coco_url"].split("/")[-2:]) for row in data["images"]}
        root = folder_of(next(iter(names.values()), None), places(path))
        for row in data["images"]:
            where = f"{path.name}:image {row['id']}"
            things = tuple(thing(a, classes, a.get("segmentation")) for a in by_picture.pop(int(row["id"]), []))
            absent = {classes[int(i)] for i in row["neg_category_ids"]}
            partly = frozenset(classes[int(i)] for i in row["not_exhaustive_category_ids"])
            yield Record(
                below(root, names[row["id"]], where),
                where,
                str(row["id"]),
                (int(row["width"]), int(row["height"])),
                things,
                known=sorted(absent | {t.name for t in things if t.name}),
                partly=partly,
                id=str(row["id"]),
            )
    for image, lost in by_picture.items():
        yield Fault(f"{path.name}:annotation {lost[0]['id']}", f"its picture {image} is not among the images")

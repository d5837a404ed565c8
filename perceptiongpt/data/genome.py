"""Visual Genome's regions in the official files: `region_descriptions.json` with `image_data.json` beside it.

Knows the fields. A description fits its region but need not mean it alone, so it is an answer, never a question.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from perceptiongpt.data.files import numbers, read_json, reading, words
from perceptiongpt.data.record import Fault, Record, Say, Thing

FOLDERS = ("VG_100K", "VG_100K_2", "images", "images/VG_100K", "images/VG_100K_2", "")


def read(path: Path, part: str = "", say: Say = print) -> Iterator[Record | Fault]:
    """The pictures of a region_descriptions.json with their described regions; `path` is the file or its folder."""
    file = path / "region_descriptions.json" if path.is_dir() else path
    beside = file.with_name("image_data.json")
    with reading(file, "Visual Genome's region_descriptions.json"):
        sizes = {}
        if beside.is_file():
            rows = read_json(beside, "Visual Genome's image_data.json")
            sizes = {str(int(row["image_id"])): (int(row["width"]), int(row["height"])) for row in rows}
        say(f"{file.name}: regions as x, y, width, height in pixels")
        for row in read_json(file, "Visual Genome's region_descriptions.json"):
            number = str(int(row["id"]))[:20]
            things: list[Thing] = []
            told: list[tuple[int, str]] = []
            for region in row["regions"]:
                xywh = numbers([region[key] for key in ("x", "y", "width", "height")], 4)
                box = None if xywh is None else (xywh[0], xywh[1], xywh[0] + xywh[2], xywh[1] + xywh[3])
                told.append((len(things), words(region["phrase"])))
                things.append(Thing(box, id=f"region {region['region_id']}"))
            pictures = (file.parent / folder / f"{number}.jpg" for folder in FOLDERS)
            image = next((p for p in pictures if p.is_file()), file.parent / FOLDERS[0] / f"{number}.jpg")
            where = f"{file.name}:image {number}"
            yield Record(image, where, number, sizes.get(number), tuple(things), told=tuple(told))

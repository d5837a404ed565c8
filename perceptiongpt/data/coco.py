"""COCO instances as dialogues: annotated photographs in the official JSON, asked about by the names of their classes.

Knows the format's fields. A picture is known to hold a class or not (annotation is exhaustive), so what isn't there may
be asked for, too. Knows nothing of captions and of panoptic files.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import decode_rle, polygons_to_mask
from perceptiongpt.data import phrases
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.data.words import plural

FILE_LIMIT = 2_000_000_000
MOST_OF_A_CLASS = 4  # "all the people" of a crowd teach little and cost a token each
SMALLEST_SHARE = 0.004  # of the picture: less cannot be seen at the model's size
VARIANTS = 16  # dialogues a picture
VAL_PERCENT = 15


@dataclass(frozen=True, eq=False)
class _Picture:
    id: int
    path: Path
    size_wh: tuple[int, int]
    things: tuple[tuple[str, dict[str, Any]], ...]  # class name, annotation
    crowded: frozenset[str]


class Coco:
    """The dialogues of a COCO instances file: item i is one of `VARIANTS` ways to ask about a picture.

    `part`: "train" or "val" by a hash of the picture's id (15 % val), or "all". `images`: the folder that `file_name`
    is relative to, by default the file's own. Raises ValueError naming the file and the field that is wrong.
    """

    def __init__(
        self, path: str | Path, part: Literal["train", "val", "all"] = "all", seed: int = 0, images: Path | None = None
    ) -> None:
        if part not in ("train", "val", "all"):
            raise ValueError(f"part {part!r} of {path} came; wanted train, val or all")
        self.path, self.seed = Path(path), seed
        self.names, pictures = _read(self.path, images or self.path.parent)
        self.pictures = [p for p in pictures if part == "all" or (part == "val") == is_val(p.id)]

    def __len__(self) -> int:
        return len(self.pictures) * VARIANTS

    def __getitem__(self, i: int) -> Sample:
        picture, variant = self.pictures[i % len(self.pictures)], i // len(self.pictures)
        rng = np.random.default_rng((self.seed, picture.id, variant))
        return _dialogue(picture, self.names, rng)

    def things(self, picture: _Picture) -> list[Region]:
        """The instances of one of `pictures` that can be seen, labelled with their classes."""
        found = (_region(annotation, name, picture) for name, annotation in picture.things)
        return [region for region in found if region is not None]


def is_val(picture_id: int) -> bool:
    """Whether a picture belongs to the val part: the same for everyone, whatever else is in the file."""
    return zlib.crc32(str(picture_id).encode()) % 100 < VAL_PERCENT


def _read(path: Path, root: Path) -> tuple[list[str], list[_Picture]]:
    if path.stat().st_size > FILE_LIMIT:
        raise ValueError(f"{path} is larger than {FILE_LIMIT} bytes; split it")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}); give a COCO instances file") from error
    try:
        classes = {int(c["id"]): str(c["name"]) for c in data["categories"]}
        by_picture: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in data["annotations"]:
            by_picture[int(annotation["image_id"])].append(annotation)
        pictures = [
            _Picture(
                int(row["id"]),
                _inside(root, str(row["file_name"]), path),
                (int(row["width"]), int(row["height"])),
                tuple((classes[int(a["category_id"])], a) for a in by_picture[int(row["id"])] if not a.get("iscrowd")),
                frozenset(classes[int(a["category_id"])] for a in by_picture[int(row["id"])] if a.get("iscrowd")),
            )
            for row in data["images"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} lacks the field or category {error}; give a COCO instances file") from error
    return sorted(classes.values()), pictures


def _inside(root: Path, name: str, file: Path) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"{file}: picture {name!r} lies outside {root}; use names relative to the file's folder")
    return path


def _dialogue(picture: _Picture, names: list[str], rng: np.random.Generator) -> Sample:
    by_class: dict[str, list[Region]] = defaultdict(list)
    for name, annotation in picture.things:
        region = _region(annotation, name, picture)
        if region is not None:
            by_class[name].append(region)
    asked: list[tuple[str, list[Region]]] = []
    known = {name for name, _ in picture.things} | picture.crowded
    for name, regions in by_class.items():
        whole = len(regions) == sum(n == name for n, _ in picture.things) and name not in picture.crowded
        if whole and len(regions) == 1:
            asked.append((f"the {name}", regions))
        elif whole and len(regions) <= MOST_OF_A_CLASS:
            asked.append((f"all the {plural(name)}", sorted(regions, key=lambda r: r.box[0] if r.box else 0.0)))
    absent = [n for n in names if n not in known]
    if absent and (not asked or rng.random() < 0.6):
        asked.append((f"the {absent[int(rng.integers(len(absent)))]}", []))
    order = [asked[int(i)] for i in rng.permutation(len(asked))][:5]
    said = [(phrases.as_users_say(phrase, rng), regions) for phrase, regions in order]
    turns: list[Turn] = []
    if len(said) > 1 and rng.random() < 0.5:
        question = phrases.ask("list", rng, phrase=phrases.join_list([phrase for phrase, _ in said]))
        answer = phrases.answer_list([(phrase, len(regions)) for phrase, regions in said])
        turns = [Turn("user", question), Turn("assistant", answer, tuple(r for _, rs in said for r in rs))]
    else:
        for phrase, regions in said:
            turns.append(Turn("user", phrases.ask("region", rng, phrase=phrase)))
            turns.append(Turn("assistant", phrases.answer_region(phrase, len(regions)), tuple(regions)))
    objects = [r for regions in by_class.values() for r in regions]
    return Sample(picture.path, tuple(turns), f"coco-{picture.id}", {"objects": objects})


def _region(annotation: dict[str, Any], name: str, picture: _Picture) -> Region | None:
    """The annotation as a Region clipped to the picture; None for what is too small to see."""
    width, height = picture.size_wh
    x, y, w, h = (float(v) for v in annotation["bbox"])
    x0, y0, x1, y1 = max(0.0, x), max(0.0, y), min(float(width), x + w), min(float(height), y + h)
    if x1 <= x0 or y1 <= y0 or (x1 - x0) * (y1 - y0) < SMALLEST_SHARE * width * height:
        return None
    shape = annotation.get("segmentation")
    mask = None
    if isinstance(shape, dict):
        mask = decode_rle(shape)
    elif shape:
        mask = polygons_to_mask(shape, (height, width))
    if mask is not None and (mask.shape != (height, width) or not mask.any()):
        mask = None
    return Region(box=(x0, y0, x1, y1), mask=mask, label=name)

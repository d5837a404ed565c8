"""What is asked of a model and what is true: pictures with phrases and the regions they mean, from several sources.

Knows the sources of data. Knows no models and judges nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import encode_rle
from perceptiongpt.core.packed import Packed, pack, packed_of
from perceptiongpt.data.dialogues import visible
from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.record import Record, strict
from perceptiongpt.data.sample import Picture
from perceptiongpt.data.scenes import Scenes, make_scene
from perceptiongpt.data.words import plural
from perceptiongpt.sources import sound_records

DEFAULT_SEED = 1
ABSENT = 1  # classes asked of each photograph that it does not hold
_SKIP = 10_000_000  # as data.scenes does: a picture of which nothing may be asked is made again from another index


@dataclass(frozen=True, eq=False)
class Question:
    """A phrase about a picture and the regions that it means; none for what isn't there.

    `kind` of expression: name, colour, place … group, none; `class` where all of a class are asked for. `distractors`:
    how many other things of the target's kind the picture holds; None where that isn't known.
    """

    id: str
    phrase: str
    kind: str
    targets: tuple[Packed, ...]
    size_wh: tuple[int, int]
    category: str | None = None
    distractors: int | None = None


@dataclass(frozen=True, eq=False)
class Asked:
    """A picture and the questions about it."""

    picture: Picture
    questions: tuple[Question, ...]


def questions_of(
    data: str, seed: int | None = None, library: ObjectLibrary | None = None
) -> tuple[Iterator[Asked], str]:
    """The questions that `data` names, and the protocol's words for it.

    "scenes:SPLIT" or "scenes:SPLIT:SEED" makes pictures without end (seed 1 unless told); "coco:FILE:PART" asks of
    each photograph in the part (train, val, all) for every class that it holds and one that it doesn't; else a folder
    that `data scenes` wrote. Raises ValueError or FileNotFoundError.
    """
    kind, _, rest = data.partition(":")
    if kind == "scenes":
        split, _, told = rest.partition(":")
        if told and not told.isdecimal():
            raise ValueError(f"{told!r} in {data!r} is no seed; write scenes:test:1, for example")
        chosen = int(told) if told else DEFAULT_SEED if seed is None else seed
        opened = library or ObjectLibrary.open()
        opened.objects(split)  # type: ignore[arg-type]  # refuses a split that does not exist
        return scene_questions(opened, split, chosen), f"scenes:{split} seed {chosen}"
    if kind == "coco":
        file, _, part = rest.rpartition(":")
        if part not in ("train", "val", "all") or not file:
            raise ValueError(f"{data!r} names no part; write coco:instances.json:val, or :train, or :all")
        return record_questions(list(strict(sound_records(data)))), f"coco:{Path(file).name}:{part}"
    if not Path(data).is_dir():
        raise FileNotFoundError(
            f"{data} is neither scenes:SPLIT nor coco:FILE:PART nor a folder; make one with `perceptiongpt data scenes`"
        )
    return folder_questions(Scenes(data)), Path(data).name


def scene_questions(library: ObjectLibrary, split: Any, seed: int) -> Iterator[Asked]:
    """Composed pictures with their expressions, made when asked for, without end."""
    index = 0
    while True:
        scenes = (make_scene(library, split, seed, index + again * _SKIP) for again in range(100))
        scene = next((s for s in scenes if s.expressions), None)
        if scene is None:
            raise ValueError(f"no picture of split {split!r} offers a question; the library is too small")
        things = [Packed(o.box, encode_rle(o.mask), label=o.kind) for o in scene.objects]
        kinds = Counter(o.kind for o in scene.objects)
        yield Asked(
            scene.image,
            tuple(
                Question(
                    f"{split}-{seed}-{index:06d}-{k}",
                    e.phrase,
                    e.kind,
                    tuple(things[i] for i in e.targets),
                    scene.image.size,
                    *_company([things[i] for i in e.targets], kinds),
                )
                for k, e in enumerate(scene.expressions)
            ),
        )
        index += 1


def folder_questions(scenes: Scenes) -> Iterator[Asked]:
    """The expressions in a folder, those of one picture together."""
    for image, rows in groupby(scenes.expressions(), key=lambda row: row["image"]):
        found = []
        size = open_picture(image).size
        for row in rows:
            regions = zip(row["boxes"], row["masks"], strict=True)
            targets = tuple(packed_of({"box": box, "mask": rle}) for box, rle in regions)
            found.append(Question(row["id"], row["phrase"], row["kind"], targets, size))
        yield Asked(image, tuple(found))


def record_questions(records: Iterable[Record]) -> Iterator[Asked]:
    """Each class of a photograph by name: one instance is referred to, several are all asked for, absent ones too."""
    for number, record in enumerate(records):
        if record.image is None:
            continue
        size = record.size()
        by_class: dict[str, list[Region | None]] = {}
        for thing in record.things:
            by_class.setdefault(thing.name or "", []).append(None if thing.crowd else thing.region(size))
        found = []
        for name, regions in sorted(by_class.items()):
            # A crowd is one annotation for many, and what is too small to be seen has no truth either.
            seen = [r for r in regions if r is not None and visible(r, size)]
            if not name or len(seen) < len(regions) or name in record.partly:
                continue
            kind = "class" if len(seen) > 1 else "name"
            phrase = f"all the {plural(name)}" if kind == "class" else f"the {name}"
            found.append((name, phrase, kind, tuple(pack(r) for r in seen)))
        absent = [name for name in record.known if name not in by_class and name not in record.partly]
        start = 7 * number  # another class for each picture, the same for everyone
        for turn in range(min(ABSENT, len(absent))):
            name = absent[(start + turn) % len(absent)]
            found.append((name, f"the {name}", "none", ()))
        yield Asked(
            record.image,
            tuple(
                Question(
                    f"{record.key}-{name}", phrase, kind, targets, size, name, len(targets) - 1 if targets else None
                )
                for name, phrase, kind, targets in found
            ),
        )


def _company(targets: Sequence[Packed], kinds: Counter[str]) -> tuple[str | None, int | None]:
    """The category that all targets share, and how many things of it are not meant."""
    names = {t.label for t in targets}
    if len(names) != 1:
        return None, None
    name = names.pop() or ""
    return name, kinds[name] - len(targets)

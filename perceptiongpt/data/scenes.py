"""Scenes: pictures composed of real objects on real photographs, with exact truth and expressions that are unique.

The door of several files: scene_cast.py chooses who appears, scene_compose.py makes the picture, scene_referents.py
and scene_expressions.py what may be asked about it, scene_talk.py the dialogue; here they become a source for training,
a folder on disk, and are read back.
The same library, split, seed and index give the same bytes (with the same Pillow and numpy).
"""

from __future__ import annotations

import io
import json
import multiprocessing
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from perceptiongpt.core.masks import encode_rle
from perceptiongpt.data.files import below
from perceptiongpt.data.jsonl import read_jsonl, read_rows, write_jsonl
from perceptiongpt.data.objects import SPLITS, ObjectLibrary, Split
from perceptiongpt.data.sample import Sample
from perceptiongpt.data.scene_cast import cast_of
from perceptiongpt.data.scene_closer import closer_sample
from perceptiongpt.data.scene_compose import SceneObject, compose
from perceptiongpt.data.scene_expressions import MIX, MIX_ALIKE, MIX_MISSING, express
from perceptiongpt.data.scene_referents import Expression, Scene
from perceptiongpt.data.scene_talk import scene_sample, shown

__all__ = ["Expression", "Scene", "SceneObject", "SceneStream", "Scenes", "make_scene", "scene_samples", "write_scenes"]

JPEG_QUALITY = 90
FLAVOURS = {"scenes": MIX, "missing": MIX_MISSING, "alike": MIX_ALIKE, "closer": MIX}
ALIKE = (0.0, 0.0, 0.25, 0.25, 0.15, 0.1, 0.1, 0.08, 0.07)  # how often 0, 1, 2 … 8 things of a picture are of one kind


def make_scene(
    library: ObjectLibrary,
    split: Split,
    seed: int,
    index: int,
    count: tuple[int, int] = (2, 6),
    most: int = 8,
    mix: Mapping[str, float] = MIX,
    alike: int = 0,
) -> Scene:
    """The `index`-th scene of a split and seed: `count` things (least, most) and at most `most` expressions of `mix`.

    `alike`: how many of the things are of one kind, where that is to be known.
    """
    rng = _generator(split, seed, index, 0)
    image, objects = compose(library, split, rng, count, alike)
    found = express(objects, image.size, cast_of(library, split).nouns, rng, most, mix)
    return Scene(image, tuple(objects), found, f"{split}-{seed}-{index:06d}")


def scene_samples(scene: Scene, rng: np.random.Generator, least: int = 3, most: int = 7) -> Sample:
    """One sample of a scene: `least` to `most` questions about the picture in sequence, mostly for regions."""
    return scene_sample(scene, rng, least, most)


@dataclass(frozen=True)
class SceneStream:
    """n samples of a split, made when asked for: `stream[i]` is a Sample with its picture in memory.

    `turns`: how many questions (least, most) are asked about a picture of 2 to 6 things. `flavour`: "scenes";
    "missing": half of the questions are for what isn't there, and answered with a region that is nowhere, an empty
    mask, so that the score learns presence; "alike": 2 to 8 of a picture's things are of one kind, asked for together
    or told apart by colour, place, size, relation and order; "closer": pieces of pictures around one thing, asked for
    what the whole picture shows (`scene_closer`).
    """

    split: Split
    seed: int
    n: int
    library: ObjectLibrary
    turns: tuple[int, int] = (3, 7)
    flavour: str = "scenes"

    @property
    def names(self) -> list[str]:
        """What its things are called."""
        return sorted({thing.name for thing in self.library.objects(self.split)})

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Sample:
        if not -self.n <= i < self.n:
            raise IndexError(f"scene {i} came; there are {self.n}")
        if self.flavour == "closer":
            return _closer(self.library, self.split, self.seed, i % self.n)
        scene, sample = _sample(self.library, self.split, self.seed, i % self.n, self.turns, self.flavour)
        return replace(sample, meta={**sample.meta, **shown(scene)})

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(self.n))


def _sample(
    library: ObjectLibrary,
    split: Split,
    seed: int,
    index: int,
    turns: tuple[int, int],
    flavour: str = "scenes",
) -> tuple[Scene, Sample]:
    """A scene and its sample; a picture of which nothing may be asked is made again from the next generator."""
    alike = int(_generator(split, seed, index, 2).choice(len(ALIKE), p=ALIKE)) if flavour == "alike" else 0
    count = (alike, alike + 2) if alike else (2, 6)
    for again in range(100):
        scene = make_scene(library, split, seed, index + again * 10_000_000, count, mix=FLAVOURS[flavour], alike=alike)
        sample_rng = _generator(split, seed, index, 1)
        if scene.expressions:
            scene = replace(scene, id=f"{split}-{seed}-{index:06d}")
            return scene, scene_sample(scene, sample_rng, *turns, nowhere=flavour == "missing")
    raise ValueError(f"no picture of split {split!r} offers a question; the library in {library.folder} is too small")


def _closer(library: ObjectLibrary, split: Split, seed: int, index: int) -> Sample:
    """A piece of the scene of that index, or of the first after it that has one, every other one with several alike."""
    for again in range(100):
        at = index + again * 10_000_000
        rng = _generator(split, seed, at, 3)
        alike = int(rng.choice(len(ALIKE), p=ALIKE)) if rng.random() < 0.5 else 0
        mix = FLAVOURS["alike" if alike else "closer"]
        scene = make_scene(library, split, seed, at, (alike, alike + 2) if alike else (2, 6), mix=mix, alike=alike)
        sample = closer_sample(scene, rng)
        if sample is not None:
            return sample
    raise ValueError(f"no picture of split {split!r} offers a thing to look at; give a larger library")


def _generator(split: Split, seed: int, index: int, purpose: int) -> np.random.Generator:
    if split not in SPLITS:
        raise ValueError(f"split {split!r} came; wanted one of {', '.join(SPLITS)}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed {seed} and index {index} came; wanted 0 or more")
    return np.random.default_rng([seed, SPLITS.index(split), index, purpose])


def write_scenes(
    out: str | Path, split: Split, n: int, seed: int, library: ObjectLibrary | None = None, workers: int = 0
) -> Path:
    """Writes n scenes to the folder `out`, whole or not at all, and gives it back.

    `images/%06d.jpg`, `annotations.json` (COCO instances), `samples.jsonl` (dialogues), `expressions.jsonl` (what
    `evaluate` asks). `workers`: processes beside this one, 0 for none. Raises FileExistsError unless `out` is empty.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not an empty folder; name another or empty it first")
    if n < 1:
        raise ValueError(f"{n} scenes were asked for; wanted 1 or more")
    library = library or ObjectLibrary.open()
    partial_out = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial_out, ignore_errors=True)
    (partial_out / "images").mkdir(parents=True)
    try:
        _write_all(partial_out, split, n, seed, library, workers)
        if out.exists():
            out.rmdir()
        partial_out.rename(out)
    except BaseException:
        shutil.rmtree(partial_out, ignore_errors=True)
        raise
    return out


def _write_all(out: Path, split: Split, n: int, seed: int, library: ObjectLibrary, workers: int) -> None:
    kinds = sorted({o.kind for o in (*library.objects(split), *library.objects("test" if split == "novel" else split))})
    category = {kind: i for i, kind in enumerate(kinds, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []

    def samples() -> Iterator[Sample]:
        with (out / "expressions.jsonl").open("w", encoding="utf-8") as asked:
            for index, (picture, scene, sample) in enumerate(_made(library, split, seed, n, workers)):
                file = f"images/{index:06d}.jpg"
                (out / file).write_bytes(picture)
                width, height = scene.image.size
                images.append({"id": index, "file_name": file, "width": width, "height": height})
                rles = [encode_rle(o.mask) for o in scene.objects]
                for thing, rle in zip(scene.objects, rles, strict=True):
                    annotations.append(_coco(len(annotations) + 1, index, category[thing.kind], thing, rle))
                for k, expression in enumerate(scene.expressions):
                    row = _asked(f"{index:06d}-{k}", file, expression, scene, rles)
                    asked.write(json.dumps(row, ensure_ascii=False) + "\n")
                yield replace(sample, image=out / file)

    write_jsonl(out / "samples.jsonl", samples())
    whole = {
        "info": {"description": f"scenes: split {split}, seed {seed}, {n} pictures"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": kind} for kind, i in category.items()],
    }
    (out / "annotations.json").write_text(json.dumps(whole), encoding="utf-8")


def _made(
    library: ObjectLibrary, split: Split, seed: int, n: int, workers: int
) -> Iterator[tuple[bytes, Scene, Sample]]:
    if workers <= 0:
        yield from (_pressed(library, split, seed, i) for i in range(n))
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(partial(_elsewhere, library.folder, split, seed), range(n), chunksize=8)


def _pressed(library: ObjectLibrary, split: Split, seed: int, index: int) -> tuple[bytes, Scene, Sample]:
    scene, sample = _sample(library, split, seed, index, (3, 7))
    packed = io.BytesIO()
    scene.image.save(packed, "JPEG", quality=JPEG_QUALITY)
    return packed.getvalue(), scene, sample


@lru_cache(maxsize=1)
def _opened(folder: Path) -> ObjectLibrary:
    return ObjectLibrary.open(folder)


def _elsewhere(folder: Path, split: Split, seed: int, index: int) -> tuple[bytes, Scene, Sample]:
    return _pressed(_opened(folder), split, seed, index)


def _coco(number: int, image: int, category: int, thing: SceneObject, rle: dict[str, Any]) -> dict[str, Any]:
    x0, y0, x1, y1 = thing.box
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": rle,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(np.count_nonzero(thing.mask)),
        "iscrowd": 0,
        "name": thing.name,
        "colour": thing.colour,
        "object_id": thing.object_id,
        "visible_share": round(thing.visible_share, 4),
    }


def _asked(number: str, file: str, expression: Expression, scene: Scene, rles: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": number,
        "image": file,
        "phrase": expression.phrase,
        "kind": expression.kind,
        "boxes": [list(scene.objects[i].box) for i in expression.targets],
        "masks": [rles[i] for i in expression.targets],
    }


class Scenes:
    """A folder that `write_scenes` wrote, read line by line."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.asked = self.folder / "expressions.jsonl"
        missing = [
            f for f in ("samples.jsonl", "expressions.jsonl", "annotations.json") if not (self.folder / f).is_file()
        ]
        if missing:
            raise FileNotFoundError(
                f"no {missing[0]} in {self.folder}; make the folder with `perceptiongpt data scenes`"
            )

    def samples(self) -> Iterator[Sample]:
        """The dialogues; `image` is the picture's path."""
        return read_jsonl(self.folder / "samples.jsonl", self.folder)

    def expressions(self) -> Iterator[dict[str, Any]]:
        """What `evaluate` asks, as `read_expressions` gives it."""
        return read_expressions(self.asked)


def read_expressions(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of `expressions.jsonl`: id, image (a path), phrase, kind, boxes (xyxy pixels), masks (RLE).

    Photographs to train on have a tag, too: what sort of picture they are.
    """
    for where, row in read_rows(file):
        wanted = {"id", "image", "phrase", "kind", "boxes", "masks"}
        if not isinstance(row, dict) or set(row) - {"tag"} != wanted:
            raise ValueError(f"{where}: other keys than {sorted(wanted)}; write the scenes again")
        if not all(isinstance(row[k], str) for k in ("id", "phrase", "kind")):
            raise ValueError(f"{where}: id, phrase or kind is no text; write the scenes again")
        yield {**row, "image": below(file.parent, row["image"], where)}

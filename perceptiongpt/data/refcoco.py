"""Referring expressions in the official files: RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO.

Knows `refs(unc|umd|google).p` or `grefs(unc).json` with `instances.json` beside it, and their splits. An expression of
gRefCOCO may mean several things or none. Knows nothing of how pickles are made safe (core.plain_pickle).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perceptiongpt.data.coco import compact, thing
from perceptiongpt.data.files import below, folder_of, read_json, read_pickle, reading, words
from perceptiongpt.data.record import Fault, Record, Say

PREFERRED = ("refs(unc).p", "refs(umd).p", "grefs(unc).json", "refs(google).p")  # what publications use, in this order
SPLITS = ("train", "val", "testA", "testB", "test")


def read(path: Path, part: str = "train", say: Say = print) -> Iterator[Record | Fault]:
    """The pictures of one split with all expressions about them; ValueError for a split that the file lacks.

    `path`: the folder of the files, or one of its refs files where there are several.
    """
    refs = _refs_file(path)
    rows = read_json(refs, "grefs(unc).json") if refs.suffix == ".json" else read_pickle(refs)
    data = read_json(refs.parent / "instances.json", "the instances.json that came with the expressions", compact)
    with reading(refs, "the official files of a RefCOCO data set"):
        splits = sorted({str(r["split"]) for r in rows})
        if part not in splits:
            raise ValueError(f"{refs} has no split {part!r}; choose {', '.join(splits)}")
        say(f"{refs.name}, split {part}: boxes of instances.json as x, y, width, height in pixels")
        classes = {int(c["id"]): words(c["name"]) for c in data["categories"]}
        annotations = {int(a["id"]): a for a in data["annotations"]}
        images = {int(row["id"]): row for row in data["images"]}
        by_picture: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for ref in rows:
            if ref["split"] == part:
                by_picture[int(ref["image_id"])].append(ref)
        root = folder_of(images[next(iter(by_picture))]["file_name"], _folders(refs.parent))
        for number, about in by_picture.items():
            yield _record(refs, images[number], about, annotations, classes, root)


def _record(
    refs: Path,
    row: dict[str, Any],
    about: list[dict[str, Any]],
    annotations: dict[int, dict[str, Any]],
    classes: dict[int, str],
    root: Path,
) -> Record | Fault:
    where = f"{refs.name}:image {row['id']}"
    meant = {i: None for ref in about for i in _ids(ref)}
    if lost := [i for i in meant if i not in annotations]:
        return Fault(where, f"annotation {lost[0]} is not in instances.json")
    order = {i: k for k, i in enumerate(meant)}
    return Record(
        below(root, row["file_name"], where),
        where,
        str(row["id"]),
        (int(row["width"]), int(row["height"])),
        tuple(thing(annotations[i], classes, annotations[i].get("segmentation")) for i in meant),
        tuple((words(s["sent"]), tuple(order[i] for i in _ids(ref))) for ref in about for s in ref["sentences"]),
    )


def _ids(ref: dict[str, Any]) -> list[int]:
    """The annotations that a reference means: one, or a list in gRefCOCO, where [-1] is none."""
    ids = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
    return [] if ref.get("no_target") else list(dict.fromkeys(int(i) for i in ids if int(i) >= 0))


def _refs_file(path: Path) -> Path:
    if path.is_file():
        return path
    found = [path / name for name in PREFERRED if (path / name).is_file()]
    if not found:
        raise FileNotFoundError(f"{path} holds none of {', '.join(PREFERRED)}; give the folder of a RefCOCO data set")
    return found[0]


def _folders(folder: Path) -> list[Path]:
    names = ("", "images", "train2014", "images/train2014", "images/mscoco/images/train2014")
    return [root / name for root in (folder, folder.parent, folder.parent.parent) for name in names]

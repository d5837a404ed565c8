"""Whole photographs of things of the object library, each with the mask that cut its thing out.

Knows which photographs are strictly held out: neither the thing nor a piece of what is beside it was ever trained on;
and which may be trained on: nothing of them is held out, and a detector sees a thing where the mask is. Knows nothing
of the networks. A line is as in `expressions.jsonl` of `perceptiongpt data scenes`; those to train on have a `tag`.

    python tools/objects/wholes.py GCOMPRIS_TREE ISNET_ONNX MASK_CACHE LIBRARY NANODET_TOOL NANODET_MODELS OUT
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cutout import Cutter, complaint
from detector import agreement, detections
from PIL import Image
from pycocotools import mask as coco_mask
from readmes import pictures

from perceptiongpt.data.objects import read_index

LONGEST = {"train": 384}  # others are judged at 512
AGREE = 0.5  # the IoU of the detector's box and the mask's, where a photograph is trained on
QUALITY = 85
HEAD = """# Credits of the photographs

Whole photographs from Debian `gcompris-qt-data` 3.1-2, made smaller and stored as WebP; the masks were made by a
network (ISNet) and looked at; a detector (NanoDet) sees a thing in the same place where they are trained on. PD:
public domain. CC0-1.0: https://creativecommons.org/publicdomain/zero/1.0/

| photograph | author | licence | source |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Told:
    """What the library says of a photograph."""

    split: str
    name: str
    kind: str
    tag: str


def wanted(listing: dict) -> dict[str, Told]:
    """The photographs "folder/stem" of which no piece is on both sides: held out, and anything of it trained on."""
    beside = {b["id"].removeprefix("background/"): b["split"] for b in listing["backgrounds"]}
    found = {}
    for thing in listing["objects"]:
        key = thing["id"].removeprefix("photo/")
        around = beside.get(key)
        if key != thing["id"] and around in ((None, "train") if thing["split"] == "train" else (None, "val", "test")):
            found[key] = Told(thing["split"], thing["name"].lower(), thing["kind"].lower(), thing["tags"][0])
    return found


def lines(picture: Image.Image, alpha: Image.Image, key: str, name: str, kind: str, file: str) -> list[dict]:
    """A line for each noun of the one thing in the picture."""
    solid = np.asfortranarray(np.asarray(alpha.resize(picture.size)) > 127)
    y, x = np.nonzero(solid)
    rle = coco_mask.encode(solid.astype(np.uint8, order="F"))
    region = {
        "boxes": [[float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1)]],
        "masks": [{"size": list(map(int, rle["size"])), "counts": rle["counts"].decode()}],
    }
    return [
        {"id": f"{key.replace('/', '_')}-{i}", "image": file, "phrase": f"the {noun}", "kind": "name", **region}
        for i, noun in enumerate(dict.fromkeys((name, kind)))
    ]


def write(tree: Path, cutter: Cutter, library: Path, tool: Path, models: Path, out: Path) -> dict[str, int]:
    """Write `images/`, a JSONL file a split and CREDITS.md; how many photographs each split has."""
    listing = read_index(library)
    known = {p.key: p for p in pictures(tree) if p.licence in ("PD", "CC0-1.0")}
    (out / "images").mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict]] = {"train": [], "val": [], "test": [], "novel": []}
    credits, counts = [], dict.fromkeys(rows, 0)
    for key, told in sorted(wanted(listing).items()):
        with Image.open(known[key].path) as opened:
            whole = opened.convert("RGBA")
        if np.asarray(whole)[..., 3].min() < 255:
            continue  # cut out by its maker: there is no photograph around it
        whole = whole.convert("RGB")
        alpha = cutter.mask(whole, key)
        reason = complaint(np.asarray(alpha))
        if told.split == "train" and not reason:
            agree = agreement(detections([whole], tool, models)[0], np.asarray(alpha) > 127)
            reason = None if agree >= AGREE else f"no agreement: {agree:.2f}"
        if reason:
            print(f"left out {key}: {reason}")
            continue
        small = whole.copy()
        small.thumbnail((LONGEST.get(told.split, 512),) * 2, Image.Resampling.LANCZOS)
        file = f"images/{key.replace('/', '_')}.webp"
        small.save(out / file, "WEBP", quality=QUALITY, method=4)
        more = {"tag": told.tag} if told.split == "train" else {}
        rows[told.split] += [line | more for line in lines(small, alpha, key, told.name, told.kind, file)]
        counts[told.split] += 1
        author = known[key].author.replace("|", "/")
        credits.append(f"| {Path(file).stem} | {author} | {known[key].licence} | {known[key].url} |")
    for split, found in rows.items():
        (out / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    (out / "CREDITS.md").write_text(HEAD + "\n".join(credits) + "\n", encoding="utf-8")
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 8:
        raise SystemExit(__doc__)
    tree_, onnx_, cache_, library_, tool_, models_, out_ = map(Path, sys.argv[1:])
    print(write(tree_, Cutter(onnx_, cache_), library_, tool_, models_, out_))

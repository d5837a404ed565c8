"""Whole photographs of what the object library holds out of training, each with the mask that cut its thing out.

Knows which photographs are strictly held out: neither the thing nor a piece of what is beside it was ever trained on.
Knows nothing of the network. A line is as in `expressions.jsonl` of `perceptiongpt data scenes`.

    python tools/objects/wholes.py GCOMPRIS_TREE ISNET_ONNX MASK_CACHE LIBRARY OUT
"""

import json
import sys
from pathlib import Path

import numpy as np
from cutout import Cutter, complaint
from PIL import Image
from pycocotools import mask as coco_mask
from readmes import pictures

LONGEST = 512
QUALITY = 85
HEAD = """# Credits of the photographs

Whole photographs from Debian `gcompris-qt-data` 3.1-2, made smaller and stored as WebP; the masks were made by a
network (ISNet) and looked at. PD: public domain. CC0-1.0: https://creativecommons.org/publicdomain/zero/1.0/

| photograph | author | licence | source |
|---|---|---|---|
"""


def held_out(listing: dict) -> dict[str, tuple[str, str, str]]:
    """(split, name, kind) of each photograph "folder/stem" that training never saw a piece of."""
    seen = {b["id"].removeprefix("background/") for b in listing["backgrounds"] if b["split"] == "train"}
    photographs = [o for o in listing["objects"] if o["id"].startswith("photo/")]
    found = {o["id"].removeprefix("photo/"): (o["split"], o["name"].lower(), o["kind"].lower()) for o in photographs}
    return {key: told for key, told in found.items() if told[0] != "train" and key not in seen}


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


def write(tree: Path, cutter: Cutter, library: Path, out: Path) -> dict[str, int]:
    """Write `images/`, a JSONL file a split and CREDITS.md; how many photographs each split has."""
    listing = json.loads((library / "objects.json").read_text(encoding="utf-8"))
    known = {p.key: p for p in pictures(tree) if p.licence in ("PD", "CC0-1.0")}
    (out / "images").mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict]] = {"val": [], "test": [], "novel": []}
    credits, counts = [], dict.fromkeys(rows, 0)
    for key, (split, name, kind) in sorted(held_out(listing).items()):
        with Image.open(known[key].path) as opened:
            whole = opened.convert("RGBA")
        if np.asarray(whole)[..., 3].min() < 255:
            continue  # cut out by its maker: there is no photograph around it
        alpha = cutter.mask(whole.convert("RGB"), key)
        reason = complaint(np.asarray(alpha))
        if reason:
            print(f"left out {key}: {reason}")
            continue
        small = whole.convert("RGB")
        small.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        file = f"images/{key.replace('/', '_')}.webp"
        small.save(out / file, "WEBP", quality=QUALITY, method=4)
        rows[split] += lines(small, alpha, key, name, kind, file)
        counts[split] += 1
        author = known[key].author.replace("|", "/")
        credits.append(f"| {Path(file).stem} | {author} | {known[key].licence} | {known[key].url} |")
    for split, told in rows.items():
        (out / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    (out / "CREDITS.md").write_text(HEAD + "\n".join(credits) + "\n", encoding="utf-8")
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 6:
        raise SystemExit(__doc__)
    tree_, onnx_, cache_, library_, out_ = map(Path, sys.argv[1:])
    print(write(tree_, Cutter(onnx_, cache_), library_, out_))

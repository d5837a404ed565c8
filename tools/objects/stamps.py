"""A library with more to train on: the packaged one, and the stamps of Tux Paint, photographs and drawings cut out.

The stamps are GPL-2, so this library is for training on one's own machine and is never shipped. They are `train` alone;
one whose name says a novel kind, or that looks like what is held out, is left out, and so is one with no plain name.

    python tools/objects/stamps.py STAMPS_FOLDER OUT_DIR

STAMPS_FOLDER is `usr/share/tuxpaint/stamps` of Debian's `tuxpaint-stamps-default`, unpacked (2022.06.04-1, or
2025.05.26-1, which has more).
"""

import re
import sys
from pathlib import Path

from colours import COLOURS, colour
from held import HeldOut
from larger import larger, reported
from PIL import Image
from staging import crop, write_object

from perceptiongpt.data.objects import ObjectLibrary

PACKAGED = Path(__file__).parents[2] / "perceptiongpt" / "data" / "objects"
CREDIT = {
    "source": "tuxpaint-stamps-default",
    "licence": "GPL-2.0",
    "author": "Bill Kendrick and the artists of Tux Paint",
    "url": "https://tuxpaint.org/stamps/",
}
LONGEST, SHORTEST = 200, 90  # pixels of the longer side: larger are made smaller, smaller are left out

# What a stamp's first sentence says, and no more: "A red kangaroo.", "A pair of pliers."
SENTENCE = re.compile(
    r"(?:An?|Some|The) (?:(?:pair|head|bunch|cluster|string) of )?((?:[a-z][a-z’'-]+ ?|[A-Z][a-z]+ (?=[a-z])){1,3})\.?$"
)
# Sayings, scenes, and what nobody would ask for by that name.
DROP = {"symbols", "flags", "roadsigns", "monuments", "naturalforces", "planets", "space", "body_parts"}
NOT_NAMED = ("star", "wings", "baby", "another", "two", "city", "docks", "couple")


def stamps(folder: Path, packaged: ObjectLibrary, work: Path) -> list[dict]:
    """Write the stamps' pictures under `work` and return their rows for the index, by path."""
    held, rows = HeldOut(packaged), []
    for path in sorted(folder.rglob("*.png")):
        inside = path.relative_to(folder)
        name = called(path.with_suffix(".txt"))
        if name is None or DROP & set(inside.parts) or re.search(r"_(mirror|flip)", path.stem):
            continue
        kind = name.split()[-1]
        if held.says(name, kind):
            continue
        with Image.open(path) as image:
            if max(image.size) > 4096:
                continue
            rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() == (255, 255) or not rgba.getchannel("A").getbbox():
            continue
        picture = crop(rgba, LONGEST)
        if max(picture.size) < SHORTEST or held.shows(picture):
            continue
        row = write_object(work, f"stamp/{inside.with_suffix('').as_posix()}", picture, name=name, kind=kind)
        word = [w for w in name.split() if w in COLOURS]
        tags = [inside.parts[0].rstrip("s"), "drawing" if "cartoon" in inside.parts else "photograph"]
        row["views"] = [view | {"size_wh": list(picture.size)} for view in row["views"]]
        rows.append(row | CREDIT | {"tags": tags, "split": "train", "colour": word[0] if word else colour([picture])})
    return rows


def called(text: Path) -> str | None:
    """What a stamp's text calls it, in lower case; None where it isn't called by a plain name."""
    if not text.is_file():
        return None
    first = text.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].strip()
    found = SENTENCE.match(first)
    name = found[1].strip().lower().replace("’", "'") if found else None
    return None if name is None or set(name.split()) & set(NOT_NAMED) else name


def build(folder: Path, out: Path) -> int:
    """Write the larger library into `out` and return how many stamps it has."""
    with larger(PACKAGED, out) as (work, rows):
        rows += stamps(folder, ObjectLibrary.open(PACKAGED), work)
    return len(rows)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    sys.exit(reported(lambda: build(Path(sys.argv[1]), Path(sys.argv[2])), "stamps"))

"""A library with more to train on: another one, and drawings of the Open Clip Art Library, in the public domain.

They are `train` alone; one whose name says a novel kind, or that looks like what is held out, is left out, and so is
one with no plain English name, with a background, or in one colour.

    python tools/objects/clipart.py SVG_FOLDER LIBRARY OUT

SVG_FOLDER is `usr/share/openclipart/svg` of Debian's `openclipart-svg` 1:0.18+dfsg-19, unpacked; LIBRARY a folder with
a library (what flats.py made, for example), OUT the new folder. Needs `resvg-py`. The files are strangers': none over
SIZE_LIMIT is read, and none that names another file is drawn, since resvg would open that.
"""

import hashlib
import html
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from clipart_names import IDLE, KINDS, LOOKED, NOUNS
from colours import COLOURS, flat_colour
from furniture_names import kind_of
from held import HeldOut
from larger import larger, reported
from PIL import Image
from splits import digest
from staging import crop, write_object

from perceptiongpt.data.objects import ObjectLibrary

AUTHORS = "Open Clip Art Library"
CREDIT = {"source": "openclipart-svg 0.18", "licence": "PD", "url": "https://openclipart.org/"}
SIZE_LIMIT = 2 << 20  # bytes of one SVG
DRAWN, LONGEST, SHORTEST = 800, 200, 90  # pixels of the longer side: of the page, and of what is cropped from it
OF_ONE_NAME = 6  # drawings of one name, so that none crowds

# An image may point to a part of its own document and to pixels inside it (whose type the oldest leave out). An entity
# that holds elements or other entities could hide a name of a file.
OUTSIDE = re.compile(
    r"""href\s*=\s*["']\s*(?!#|data:image/(?:png|jpe?g|gif);|data:;base64,(?:iVBOR|/9j/))"""
    r"""|<!ENTITY[^"'>]*["'][^"'>]*[<&]"""
)
# Signs, symbols, shapes, icons, parts of bodies, cards.
UNWANTED = re.compile(
    r"(signs_and_symbols|shapes|special|geography|logos|buttons|decorations|unsorted/duplicates|people/smilies"
    r"|people/stickmen|people/bodypart|transportation/(aiga-symbols|roadsigns)|recreation/(games|religion)"
    r"|computer/(icons|buttons|folders|diagrams))/"
)
# A title that names the collection: the file's name says what it shows.
COLLECTION = re.compile(r"clip ?art|icon|su?i?bmi?ss?ion|theme|sallite|connectors|general|menu coll", re.IGNORECASE)
COLOURLESS = re.compile(
    r"_bw(?![a-z])|\bbw\b|b ?(and|&|&amp;|n|_) ?w\b|outline|contour|silhou?ett?e?|symbol", re.IGNORECASE
)
PREPOSITIONS = re.compile(r" (?:with|in|on|against|for|from|under)\b.*")


def clips(folder: Path, library: ObjectLibrary, work: Path, paint: Callable[[str], Image.Image]) -> list[dict]:
    """Write the drawings' pictures under `work` and return their rows for the index, by path.

    `paint` makes an SVG document an RGBA picture, or raises ValueError.
    """
    held = HeldOut(library)
    kinds = {o.kind for o in library.objects("train")}
    shown, of_name, rows = set[bytes](), Counter[str](), list[dict]()
    for identity, name, document in sorted(named(folder, known(library)), key=lambda told: digest(told[0])):
        kind = kind_among(name, kinds)
        if of_name[name] == OF_ONE_NAME or held.says(name, kind):
            continue
        try:
            picture = crop(paint(document), LONGEST)
        except ValueError:
            continue
        again = hashlib.sha256(picture.tobytes()).digest()
        if again in shown or not cut_out(picture) or held.shows(picture):
            continue
        shown.add(again)
        of_name[name] += 1
        row = write_object(work, identity, picture, name=name, kind=kind)
        row["views"] = [view | {"size_wh": list(picture.size)} for view in row["views"]]
        word = [w for w in name.split() if w in COLOURS]
        more = {
            "author": said(document, "<dc:creator>") or AUTHORS,
            "tags": [identity.split("/")[1].rstrip("s"), "drawing"],
            "split": "train",
        }
        rows.append(row | CREDIT | more | {"colour": word[0] if word else flat_colour(picture)})
    return sorted(rows, key=lambda row: row["id"])


def named(folder: Path, nouns: set[str]) -> Iterator[tuple[str, str, str]]:
    """The id, name and document of each SVG in the folder that may be read and shows something with a plain name."""
    for path in sorted(folder.rglob("*.svg")):
        inside = path.relative_to(folder).with_suffix("").as_posix()
        # Links show what stands elsewhere, too, or lead out of the folder.
        if UNWANTED.match(inside) or path.is_symlink() or path.stat().st_size > SIZE_LIMIT:
            continue
        document = path.read_text(encoding="utf-8", errors="replace")
        name = called(path.stem, said(document, ""), nouns)
        if name:
            yield f"clip/{inside}", name, document


def called(stem: str, title: str, nouns: set[str]) -> str | None:
    """What a file of this name and title shows, in lower case; None where it has no plain name of these nouns."""
    if COLOURLESS.search(f"{stem} {title}"):
        return None
    looked = max((start for start in LOOKED if begins(stem, start)), key=len, default=None)
    if looked:
        return LOOKED[looked] or None
    text = stem if not title or COLLECTION.search(title) else title
    text = re.sub(r"\(.*?\)|,.*", "", re.sub(r"([a-z])([A-Z])", r"\1 \2", text))
    text = PREPOSITIONS.sub("", " ".join(re.findall(r"[^\W\d_]+", text.lower())))
    words = [word for word in text.split() if word not in IDLE.split()]
    return " ".join(words) if 1 <= len(words) <= 3 and nouns.issuperset(words) else None


def begins(stem: str, start: str) -> bool:
    """Whether a file's name begins with these whole words, or with these letters and a star."""
    return stem.startswith(start[:-1]) if start.endswith("*") else bool(re.match(re.escape(start) + r"(?![a-z])", stem))


def known(library: ObjectLibrary) -> set[str]:
    """The words that names are made of: those of what is in training, and NOUNS."""
    return {*NOUNS.split()} | {word for o in library.objects("train") for word in f"{o.name} {o.kind}".split()}


def kind_among(name: str, kinds: set[str]) -> str:
    """The kind of a name, one of these kinds where one fits: "monkey head" -> "monkey", "red peppers" -> "pepper"."""
    if name in KINDS:
        return KINDS[name]
    whole = name.removesuffix(" head")
    if (pair := " ".join(whole.split()[-2:])) in kinds and " " in pair:
        return pair
    kind = kind_of(whole)
    kind = KINDS.get(kind, kind)
    return kind[:-1] if kind not in kinds and kind[:-1] in {*kinds, *NOUNS.split()} else kind


def said(document: str, what: str) -> str:
    """The first title of an SVG's metadata, or the first within `what` ("creator"); "" where there is none."""
    field = re.search(what + r".*?<dc:title[^>]*>(.*?)</dc:title>", document, re.DOTALL)
    return " ".join(html.unescape(field[1]).split()) if field else ""


def cut_out(picture: Image.Image) -> bool:
    """Whether a cropped picture is large, not thin, in several colours, and not on a background of its own."""
    pixels = np.asarray(picture).astype(int)
    solid = pixels[..., 3] > 127
    if max(picture.size) < SHORTEST or solid.mean() < 0.06:
        return False
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if solid.mean() > 0.97 and _alike(rim[:, :3], 24) > 0.9:
        return False
    rgb = pixels[solid][:, :3]
    ink = (rgb.max(1) < 50) | (rgb.min(1) > 215)
    return bool(_alike(rgb, 40) <= 0.93 and ink.mean() <= 0.97)


def _alike(rgb: np.ndarray, within: int) -> float:
    """The share of pixels [n, 3] that are near the middle one."""
    return float((abs(rgb - np.median(rgb, axis=0)).max(1) < within).mean())


def painted(document: str) -> Image.Image:
    """An SVG document as an RGBA picture of DRAWN pixels; ValueError where it can't be drawn or names another file."""
    import resvg_py

    if OUTSIDE.search(document):
        raise ValueError("the drawing names another file, which isn't opened; leave it out")
    # 90 dots an inch, as the editors of that time had it; with none, millimetres and points are refused.
    made = resvg_py.svg_to_bytes(svg_string=document, width=DRAWN, height=DRAWN, dpi=90, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(made))).convert("RGBA")


def build(folder: Path, library: Path, out: Path) -> int:
    """Write the larger library into `out` and return how many drawings it gained."""
    with larger(library, out) as (work, rows):
        rows += clips(folder, ObjectLibrary.open(library), work, painted)
    return len(rows)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    sys.exit(reported(lambda: build(*map(Path, sys.argv[1:])), "drawings"))

"""Stage other artists' drawings of the emoji that `emoji.py` staged: the same name, kind and tag, another look.

Knows the layout of iconify's npm packages and which drawings show something else than they are called. Knows nothing
of splits (splits.py: drawings are for training alone) nor of characters: emoji.py and iconify both name a picture after
its character's Unicode name. Aliases aren't followed: what bears another name may show something else.

    python tools/objects/drawings.py STAGING PACKAGE [PACKAGE ...]
"""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from staging import crop, read_lines, write_lines, write_object

LONGEST = 112
SIDE = 256  # drawn larger, then made smaller with the crop

# Looked at beside the Fluent picture, whose name they would bear: what each shows instead. By iconify's
# prefix, which is the ids' group, too.
DROP = {
    "noto": """
blossom=yellow; knot=red and blue; notebook-with-decorative-cover=plain cover; womans-boot=brown; womans-clothes=purple
""",
    "twemoji": """
black-nib=fountain pen; bookmark=book; brick=one brick; ewe=ram; magnifying-glass-tilted-right=the left one mirrored;
notebook-with-decorative-cover=plain cover; statue-of-liberty=square scene; tennis=ball; womans-boot=brown;
womans-clothes=purple
""",
}


def drawings(package: Path, staging: Path, paint: Callable[[str], Image.Image]) -> list[dict]:
    """Write the pictures of one package under STAGING and return their lines, in the order of the staged emoji.

    `paint` makes an SVG document an RGBA picture. Raises ValueError when what is to be dropped isn't there.
    """
    told, info = (json.loads((package / f"{name}.json").read_text(encoding="utf-8")) for name in ("package", "info"))
    icons = json.loads((package / "icons.json").read_text(encoding="utf-8"))
    group = info["prefix"]
    dropped = {entry.partition("=")[0].strip() for entry in DROP[group].split(";")}
    credit = {
        "source": f"{told['name']} {told['version']}",
        "licence": info["license"]["spdx"],
        "author": info["author"]["name"],
        "url": info["author"]["url"],
    }
    lines: list[dict] = []
    missing = set(dropped)
    for emoji in read_lines(staging / "emoji.jsonl"):
        slug = emoji["id"].removeprefix("emoji/")
        missing.discard(slug)
        if slug in dropped or slug not in icons["icons"]:
            continue
        picture = crop(paint(svg(icons, slug)), LONGEST)
        line = write_object(staging, f"{group}/{slug}", picture, name=emoji["name"], kind=emoji["kind"])
        lines.append(line | {"tags": emoji["tags"]} | credit)
    if missing:
        raise ValueError(f"DROP names {sorted(missing)[:5]}, which no emoji is called; correct the table")
    return lines


def svg(icons: dict, name: str) -> str:
    """One icon of an iconify set as an SVG document of SIDE pixels."""
    icon = icons["icons"][name]
    left, top = (icon.get(key, icons.get(key, 0)) for key in ("left", "top"))
    width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{SIDE}" height="{SIDE}" viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
    )


def painted(document: str) -> Image.Image:
    """An SVG document as an RGBA picture."""
    import resvg_py

    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=document)))).convert("RGBA")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    staging_ = Path(sys.argv[1])
    wanted = len(read_lines(staging_ / "emoji.jsonl"))
    for package_ in map(Path, sys.argv[2:]):
        staged = drawings(package_, staging_, painted)
        group_ = staged[0]["id"].split("/")[0]
        print(write_lines(staging_ / f"{group_}.jsonl", staged), "of", wanted, "emoji are drawn again in", group_)

"""Pack the staged objects and backgrounds into the library that ships: a zip of pictures, a JSON index, the credits.

Knows the index, the licences that may ship and how to write the same bytes twice. Takes whatever `*.jsonl` sources
stand in the staging folder (`backgrounds.jsonl` apart). Knows nothing of how they were made.

    python tools/objects/pack.py STAGING OUT_DIR
"""

import sys
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

from colours import COLOURS, colour, flat_colour
from PIL import Image
from splits import split_backgrounds, split_objects
from staging import read_lines

from perceptiongpt.data.objects import is_drawing, write_index

LICENCES = {
    "PD": "https://creativecommons.org/publicdomain/mark/1.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-2.0": "https://creativecommons.org/licenses/by/2.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-3.0-US": "https://creativecommons.org/licenses/by/3.0/us/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "MIT": "https://opensource.org/license/mit",
}
LARGEST_ZIP = 20_000_000

# One thing has one kind, whichever source it comes from: kind or name -> kind.
SAME_KIND = {
    "couch": "sofa",
    "television": "tv",
    "basketball": "ball",
    "bike": "bicycle",
    "handbag": "bag",
    "bulldog": "dog",
    "rowboat": "boat",
    "christmas tree": "tree",
    "wastebasket": "bin",
    "keys": "key",
    "table tennis bat": "paddle",
}


def pack(staging: Path, out: Path) -> dict:
    """Write objects.zip, objects.json.gz and CREDITS.md into `out` and return the index.

    Drawings of what is novel, which have no split, are left out.
    Raises ValueError for a licence that may not ship, an id met twice, a picture that is missing or too much of it all.
    """
    objects = [line for source in _sources(staging) for line in read_lines(source)]
    scenery = staging / "backgrounds.jsonl"
    backgrounds = read_lines(scenery) if scenery.exists() else []
    _check(objects + backgrounds)
    for thing in objects:
        thing["kind"] = SAME_KIND.get(thing["name"], SAME_KIND.get(thing["kind"], thing["kind"]))
    splits = split_objects(objects) | split_backgrounds([b["id"] for b in backgrounds])
    index = {
        "version": 1,
        "objects": [
            _finished(staging, thing) | {"split": splits[thing["id"]]}
            for thing in _by_id(objects)
            if thing["id"] in splits
        ],
        "backgrounds": [_sized(staging, scene) | {"split": splits[scene["id"]]} for scene in _by_id(backgrounds)],
    }
    out.mkdir(parents=True, exist_ok=True)
    _write_zip(staging, out / "objects.zip", index)
    write_index(index, out)
    (out / "CREDITS.md").write_text(credits(index), encoding="utf-8")
    return index


def _sources(staging: Path) -> list[Path]:
    return sorted(path for path in staging.glob("*.jsonl") if path.name != "backgrounds.jsonl")


def _by_id(lines: list[dict]) -> list[dict]:
    return sorted(lines, key=lambda line: line["id"])


def _check(lines: list[dict]) -> None:
    for line in lines:
        if line["licence"] not in LICENCES:
            raise ValueError(
                f"{line['id']} has licence {line['licence']!r}, not one of {sorted(LICENCES)}; leave it out"
            )
    twice = [identity for identity, count in Counter(line["id"] for line in lines).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[:5]} were staged more than once; give each object one id")


def _picture(staging: Path, file: str) -> Path:
    path = (staging / file).resolve()
    if not path.is_relative_to(staging.resolve()) or not path.is_file():
        raise ValueError(f"picture {file!r} is not in the staging folder; stage it anew")
    return path


def _sized(staging: Path, entry: dict) -> dict:
    with Image.open(_picture(staging, entry["file"])) as image:
        return entry | {"size_wh": list(image.size)}


def _finished(staging: Path, thing: dict) -> dict:
    """The object with its views' sizes and its colour: the word in its name ("black cat"), else what its pixels say."""
    views = [_sized(staging, view) for view in thing["views"]]
    pictures = [Image.open(_picture(staging, view["file"])).convert("RGBA") for view in views]
    said = [word for word in thing["name"].lower().split() if word in COLOURS]
    seen = flat_colour(pictures[0]) if is_drawing(thing["id"]) else colour(pictures)
    return thing | {"views": views, "colour": said[0] if said else seen}


def _write_zip(staging: Path, path: Path, index: dict) -> None:
    files = [view["file"] for thing in index["objects"] for view in thing["views"]]
    files += [scene["file"] for scene in index["backgrounds"]]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(set(files)):
            entry = zipfile.ZipInfo(file, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, _picture(staging, file).read_bytes())
    if path.stat().st_size > LARGEST_ZIP:
        raise ValueError(
            f"objects.zip has {path.stat().st_size} bytes, over {LARGEST_ZIP}; stage fewer or smaller views"
        )


def credits(index: dict) -> str:
    """The credits as Markdown: a row for each source, author and licence, or for each picture with its own address."""
    rows: dict[tuple, list[dict]] = defaultdict(list)
    for entry in index["objects"] + index["backgrounds"]:
        credit = (entry["source"], entry["author"], entry["licence"], entry.get("url", ""))
        rows[(entry["id"].split("/")[0], *credit)].append(entry)
    text = [HEAD, *(f"- {name}: {address}" for name, address in LICENCES.items()), "", TABLE]
    for (group, source, author, licence, address), entries in sorted(rows.items()):
        ids = entries[0]["id"] if len(entries) == 1 else f"{group}/ ({len(entries)})"
        names = ", ".join(sorted({entry.get("name", entry["id"].split("/", 1)[1]) for entry in entries}))
        cells = [ids, names, author, licence, f"{source} {address}".strip()]
        text.append("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |")
    return "\n".join([*text, "", MIT, ""])


HEAD = """# Credits of the object library

Every picture was changed: photographs were cut out, cropped and made smaller; 3-D models were rendered from several
sides; SVG drawings were made pixels and cropped; all were stored anew as WebP. No author endorses this project.
A copy of the Apache licence is the file LICENSE of this project. The licences:
"""
TABLE = "| id, or group (count) | names | author | licence | source |\n|---|---|---|---|---|"
MIT = """## The MIT licence of the emoji

Copyright (c) Microsoft Corporation.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS
OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""

if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    packed = pack(Path(sys.argv[1]), Path(sys.argv[2]))
    for (source_, split_), count_ in sorted(Counter((o["source"], o["split"]) for o in packed["objects"]).items()):
        print(f"{source_:32} {split_:6} {count_}")
    print("backgrounds", dict(Counter(b["split"] for b in packed["backgrounds"])))
    print(
        "kinds",
        {s: len({o["kind"] for o in packed["objects"] if o["split"] == s}) for s in ("train", "val", "test", "novel")},
    )
    print("bytes", (Path(sys.argv[2]) / "objects.zip").stat().st_size)

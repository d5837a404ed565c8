"""Turns the 3-D furniture of Debian's `sweethome3d-furniture` into small named pictures: the 3-D part of the library.

    python tools/objects/furniture.py sweethome3d-furniture_1.8-1_all.deb OUT

Knows the `.sh3f` catalogues, their licences, and which of their 820 models are good to point at. How a model becomes
a picture is render.py's; what people call it is furniture_names.py's; how parts become one library is build.py's.
"""

from __future__ import annotations

import argparse
import json
import posixpath
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from furniture_names import LYING, is_wanted, kind_of, spoken
from mesh import load_obj
from PIL import Image
from render import View, render

SOURCE = "sweethome3d-furniture 1.8-1"
YAWS, PITCH = (25, -35, 70, 155), 18  # one pitch for all, so that objects can share a ground plane
SIDE, SUPERSAMPLE = 176, 3
QUALITY, ALPHA_QUALITY = 80, 80
ON_A_WALL = 15  # cm above the floor, from which a model's catalogue place says that it hangs
MAX_FILE = 200 << 20  # bytes of one archive member; the largest real one is some 30 MiB
MIN_COVER, MIN_SHORT_SIDE = 0.06, 7  # share of the crop that is opaque; pixels

# What each archive's LICENSE.TXT states, and whom it asks to name (else: each model's creator).
ARCHIVES = {
    "BlendSwap-CC-0": ("CC0-1.0", ""),
    "BlendSwap-CC-BY": ("CC-BY-3.0", ""),
    "KatorLegaz": ("CC-BY-3.0-US", "Andrew Kator & Jennifer Legaz"),
    "Reallusion": ("CC-BY-3.0-US", "Reallusion"),
    "Scopia": ("CC-BY-3.0", "Emmanuel Puybaret / eTeks and Scopia Visual Interfaces Systems"),
}
MOVED = {"living room rug.jpg": "katorlegaz/oriental-rug/rug.jpg"}  # a texture still named by its author's disk
STAND_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # what lay face up faces the front
NOT_A_TAG = {"blend swap", "scpts", "adjustable", "thonet", "peterbilt", "haussmann", "peterbuilt"}


class Archive:
    """One `.sh3f`: its catalogue's entries, and its files by name."""

    def __init__(
        self, path: Path, terms: tuple[str, str] | None = None, catalogue: str = "PluginFurnitureCatalog.properties"
    ) -> None:
        """`terms`: licence and author of an archive that isn't one of ARCHIVES; `catalogue`: its file of entries."""
        self.licence, self.author = terms or ARCHIVES[path.stem]
        self._catalogue = catalogue
        self._zip = zipfile.ZipFile(path)
        self._names = {name.lower(): name for name in self._zip.namelist()}

    def read(self, name: str) -> bytes | None:
        """The file's bytes, case ignored as the authors' systems did; None where there is none."""
        name = name.lstrip("/").lower()
        stored = self._names.get(MOVED.get(posixpath.basename(name), name))
        if stored is None:
            return None
        if self._zip.getinfo(stored).file_size > MAX_FILE:
            raise ValueError(f"{stored}: larger than {MAX_FILE} bytes; this is not the catalogue that was expected")
        return self._zip.read(stored)

    def entries(self) -> list[dict[str, str]]:
        """The catalogue in its order: name, tags, category, model, width … of each piece."""
        text = (self.read(self._catalogue) or b"").decode("latin-1")
        found: dict[int, dict[str, str]] = defaultdict(dict)
        for key, number, value in re.findall(r"^(\w+)#(\d+)=(.*)$", text, re.MULTILINE):
            found[int(number)][key] = value.strip().encode("latin-1").decode("unicode_escape")
        return [found[number] for number in sorted(found)]

    def named(self, entry: dict[str, str]) -> str:
        """What a person would call the piece of this entry."""
        return spoken(entry["id"].partition("#")[2], entry["name"])

    def licence_of(self, model: str) -> str:
        """The archive's licence, unless the paper beside a CC0 model asks for attribution after all."""
        folder = posixpath.dirname(model.lstrip("/")).lower() + "/"
        papers = [n for n in self._names if n.startswith(folder) and n.endswith((".txt", ".html"))]
        words = b" ".join(self.read(n) or b"" for n in papers).lower()
        asks = b"licenses/by/3.0" in words or b"creative commons attribution 3" in words
        return "CC-BY-3.0" if self.licence == "CC0-1.0" and asks else self.licence


@dataclass(frozen=True)
class Piece:
    """One catalogue entry, in our words."""

    name: str
    kind: str
    tags: list[str]
    licence: str
    author: str
    size_whd: tuple[float, float, float]  # cm
    rotation: np.ndarray  # [3,3]
    model: str
    archive: Archive


def pieces(archive: Archive) -> list[Piece]:
    """Every entry of the archive that is worth pointing at, named as a person would name it."""
    found = []
    for entry in archive.entries():
        key = entry["id"].partition("#")[2]
        if not is_wanted(key, entry["name"], entry["category"]):
            continue
        name = archive.named(entry)
        tags = [tag.strip().lower() for tag in entry.get("tags", "").split(",")]
        tags = [tag for tag in tags if tag and tag not in NOT_A_TAG] + [entry["category"].lower()]
        if float(entry.get("elevation", 0)) >= ON_A_WALL:
            tags.append("hanging")
        rotation = np.array(entry.get("modelRotation", "1 0 0 0 1 0 0 0 1").split(), float).reshape(3, 3)
        width, height, depth = (float(entry[side]) for side in ("width", "height", "depth"))
        if key in LYING:
            rotation, height, depth = STAND_UP @ rotation, depth, height
        found.append(
            Piece(
                name=name,
                kind=kind_of(name),
                tags=list(dict.fromkeys(tags)),
                licence=archive.licence_of(entry["model"]),
                author=archive.author or entry["creator"],
                size_whd=(width, height, depth),
                rotation=rotation,
                model=entry["model"].lstrip("/"),
                archive=archive,
            )
        )
    return found


def views(piece: Piece) -> list[View]:
    """The piece from the four sides, at its true proportions."""
    mesh = load_obj(piece.model, piece.archive.read).transformed(piece.rotation)
    width, height, depth = piece.size_whd
    mesh = mesh.fitted(width, height, depth)
    return [render(mesh, yaw, PITCH, SIDE, SUPERSAMPLE) for yaw in YAWS]


def why_not(seen: list[View]) -> str:
    """What makes these views useless for pointing: almost nothing there, or a mere line; empty when they are fine."""
    covers = [float((view.rgba[..., 3] > 127).mean()) for view in seen]
    shorts = [min(view.rgba.shape[:2]) - 2 for view in seen]
    if np.median(covers) < MIN_COVER:
        return f"almost empty ({np.median(covers):.2f} of its box)"
    return f"a thin line ({np.median(shorts):.0f} px)" if np.median(shorts) < MIN_SHORT_SIDE else ""


def write(piece: Piece, key: str, seen: list[View], out: Path) -> dict:
    """Stores the views under out/furniture/<key> and gives the row of furniture.jsonl."""
    folder = out / "furniture" / key
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i, (view, yaw) in enumerate(zip(seen, YAWS, strict=True)):
        file = folder / f"{i}.webp"
        Image.fromarray(view.rgba).save(file, quality=QUALITY, alpha_quality=ALPHA_QUALITY, method=6)
        rows.append(
            {
                "file": file.relative_to(out).as_posix(),
                "yaw": yaw,
                "pitch": PITCH,
                "px_per_cm": round(view.px_per_unit, 4),
                "foot_xy": [round(x, 1) for x in view.origin_xy],  # where the middle of its underside falls
            }
        )
    return row_of(piece, f"furniture/{key}", piece.size_whd, rows)


def row_of(piece: Piece, identity: str, size_whd: tuple[float, float, float], rows: list[dict]) -> dict:
    """The line of a piece drawn at a size in cm, with the rows of its views."""
    width, height, depth = size_whd
    return {
        "id": identity,
        "name": piece.name,
        "kind": piece.kind,
        "tags": piece.tags,
        "source": SOURCE,
        "licence": piece.licence,
        "author": piece.author,
        "three_d": True,
        "size_cm": [width, depth, height],
        "views": rows,
    }


def archives(root: Path) -> list[Path]:
    """The archives under `root`, in order; ValueError where they aren't those that are known."""
    paths = sorted(root.rglob("*.sh3f"))
    if [path.stem for path in paths] != sorted(ARCHIVES):
        raise ValueError(
            f"{root} holds {[p.name for p in paths]}; unpack {SOURCE}, whose archives are {list(ARCHIVES)}"
        )
    return paths


@contextmanager
def unpacked(package: Path) -> Iterator[Path]:
    """The folder of a .deb's files for as long as it is used, or the folder that was given; ValueError for no .deb."""
    with tempfile.TemporaryDirectory() as scratch:
        if not package.is_dir():
            done = subprocess.run(["dpkg-deb", "-x", str(package), scratch], capture_output=True, check=False)
            if done.returncode:
                raise ValueError(f"{package} is no whole Debian package; give {SOURCE}, or the folder it unpacks to")
        yield package if package.is_dir() else Path(scratch)


def build(root: Path, out: Path) -> list[dict]:
    """Renders every wanted piece of the archives under `root` into `out`; says what it left out."""
    paths = archives(root)
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / "furniture", ignore_errors=True)  # pictures of an earlier run would be nobody's
    rows: list[dict] = []
    number: Counter[str] = Counter()
    for path in paths:
        for piece in pieces(Archive(path)):
            seen = views(piece)
            if reason := why_not(seen):
                print(f"left out: {piece.name} ({piece.model}): {reason}")
                continue
            slug = re.sub(r"[^a-z0-9]+", "-", piece.name).strip("-")
            number[slug] += 1
            rows.append(write(piece, f"{slug}-{number[slug]}", seen, out))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (out / "furniture.jsonl").write_text(lines, encoding="utf-8")
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the .deb, or a folder into which it was unpacked")
    parser.add_argument("out", type=Path, help="staging folder: furniture.jsonl and furniture/<object>/<view>.webp")
    options = parser.parse_args()
    with unpacked(options.package) as root:
        rows = build(root, options.out)
    total = sum((options.out / view["file"]).stat().st_size for row in rows for view in row["views"])
    kinds = Counter(row["kind"] for row in rows)
    print(f"{len(rows)} objects, {len({row['name'] for row in rows})} names, {total / 2**20:.1f} MiB of pictures")
    print(", ".join(f"{kind} {n}" for kind, n in kinds.most_common()))


if __name__ == "__main__":
    main()

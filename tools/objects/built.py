"""A library with more to train on: things of everyday kinds built anew of solids, each unlike any other.

    python tools/objects/built.py LIBRARY OUT

LIBRARY is a folder with a library (the packaged one, or one that another tool here made), OUT the new folder. Only what
training already knows by name is built (things/), nothing of a held-out kind; no picture and no model of somebody's is
used. Knows how built things are seen and stored.
"""

import argparse
import multiprocessing
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from colours import colour
from furniture import PITCH, QUALITY, SIDE, SUPERSAMPLE
from larger import larger, reported
from PIL import Image
from render import render
from splits import words_of
from things import MADE
from things.solids import mesh_of

from perceptiongpt.data.objects import ObjectLibrary

EACH, SEED = 24, 11
YAWS, WALL = (0, 55, 180), (-30, 0, 30)  # degrees of the views, and of what hangs on a wall
HUNG = {
    "wall socket",
    "double wall socket",
    "light switch",
    "double light switch",
    "clock",
    "picture frame",
    "radiator",
}
HUNG |= {"radiator", "air conditioner", "range hood", "upper cabinet", "fireplace", "washbasin"}
HUNG |= {"smartphone", "tablet", "mobile phone"}  # their backs tell nothing
TILT = 4  # degrees by which the camera may be off; the ground plane stays the same
LEAST = 8  # pixels of a picture's shorter side
CREDIT = {"source": "built", "licence": "Apache-2.0", "author": "the authors of perceptiongpt"}


def drawn(told: tuple[str, int, str, Path]) -> dict | None:
    """Write one thing's views under a folder and return its row for the index; None where nothing is to be seen."""
    name, number, kind, out = told
    rng = np.random.default_rng([SEED, number, *name.encode()])
    mesh = mesh_of(MADE[name](rng))
    width, height, depth = np.ptp(mesh.points, axis=(0, 1)).tolist()
    mesh, folder = mesh.fitted(width, height, depth), f"built/{name.replace(' ', '-')}-{number}"
    first = rng.uniform(-60, 60) * (name not in HUNG)
    (out / folder).mkdir(parents=True, exist_ok=True)
    views, pictures = [], []
    for side, turn in enumerate(WALL if name in HUNG else YAWS):
        yaw = (first + turn + rng.uniform(-25, 25)) % 360
        picture = Image.fromarray(render(mesh, yaw, PITCH + rng.uniform(-TILT, TILT), SIDE, SUPERSAMPLE).rgba)
        if min(picture.size) < LEAST:
            continue
        picture.save(out / f"{folder}/{side}.webp", quality=QUALITY, alpha_quality=60, method=4)
        views.append({"file": f"{folder}/{side}.webp", "yaw": round(yaw), "pitch": PITCH})
        pictures.append(picture)
    if not views:
        return None
    size = [round(side, 1) for side in (width, depth, height)]
    about = {"id": folder, "name": name, "kind": kind, "tags": ["built"], "three_d": True, "size_cm": size}
    return about | CREDIT | {"views": views, "split": "train", "colour": colour(pictures)}


def known(library: ObjectLibrary) -> dict[str, str]:
    """The kind of each name that is built, as training has it; ValueError where it has none or the kind is held out."""
    kinds = {thing.name: thing.kind for thing in library.objects("train")}
    novel = {words_of(noun) for thing in library.objects("novel") for noun in (thing.name, thing.kind)}
    for name in MADE:
        if name not in kinds:
            raise ValueError(f"the library has no {name!r} in train, which is built; leave it out of MADE")
        if any(noun in words_of(said) for noun in novel for said in (name, kinds[name])):
            raise ValueError(f"{name!r} is built, but its kind is held out as novel; leave it out of MADE")
    return {name: kinds[name] for name in MADE}


def build(source: Path, out: Path, processes: int, each: int = EACH) -> int:
    """Write the larger library into `out` and return how many things were built."""
    kinds = known(ObjectLibrary.open(source))
    with larger(source, out) as (work, rows):
        told = [(name, number, kind, work) for name, kind in sorted(kinds.items()) for number in range(each)]
        with multiprocessing.Pool(processes) if processes > 1 else nullcontext() as pool:
            made = (pool.imap if pool else map)(drawn, told)
            rows += [row for row in made if row is not None]
    return len(rows)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    told = parser.parse_args()
    return reported(lambda: build(told.library, told.out, told.processes), "built things")


if __name__ == "__main__":
    sys.exit(main())

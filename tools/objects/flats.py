"""A library with more to train on: flat pictures of the training split bent, seen askew and in other colours and light.

    python tools/objects/flats.py LIBRARY OUT

LIBRARY is a folder with a library (the packaged one, or one that stamps.py or variants.py made), OUT the new folder.
Photographs, rendered emoji and stamps get variants, which may ship if the originals may; further drawings and what is
held out get none.
Knows what a flat picture may suffer and still be called the same (3-D models: variants.py).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from colours import COLOURS
from colours import colour as colour_of
from larger import larger, reported
from PIL import Image
from staging import crop, write_object
from variants import LIVING, SEED, turned

from perceptiongpt.data.objects import LibraryObject, ObjectLibrary, read_index
from perceptiongpt.data.scene_compose import SIDED

VARIANTS, LONGEST, LEAST = 4, 200, 16  # LONGEST, LEAST: pixels of a picture's longer and shorter side
MESH = 8  # squares a side, each of which is moved as a whole
NATURAL = LIVING | {"fruit", "vegetable", "sky", "building", "place"}


def variant(picture: Image.Image, mild: bool, rng: np.random.Generator) -> Image.Image:
    """An RGBA picture bent, askew, in other colours and lit from a side; `mild`: its hues stay nearly as they are."""
    made = _coloured(_bent(picture, rng), mild, rng)
    return crop(made, LONGEST)


def _bent(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture through a mesh of MESH x MESH squares: a perspective, and a wave along each axis."""
    reach = 0.2  # a border, so that nothing is moved out of the frame
    size = (round(picture.width * (1 + 2 * reach)), round(picture.height * (1 + 2 * reach)))
    wide = Image.new("RGBA", size)
    wide.paste(picture, (round(picture.width * reach), round(picture.height * reach)))
    y, x = np.mgrid[0 : 1 : (MESH + 1) * 1j, 0 : 1 : (MESH + 1) * 1j]
    moved = []
    for along, across in ((x, y), (y, x)):
        slant = (along - 0.5) * rng.uniform(-0.3, 0.3) * (across - 0.5) * 2  # one side shorter than the other
        lean = rng.uniform(-0.1, 0.1) * (across - 0.5)
        wave = rng.uniform(-0.05, 0.05) * np.sin(np.pi * (rng.uniform(0.7, 1.6) * across + rng.uniform(0, 2)))
        bulge = rng.uniform(-0.08, 0.08) * np.sin(2 * np.pi * along)
        moved.append(along + slant + lean + wave + bulge)
    to_x, to_y = (m * side for m, side in zip(moved, size, strict=True))
    edges_x, edges_y = (np.linspace(0, side, MESH + 1).round().astype(int).tolist() for side in size)
    mesh = []
    for i in range(MESH):
        for j in range(MESH):
            box = (edges_x[j], edges_y[i], edges_x[j + 1], edges_y[i + 1])
            quad = [float(at[k]) for k in ((i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)) for at in (to_x, to_y)]
            mesh.append((box, tuple(quad)))
    premultiplied = wide.convert("RGBa")  # so that what is transparent lends no rim its colour
    return premultiplied.transform(size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR).convert("RGBA")


def _coloured(picture: Image.Image, mild: bool, rng: np.random.Generator) -> Image.Image:
    """The picture with its colours turned, stronger or paler, and lighter on one side."""
    pixels = np.asarray(picture).astype(np.float64)
    rgb = pixels[..., :3].reshape(-1, 3) / 255
    turn = rng.uniform(-0.03, 0.03) if mild else rng.uniform(-0.5, 0.5) * rng.integers(2)
    rgb = turned(rgb, turn, rng.uniform(0.6, 1.3), rng.uniform(0.75, 1.2)).reshape(pixels[..., :3].shape)
    y, x = np.mgrid[-1 : 1 : picture.height * 1j, -1 : 1 : picture.width * 1j]
    side = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.3) * (x * np.cos(side) + y * np.sin(side))
    pixels[..., :3] = 255 * np.clip(rgb * light[..., None], 0, 1)
    return Image.fromarray(pixels.round().astype(np.uint8))


def drawn(library: ObjectLibrary, thing: LibraryObject, row: dict, work: Path) -> list[dict]:
    """Write the variants of one thing under `work` and return their rows for the index."""
    rng, rows = np.random.default_rng([SEED, *thing.id.encode()]), []
    said = [word for word in thing.name.split() if word in COLOURS]
    mild = bool(NATURAL & set(thing.tags) or said)
    for number in range(VARIANTS):
        picture = variant(library.view(thing, number % len(thing.views)), mild, rng)
        if min(picture.size) < LEAST:
            continue
        made = write_object(work, f"bent/{thing.id}-{number}", picture, name=thing.name, kind=thing.kind)
        views = [view | {"size_wh": list(picture.size)} for view in made["views"]]
        rows.append(row | {"id": made["id"], "views": views, "colour": said[0] if said else colour_of([picture])})
    return rows


def fit(thing: LibraryObject) -> bool:
    """Whether a thing of training is flat, no drawing, no variant, and may be bent without a word of its name lying."""
    return not (thing.three_d or thing.drawing or thing.id.startswith("bent/") or SIDED & set(thing.name.split()))


def build(source: Path, out: Path) -> int:
    """Write the larger library into `out` and return how many variants it has."""
    library = ObjectLibrary.open(source)
    things = sorted((thing for thing in library.objects("train") if fit(thing)), key=lambda thing: thing.id)
    known = {row["id"]: row for row in read_index(source)["objects"]}
    with larger(source, out) as (work, rows):
        for thing in things:
            rows += drawn(library, thing, known[thing.id], work)
    return len(rows)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("out", type=Path)
    told = parser.parse_args()
    return reported(lambda: build(told.library, told.out), "variants")


if __name__ == "__main__":
    sys.exit(main())

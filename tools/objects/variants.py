"""A library with more to train on: furniture of the training split in other colours and proportions, from other sides.

    python tools/objects/variants.py sweethome3d-furniture_1.8-1_all.deb LIBRARY OUT

LIBRARY is a folder with a library (the packaged one, or one that stamps.py made), OUT the new folder. The 3-D models of
training are drawn again, each material in a colour of its own, each side longer or shorter and bent: many chairs more,
of which only the parts are a chair's. Knows which models may change their colours; what is held out is untouched.
"""

import argparse
import colorsys
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from colours import COLOURS
from colours import colour as colour_of
from furniture import PITCH, QUALITY, SIDE, SOURCE, SUPERSAMPLE, Archive, Piece, archives, pieces, row_of, unpacked
from larger import in_parts, larger, reported
from mesh import Material, Mesh, load_obj
from PIL import Image
from render import View, render

from perceptiongpt.data.objects import read_index

VARIANTS, SIDES = 6, 4
TILT = 4  # degrees by which the camera may be off; the ground plane stays the same
LIVING = {"people", "human", "characters", "plant", "flowers", "tree", "animal", "food", "drink"}
SEED = 7

Paint = Callable[[np.ndarray], np.ndarray]  # of colours [n, 3]


def variant(mesh: Mesh, piece: Piece, rng: np.random.Generator) -> tuple[Mesh, tuple[float, float, float]]:
    """The mesh painted anew and bent, with its width, height and depth in cm, each up to a third longer or shorter.

    What lives, and what is called by a colour, keeps its hues; of the rest, materials are painted over or turned.
    """
    mild = bool(LIVING & set(piece.tags) or set(COLOURS) & set(piece.name.split()))
    over, together = (0.0 if mild else rng.choice([0.0, 0.5, 0.9])), rng.uniform(-0.5, 0.5)
    painted = []
    for material in mesh.materials:
        turn = rng.uniform(-0.03, 0.03) if mild else together + rng.uniform(-0.1, 0.1)
        paint: Paint = partial(turned, turn=turn, strength=rng.uniform(0.5, 1.4), light=rng.uniform(0.65, 1.35))
        if rng.random() < over:
            hue, strength, light = rng.random(), 0.9 * rng.random(), rng.uniform(0.1, 1.0)
            paint = partial(_over, colour=colorsys.hsv_to_rgb(hue, strength, light))
        painted.append(_painted(material, paint))
    width, height, depth = (float(side * np.exp(rng.uniform(-0.28, 0.28))) for side in piece.size_whd)
    made = replace(mesh, materials=painted, points=_bent(mesh.points, rng))
    return made.fitted(width, height, depth), (width, height, depth)


def _bent(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Corners [..., 3] (y up) with what is below and above taking more or less of the height, narrower up or down."""
    low, high = points.min((0, 1)), points.max((0, 1))
    share = (points[..., 1] - low[1]) / max(high[1] - low[1], 1e-9)
    bent = points.copy()
    bent[..., 1] = low[1] + share ** np.exp(rng.uniform(-0.35, 0.35)) * (high[1] - low[1])
    middle, widths = (low + high) / 2, 1 + rng.uniform(-0.15, 0.15) * (2 * share - 1)
    for side in (0, 2):
        bent[..., side] = middle[side] + (points[..., side] - middle[side]) * widths
    return bent


def _painted(material: Material, paint: Paint) -> Material:
    """A material whose colours [n, 3] in 0..1, its own or its texture's, go through `paint`."""
    texture = material.texture
    if texture is not None:
        texture = texture.copy()
        texture[..., :3] = paint(texture[..., :3].reshape(-1, 3)).reshape(texture[..., :3].shape)
    (red, green, blue), *_ = paint(np.array([material.colour])).tolist()
    return replace(material, colour=(red, green, blue), texture=texture)


AXES = np.array([colorsys.rgb_to_yiq(*row) for row in np.eye(3)])  # rows: what red, green, blue are


def turned(rgb: np.ndarray, turn: float, strength: float, light: float) -> np.ndarray:
    """Colours turned about the grey axis (1 is the whole circle), stronger or paler, lighter or darker."""
    y, i, q = (rgb @ AXES).T
    c, s = np.cos(2 * np.pi * turn) * strength, np.sin(2 * np.pi * turn) * strength
    back = np.stack([y, i * c - q * s, i * s + q * c], 1) @ np.linalg.inv(AXES)
    return np.clip(back * light, 0, 1)


def _over(rgb: np.ndarray, colour: Sequence[float]) -> np.ndarray:
    """One colour in the lights and darks of others."""
    light = rgb @ AXES[:, 0]
    shade = (0.2 + light) / (0.2 + light.mean())
    return np.clip(shade[:, None] * np.array(colour), 0, 1)


def drawn(piece: Piece, key: str, out: Path) -> list[dict]:
    """Write the variants of one piece under `out` and return their rows for the index."""
    rng = np.random.default_rng([SEED, *key.encode()])
    whole = load_obj(piece.model, piece.archive.read).transformed(piece.rotation)
    rows = []
    for number in range(VARIANTS):
        mesh, (width, height, depth) = variant(whole, piece, rng)
        first, folder = rng.uniform(0, 360), f"variant/{key}-{number}"
        (out / folder).mkdir(parents=True, exist_ok=True)
        views, pictures = [], []
        for side in range(SIDES):
            yaw = (first + 360 / SIDES * side + rng.uniform(-30, 30)) % 360
            seen: View = render(mesh, yaw, PITCH + rng.uniform(-TILT, TILT), SIDE, SUPERSAMPLE)
            picture = Image.fromarray(seen.rgba)
            if min(picture.size) < 4:
                continue
            picture.save(out / f"{folder}/{side}.webp", quality=QUALITY, alpha_quality=60, method=4)
            views.append({"file": f"{folder}/{side}.webp", "yaw": round(yaw), "pitch": PITCH})
            pictures.append(picture)
        if views:
            said = [word for word in piece.name.split() if word in COLOURS]
            size = (round(width, 1), round(height, 1), round(depth, 1))
            colour = said[0] if said else colour_of(pictures)
            rows.append(row_of(piece, folder, size, views) | {"split": "train", "colour": colour})
    return rows


def trained(index: dict) -> set[tuple]:
    """What tells a model of training: name, author and sides, where no held-out model has the same."""
    own = [row for row in index["objects"] if row["source"] == SOURCE]
    return {_told(row) for row in own} - {_told(row) for row in own if row["split"] != "train"}


def _told(row: dict) -> tuple:
    return (row["name"], row["author"], tuple(row["size_cm"]))


def part(told: tuple[Path, set[tuple], Path, int, int]) -> list[dict]:
    """The rows of every `parts`-th model of training that the archives under `root` hold."""
    root, wanted, out, first, parts = told
    found = [p for path in archives(root) for p in pieces(Archive(path))]
    sides = [(p.size_whd[0], p.size_whd[2], p.size_whd[1]) for p in found]
    fit = [(i, p) for i, (p, s) in enumerate(zip(found, sides, strict=True)) if (p.name, p.author, s) in wanted]
    return [row for i, piece in fit[first::parts] for row in drawn(piece, f"{i:03}", out)]


def build(root: Path, library: Path, out: Path, processes: int) -> int:
    """Write the larger library into `out` and return how many variants it has; ValueError for other archives."""
    archives(root)
    wanted = trained(read_index(library))
    with larger(library, out) as (work, rows):
        rows += in_parts(part, (root, wanted, work), processes)
    return len(rows)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the .deb, or a folder into which it was unpacked")
    parser.add_argument("library", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()

    def drawn_anew() -> int:
        with unpacked(options.package) as root:
            return build(root, options.library, options.out, options.processes)

    return reported(drawn_anew, "variants")


if __name__ == "__main__":
    sys.exit(main())

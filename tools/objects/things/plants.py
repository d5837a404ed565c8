"""Plants in pots, trees, bushes and hedges, built of solids."""

from functools import partial

import numpy as np
from mesh import Material

from things.solids import EARTH, Maker, Part, Point, Rng, cushion, leaf, leaves, moved, paint, spun, tube, turned


def potted(rng: Rng, grown: list[Part], wide: float) -> list[Part]:
    """What grows at the origin, in a pot that is so wide."""
    tall, narrow = wide * rng.uniform(1.2, 2.4), rng.uniform(0.6, 1)
    pot = turned(
        [(0, 0), (wide * narrow, 0), (wide, tall), (wide * 0.9, tall), (wide * 0.9, tall * 0.9), (0, tall * 0.9)],
        sides=4 if rng.random() < 0.2 else 24,
    )
    return [(pot, paint(rng, 0.5)), *((moved(shape, (0, tall * 0.88, 0)), stuff) for shape, stuff in grown)]


def blades(rng: Rng, number: int, long: float, wide: float, droop: float, made_of: Material) -> list[Part]:
    """Leaves from one root to all sides, hanging over by `droop`."""
    parts: list[Part] = []
    for angle in rng.uniform(0, 360, number):
        reach, lift = long * rng.uniform(0.6, 1.1), rng.uniform(0.35, 1.2)
        t = np.linspace(0, 1, 7)
        path = np.column_stack([reach * t, reach * (lift * t - droop * t**2), 0 * t])
        parts.append((spun(leaf(path, wide, (0, 0, 1)), angle), made_of))
    return parts


def foliage(
    rng: Rng,
    number: int,
    low: Point,
    high: Point,
    size: float,
    made_of: Material,
) -> list[Part]:
    """Small leaves all about an ellipsoid between two corners."""
    parts: list[Part] = []
    middle, half = np.add(low, high) / 2, np.subtract(high, low) / 2
    for _ in range(number):
        way = rng.normal(size=3)
        at = middle + way / np.linalg.norm(way) * rng.uniform(0.55, 1) * half
        tip = at + rng.normal(size=3) * size
        parts.append(
            (leaf([at, (at + tip) / 2 + (0, size * 0.2, 0), tip], size * 0.9, rng.normal(size=3) * 0.6), made_of)
        )
    shapes = np.concatenate([shape for shape, _ in parts])
    return [(shapes, made_of)]


def plant(rng: Rng, size: float = 45) -> list[Part]:
    """A pot with long blades, or with a crown of leaves on stems."""
    size, green = size * rng.uniform(0.6, 1.6), leaves(rng)
    if rng.random() < 0.55:
        grown = blades(
            rng, int(rng.integers(10, 34)), size, size * rng.uniform(0.06, 0.3), rng.uniform(0.2, 1.1), green
        )
    else:
        grown = [
            (tube([(0, 0, 0), (rng.normal() * size * 0.1, size * 0.5, rng.normal() * size * 0.1)], size * 0.03), EARTH)
        ]
        grown += foliage(
            rng,
            int(rng.integers(60, 220)),
            (-size * 0.5, size * 0.2, -size * 0.5),
            (size * 0.5, size * 1.4, size * 0.5),
            size * rng.uniform(0.1, 0.25),
            green,
        )
    return potted(rng, grown, size * rng.uniform(0.2, 0.42))


def cactus(rng: Rng) -> list[Part]:
    """A ribbed body with arms or without, in a pot as a rule."""
    green, tall, thick = leaves(rng), rng.uniform(12, 45), rng.uniform(4, 8)
    grown: list[Part] = [(cushion((-thick, -3, -thick), (thick, tall, thick), 0.7, 12), green)]
    for side in [-1, 1][: int(rng.integers(0, 3))]:
        y, reach = tall * rng.uniform(0.3, 0.6), thick * rng.uniform(1.6, 2.4)
        grown.append(
            (
                tube(
                    [(0, y, 0), (side * reach, y, 0), (side * reach * 1.1, y + tall * 0.3, 0)],
                    [thick * 0.5, thick * 0.5, thick * 0.35],
                ),
                green,
            )
        )
    return potted(rng, grown, thick * rng.uniform(1.1, 1.7))


def tulips(rng: Rng) -> list[Part]:
    """A bunch in a pot."""
    stem, bloom, tall = leaves(rng), paint(rng, 0.1), rng.uniform(22, 45)
    parts = blades(rng, int(rng.integers(5, 12)), tall * 0.7, tall * 0.09, 0.3, stem)
    for _ in range(int(rng.integers(4, 12))):
        top = np.array([rng.normal() * tall * 0.22, tall * rng.uniform(0.75, 1.1), rng.normal() * tall * 0.22])
        parts.append((tube([(0, 0, 0), top * [0.4, 0.6, 0.4], top], 0.5), stem))
        r = tall * rng.uniform(0.06, 0.11)
        head = turned([(0, 0), (r, r * 0.7), (r * 0.8, r * 2.1), (r * 0.3, r * 1.6)])
        parts.append((moved(head, top), bloom if rng.random() < 0.8 else paint(rng, 0.1)))
    return potted(rng, parts, tall * rng.uniform(0.16, 0.28))


def tree(rng: Rng, crown: str) -> list[Part]:
    """A tree whose crown is "round", "tall", a "cone" or a "palm"."""
    height, green, trunk = rng.uniform(220, 620), leaves(rng), Material((0.32, 0.23, 0.15))
    wide = (
        height
        * {
            "round": rng.uniform(0.25, 0.42),
            "tall": rng.uniform(0.09, 0.15),
            "cone": rng.uniform(0.18, 0.32),
            "palm": 0.3,
        }[crown]
    )
    bole = height * (rng.uniform(0.65, 0.85) if crown == "palm" else rng.uniform(0.08, 0.4))
    lean = rng.normal(size=2) * height * (0.08 if crown == "palm" else 0.02)
    top = (lean[0], bole + (0 if crown == "palm" else height * 0.2), lean[1])
    parts: list[Part] = [
        (
            tube(
                [(0, 0, 0), (lean[0] * 0.3, bole * 0.5, lean[1] * 0.3), top],
                [height * 0.03, height * 0.022, height * 0.015],
            ),
            trunk,
        )
    ]
    if crown == "palm":
        fronds = blades(
            rng, int(rng.integers(9, 18)), wide * 1.2, wide * rng.uniform(0.16, 0.34), rng.uniform(0.7, 1.4), green
        )
        return [*parts, *((moved(shape, top), stuff) for shape, stuff in fronds)]
    if crown == "cone":
        tiers = int(rng.integers(4, 9))
        for i in range(tiers):
            low, r = bole + (height - bole) * i / tiers, wide * (1 - i / tiers) ** rng.uniform(0.8, 1.1)
            parts += foliage(rng, 90, (-r, low, -r), (r, low + (height - bole) / tiers * 1.3, r), height * 0.04, green)
            parts.append((turned([(r * 0.9, low), (r * 0.15, low + (height - bole) / tiers * 1.4)], sides=9), green))
        return parts
    for _ in range(1 if crown == "tall" else int(rng.integers(1, 5))):
        off = rng.normal(size=3) * wide * (0.02 if crown == "tall" else 0.28)
        under, over = np.array([-wide, bole, -wide]) + off, np.array([wide, height, wide]) + off
        parts += foliage(rng, 260, under, over, height * rng.uniform(0.03, 0.06), green)
        parts.append((cushion(0.88 * under + 0.12 * over, 0.12 * under + 0.88 * over, 0.8, 10), green))
    return parts


def bush(rng: Rng, hedge: bool = False) -> list[Part]:
    """Leaves down to the ground, clipped to a box where it is a hedge."""
    height, green = rng.uniform(50, 150), leaves(rng)
    wide, deep = (rng.uniform(90, 260), rng.uniform(30, 60)) if hedge else (height * rng.uniform(0.7, 1.4),) * 2
    low, high = (-wide / 2, 0, -deep / 2), (wide / 2, height, deep / 2)
    parts: list[Part] = [(cushion(low, high, 0.12 if hedge else 0.8, 12), green)]
    if hedge:
        for _ in range(500):
            at, side = rng.uniform(low, high), rng.integers(3)
            at[side] = high[side] if rng.random() < 0.8 else (low[side] if side != 1 else high[side])
            parts.append(
                (
                    leaf([at, at + rng.normal(size=3) * 4, at + rng.normal(size=3) * 6], 5, rng.normal(size=3) * 0.6),
                    green,
                )
            )
        return [parts[0], (np.concatenate([shape for shape, _ in parts[1:]]), green)]
    return [*parts, *foliage(rng, 320, low, high, height * rng.uniform(0.08, 0.14), leaves(rng))]


MADE: dict[str, Maker] = {
    "plant": plant,
    "decorative plant": plant,
    "indoor plant": plant,
    "small plant": partial(plant, size=20),
    "cactus": cactus,
    "tulips": tulips,
    "pine tree": partial(tree, crown="cone"),
    "cypress tree": partial(tree, crown="tall"),
    "maple tree": partial(tree, crown="round"),
    "palm tree": partial(tree, crown="palm"),
    "bush": bush,
    "hedge": partial(bush, hedge=True),
}

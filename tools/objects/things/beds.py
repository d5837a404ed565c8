"""Beds, bunk beds and cribs, built of solids."""

from functools import partial

import numpy as np

from things.frames import legs
from things.solids import BRIGHT, Maker, Part, Rng, board, box, cloth, cushion, tube


def bed(rng: Rng, wide: tuple[float, float] = (90, 180), long: float = 200, decks: int = 1) -> list[Part]:
    """A bed with its mattress, cover and pillows; two decks are a bunk bed."""
    width, frame, cover = rng.uniform(*wide), board(rng), cloth(rng)
    long, sheet = long * rng.uniform(0.92, 1.1), BRIGHT if rng.random() < 0.6 else cloth(rng)
    parts: list[Part] = []
    for deck in range(decks):
        y = deck * rng.uniform(95, 115) + rng.uniform(18, 32)
        parts.append((box((-width / 2, y - 12, -long / 2), (width / 2, y, long / 2)), frame))
        parts.append(
            (cushion((-width / 2 + 2, y - 2, -long / 2 + 2), (width / 2 - 2, y + 18, long / 2 - 2), 0.15), sheet)
        )
        end = -long / 2 + long * rng.uniform(0.25, 0.4)
        parts.append(
            (cushion((-width / 2 - 1, y + rng.uniform(-8, 4), end), (width / 2 + 1, y + 22, long / 2), 0.15), cover)
        )
        for i in range(1 + (width > 125)):
            near, far = np.linspace(-width / 2, width / 2, 2 + (width > 125))[i : i + 2]
            parts.append(
                (
                    cushion((near + 6, y + 15, -long / 2 + 5), (far - 6, y + 27, -long / 2 + 42), 0.5),
                    BRIGHT if rng.random() < 0.5 else cover,
                )
            )
    head = y + rng.uniform(30, 75)
    way = rng.random()
    if decks > 1 or way < 0.3:
        foot = head if decks > 1 else head * 0.7
        for x in (-width / 2, width / 2):
            parts += [(tube([(x, 0, z), (x, top, z)], 3), frame) for z, top in ((-long / 2, head), (long / 2, foot))]
        for z, top in ((-long / 2, head), (long / 2, foot)):
            parts += [(tube([(-width / 2, h, z), (width / 2, h, z)], 2), frame) for h in np.linspace(y + 8, top, 3)]
    else:
        parts.append(
            (box((-width / 2 - 3, 0, -long / 2 - 6), (width / 2 + 3, head, -long / 2)), frame if way < 0.7 else cover)
        )
        parts += legs(rng, width, long, y - 12, frame)
    if decks > 1:
        parts += [(tube([(width / 2 + 2, 0, z), (width / 2 + 2, head, z)], 2), frame) for z in (30, 62)]
        parts += [(tube([(width / 2 + 2, h, 30), (width / 2 + 2, h, 62)], 1.8), frame) for h in np.arange(25, head, 28)]
    return parts


def crib(rng: Rng) -> list[Part]:
    """A bed with bars around it."""
    wide, deep, height, made_of = rng.uniform(110, 140), rng.uniform(60, 75), rng.uniform(85, 105), board(rng)
    x, z = wide / 2, deep / 2
    parts: list[Part] = [(cushion((-x, 35, -z), (x, 47, z), 0.15), cloth(rng))]
    for near in (-z, z):
        parts += [
            (tube([(a, 25, near), (a, height, near)], 1), made_of)
            for a in np.linspace(-x, x, int(rng.integers(12, 18)))
        ]
        parts += [(tube([(-x, y, near), (x, y, near)], 2), made_of) for y in (27, height)]
    for side in (-x, x):
        parts += (
            [(box((side - 2, 0, -z), (side + 2, height + 6, z)), made_of)]
            if rng.random() < 0.6
            else [(tube([(side, 0, b), (side, height, b)], 1.5), made_of) for b in np.linspace(-z, z, 7)]
        )
    return parts


MADE: dict[str, Maker] = {
    "bed": bed,
    "bunk bed": partial(bed, wide=(85, 105), decks=2),
    "children's bed": partial(bed, wide=(65, 85), long=150),
    "crib": crib,
}

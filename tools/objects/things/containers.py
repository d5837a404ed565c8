"""Bins, barrels, crates, boxes, gifts and suitcases, built of solids."""

from functools import partial

import numpy as np
from mesh import Material

from things.solids import DARK, Maker, Part, Rng, box, cloth, cushion, metal, paint, spun, tube, turned, wood


def bin_(rng: Rng, woven: bool = False) -> list[Part]:
    """A bin, round or square; with a lid, or with clothes."""
    wide, tall = rng.uniform(13, 28), rng.uniform(30, 70)
    made_of, sides = (
        wood(rng) if woven else (metal(rng) if rng.random() < 0.4 else paint(rng)),
        4 if rng.random() < 0.35 else 28,
    )
    narrow = rng.uniform(0.7, 1)
    body = turned(
        [(0, 0), (wide * narrow, 0), (wide, tall), (wide * 0.95, tall), (wide * narrow * 0.9, 2), (0, 2)], sides=sides
    )
    parts: list[Part] = [(spun(body, 45) if sides == 4 else body, made_of)]
    if woven:
        for y in np.linspace(tall * 0.1, tall, 9):
            r = wide * (narrow + (1 - narrow) * y / tall)
            ring = turned([(r, y - 1), (r * 1.04, y), (r, y + 1)], sides=sides)
            parts.append((spun(ring, 45) if sides == 4 else ring, made_of))
    if rng.random() < 0.5:
        top = cushion((-wide, tall - wide * 0.3, -wide), (wide, tall + wide * 0.4, wide), 0.9)
        parts.append((top, cloth(rng) if woven else made_of))
    return parts


def barrel(rng: Rng) -> list[Part]:
    """Staves and hoops, or a drum of steel."""
    r, tall, t = rng.uniform(22, 34), rng.uniform(60, 95), np.linspace(0, 1, 9)
    bulge, made_of = rng.uniform(0, 0.25), wood(rng) if rng.random() < 0.6 else paint(rng)
    radius = r * (1 + bulge * np.sin(np.pi * t))
    parts: list[Part] = [(turned([(0, 0), *zip(radius, t * tall, strict=True), (0, tall)]), made_of)]
    hoop = metal(rng)
    parts += [
        (turned([(radius[i] * 1.015, t[i] * tall - 2), (radius[i] * 1.02, t[i] * tall + 2)]), hoop)
        for i in (1, 3, 5, 7)
    ]
    return parts


def crate(rng: Rng, slats: bool = True) -> list[Part]:
    """A box of slats, or of smooth walls, open at the top."""
    wide, deep, tall, made_of = (
        rng.uniform(35, 65),
        rng.uniform(25, 45),
        rng.uniform(18, 40),
        wood(rng) if slats else paint(rng, 0.3),
    )
    x, z, parts = wide / 2, deep / 2, [(box((-wide / 2, 0, -deep / 2), (wide / 2, 1.5, deep / 2)), made_of)]
    number = int(rng.integers(2, 6)) if slats else 1
    for i in range(number):
        low, high = tall * i / number, tall * (i + (0.75 if slats else 1)) / number
        parts += [(box((-x, low, s * z - 0.8), (x, high, s * z + 0.8)), made_of) for s in (-1, 1)]
        parts += [(box((s * x - 0.8, low, -z), (s * x + 0.8, high, z)), made_of) for s in (-1, 1)]
    if not slats:
        parts += [(box((-x - 1.5, tall - 2, s * z - 1.5), (x + 1.5, tall, s * z + 1.5)), made_of) for s in (-1, 1)]
        if rng.random() < 0.5:
            parts.append((box((-x - 1.5, tall, -z - 1.5), (x + 1.5, tall + 2, z + 1.5)), paint(rng)))
    return parts


def carton(rng: Rng, opened: bool = False) -> list[Part]:
    """A box of cardboard, closed with tape or open with its flaps."""
    wide, deep, tall = rng.uniform(25, 60), rng.uniform(20, 45), rng.uniform(14, 48)
    card = Material((rng.uniform(0.6, 0.78), rng.uniform(0.45, 0.58), rng.uniform(0.28, 0.4)))
    x, z = wide / 2, deep / 2
    if not opened:
        tape = Material((0.85, 0.78, 0.6)) if rng.random() < 0.7 else paint(rng)
        return [(box((-x, 0, -z), (x, tall, z)), card), (box((-x - 0.2, tall - 8, -3), (x + 0.2, tall + 0.2, 3)), tape)]
    parts: list[Part] = [(box((-x, 0, -z), (x, 1, z)), card)]
    parts += [(box((-x, 0, s * z - 0.3), (x, tall, s * z + 0.3)), card) for s in (-1, 1)]
    parts += [(box((s * x - 0.3, 0, -z), (s * x + 0.3, tall, z)), card) for s in (-1, 1)]
    for s in (-1, 1):
        lean = s * rng.uniform(20, 120)
        parts.append((spun(box((-x, tall, s * z - 0.3), (x, tall + z, s * z + 0.3)), lean, 0, (0, tall, s * z)), card))
        parts.append(
            (
                spun(
                    box((s * x - 0.3, tall, -z), (s * x + 0.3, tall + z, z)),
                    -s * rng.uniform(20, 120),
                    2,
                    (s * x, tall, 0),
                ),
                card,
            )
        )
    return parts


def gift(rng: Rng) -> list[Part]:
    """A wrapped box with ribbons and a bow."""
    wide, deep, tall, ribbon = rng.uniform(15, 35), rng.uniform(15, 30), rng.uniform(10, 28), paint(rng, 0.15)
    x, z, r = wide / 2, deep / 2, wide * 0.06
    parts: list[Part] = [(box((-x, 0, -z), (x, tall, z)), cloth(rng) if rng.random() < 0.5 else paint(rng, 0.1))]
    parts += [
        (box((-x - 0.2, -0.1, -r), (x + 0.2, tall + 0.2, r)), ribbon),
        (box((-r, -0.1, -z - 0.2), (r, tall + 0.2, z + 0.2)), ribbon),
    ]
    for s in (-1, 1):
        loop = [
            (0, tall, 0),
            (s * wide * 0.28, tall + wide * 0.22, 0),
            (s * wide * 0.3, tall + wide * 0.05, 0),
            (0, tall, 0),
        ]
        parts.append((tube(loop, [r, r * 0.8, r * 0.8, r]), ribbon))
    return parts


def suitcase(rng: Rng) -> list[Part]:
    """A case with a handle, ribs and wheels."""
    wide, tall, deep, body = rng.uniform(38, 60), rng.uniform(40, 70), rng.uniform(16, 28), paint(rng, 0.3)
    parts: list[Part] = [(cushion((-wide / 2, 3, -deep / 2), (wide / 2, tall, deep / 2), 0.15), body)]
    parts += [
        (box((x - 0.8, 6, deep / 2 - 0.5), (x + 0.8, tall - 4, deep / 2 + 0.8)), body)
        for x in np.linspace(-wide * 0.35, wide * 0.35, int(rng.integers(0, 5)))
    ]
    reach = rng.choice([4, 30])
    parts.append((tube([(-8, tall - 1, 0), (-8, tall + reach, 0), (8, tall + reach, 0), (8, tall - 1, 0)], 1.1), DARK))
    return [
        *parts,
        *(
            (cushion((s * wide * 0.4 - 3, 0, -deep * 0.4), (s * wide * 0.4 + 3, 6, -deep * 0.4 + 6), 1, 10), DARK)
            for s in (-1, 1)
        ),
    ]


MADE: dict[str, Maker] = {
    "trash can": bin_,
    "laundry basket": partial(bin_, woven=True),
    "barrel": barrel,
    "crate": crate,
    "plastic box": partial(crate, slats=False),
    "cardboard box": carton,
    "open cardboard box": partial(carton, opened=True),
    "gift": gift,
    "suitcase": suitcase,
}

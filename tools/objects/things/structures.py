"""Fences, columns, fireplaces, screens and what stands in gardens and streets, built of solids."""

from functools import partial

import numpy as np
from mesh import Material

from things.lamps import lampshade
from things.solids import (
    BRIGHT,
    DARK,
    Maker,
    Part,
    Rng,
    board,
    box,
    cushion,
    metal,
    moved,
    paint,
    slab,
    spun,
    tube,
    turned,
    wood,
)


def railing(rng: Rng, wood_too: bool) -> list[Part]:
    """Bars or planks between two beams."""
    wide, height, made_of = rng.uniform(90, 260), rng.uniform(70, 130), (board(rng) if wood_too else metal(rng))
    parts: list[Part] = [
        (tube([(-wide / 2, y, 0), (wide / 2, y, 0)], rng.uniform(1.5, 3)), made_of)
        for y in (height * 0.15, height * 0.9)
    ]
    number, broad = int(rng.integers(6, 18)), rng.uniform(0.35, 0.85)
    for x in np.linspace(-wide / 2, wide / 2, number):
        if wood_too:
            half, peak = broad * wide / number / 2, height * rng.choice([1.0, 1.08])
            parts.append(
                (
                    slab([(x - half, 0), (x + half, 0), (x + half, height), (x, peak), (x - half, height)], -1.5, 1.5),
                    made_of,
                )
            )
        else:
            parts.append((tube([(x, 0, 0), (x, height, 0)], rng.uniform(0.8, 1.5)), made_of))
    for x in (-wide / 2, wide / 2):
        parts.append((box((x - 3, 0, -3), (x + 3, height * 1.1, 3)), made_of))
    return parts


def fireplace(rng: Rng) -> list[Part]:
    """A mantel about a dark opening."""
    wide, height, deep, stone = rng.uniform(110, 180), rng.uniform(90, 130), rng.uniform(25, 50), paint(rng, 0.8)
    side, x = rng.uniform(18, 34), wide / 2
    parts: list[Part] = [
        (box((s * x - (s > 0) * side, 0, -deep / 2), (s * x + (s < 0) * side, height, deep / 2)), stone)
        for s in (-1, 1)
    ]
    parts.append((box((-x, height - side, -deep / 2), (x, height, deep / 2)), stone))
    parts.append((box((-x - 8, height, -deep / 2), (x + 8, height + 7, deep / 2 + 8)), board(rng)))
    parts.append((box((-x, 0, -deep / 2), (x, height - side, -deep / 2 + 3)), DARK))
    fire = Material((0.95, 0.5, 0.1)) if rng.random() < 0.4 else wood(rng)
    return [*parts, *((tube([(-20, 6 + 5 * i, 4 * i), (20, 7 + 5 * i, 2)], 4), fire) for i in range(3))]


def folding_screen(rng: Rng) -> list[Part]:
    """Panels at angles."""
    number, wide, height, frame, stuff = (
        int(rng.integers(3, 6)),
        rng.uniform(38, 60),
        rng.uniform(150, 190),
        wood(rng),
        lampshade(rng),
    )
    slant, parts, at = rng.uniform(15, 35), [], np.zeros(3)
    for i in range(number):
        turn = slant if i % 2 else -slant
        panel = [(box((0, 2, -1), (wide, height, 1)), stuff)]
        panel += [(box((a, 0, -1.6), (a + 3, height, 1.6)), frame) for a in (0, wide - 3)]
        panel += [(box((0, y, -1.6), (wide, y + 3, 1.6)), frame) for y in (3, height * 0.5, height - 3)]
        parts += [(moved(spun(shape, turn), at), made_of) for shape, made_of in panel]
        at = at + np.array([wide * np.cos(np.radians(turn)), 0, wide * np.sin(np.radians(turn))])
    return parts


def swing(rng: Rng) -> list[Part]:
    """A frame with seats on chains."""
    wide, height, frame = (
        rng.uniform(150, 320),
        rng.uniform(170, 230),
        paint(rng, 0.3) if rng.random() < 0.6 else wood(rng),
    )
    x, z = wide / 2, height * 0.35
    parts: list[Part] = [(tube([(-x, height, 0), (x, height, 0)], 4), frame)]
    parts += [(tube([(s * x, height, 0), (s * x * 1.08, 0, t * z)], 4), frame) for s in (-1, 1) for t in (-1, 1)]
    number, seat = int(rng.integers(1, 4)), paint(rng, 0.3)
    for middle in np.linspace(-x, x, number + 2)[1:-1]:
        parts += [(tube([(middle + s * 20, height, 0), (middle + s * 20, 45, 0)], 0.9), DARK) for s in (-1, 1)]
        parts.append((box((middle - 24, 42, -10), (middle + 24, 46, 10)), seat))
    return parts


def goal(rng: Rng) -> list[Part]:
    """Posts, a bar and a net."""
    wide, height, deep, frame = (
        rng.uniform(180, 420),
        rng.uniform(120, 200),
        rng.uniform(60, 110),
        BRIGHT if rng.random() < 0.7 else paint(rng),
    )
    x = wide / 2
    parts: list[Part] = [(tube([(-x, 0, 0), (-x, height, 0), (x, height, 0), (x, 0, 0)], 4), frame)]
    parts += [(tube([(s * x, height, 0), (s * x, 0, -deep)], 2), frame) for s in (-1, 1)]
    parts += [(tube([(a, height, 0), (a, 0, -deep)], 0.8), BRIGHT) for a in np.linspace(-x, x, 12)]
    parts += [
        (tube([(-x, height * (1 - t), -deep * t), (x, height * (1 - t), -deep * t)], 0.8), BRIGHT)
        for t in np.linspace(0, 1, 8)
    ]
    return parts


def dog_house(rng: Rng, size: float = 75) -> list[Part]:
    """Walls, a gabled roof and a way in."""
    wide, deep, wall = (size * rng.uniform(0.7, 1.3) for _ in range(3))
    walls, roof, x, z = board(rng), paint(rng, 0.3), wide / 2, deep / 2
    over, peak = 0.12 * wide, wall + wide * rng.uniform(0.3, 0.6)
    parts: list[Part] = [(slab([(-x, 0), (x, 0), (x, wall), (0, peak - 1), (-x, wall)], -z, z), walls)]
    for s in (-1, 1):
        parts.append(
            (
                slab(
                    [
                        (s * (x + over), wall - over),
                        (0, peak),
                        (0, peak + 0.06 * wide),
                        (s * (x + over), wall - over + 0.06 * wide),
                    ],
                    -z - over,
                    z + over,
                ),
                roof,
            )
        )
    hole = [(0.45 * x * np.cos(a), wall * 0.45 + 0.45 * x * np.sin(a)) for a in np.linspace(0, np.pi, 9)]
    parts.append((slab([(0.45 * x, 0), *hole, (-0.45 * x, 0)], z, z + 1), DARK if rng.random() < 0.6 else paint(rng)))
    return parts


def column(rng: Rng) -> list[Part]:
    """A shaft with foot and head."""
    height, r, made_of = rng.uniform(180, 280), rng.uniform(9, 18), BRIGHT if rng.random() < 0.6 else paint(rng, 0.8)
    shaft = turned(
        [
            (r * 1.3, 0),
            (r * 1.3, 8),
            (r, 14),
            (r * rng.uniform(0.75, 1), height - 14),
            (r * 1.25, height - 6),
            (r * 1.25, height),
        ],
        sides=int(rng.choice([8, 24])),
    )
    plate = [(box((-r * 1.5, y, -r * 1.5), (r * 1.5, y + 6, r * 1.5)), made_of) for y in (-6, height)]
    return [(shaft, made_of), *plate]


def mailbox(rng: Rng) -> list[Part]:
    """A box with a slot, on the wall or on a post."""
    wide, tall, deep, body = rng.uniform(22, 38), rng.uniform(25, 45), rng.uniform(14, 40), paint(rng, 0.4)
    low = rng.uniform(60, 100) if rng.random() < 0.5 else 0
    parts: list[Part] = [
        (box((-wide / 2, low, -deep / 2), (wide / 2, low + tall, deep / 2)), body),
        (box((-wide * 0.35, low + tall * 0.72, deep / 2), (wide * 0.35, low + tall * 0.8, deep / 2 + 0.4)), DARK),
    ]
    if rng.random() < 0.6:
        top = [(wide / 2 * np.cos(a), low + tall + wide * 0.3 * np.sin(a)) for a in np.linspace(0, np.pi, 9)]
        parts.append((slab(top, -deep / 2, deep / 2), body))
    return [*parts, *([(box((-4, 0, -4), (4, low, 4)), wood(rng))] if low else [])]


def cone(rng: Rng) -> list[Part]:
    """A traffic cone."""
    tall, r = rng.uniform(30, 70), rng.uniform(10, 18)
    body = Material((rng.uniform(0.85, 1), rng.uniform(0.25, 0.5), 0.08))
    parts: list[Part] = [
        (box((-r * 1.5, 0, -r * 1.5), (r * 1.5, 3, r * 1.5)), body if rng.random() < 0.5 else DARK),
        (turned([(r, 3), (r * 0.15, tall)]), body),
    ]
    for low in np.linspace(0.3, 0.65, int(rng.integers(1, 3)) + 1)[:-1]:
        rim = [(r * (1 - 0.85 * t) * 1.02, 3 + (tall - 3) * t) for t in (low, low + 0.16)]
        parts.append((turned(rim), BRIGHT))
    return parts


def rock(rng: Rng) -> list[Part]:
    """A lump with flat places."""
    size, grey = rng.uniform(20, 60), rng.uniform(0.35, 0.65)
    lump = cushion((-size, -size * 0.3, -size * 0.8), (size, size * rng.uniform(0.8, 1.4), size * 0.8), 0.85, 14)
    for _ in range(9):
        way = rng.normal(size=3)
        way /= np.linalg.norm(way)
        over = np.maximum(lump @ way - size * rng.uniform(0.45, 0.75), 0)
        lump = lump - over[..., None] * way * 0.9
    return [
        (np.maximum(lump, [-1e9, 0, -1e9]), Material((grey, grey * rng.uniform(0.9, 1), grey * rng.uniform(0.8, 1))))
    ]


MADE: dict[str, Maker] = {
    "iron railing": partial(railing, wood_too=False),
    "fence": partial(railing, wood_too=True),
    "fireplace": fireplace,
    "folding screen": folding_screen,
    "swing set": swing,
    "football goal": goal,
    "dog house": dog_house,
    "porch column": column,
    "rock": rock,
    "cone": cone,
    "mailbox": mailbox,
}

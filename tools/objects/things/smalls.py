"""Small things of a desk, a drawer, a wall: books, cutlery, pencils, balls, clocks, pictures; built of solids."""

from functools import partial

import numpy as np
from mesh import Material

from things.solids import (
    BRIGHT,
    DARK,
    Maker,
    Part,
    Rng,
    board,
    box,
    cushion,
    disc,
    metal,
    moved,
    paint,
    rod,
    slab,
    spun,
    tube,
    turned,
    wood,
)
from things.vessels import hollow


def book(rng: Rng) -> list[Part]:
    """A book that lies or stands."""
    wide, tall, thick, cover = rng.uniform(12, 20), rng.uniform(18, 28), rng.uniform(1.5, 5), paint(rng, 0.2)
    parts: list[Part] = [(box((-wide / 2 + 0.4, 0.4, -thick / 2), (wide / 2 - 0.4, tall - 0.4, thick / 2)), BRIGHT)]
    parts += [(box((-wide / 2, 0, s * thick / 2 - 0.2), (wide / 2, tall, s * thick / 2 + 0.2)), cover) for s in (-1, 1)]
    parts.append((box((-wide / 2 - 0.3, 0, -thick / 2), (-wide / 2, tall, thick / 2)), cover))
    parts.append(
        (
            box(
                (-wide * 0.3, tall * 0.6, thick / 2 + 0.2), (wide * 0.3, tall * rng.uniform(0.7, 0.85), thick / 2 + 0.3)
            ),
            paint(rng),
        )
    )
    return [(spun(shape, -90, 0), made_of) for shape, made_of in parts] if rng.random() < 0.6 else parts


def cutlery(rng: Rng, way: str) -> list[Part]:
    """A knife, fork or spoon that stands up to be seen whole."""
    long, made_of = rng.uniform(17, 24), metal(rng) if rng.random() < 0.8 else wood(rng)
    grip = made_of if rng.random() < 0.4 else (wood(rng) if rng.random() < 0.5 else paint(rng, 0.5))
    half, parts = long / 2, [(cushion((-0.9, 0, -0.5), (0.9, long / 2, 0.5), 0.4), grip)]
    if way == "knife":
        broad = rng.uniform(1.0, 2.2)
        parts.append(
            (
                slab([(-0.4, half), (broad, half), (broad, long * 0.8), (0.3, long), (-0.4, long * 0.9)], -0.15, 0.15),
                made_of,
            )
        )
    elif way == "fork":
        parts += [
            (tube([(0, half - 1, 0), (0, long * 0.7, 0)], 0.4), made_of),
            (box((-1.3, long * 0.68, -0.2), (1.3, long * 0.76, 0.2)), made_of),
        ]
        parts += [
            (tube([(x, long * 0.75, 0), (x, long, 0.6)], 0.22), made_of)
            for x in np.linspace(-1.1, 1.1, int(rng.integers(3, 5)))
        ]
    else:
        wide = rng.uniform(1.4, 2.6)
        parts += [
            (tube([(0, half - 1, 0), (0, long * 0.78, 0)], 0.4), made_of),
            (cushion((-wide, long * 0.72, -0.6), (wide, long, 0.6), 0.9), made_of),
        ]
    lean = rng.uniform(-60, -30)
    return [(spun(shape, lean, 2), made_of) for shape, made_of in parts]


def pencil(rng: Rng) -> list[Part]:
    """A pencil, leaning."""
    long, r, body = rng.uniform(12, 19), rng.uniform(0.35, 0.6), paint(rng, 0.1)
    parts: list[Part] = [
        (turned([(0, 2), (r, 2), (r, long)], sides=6), body),
        (turned([(r * 0.2, 0.4), (r, 2)], sides=6), Material((0.85, 0.7, 0.5))),
        (turned([(0, 0), (r * 0.25, 0.5)]), DARK),
    ]
    if rng.random() < 0.6:
        parts += [
            (rod(0.8, r * 1.1, (0, long, 0)), metal(rng)),
            (rod(1, r, (0, long + 0.8, 0)), Material((0.9, 0.5, 0.5))),
        ]
    return [(spun(shape, 52, 2), made_of) for shape, made_of in parts]


def pen_holder(rng: Rng, kitchen: bool = False) -> list[Part]:
    """A cup with pens, or with kitchen tools."""
    r, tall = rng.uniform(3.5, 6), rng.uniform(8, 13)
    parts: list[Part] = [(hollow([(r, 0), (r * rng.uniform(0.95, 1.2), tall)], 0.4), paint(rng))]
    for _ in range(int(rng.integers(3, 8))):
        lean, long, made_of = (
            rng.normal(size=2) * r * 0.5,
            tall * rng.uniform(1.3, 2.0),
            wood(rng) if kitchen else paint(rng, 0.1),
        )
        parts.append((tube([(0, 1, 0), (lean[0] * 1.6, long, lean[1] * 1.6)], 0.4), made_of))
        if kitchen:
            parts.append(
                (
                    cushion(
                        (lean[0] * 1.6 - 2, long - 1, lean[1] * 1.6 - 0.5),
                        (lean[0] * 1.6 + 2, long + 5, lean[1] * 1.6 + 0.5),
                        0.8,
                        10,
                    ),
                    made_of,
                )
            )
    return parts


def ball(rng: Rng, way: str) -> list[Part]:
    """A basketball with its lines, or a football with its patches."""
    r = rng.uniform(10, 13)
    if way == "basketball":
        parts: list[Part] = [
            (
                cushion((-r, 0, -r), (r, 2 * r, r), 1, 24),
                Material((rng.uniform(0.75, 0.95), rng.uniform(0.32, 0.48), 0.12)),
            )
        ]
        ring = turned([(r * 1.005, -0.3), (r * 1.005, 0.3)], sides=40)
        turns = [(0, 0), (90, 0), (90, 2), (60, 2), (120, 2)]
        return [*parts, *((moved(spun(ring, degrees, axis), (0, r, 0)), DARK) for degrees, axis in turns)]
    parts = [(cushion((-r, 0, -r), (r, 2 * r, r), 1, 24), BRIGHT)]
    golden, patch = (1 + 5**0.5) / 2, DARK if rng.random() < 0.7 else paint(rng, 0)
    for i in range(12):
        corner = np.roll([0, (-1) ** i, (-1) ** (i // 2) * golden], i // 4)
        at = corner / np.linalg.norm(corner) * r
        angle = np.linspace(0, 2 * np.pi, 6)[:-1]
        side = np.cross(at, [0.3, 0.8, 0.5])
        side /= np.linalg.norm(side)
        over = np.cross(at / r, side)
        rim = at * 0.965 + r * 0.36 * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * over) + at * 0.03
        parts.append(
            (moved(np.stack([np.broadcast_to(at * 1.02, rim.shape), rim, np.roll(rim, -1, 0)], 1), (0, r, 0)), patch)
        )
    return parts


def clock(rng: Rng) -> list[Part]:
    """A dial with hands and marks."""
    r, rim = rng.uniform(10, 20), paint(rng, 0.5) if rng.random() < 0.7 else wood(rng)
    dial, hand = (BRIGHT, DARK) if rng.random() < 0.75 else (DARK, BRIGHT)
    frame = box((-r * 1.1, -r * 1.1, 0), (r * 1.1, r * 1.1, 2)) if rng.random() < 0.25 else disc(r * 1.1, 2.5)
    parts: list[Part] = [(frame, rim), (disc(r, 1.7, (0, 0, 1)), dial)]
    parts += [(spun(box((-0.3, r * 0.8, 2.7), (0.3, r * 0.93, 2.9)), 30 * i, 2), hand) for i in range(12)]
    for long, wide in ((0.5, 0.06), (0.75, 0.04)):
        parts.append((spun(box((-r * wide, -r * 0.08, 2.8), (r * wide, r * long, 3.1)), rng.uniform(0, 360), 2), hand))
    return parts


def framed(rng: Rng) -> list[Part]:
    """A picture in its frame."""
    wide, tall, rim, frame = (
        rng.uniform(25, 90),
        rng.uniform(25, 80),
        rng.uniform(2, 7),
        board(rng) if rng.random() < 0.7 else metal(rng),
    )
    x, y = wide / 2, tall / 2
    parts: list[Part] = [(box((-x, -y, 0), (x, y, 1)), BRIGHT if rng.random() < 0.4 else paint(rng))]
    parts += [(box((-x, s * y - rim / 2, 0), (x, s * y + rim / 2, 3)), frame) for s in (-1, 1)]
    parts += [(box((s * x - rim / 2, -y - rim / 2, 0), (s * x + rim / 2, y + rim / 2, 3)), frame) for s in (-1, 1)]
    for _ in range(int(rng.integers(2, 7))):
        a, b = rng.uniform(-0.7, 0.4, 2) * (x, y)
        parts.append(
            (
                box((a, b, 1), (a + wide * rng.uniform(0.08, 0.3), b + tall * rng.uniform(0.08, 0.3), 1.2)),
                paint(rng, 0.1),
            )
        )
    return parts


MADE: dict[str, Maker] = {
    "book": book,
    **{name: partial(cutlery, way=name) for name in ("knife", "fork", "spoon")},
    "pencil": pencil,
    "pen holder": pen_holder,
    "utensil pot": partial(pen_holder, kitchen=True),
    "basketball": partial(ball, way="basketball"),
    "soccer ball": partial(ball, way="football"),
    "clock": clock,
    "picture frame": framed,
}

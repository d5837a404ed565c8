"""Lamps that stand, hang and light streets, built of solids."""

from functools import partial

import numpy as np
from mesh import Material

from things.solids import (
    BRIGHT,
    DARK,
    Maker,
    Part,
    Point,
    Rng,
    board,
    box,
    cloth,
    cushion,
    glass,
    metal,
    moved,
    paint,
    rod,
    spun,
    tube,
    turned,
)


def shade(rng: Rng, at: float, wide: float, tall: float, made_of: Material) -> Part:
    """A lampshade, its lower rim at a height: a drum, a cone, a dome or a ball."""
    way, narrow = rng.integers(4), rng.uniform(0.35, 0.85)
    profile = [
        [(wide, 0), (wide, tall)],
        [(wide, 0), (wide * narrow, tall)],
        [(wide * np.cos(a), tall * np.sin(a)) for a in np.linspace(0, np.pi / 2, 8)],
        [(wide * np.cos(a), tall * (np.sin(a) + 1) / 2) for a in np.linspace(-np.pi / 2, np.pi / 2, 12)],
    ][way]
    return turned(profile, (0, at, 0)), made_of


def lampshade(rng: Rng) -> Material:
    """Bright as a rule."""
    return BRIGHT if rng.random() < 0.5 else cloth(rng)


def standing_lamp(rng: Rng, height: float, wide: float, bellied: float) -> list[Part]:
    """A lamp on a foot, its stem plain or, in so many cases, bellied."""
    height, wide = height * rng.uniform(0.8, 1.25), wide * rng.uniform(0.75, 1.3)
    tall, made_of = rng.uniform(0.8, 1.6) * wide, metal(rng) if rng.random() < 0.6 else board(rng)
    stem = height - tall
    foot = turned([(0, 0), (wide * rng.uniform(0.4, 0.8), 0), (wide * 0.4, 2), (1, 4)])
    if rng.random() < bellied:
        levels = np.linspace(0, 1, 12)
        radius = wide * (
            0.12 + rng.uniform(0.2, 0.5) * np.sin(np.pi * levels ** rng.uniform(0.5, 1.6)) ** rng.uniform(0.8, 2)
        )
        body: Part = (
            turned(list(zip(radius, levels * stem, strict=True))),
            paint(rng) if rng.random() < 0.6 else made_of,
        )
    else:
        body = (rod(stem + tall * 0.5, rng.uniform(0.8, 1.8)), made_of)
    return [(foot, made_of), body, shade(rng, stem, wide, tall, lampshade(rng))]


def desk_lamp(rng: Rng) -> list[Part]:
    """A foot, an arm with a joint, a head that looks down."""
    made_of, first, second = (
        paint(rng, 0.6) if rng.random() < 0.6 else metal(rng),
        rng.uniform(18, 30),
        rng.uniform(14, 26),
    )
    lean, over = rng.uniform(0, 35), rng.uniform(60, 110)
    knee = np.array([-first * np.sin(np.radians(lean)), first * np.cos(np.radians(lean)) + 2, 0])
    end = knee + second * np.array([np.sin(np.radians(over)), np.cos(np.radians(over)), 0])
    wide = rng.uniform(5, 9)
    head = spun(turned([(1.5, 9), (2.5, 7), (wide, 0)]), rng.uniform(-30, 40), 2)
    hip: list[Point] = [(0, 2, 0)]
    if rng.random() < 0.3:
        hip.append(0.5 * knee + (0, 4, 0))
    return [
        (turned([(0, 0), (8, 0), (8, 1.5), (1.5, 3)]), made_of),
        (tube([*hip, knee, end], 1.0), made_of),
        (moved(head, end - (0, 7, 0)), made_of),
    ]


def hanging_lamp(rng: Rng, cord: float = 60) -> list[Part]:
    """A shade, or several, on a cord; on no cord, a lamp under the ceiling."""
    cord, wide = cord * rng.uniform(0.4, 1.3), rng.uniform(14, 28)
    tall, made_of = wide * rng.uniform(0.5, 1.3), lampshade(rng) if rng.random() < 0.5 else paint(rng)
    if not cord:
        return [(turned([(0, 0), (wide * 0.7, 2), (wide, 9), (wide, 12), (0, 12)]), made_of)]
    one = [shade(rng, 0, wide, tall, made_of), (rod(cord, 0.5, (0, tall, 0)), DARK)]
    number = 1 if rng.random() < 0.7 else int(rng.integers(2, 4))
    parts = [(moved(shape, (i * wide * 2.4, 0, 0)), stuff) for i in range(number) for shape, stuff in one]
    top = tall + cord
    return [*parts, (box((-5, top, -4), ((number - 1) * wide * 2.4 + 5, top + 2, 4)), metal(rng))]


def chandelier(rng: Rng) -> list[Part]:
    """Arms around a column, each with a light."""
    made_of, arms, reach, lights = metal(rng), int(rng.integers(4, 9)), rng.uniform(22, 42), lampshade(rng)
    parts: list[Part] = [
        (rod(rng.uniform(35, 70), 1.2), made_of),
        (turned([(0, -4), (4, 0), (2.5, 6), (5, 12), (1, 18)]), made_of),
    ]
    small = shade(rng, 0, rng.uniform(3, 7), rng.uniform(6, 10), lights)[0]
    for angle in 360 / arms * np.arange(arms):
        arm = tube([(0, 8, 0), (reach * 0.4, -4, 0), (reach * 0.8, -3, 0), (reach, 4, 0)], 1)
        parts += [(spun(arm, angle), made_of), (spun(moved(small, (reach, 5, 0)), angle), lights)]
    return parts


def street_lamp(rng: Rng) -> list[Part]:
    """A post with an arm, a lantern or a ball."""
    height, made_of, way = rng.uniform(220, 480), metal(rng) if rng.random() < 0.6 else paint(rng, 0.8), rng.integers(3)
    foot = turned([(14, 0), (13, 25), (6, 35), (rng.uniform(3, 5), height)])
    if way == 0:
        reach = rng.uniform(50, 130)
        arm = tube([(0, height - 5, 0), (reach * 0.3, height + 22, 0), (reach, height + 28, 0)], 3)
        return [
            (foot, made_of),
            (arm, made_of),
            (cushion((reach - 8, height + 18, -11), (reach + 55, height + 32, 11), 0.5), made_of),
        ]
    size = rng.uniform(18, 30)
    if way == 1:
        return [(foot, made_of), (cushion((-size, height, -size), (size, height + 2 * size, size), 1), BRIGHT)]
    body = turned([(size * 0.55, 0), (size, size * 1.8)], (0, height, 0), sides=6)
    return [
        (foot, made_of),
        (body, glass(rng)),
        (turned([(size * 1.2, 0), (2, size)], (0, height + size * 1.8, 0), sides=6), made_of),
    ]


MADE: dict[str, Maker] = {
    "table lamp": partial(standing_lamp, height=52, wide=17, bellied=0.6),
    "floor lamp": partial(standing_lamp, height=155, wide=22, bellied=0.05),
    "desk lamp": desk_lamp,
    "hanging light": hanging_lamp,
    "ceiling lamp": partial(hanging_lamp, cord=0),
    "chandelier": chandelier,
    "street lamp": street_lamp,
    "lamp post": street_lamp,
    "park lamp": street_lamp,
}

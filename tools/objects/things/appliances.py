"""Machines of kitchens and walls: ovens, fridges, radiators, fans, sockets; built of solids."""

from functools import partial

import numpy as np
from mesh import Material

from things.frames import fronts
from things.solids import (
    BRIGHT,
    DARK,
    SCREEN,
    Maker,
    Part,
    Rng,
    box,
    cushion,
    disc,
    leaf,
    metal,
    paint,
    rod,
    spun,
    tube,
    turned,
    white,
)


def appliance(rng: Rng, wide: float, tall: float, deep: float, way: str) -> list[Part]:
    """A kitchen or laundry machine of about these sides; `way`: "drum", "oven", "stove", "fridge", "microwave"."""
    wide, tall, deep = (side * rng.uniform(0.85, 1.15) for side in (wide, tall, deep))
    body, x, z, knob = white(rng), wide / 2, deep / 2, DARK if rng.random() < 0.5 else metal(rng)
    parts: list[Part] = [(cushion((-x, 0, -z), (x, tall, z), 0.06), body)]
    panel = tall * rng.uniform(0.82, 0.9)
    if way == "fridge":
        parts = fronts(
            rng, (-x, 0, -z), (x, tall, z), body, body, (int(rng.random() < 0.25) + 1, int(rng.integers(1, 3)))
        )
    elif way == "drum":
        r = wide * rng.uniform(0.26, 0.36)
        parts += [
            (disc(r, 1.5, (0, tall * 0.46, z)), metal(rng)),
            (disc(r * 0.8, 2, (0, tall * 0.46, z)), SCREEN),
            (disc(wide * 0.06, 3, (x * rng.uniform(-0.7, 0.7), (panel + tall) / 2, z)), knob),
        ]
        parts.append((box((-x * 0.9, panel, z), (-x * 0.4, tall * 0.97, z + 0.6)), paint(rng, 0.8)))
        parts.append((box((-x, panel - 0.8, z), (x, panel, z + 0.3)), DARK))
    elif way == "microwave":
        side = x * rng.uniform(0.4, 0.6)
        parts += [
            (box((-x * 0.9, tall * 0.12, z), (side, tall * 0.88, z + 0.5)), SCREEN),
            (tube([(side + 1.5, tall * 0.15, z + 1.5), (side + 1.5, tall * 0.85, z + 1.5)], 0.9), knob),
        ]
        parts += [
            (box((x * 0.72, tall * b, z), (x * 0.88, tall * (b + 0.07), z + 0.4)), knob)
            for b in (0.15, 0.28, 0.41, 0.54)
        ]
        parts.append((box((x * 0.66, tall * 0.72, z), (x * 0.92, tall * 0.85, z + 0.4)), Material((0.1, 0.4, 0.2))))
    else:
        parts += [
            (box((-x * 0.8, tall * 0.22, z), (x * 0.8, panel * 0.82, z + 0.8)), SCREEN),
            (tube([(-x * 0.8, panel * 0.9, z + 3), (x * 0.8, panel * 0.9, z + 3)], 1.2), metal(rng)),
        ]
        parts += [
            (disc(wide * 0.035, 3, (a, (panel + tall) / 2, z)), knob)
            for a in np.linspace(-x * 0.8, x * 0.8, int(rng.integers(3, 7)))
        ]
        if way == "stove":
            parts += [
                (rod(1.2, wide * rng.uniform(0.11, 0.17), (a * x, tall, b * z)), DARK)
                for a in (-0.5, 0.5)
                for b in (-0.5, 0.5)
            ]
            if rng.random() < 0.4:
                parts.append((box((-x, tall, -z), (x, tall + 18, -z + 3)), body))
    return parts


def cooktop(rng: Rng) -> list[Part]:
    """A flat plate with rings."""
    wide, deep, top = rng.uniform(50, 80), rng.uniform(45, 55), DARK if rng.random() < 0.7 else metal(rng)
    parts: list[Part] = [(box((-wide / 2, 0, -deep / 2), (wide / 2, 4, deep / 2)), top)]
    ring = metal(rng) if top is DARK else DARK
    for a, b in [(-0.5, -0.45), (0.5, -0.45), (-0.5, 0.4), (0.5, 0.4)][: int(rng.choice([2, 4, 4]))]:
        r = rng.uniform(6, 11)
        parts += [
            (turned([(r, 4.2), (r, 5)], (a * wide / 2, 0, b * deep / 2)), ring),
            (turned([(r * 0.8, 4.2), (r, 4.4)], (a * wide / 2, 0, b * deep / 2)), ring),
        ]
    return [*parts, *((rod(2, 1.8, (a, 4, deep * 0.44)), ring) for a in np.linspace(-8, 8, 4))]


def range_hood(rng: Rng) -> list[Part]:
    """A flue over a hood."""
    wide, deep, tall, body = (
        rng.uniform(55, 95),
        rng.uniform(42, 55),
        rng.uniform(25, 70),
        metal(rng) if rng.random() < 0.7 else white(rng),
    )
    low = rng.uniform(4, 20)
    hood = box((-wide / 2, 5, -deep / 2), (wide / 2, 5 + low, deep / 2), rng.uniform(0.3, 0.6))
    parts: list[Part] = [
        (box((-wide / 2, 0, -deep / 2), (wide / 2, 5, deep / 2)), body),
        (hood, body),
        (box((-wide * 0.16, 5, -deep / 2), (wide * 0.16, 5 + low + tall, deep * 0.1)), body),
    ]
    return [*parts, *((box((a, 1.5, deep / 2), (a + 3, 3.5, deep / 2 + 0.5)), DARK) for a in np.linspace(-10, 8, 4))]


def air_conditioner(rng: Rng) -> list[Part]:
    """A long case with slits, or one with a fan."""
    if rng.random() < 0.5:
        wide, tall, deep, body = rng.uniform(70, 110), rng.uniform(24, 34), rng.uniform(18, 28), BRIGHT
        parts: list[Part] = [(cushion((-wide / 2, 0, -deep / 2), (wide / 2, tall, deep / 2), 0.2), body)]
        return [
            *parts,
            *(
                (box((-wide * 0.44, y, deep * 0.44), (wide * 0.44, y + 1.2, deep * 0.53)), DARK)
                for y in np.linspace(2, tall * 0.3, 3)
            ),
        ]
    wide, tall, deep, body = rng.uniform(70, 95), rng.uniform(50, 70), rng.uniform(25, 35), white(rng)
    r, at = tall * 0.4, (-wide * 0.14, tall / 2, deep / 2)
    parts = [(box((-wide / 2, 0, -deep / 2), (wide / 2, tall, deep / 2)), body), (disc(r, 0.5, at), DARK)]
    parts += [
        (spun(box((at[0] - 0.6, at[1] - r, at[2] + 0.5), (at[0] + 0.6, at[1] + r, at[2] + 1.5)), a, 2, at), body)
        for a in range(0, 180, 20)
    ]
    return parts


def radiator(rng: Rng) -> list[Part]:
    """Ribs between two pipes, or bars of a towel warmer."""
    wide, tall, body = rng.uniform(45, 140), rng.uniform(40, 85), BRIGHT if rng.random() < 0.75 else paint(rng)
    if rng.random() < 0.25:
        wide, tall = rng.uniform(40, 60), rng.uniform(80, 150)
        parts: list[Part] = [(tube([(s * wide / 2, 0, 0), (s * wide / 2, tall, 0)], 1.8), body) for s in (-1, 1)]
        return [
            *parts,
            *(
                (tube([(-wide / 2, y, 1), (wide / 2, y, 1)], 1.2), body)
                for y in np.linspace(3, tall - 3, int(rng.integers(10, 20)))
            ),
        ]
    number, flat = int(wide / rng.uniform(4.5, 9)), rng.random() < 0.5
    each = wide / number
    parts = []
    for i in range(number):
        x, gap = -wide / 2 + each * i, each * rng.uniform(0.1, 0.12)
        parts.append(
            (
                box((x + gap, 0, -5), (x + each - gap, tall, 5))
                if flat
                else cushion((x + gap, 0, -6), (x + each - gap, tall, 6), 0.5),
                body,
            )
        )
    parts += [(tube([(-wide / 2, y, 0), (wide / 2, y, 0)], 2.5), body) for y in (tall * 0.1, tall * 0.9)]
    if rng.random() < 0.5:
        parts.append((cushion((wide / 2, tall * 0.84, -2.5), (wide / 2 + 8, tall * 0.96, 2.5), 0.6), BRIGHT))
    return parts


def toaster(rng: Rng) -> list[Part]:
    """A case with slots, a lever, and toast at times."""
    wide, tall, deep, body = (
        rng.uniform(22, 34),
        rng.uniform(16, 21),
        rng.uniform(14, 20),
        metal(rng) if rng.random() < 0.5 else paint(rng),
    )
    parts: list[Part] = [(cushion((-wide / 2, 0, -deep / 2), (wide / 2, tall, deep / 2), 0.2), body)]
    for z in (-deep * 0.2, deep * 0.2):
        parts.append((box((-wide * 0.36, tall - 0.5, z - 1.3), (wide * 0.36, tall + 0.2, z + 1.3)), DARK))
        if rng.random() < 0.4:
            parts.append(
                (
                    box((-wide * 0.3, tall - 2, z - 1), (wide * 0.3, tall + rng.uniform(2, 5), z + 1)),
                    Material((0.8, 0.58, 0.3)),
                )
            )
    return [*parts, (box((wide / 2, tall * 0.5, -1.5), (wide / 2 + 2.5, tall * 0.62, 1.5)), DARK)]


def fan(rng: Rng, standing: bool) -> list[Part]:
    """Blades in a cage on a stem."""
    r, stem, body = (
        rng.uniform(14, 22),
        rng.uniform(80, 110) if standing else rng.uniform(10, 18),
        BRIGHT if rng.random() < 0.5 else paint(rng, 0.6),
    )
    at = (0, stem + r, 4)
    parts: list[Part] = [
        (turned([(0, 0), (r * 0.8, 0), (r * 0.75, 2), (2, 4)]), body),
        (rod(stem + r, 1.6), body),
        (cushion((-4, stem + r - 4, -8), (4, stem + r + 4, 4), 0.7), body),
    ]
    blade = leaf([(0, stem + r, 4), (0, stem + 1.4 * r, 4), (0, stem + 1.9 * r, 4)], r * 0.8, (1, 0, 0.2))
    parts += [(spun(blade, a, 2, at), paint(rng, 0.7)) for a in np.arange(0, 360, 360 / rng.integers(3, 6))]
    for share in (0.4, 0.7, 1.0):
        ring = [(share * r * np.cos(a), stem + r + share * r * np.sin(a), 7) for a in np.linspace(0, 2 * np.pi, 24)]
        parts.append((tube(ring, 0.35, 5), body))
    return [
        *parts,
        *((spun(tube([(0, stem + r, 8), (0, stem + 2 * r, 6)], 0.3, 5), a, 2, at), body) for a in range(0, 360, 24)),
    ]


def wall_plate(rng: Rng, switch: bool, number: int = 1) -> list[Part]:
    """Plates on the wall with rockers or sockets."""
    side, body = rng.uniform(7.5, 9), BRIGHT if rng.random() < 0.75 else paint(rng, 0.6)
    inner = body if rng.random() < 0.6 else paint(rng, 1)
    parts: list[Part] = []
    for i in range(number):
        x = (i - (number - 1) / 2) * side
        parts.append((cushion((x - side / 2, 0, -0.5), (x + side / 2, side, 0.8), 0.12), body))
        if switch:
            rocker = box((x - side * 0.33, side * 0.15, 0.6), (x + side * 0.33, side * 0.85, 1.5))
            parts += [
                (spun(rocker, rng.choice([-8, 8]), 0, (0, side / 2, 1)), inner),
                (
                    box((x - side * 0.36, side * 0.12, 0.7), (x + side * 0.36, side * 0.88, 0.9)),
                    Material((0.5, 0.5, 0.5)),
                ),
            ]
            continue
        if rng.random() < 0.7:
            parts += [
                (disc(side * 0.34, 0.9, (x, side / 2, 0)), Material((0.6, 0.6, 0.6))),
                (disc(side * 0.31, 1.0, (x, side / 2, 0)), inner),
            ]
        parts += [(disc(side * 0.045, 1.2, (x + s * side * 0.14, side / 2, 0)), DARK) for s in (-1, 1)]
        if rng.random() < 0.5:
            parts.append((disc(side * 0.05, 1.2, (x, side * 0.7, 0)), metal(rng)))
    return parts


MADE: dict[str, Maker] = {
    "washing machine": partial(appliance, wide=60, tall=85, deep=58, way="drum"),
    "oven": partial(appliance, wide=60, tall=60, deep=55, way="oven"),
    "stove": partial(appliance, wide=62, tall=87, deep=60, way="stove"),
    "microwave": partial(appliance, wide=48, tall=28, deep=36, way="microwave"),
    "fridge": partial(appliance, wide=62, tall=165, deep=62, way="fridge"),
    "large fridge": partial(appliance, wide=92, tall=180, deep=70, way="fridge"),
    "cooktop": cooktop,
    "range hood": range_hood,
    "air conditioner": air_conditioner,
    "toaster": toaster,
    "radiator": radiator,
    "wall socket": partial(wall_plate, switch=False),
    "double wall socket": partial(wall_plate, switch=False, number=2),
    "light switch": partial(wall_plate, switch=True),
    "double light switch": partial(wall_plate, switch=True, number=2),
    "table fan": partial(fan, standing=False),
    "fan": partial(fan, standing=True),
}

"""Chairs, stools, armchairs, sofas and benches, built of solids."""

from collections.abc import Callable
from functools import partial

import numpy as np
from mesh import Material

from things.frames import legs, pedestal
from things.solids import Maker, Part, Rng, board, box, cloth, cushion, metal, paint, rod, spun, tube, wood


def back(rng: Rng, wide: float, seat: float, height: float, z: float, made_of: Material, stuff: Material) -> list[Part]:
    """The back of a chair: slats up or across, a whole board, or upholstered; leaning a little."""
    way, rise = rng.integers(4), height - seat
    low, high = (-wide / 2, seat, z - 1.5), (wide / 2, height, z + 1.5)
    shapes: list[tuple[np.ndarray, Material]] = []
    if way == 0:
        shapes.append((cushion((low[0], seat + rise * 0.1, z - 3), (high[0], height, z + 3), 0.3), stuff))
    elif way == 1:
        shapes.append((box((low[0], seat + rise * rng.uniform(0, 0.5), z - 1), high), made_of))
    else:
        shapes += [
            (tube([(side * (wide / 2 - 1.5), seat, z), (side * (wide / 2 - 1.5), height, z)], 1.6), made_of)
            for side in (-1, 1)
        ]
        number = int(rng.integers(2, 6))
        if way == 2:
            shapes.append((box((low[0], height - 5, z - 1.2), (high[0], height, z + 1.2)), made_of))
            shapes += [
                (tube([(x, seat, z), (x, height - 4, z)], 1), made_of)
                for x in np.linspace(-wide / 2, wide / 2, number + 2)[1:-1]
            ]
        else:
            for y in np.linspace(seat + rise * 0.3, height - 3, number):
                shapes.append((box((low[0], y - 2.5, z - 1), (high[0], y + 2.5, z + 1)), made_of))
    lean = rng.uniform(2, 14)
    return [(spun(shape, lean, 0, (0, seat, z)), stuff_) for shape, stuff_ in shapes]


def chair(
    rng: Rng,
    wide: float = 44,
    seat: float = 45,
    height: float = 88,
    arms: float = 0.15,
    backed: bool = True,
    office: bool = False,
) -> list[Part]:
    """A chair, a stool without its back, an office chair on a column."""
    wide, seat, height = (side * rng.uniform(0.85, 1.2) for side in (wide, seat, height))
    deep, made_of = wide * rng.uniform(0.9, 1.1), metal(rng) if office or rng.random() < 0.25 else board(rng)
    stuff = cloth(rng) if rng.random() < 0.6 else paint(rng)
    soft, thick = office or rng.random() < 0.5, rng.uniform(2, 5)
    if soft:
        plate = cushion((-wide / 2, seat - 2 * thick, -deep / 2), (wide / 2, seat + 1, deep / 2), rng.uniform(0.2, 0.5))
    elif not backed and rng.random() < 0.6:
        plate = rod(thick, wide / 2, (0, seat - thick, 0), sides=28)
    else:
        plate = box((-wide / 2, seat - thick, -deep / 2), (wide / 2, seat, deep / 2))
    parts: list[Part] = [(plate, stuff if soft else made_of)]
    parts += (
        pedestal(rng, seat - thick, wide * 0.5, made_of) if office else legs(rng, wide, deep, seat - thick, made_of)
    )
    if backed:
        parts += back(rng, wide, seat, max(height, seat + 20), -deep / 2 + 2, made_of, stuff)
    if backed and rng.random() < (0.8 if office else arms):
        rest = seat + rng.uniform(16, 24)
        for side in (-1, 1):
            x = side * wide / 2
            parts.append(
                (tube([(x, seat - 3, deep * 0.35), (x, rest, deep * 0.3), (x, rest, -deep * 0.45)], 1.7), made_of)
            )
    return parts


def sofa(rng: Rng, seats: tuple[int, int] = (2, 3), corner: bool = False, wide: float = 62) -> list[Part]:
    """A sofa for so many (from, to): a base, cushions, a back, arms; one for one is an armchair."""
    number, each, deep = int(rng.integers(seats[0], seats[1] + 1)), wide * rng.uniform(0.9, 1.15), rng.uniform(75, 98)
    stuff, edge, seat, height = cloth(rng), rng.uniform(0.12, 0.45), rng.uniform(36, 46), rng.uniform(68, 98)
    pillow = stuff if rng.random() < 0.7 else cloth(rng)
    arm, arm_height, lift = rng.uniform(10, 24), rng.uniform(50, 66), rng.choice([0, 6, 12])
    full = number * each
    x = -full / 2
    parts: list[Part] = [
        (cushion((x, lift, -deep / 2), (-x, seat - 10, deep / 2), 0.12), stuff),
        (cushion((x, lift, -deep / 2), (-x, height, -deep / 2 + 22), edge), stuff),
    ]
    for i in range(number):
        parts.append(
            (cushion((x + i * each, seat - 14, -deep / 2 + 14), (x + (i + 1) * each, seat, deep / 2 + 2), edge), pillow)
        )
        if rng.random() < 0.8:
            low = (x + i * each + 1, seat - 2, -deep / 2 + 16)
            leaning = cushion(low, (low[0] + each - 2, height - 4, -deep / 2 + 34), edge + 0.1)
            parts.append((spun(leaning, 8, 0, (0, seat, 0)), pillow))
    for side in (-1, 1):
        near, far = sorted((side * full / 2, side * (full / 2 + arm)))
        parts.append((cushion((near, lift, -deep / 2), (far, arm_height, deep / 2), edge), stuff))
    if corner:
        near, far = sorted((-x + arm - each, -x + arm))
        parts.append(
            (cushion((near, lift, deep / 2 - 4), (far, seat, deep / 2 + each * rng.uniform(0.9, 1.5)), edge), stuff)
        )
    if lift:
        parts += legs(rng, full + arm, deep * 0.9, lift, board(rng))
    if rng.random() < 0.3:
        loose, at = cloth(rng), rng.uniform(-0.3, 0.3) * full
        parts.append((spun(cushion((at - 20, seat, -12), (at + 20, seat + 36, -2), 0.5), 15, 0, (0, seat, 0)), loose))
    return parts


def bench(rng: Rng, made_of: Callable[[Rng], Material] = board) -> list[Part]:
    """A long seat of planks, with a back or none."""
    wide, deep, seat, plank = rng.uniform(100, 190), rng.uniform(32, 50), rng.uniform(40, 50), made_of(rng)
    frame, planks = plank if rng.random() < 0.5 else metal(rng), int(rng.integers(1, 5))
    parts: list[Part] = []
    for a, b in zip(
        np.linspace(-deep / 2, deep / 2, planks + 1)[:-1], np.linspace(-deep / 2, deep / 2, planks + 1)[1:], strict=True
    ):
        parts.append((box((-wide / 2, seat - 3, a + 0.5), (wide / 2, seat, b - 0.5)), plank))
    tall = seat + rng.uniform(28, 48)
    with_back = rng.random() < 0.5
    for side in (-1, 1):
        x = side * wide * 0.4
        parts.append((box((x - 2.5, 0, -deep / 2), (x + 2.5, seat - 3, deep / 2), 0.8), frame))
        if with_back:
            parts.append((tube([(x, seat, -deep / 2), (x, tall, -deep / 2 - 8)], 2), frame))
    if with_back:
        for y in np.linspace(seat + 10, tall - 4, int(rng.integers(1, 4))):
            parts.append((box((-wide / 2, y - 4, -deep / 2 - 7), (wide / 2, y + 4, -deep / 2 - 4)), plank))
    return parts


MADE: dict[str, Maker] = {
    "chair": chair,
    "office chair": partial(chair, office=True),
    "bar chair": partial(chair, wide=38, seat=74, height=98, arms=0.05),
    "stool": partial(chair, wide=34, seat=48, backed=False),
    "children's chair": partial(chair, wide=30, seat=28, height=56),
    "garden armchair": partial(chair, wide=54, seat=42, height=90, arms=1),
    "armchair": partial(sofa, seats=(1, 1)),
    "sofa": sofa,
    "couch": sofa,
    "two-seat sofa": partial(sofa, seats=(2, 2)),
    "three-seat sofa": partial(sofa, seats=(3, 3)),
    "corner sofa": partial(sofa, corner=True),
    "bench": bench,
    "wooden bench": partial(bench, made_of=wood),
}

"""Tables, desks and pool tables, built of solids."""

from collections.abc import Callable
from functools import partial

from mesh import Material

from things.frames import fronts, legs, pedestal
from things.solids import Maker, Part, Rng, board, box, cushion, glass, metal, paint, turned, wood


def table(
    rng: Rng, wide: float, deep: float, height: float, top: str = "", made_of: Callable[[Rng], Material] = board
) -> list[Part]:
    """A table of about these sides; `top` "round" or a see-through one ("glass")."""
    wide, deep, height = (side * rng.uniform(0.75, 1.3) for side in (wide, deep, height))
    surface, frame = made_of(rng), made_of(rng) if rng.random() < 0.4 else metal(rng)
    frame, thick = (surface if rng.random() < 0.5 else frame), rng.uniform(1.5, 5)
    if top == "glass":
        surface, thick = glass(rng), 1.5
    if top == "round" or (top == "glass" and rng.random() < 0.4):
        plate = turned(
            [(0, height - thick), (wide / 2, height - thick), (wide / 2, height), (0, height)],
            sides=36,
            deep=rng.choice([1, 1, deep / wide]),
        )
        under = (
            pedestal(rng, height - thick, wide * 0.28, frame)
            if rng.random() < 0.6
            else legs(rng, wide * 0.66, wide * 0.66, height - thick, frame)
        )
        return [(plate, surface), *under]
    plate = box((-wide / 2, height - thick, -deep / 2), (wide / 2, height, deep / 2))
    parts: list[Part] = [(plate, surface)]
    way = rng.random()
    if way < 0.65:
        parts += legs(rng, wide * 0.94, deep * 0.9, height - thick, frame)
    elif way < 0.85:
        for side in (-1, 1):
            x = side * wide * 0.42
            parts.append((box((x - 2, 0, -deep * 0.42), (x + 2, height - thick, deep * 0.42)), frame))
    else:
        parts += pedestal(rng, height - thick, min(wide, deep) * 0.4, frame)
    if rng.random() < 0.4:
        parts.append(
            (box((-wide * 0.42, height - thick - 9, -deep * 0.4), (wide * 0.42, height - thick, deep * 0.4)), frame)
        )
    if rng.random() < 0.2:
        parts.append(
            (box((-wide * 0.44, height * 0.3, -deep * 0.42), (wide * 0.44, height * 0.3 + 2, deep * 0.42)), surface)
        )
    return parts


def desk(rng: Rng) -> list[Part]:
    """A table with drawers on one side or both."""
    wide, deep, height, made_of = rng.uniform(95, 180), rng.uniform(50, 85), rng.uniform(70, 80), board(rng)
    front = made_of if rng.random() < 0.6 else board(rng)
    parts: list[Part] = [(box((-wide / 2, height - 3, -deep / 2), (wide / 2, height, deep / 2)), made_of)]
    sides = [(-1,), (1,), (-1, 1), ()][int(rng.integers(4))]
    for side in sides:
        near, far = sorted((side * wide / 2, side * (wide / 2 - rng.uniform(32, 48))))
        parts += fronts(
            rng, (near, 0, -deep / 2 + 2), (far, height - 3, deep / 2 - 2), made_of, front, (1, int(rng.integers(2, 5)))
        )
    for side in {-1, 1} - set(sides):
        x = side * (wide / 2 - 3)
        parts.append((box((x - 2, 0, -deep * 0.45), (x + 2, height - 3, deep * 0.45)), made_of))
    if rng.random() < 0.5:
        parts.append((box((-wide * 0.47, height * 0.45, -deep / 2), (wide * 0.47, height - 3, -deep / 2 + 2)), made_of))
    return parts


def pool_table(rng: Rng) -> list[Part]:
    """A pool table: cloth, cushions, stout legs, balls."""
    wide, deep, high, made_of = rng.uniform(200, 260), rng.uniform(110, 145), rng.uniform(75, 88), wood(rng)
    x, z = wide / 2, deep / 2
    felt = Material((0.1, 0.45, 0.2)) if rng.random() < 0.6 else paint(rng, 0)
    parts: list[Part] = [
        (box((-x, high - 16, -z), (x, high - 3, z)), made_of),
        (box((-x + 6, high - 3, -z + 6), (x - 6, high - 2, z - 6)), felt),
    ]
    parts += [(box((-x, high - 3, s * z - 7), (x, high + 2, s * z + 7)), made_of) for s in (-1, 1)]
    parts += [(box((s * x - 7, high - 3, -z), (s * x + 7, high + 2, z)), made_of) for s in (-1, 1)]
    for _ in range(int(rng.integers(0, 12))):
        a, b = rng.uniform(-0.8, 0.8, 2) * (x, z)
        parts.append((cushion((a - 3, high - 2, b - 3), (a + 3, high + 4, b + 3), 1, 10), paint(rng, 0)))
    return [*parts, *legs(rng, wide * 0.9, deep * 0.85, high - 16, made_of)]


MADE: dict[str, Maker] = {
    "table": partial(table, wide=130, deep=80, height=75),
    "wooden table": partial(table, wide=140, deep=85, height=75, made_of=wood),
    "coffee table": partial(table, wide=95, deep=60, height=42),
    "workbench": partial(table, wide=140, deep=60, height=85, made_of=wood),
    "round table": partial(table, wide=100, deep=100, height=75, top="round"),
    "glass table": partial(table, wide=130, deep=80, height=72, top="glass"),
    "desk": desk,
    "pool table": pool_table,
}

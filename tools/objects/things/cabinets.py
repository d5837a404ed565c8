"""Cupboards, drawers and shelves, built of solids."""

from functools import partial

import numpy as np

from things.frames import fronts, legs
from things.solids import Maker, Part, Rng, board, box, glass, paint


def cabinet(
    rng: Rng,
    wide: float,
    height: float,
    deep: float,
    across: tuple[int, int],
    up: tuple[int, int],
    pane: bool = False,
    hung: bool = False,
) -> list[Part]:
    """A cupboard of about these sides with so many (from, to) doors or drawers across and up; `hung`: without legs."""
    wide, height, deep = (side * rng.uniform(0.75, 1.3) for side in (wide, height, deep))
    body = board(rng)
    front = body if rng.random() < 0.55 else board(rng)
    lift = rng.choice([0, 5, 12]) * float(height < 1.6 * wide and not hung)
    grid = (int(rng.integers(across[0], across[1] + 1)), int(rng.integers(up[0], up[1] + 1)))
    parts = fronts(
        rng, (-wide / 2, lift, -deep / 2), (wide / 2, height, deep / 2), body, front, grid, glass(rng) if pane else None
    )
    if lift:
        parts += legs(rng, wide * 0.95, deep * 0.9, lift, body)
    if rng.random() < 0.4:
        parts.append((box((-wide / 2 - 2, height, -deep / 2), (wide / 2 + 2, height + 3, deep / 2 + 2)), body))
    return parts


def shelves(rng: Rng, filled: float, wide: float = 85, height: float = 170, deep: float = 30) -> list[Part]:
    """Boards between two sides; so much of them filled with books."""
    wide, height, deep = (side * rng.uniform(0.6, 1.4) for side in (wide, height, deep))
    made_of, thick, rows = board(rng), rng.uniform(1.5, 3), int(rng.integers(3, 7))
    parts: list[Part] = [
        (box((side * wide / 2 - thick, 0, -deep / 2), (side * wide / 2 + thick, height, deep / 2)), made_of)
        for side in (-1, 1)
    ]
    if rng.random() < 0.6:
        parts.append((box((-wide / 2, 0, -deep / 2), (wide / 2, height, -deep / 2 + 1)), made_of))
    levels = np.linspace(height * 0.04, height - thick, rows)
    for level, above in zip(levels, [*levels[1:], None], strict=True):
        parts.append((box((-wide / 2, level, -deep / 2), (wide / 2, level + thick, deep / 2)), made_of))
        if above is None:
            continue
        x, room = -wide / 2 + thick, above - level - thick
        end = x + (wide - 2 * thick) * min(1, filled * rng.uniform(0.7, 1.3))
        while filled and x < end - 3:
            broad, tall = rng.uniform(1.5, 5), room * rng.uniform(0.6, 0.95)
            parts.append(
                (
                    box(
                        (x, level + thick, -deep * 0.3),
                        (min(x + broad, end), level + thick + tall, deep * rng.uniform(0.2, 0.45)),
                    ),
                    paint(rng, 0.25),
                )
            )
            x += broad + 0.2
    return parts


MADE: dict[str, Maker] = {
    "bedside table": partial(cabinet, wide=45, height=52, deep=40, across=(1, 1), up=(1, 3)),
    "wardrobe": partial(cabinet, wide=120, height=200, deep=60, across=(2, 4), up=(1, 1)),
    "upper cabinet": partial(cabinet, wide=70, height=65, deep=34, across=(1, 2), up=(1, 1), hung=True),
    "lower cabinet": partial(cabinet, wide=75, height=85, deep=58, across=(1, 2), up=(1, 1)),
    "high cabinet": partial(cabinet, wide=60, height=200, deep=58, across=(1, 1), up=(2, 3)),
    "drawer cabinet": partial(cabinet, wide=60, height=85, deep=55, across=(1, 1), up=(3, 5)),
    "chest of drawers": partial(cabinet, wide=90, height=90, deep=48, across=(1, 2), up=(3, 5)),
    "sideboard": partial(cabinet, wide=160, height=78, deep=45, across=(3, 4), up=(1, 1)),
    "tv stand": partial(cabinet, wide=140, height=48, deep=42, across=(2, 4), up=(1, 1)),
    "glass door cabinet": partial(cabinet, wide=85, height=180, deep=38, across=(2, 2), up=(1, 2), pane=True),
    "bookcase": partial(shelves, filled=0.5),
    "full bookcase": partial(shelves, filled=1.0),
    "shelves": partial(shelves, filled=0.0),
}

"""Screens, computers, telephones and speakers, built of solids."""

from functools import partial

import numpy as np

from things.solids import (
    BRIGHT,
    DARK,
    SCREEN,
    Maker,
    Part,
    Rng,
    board,
    box,
    cushion,
    disc,
    metal,
    paint,
    rod,
    spun,
    turned,
)


def screen(rng: Rng, wide: float, keys: bool = False, stand: bool = True) -> list[Part]:
    """A screen in its frame: a television, a computer with its keyboard, a tablet or telephone lying back."""
    wide = wide * rng.uniform(0.75, 1.3)
    tall, body = wide * rng.uniform(0.5, 0.75), DARK if rng.random() < 0.6 else paint(rng, 1)
    rim = rng.uniform(0.015, 0.06) * wide
    lit = SCREEN if rng.random() < 0.6 else paint(rng, 0.1)
    low = wide * rng.uniform(0.08, 0.2) if stand else 0
    parts: list[Part] = [
        (box((-wide / 2, low, -1.5), (wide / 2, low + tall, 1.5)), body),
        (box((-wide / 2 + rim, low + rim, 1.5), (wide / 2 - rim, low + tall - rim, 1.7)), lit),
    ]
    if stand:
        parts += [
            (rod(low + 3, wide * 0.03), body),
            (turned([(0, 0), (wide * 0.2, 0), (wide * 0.18, 1.2), (0, 1.4)], deep=rng.uniform(0.5, 1)), body),
        ]
    if keys:
        y, z = 1.0, wide * 0.35
        parts.append((box((-wide * 0.42, 0, z), (wide * 0.42, y + 0.6, z + wide * 0.28)), body))
        parts += [
            (
                box((a, y + 0.6, z + wide * b), (a + wide * 0.045, y + 1.2, z + wide * (b + 0.045))),
                BRIGHT if body is DARK and rng.random() < 0.5 else DARK,
            )
            for a in np.linspace(-wide * 0.4, wide * 0.35, 13)
            for b in (0.02, 0.08, 0.14, 0.2)
        ]
        if rng.random() < 0.5:
            parts.append((box((wide * 0.6, 0, -wide * 0.2), (wide * 0.95, tall * 1.1, wide * 0.45)), body))
    return parts


def laptop(rng: Rng) -> list[Part]:
    """Two leaves with a hinge, keys and a screen."""
    wide, body = rng.uniform(28, 40), metal(rng) if rng.random() < 0.5 else paint(rng, 0.8)
    deep, lit = wide * 0.68, SCREEN if rng.random() < 0.5 else paint(rng, 0.1)
    lid: list[Part] = [
        (box((-wide / 2, 1.6, -deep / 2), (wide / 2, deep, -deep / 2 + 0.8)), body),
        (box((-wide / 2 + 1.5, 3, -deep / 2 + 0.8), (wide / 2 - 1.5, deep - 1.5, -deep / 2 + 1)), lit),
    ]
    lean = rng.uniform(5, 35)
    parts: list[Part] = [
        (box((-wide / 2, 0, -deep / 2), (wide / 2, 1.8, deep / 2)), body),
        *((spun(shape, lean, 0, (0, 1.6, -deep / 2)), made_of) for shape, made_of in lid),
    ]
    parts += [
        (box((a, 1.8, b), (a + wide * 0.055, 2.1, b + deep * 0.08)), DARK)
        for a in np.linspace(-wide * 0.44, wide * 0.38, 12)
        for b in deep * np.linspace(-0.36, 0.04, 4)
    ]
    return [*parts, (box((-wide * 0.14, 1.8, deep * 0.2), (wide * 0.14, 1.95, deep * 0.42)), DARK)]


def handset(rng: Rng, wide: float = 7, keys: bool = False) -> list[Part]:
    """A telephone or tablet upright, with keys or all screen."""
    wide = wide * rng.uniform(0.85, 1.15)
    tall, body = wide * rng.uniform(1.4, 2.3), DARK if rng.random() < 0.5 else paint(rng, 0.7)
    parts: list[Part] = [(cushion((-wide / 2, 0, -wide * 0.07), (wide / 2, tall, wide * 0.07), 0.12), body)]
    low = 0.5 if keys else 0.1
    parts.append(
        (
            box((-wide * 0.42, tall * low, wide * 0.07), (wide * 0.42, tall * 0.93, wide * 0.08)),
            SCREEN if rng.random() < 0.4 else paint(rng, 0.2),
        )
    )
    if keys:
        parts += [
            (box((wide * a, tall * b, wide * 0.07), (wide * (a + 0.2), tall * (b + 0.07), wide * 0.1)), BRIGHT)
            for a in (-0.38, -0.1, 0.18)
            for b in (0.06, 0.16, 0.26, 0.36)
        ]
    else:
        parts.append((disc(wide * 0.06, 0.2, (0, tall * 0.05, wide * 0.07)), BRIGHT))
    return parts


def speaker(rng: Rng) -> list[Part]:
    """A case with round membranes."""
    wide, body, cone = (
        rng.uniform(14, 30),
        board(rng) if rng.random() < 0.5 else DARK,
        DARK if rng.random() < 0.7 else paint(rng),
    )
    tall, deep = wide * rng.uniform(1.4, 3), wide * rng.uniform(0.7, 1.2)
    parts: list[Part] = [(box((-wide / 2, 0, -deep / 2), (wide / 2, tall, deep / 2)), body)]
    y = tall * 0.06
    for share in sorted(rng.uniform(0.22, 0.44, int(rng.integers(1, 4))), reverse=True):
        r = wide * share
        if y + 2 * r > tall:
            break
        parts += [
            (disc(r, 1, (0, y + r, deep / 2)), metal(rng)),
            (disc(r * 0.85, 1.2, (0, y + r, deep / 2)), cone),
            (disc(r * 0.3, 2, (0, y + r, deep / 2)), BRIGHT),
        ]
        y += 2.2 * r
    return parts


MADE: dict[str, Maker] = {
    "tv": partial(screen, wide=95),
    "computer": partial(screen, wide=48, keys=True),
    "laptop": laptop,
    "smartphone": handset,
    "mobile phone": partial(handset, keys=True),
    "tablet": partial(handset, wide=17),
    "speaker": speaker,
}

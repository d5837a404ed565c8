"""Rugs, curtains, towels and their racks, built of solids."""

from functools import partial

import numpy as np

from things.solids import Maker, Part, Rng, box, cloth, metal, rod, tube, wood


def rug(rng: Rng, round_: bool = False) -> list[Part]:
    """A rug with a border, or a mat."""
    wide, deep, stuff, border = rng.uniform(90, 220), rng.uniform(60, 140), cloth(rng), cloth(rng)
    if round_:
        return [(rod(1, wide / 2, sides=36), border), (rod(1.4, wide * rng.uniform(0.36, 0.45), sides=36), stuff)]
    inset = rng.uniform(4, 12)
    return [
        (box((-wide / 2, 0, -deep / 2), (wide / 2, 1, deep / 2)), border),
        (box((-wide / 2 + inset, 1, -deep / 2 + inset), (wide / 2 - inset, 1.4, deep / 2 - inset)), stuff),
    ]


def hanging_cloth(rng: Rng, wide: float, tall: float) -> list[Part]:
    """A curtain or towel from a bar, in folds."""
    wide, tall, stuff = wide * rng.uniform(0.7, 1.3), tall * rng.uniform(0.8, 1.2), cloth(rng)
    x, depth, folds = np.linspace(-wide / 2, wide / 2, 48), rng.uniform(0.5, 0.04 * wide), rng.uniform(2, 12)
    z = depth * np.sin(np.linspace(0, 2 * np.pi * folds, 48))
    low = np.column_stack([x, 0 * x, z * 1.3])
    high = np.column_stack([x * rng.uniform(0.8, 1), 0 * x + tall, z])
    face = np.stack([low[:-1], low[1:], high[1:], high[:-1]], 1)
    bar = tube([(-wide * 0.58, tall + 1, 0), (wide * 0.58, tall + 1, 0)], rng.uniform(0.8, 2))
    return [
        (np.concatenate([face[:, [0, 1, 2]], face[:, [0, 2, 3]]]), stuff),
        (bar, metal(rng) if rng.random() < 0.6 else wood(rng)),
    ]


def rack(rng: Rng) -> list[Part]:
    """Bars on two posts, with cloths on some."""
    wide, tall, frame, number = (
        rng.uniform(45, 75),
        rng.uniform(60, 110),
        metal(rng) if rng.random() < 0.7 else wood(rng),
        int(rng.integers(2, 5)),
    )
    parts: list[Part] = [
        (tube([(s * wide / 2, 0, z), (s * wide / 2, tall, 0)], 1.4), frame) for s in (-1, 1) for z in (-16, 16)
    ]
    for y in np.linspace(tall * 0.35, tall, number):
        parts.append((tube([(-wide / 2, y, 0), (wide / 2, y, 0)], 1.1), frame))
        if rng.random() < 0.5:
            drop = tall * rng.uniform(0.2, 0.4)
            parts.append((box((-wide * 0.4, y - drop, -1.5), (wide * rng.uniform(0, 0.4), y + 1.5, 1.8)), cloth(rng)))
    return parts


MADE: dict[str, Maker] = {
    "oriental rug": rug,
    "round rug": partial(rug, round_=True),
    "curtain": partial(hanging_cloth, wide=120, tall=200),
    "towel": partial(hanging_cloth, wide=50, tall=70),
    "towel rack": rack,
}

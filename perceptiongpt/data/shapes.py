"""Drawn shapes with exact truth: enough for a tiny model to learn pointing in a minute or two of CPU.

Knows nothing of models; real pictures are made in scenes.py.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import mask_to_box
from perceptiongpt.data.phrases import ask_region
from perceptiongpt.data.sample import Sample, Turn

SHAPES = ("circle", "square", "triangle")
COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (235, 205, 50)}


def shapes(n: int, seed: int, side: int = 64, together: bool = False) -> list[Sample]:
    """n pictures of `side` x `side` pixels with one to three shapes, no two alike, each asked for once.

    "Where is the red circle?" is answered by "It is {0}." with the exact mask and its box. `together`: of two or three
    "Where are all the shapes?" is asked at last, and answered from left to right.
    """
    if n < 0 or side < 16:
        raise ValueError(f"{n} pictures of side {side} were asked for; wanted 0 or more, and a side of at least 16")
    return [_picture(np.random.default_rng([seed, i]), side, f"shapes-{seed}-{i}", together) for i in range(n)]


def _picture(rng: np.random.Generator, side: int, name: str, together: bool) -> Sample:
    pixels = np.empty((side, side, 3), np.uint8)
    pixels[:] = rng.integers(90, 170, 3) // 2 + 70
    free = np.ones((side, side), bool)
    pairs = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    wanted = rng.permutation(len(pairs))[: int(rng.integers(1, 4))]
    turns: list[Turn] = []
    for k in wanted:
        colour, shape = pairs[int(k)]
        mask = _placed(shape, free, rng)
        if mask is None:
            continue
        free &= ~mask
        pixels[mask] = COLOURS[colour]
        region = Region(box=mask_to_box(mask), mask=mask, label=f"{colour} {shape}")
        turns += [Turn("user", ask_region(f"the {colour} {shape}")), Turn("assistant", "It is {0}.", (region,))]
    found = sorted((r for turn in turns for r in turn.regions), key=lambda r: r.box[0] + r.box[2] if r.box else 0.0)
    if together and len(found) > 1:
        answer = f"They are {''.join(f'{{{i}}}' for i in range(len(found)))}."
        turns += [Turn("user", ask_region("all the shapes")), Turn("assistant", answer, tuple(found))]
    return Sample(Image.fromarray(pixels), tuple(turns), name)


def _placed(shape: str, free: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """The mask bool [side, side] of a shape somewhere on free pixels; None when thirty tries found no room."""
    side = len(free)
    for _ in range(30):
        r = rng.uniform(0.11, 0.24) * side
        x, y = rng.uniform(r, side - r, 2)
        mask = _drawn(shape, x, y, r, side)
        if (free | ~mask).all():
            return mask
    return None


def _drawn(shape: str, x: float, y: float, r: float, side: int) -> np.ndarray:
    """Pixels whose middle lies in a shape of radius r around (x, y)."""
    rows, columns = np.mgrid[0:side, 0:side] + 0.5
    dx, dy = columns - x, rows - y
    if shape == "circle":
        return np.hypot(dx, dy) <= r
    if shape == "square":
        return np.maximum(abs(dx), abs(dy)) <= 0.85 * r
    return (dy <= 0.8 * r) & (dy >= 2 * abs(dx) - r)

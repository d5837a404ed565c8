"""What carries things and what closes them: legs, columns, doors and drawers."""

import numpy as np
from mesh import Material

from things.solids import Part, Point, Rng, box, cushion, metal, moved, rod, tube, turned


def legs(rng: Rng, wide: float, deep: float, height: float, made_of: Material) -> list[Part]:
    """Four legs at the corners, square, round or splayed; at times bars between them."""
    thick, way, splay = rng.uniform(1.2, 3.2), rng.integers(3), rng.uniform(0, 0.12) * height
    x, z = wide / 2 - thick, deep / 2 - thick
    parts: list[Part] = []
    for sx, sz in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        if way == 0:
            leg = box((sx * x - thick, 0, sz * z - thick), (sx * x + thick, height, sz * z + thick))
        else:
            foot = (sx * (x + splay * (way == 2)), 0, sz * (z + splay * (way == 2)))
            leg = tube([foot, (sx * x, height, sz * z)], [thick * 0.7, thick])
        parts.append((leg, made_of))
    if rng.random() < 0.35:
        low = height * rng.uniform(0.2, 0.5)
        parts += [(tube([(sx * x, low, -z), (sx * x, low, z)], thick * 0.6), made_of) for sx in (-1, 1)]
        parts.append((tube([(-x, low, 0), (x, low, 0)], thick * 0.6), made_of))
    return parts


def pedestal(rng: Rng, height: float, reach: float, made_of: Material) -> list[Part]:
    """One column on a plate or on star-shaped feet."""
    parts: list[Part] = [(rod(height, rng.uniform(2, 4.5)), made_of)]
    if rng.random() < 0.5:
        return [*parts, (turned([(0, 0), (reach, 0), (reach, 2), (3, 5), (0, 5)]), made_of)]
    feet = rng.choice([3, 4, 5])
    ends = [(reach * np.cos(a), 1.5, reach * np.sin(a)) for a in 2 * np.pi * np.arange(feet) / feet]
    return [*parts, *((tube([(0, 6, 0), end], [2.2, 1.5]), made_of) for end in ends)]


def fronts(
    rng: Rng,
    low: Point,
    high: Point,
    body: Material,
    front: Material,
    grid: tuple[int, int],
    pane: Material | None = None,
) -> list[Part]:
    """A box between two corners with so many doors or drawers (across, up) on its front, and their handles."""
    (x, y, _), (u, v, w) = low, high
    parts: list[Part] = [(box(low, (u, v, w - 2)), body)]
    across, up = grid
    gap, handle, way = rng.uniform(0.5, 1.5), metal(rng), rng.integers(3)
    for i in range(across):
        for j in range(up):
            a, b = x + (u - x) * i / across + gap, x + (u - x) * (i + 1) / across - gap
            c, d = y + (v - y) * j / up + gap, y + (v - y) * (j + 1) / up - gap
            parts.append((box((a, c, w - 2), (b, d, w)), front))
            if pane is not None:
                parts.append((box((a + 4, c + 4, w), (b - 4, d - 4, w + 0.3)), pane))
            tall = d - c > 1.2 * (b - a)
            at = (
                (b - 4 if i % 2 == 0 and across > 1 else a + 4) if tall else (a + b) / 2,
                (c + d) / 2 if tall else d - (d - c) * 0.3,
                w,
            )
            if way == 0:
                parts.append((moved(cushion((-1.5, -1.5, 0), (1.5, 1.5, 2.5), 1, 8), at), handle))
            elif way == 1:
                reach = np.array((0, min(9, (d - c) / 4), 0) if tall else (min(9, (b - a) / 4), 0, 0))
                parts.append((tube([np.add(at, step) + np.array([0, 0, 2]) for step in (-reach, reach)], 0.8), handle))
    return parts

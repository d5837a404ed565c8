"""Cars, vans, trucks, buses and bicycles, built of solids."""

from functools import partial
from itertools import pairwise

import numpy as np
from mesh import Material

from things.solids import DARK, Maker, Part, Rng, box, cushion, disc, metal, moved, paint, slab, spun, tube, wood


def car(rng: Rng, way: str = "car") -> list[Part]:
    """Wheels, a body, a cabin with windows; `way`: "car", "small car", "van", "truck" or "bus"."""
    long, wide, low = (
        {"car": 430, "small car": 300, "van": 480, "truck": 620, "bus": 950}[way] * rng.uniform(0.9, 1.1),
        rng.uniform(165, 190),
        28.0,
    )
    body, pane, wheel = paint(rng, 0.4), Material((0.15, 0.2, 0.25)), rng.uniform(28, 36)
    x, z = long / 2, wide / 2
    waist, roof, parts = rng.uniform(75, 92), rng.uniform(135, 158), []
    if way in ("van", "bus"):
        wide, roof = wide * 1.15, rng.uniform(200, 300)
        z = wide / 2
        parts += [(cushion((-x, low, -z), (x, roof, z), rng.uniform(0.06, 0.15)), body)]
        sill = roof * 0.55
        panes = np.linspace(-x * 0.9, x * 0.9, 9 if way == "bus" else 4)
        parts += [
            (box((a + 5, sill, s * z - 0.8), (b - 5, roof * 0.88, s * z + 0.8)), pane)
            for a, b in pairwise(panes)
            for s in (-1, 1)
        ]
        parts += [(box((s * x - 1, sill, -z * 0.85), (s * x + 1, roof * 0.88, z * 0.85)), pane) for s in (-1, 1)]
    elif way == "truck":
        cab, bed_ = x - long * 0.26, rng.uniform(60, 80)
        parts += [
            (cushion((cab, low, -z), (x, roof * 1.35, z), 0.12), body),
            (box((-x, bed_ - 18, -z * 0.8), (x * 0.9, bed_, z * 0.8)), DARK),
        ]
        load = roof * rng.uniform(1.4, 2.0) if rng.random() < 0.7 else bed_ + 45
        parts.append((box((-x, bed_, -z * 1.1), (cab - 12, load, z * 1.1)), paint(rng, 0.6)))
        parts += [(box((x - 3, roof * 0.85, -z * 0.85), (x + 1, roof * 1.25, z * 0.85)), pane)]
        parts += [(box((cab + 20, roof * 0.85, s * z - 1), (x - 20, roof * 1.25, s * z + 1)), pane) for s in (-1, 1)]
    else:
        nose = 0.0 if way == "small car" else rng.uniform(0.05, 0.18) * long
        rear = rng.uniform(0.0, 0.16) * long * (way == "car")
        parts += [(cushion((-x, low, -z), (x, waist, z), rng.uniform(0.15, 0.35)), body)]
        a, b = -x * 0.92 + rear, x * 0.62 - nose * 0.5
        slope, back_ = rng.uniform(35, 75), rng.uniform(12, 55)
        outline = [(a, waist - 6), (b, waist - 6), (b - slope, roof), (a + back_, roof)]
        parts.append((slab(outline, -z * 0.88, z * 0.88), body))
        middle = np.mean(outline, axis=0)
        inner = [tuple(middle + (np.array(p) - middle) * 0.82 + (0, 3)) for p in outline]
        parts.append((slab(inner, -z * 0.9, z * 0.9), pane))
        for (px, py), (qx, qy) in ((outline[1], outline[2]), (outline[3], outline[0])):
            out = np.sign(px + qx) * 1.5
            face = np.array(
                [
                    [
                        [px + out, py + 10, -z * 0.78],
                        [qx + out, qy - 6, -z * 0.78],
                        [qx + out, qy - 6, z * 0.78],
                        [px + out, py + 10, z * 0.78],
                    ]
                ]
            )
            parts.append((np.concatenate([face[:, [0, 1, 2]], face[:, [0, 2, 3]]]), pane))
        parts.append((box(((a + b) / 2 - 1, waist - 30, -z * 1.005), ((a + b) / 2 + 1, waist, z * 1.005)), DARK))
    for a in [-x * 0.62, x * 0.62, *([-x * 0.35] if way == "truck" else [])]:
        for s in (-1, 1):
            tyre = disc(wheel, 20, (a, wheel, s * z - (18 if s > 0 else 2)))
            parts += [(tyre, DARK), (disc(wheel * 0.6, 22, (a, wheel, s * z - (18 if s > 0 else 4))), metal(rng))]
    lamp, end = Material((0.95, 0.95, 0.8)), Material((0.75, 0.08, 0.08))
    parts += [
        (cushion((x - 14, waist * 0.68, s * z * 0.7 - 14), (x + 1, waist * 0.9, s * z * 0.7 + 14), 0.7, 10), lamp)
        for s in (-1, 1)
    ]
    parts += [
        (box((-x - 1, waist * 0.68, s * z * 0.75 - 10), (-x + 4, waist * 0.9, s * z * 0.75 + 10)), end) for s in (-1, 1)
    ]
    return [(spun(shape, 90), made_of) for shape, made_of in parts]


def bicycle(rng: Rng) -> list[Part]:
    """Two wheels, a frame, a saddle, bars."""
    r, base, frame = rng.uniform(28, 35), rng.uniform(95, 110), paint(rng, 0.3)
    parts: list[Part] = []
    for x in (-base / 2, base / 2):
        ring = [(x + r * np.cos(a), r + r * np.sin(a), 0) for a in np.linspace(0, 2 * np.pi, 30)]
        parts.append((tube(ring, 1.9, 6), DARK))
        parts += [
            (tube([(x, r, 0), (x + r * np.cos(a), r + r * np.sin(a), 0)], 0.25, 4), metal(rng))
            for a in np.linspace(0, 2 * np.pi, 14)
        ]
    pedal, seat, head, rear, front = (
        (-8, r * 0.85, 0),
        (-base * 0.22, r * 2.2, 0),
        (base * 0.32, r * 2.2, 0),
        (-base / 2, r, 0),
        (base / 2, r, 0),
    )
    drop = rng.uniform(0, 0.9) * r
    for a, b in (
        (rear, pedal),
        (rear, seat),
        (pedal, seat),
        (pedal, head),
        ((seat[0], seat[1] - drop, 0), (head[0], head[1] - drop * 0.3, 0)),
        (front, (head[0] - 4, head[1] + 14, 0)),
    ):
        parts.append((tube([a, b], 1.5), frame))
    bar = (head[0] - 4, head[1] + 14)
    parts += [
        (tube([(bar[0] - 10, bar[1] + 2, -26), (bar[0], bar[1], 0), (bar[0] - 10, bar[1] + 2, 26)], 1.2), DARK),
        (cushion((seat[0] - 12, seat[1] + 4, -6), (seat[0] + 12, seat[1] + 10, 6), 0.6), DARK),
        (tube([seat, (seat[0], seat[1] + 6, 0)], 1.2), metal(rng)),
        (moved(disc(r * 0.3, 1, (0, 0, 0)), (pedal[0], pedal[1], 0)), metal(rng)),
    ]
    if rng.random() < 0.3:
        parts.append((box((bar[0] + 2, bar[1] - 22, -14), (bar[0] + 28, bar[1] - 2, 14)), wood(rng)))
    return [(spun(shape, 90), made_of) for shape, made_of in parts]


MADE: dict[str, Maker] = {
    **{name: partial(car, way=name) for name in ("car", "small car", "van", "truck", "bus")},
    "bicycle": bicycle,
}

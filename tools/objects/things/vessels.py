"""Vases, bowls, cups, glasses, bottles, pots, pans and plates, built of solids."""

from functools import partial

import numpy as np
from mesh import Material

from things.solids import BRIGHT, DARK, Maker, Part, Rng, cushion, glass, metal, paint, rod, tube, turned, wood


def hollow(profile: list[tuple[float, float]], wall: float) -> np.ndarray:
    """A vessel from the outline (radius, height) of its outside, from the foot up."""
    inside = [(max(r - wall, 0.1), max(y, wall)) for r, y in reversed(profile)]
    return turned([(0, profile[0][1]), *profile, *inside, (0, wall)], sides=32)


def vase(rng: Rng, tall: float = 32) -> list[Part]:
    """A belly, a neck, a lip."""
    tall, t = tall * rng.uniform(0.6, 1.5), np.linspace(0, 1, 14)
    belly, neck, at = rng.uniform(0.14, 0.32), rng.uniform(0.05, 0.2), rng.uniform(0.5, 1.8)
    radius = tall * (
        neck + (belly - neck * 0.5) * np.sin(np.pi * t**at) ** rng.uniform(0.8, 2) + 0.05 * rng.random() * t**8
    )
    made_of = paint(rng, 0.4) if rng.random() < 0.75 else glass(rng)
    parts: list[Part] = [(hollow(list(zip(radius, t * tall, strict=True)), tall * 0.02), made_of)]
    if rng.random() < 0.25:
        y = int(rng.integers(3, 10))
        parts.append((turned([(radius[y] * 1.02, t[y] * tall), (radius[y + 1] * 1.02, t[y + 1] * tall)]), paint(rng)))
    return parts


def bowl(rng: Rng, filled: Material | None = None, wide: float = 13) -> list[Part]:
    """A bowl; with balls in it where it is filled."""
    wide, t = wide * rng.uniform(0.7, 1.3), np.linspace(0.15, 1, 9)
    tall, bulge = wide * rng.uniform(0.45, 1), rng.uniform(0.3, 0.7)
    profile = [(wide * a**bulge, tall * (a - 0.15) / 0.85) for a in t]
    parts: list[Part] = [(hollow(profile, wide * 0.05), paint(rng, 0.5) if rng.random() < 0.8 else glass(rng))]
    if rng.random() < 0.4:
        parts.append((rod(tall * 0.08, wide * 0.4, (0, -tall * 0.06, 0)), parts[0][1]))
    if filled is not None:
        for _ in range(int(rng.integers(5, 10))):
            r, x, z = wide * rng.uniform(0.28, 0.36), *(rng.uniform(-0.5, 0.5, 2) * wide)
            parts.append((cushion((x - r, tall * 0.6, z - r), (x + r, tall * 0.6 + 2 * r, z + r), 1), filled))
    return parts


def cup(rng: Rng, tall: float = 9, saucer: float = 0.0, handle: float = 1.0) -> list[Part]:
    """A cup or mug, with a handle and a saucer in so many cases."""
    tall, wide, flare = tall * rng.uniform(0.75, 1.25), rng.uniform(0.35, 0.62), rng.uniform(0.75, 1.35)
    t = np.linspace(0, 1, 8)
    radius = tall * wide * (1 / flare + (1 - 1 / flare) * t ** rng.uniform(0.3, 1.5))
    made_of = paint(rng, 0.5)
    parts: list[Part] = [(hollow(list(zip(radius, t * tall, strict=True)), tall * 0.04), made_of)]
    if rng.random() < handle:
        a, reach = np.linspace(-np.pi / 2, np.pi / 2, 9), tall * rng.uniform(0.2, 0.36)
        inner = radius[4] * 0.95
        parts.append(
            (
                tube([(inner + reach * np.cos(b), tall * 0.52 + tall * 0.3 * np.sin(b), 0) for b in a], tall * 0.05),
                made_of,
            )
        )
    if rng.random() < 0.5:
        parts.append((rod(0.1, radius[6] * 0.95, (0, tall * 0.86, 0)), Material((0.25, 0.14, 0.07))))
    if rng.random() < saucer:
        plate_ = turned(
            [(0, -1), (tall * 0.4, -1), (tall * 0.85, 0.6), (tall * 0.85, 1), (tall * 0.4, -0.5), (0, -0.5)]
        )
        parts.append((plate_, made_of))
    return parts


def tumbler(rng: Rng, stemmed: float = 0.4) -> list[Part]:
    """A glass, stemmed in so many cases, at times with a drink."""
    made_of, wide = glass(rng), rng.uniform(2.8, 4.6)
    if rng.random() < stemmed:
        stem, bowl_, t = rng.uniform(5, 10), rng.uniform(6, 11), np.linspace(0.1, 1, 8)
        cone = rng.random() < 0.3
        radius = wide * (t if cone else np.sin(t * rng.uniform(2.0, 2.7)) ** 0.6)
        profile = [
            (wide * 0.9, 0),
            (wide * 0.85, 0.5),
            (0.5, 1),
            (0.45, stem),
            *zip(radius, stem + t * bowl_, strict=True),
        ]
        parts: list[Part] = [(turned([(0, 0), *profile]), made_of)]
        level = [(r * 0.9, stem + a * bowl_) for r, a in zip(radius, t, strict=True) if a < 0.65]
    else:
        tall = wide * rng.uniform(2, 3.6)
        parts = [(hollow([(wide * rng.uniform(0.7, 1), 0), (wide, tall)], 0.25), made_of)]
        level = [(wide * 0.7, 0.5), (wide * 0.88, tall * rng.uniform(0.3, 0.8))]
    if rng.random() < 0.4:
        parts.append((turned([(0, level[0][1]), *level, (0, level[-1][1])]), paint(rng, 0)))
    return parts


def bottle(
    rng: Rng, tall: float, slim: float, neck: float, made_of: Material, cap: Material, label: float = 0.6
) -> list[Part]:
    """A body, shoulders, a neck so much as wide, a cap, and a label in so many cases."""
    tall, r = tall * rng.uniform(0.8, 1.2), tall * slim * rng.uniform(0.85, 1.2) / 2
    shoulder, top = tall * rng.uniform(0.5, 0.7), tall * rng.uniform(0.72, 0.86)
    bend = [
        (r * (neck + (1 - neck) * np.cos(a)), shoulder + (top - shoulder) * np.sin(a))
        for a in np.linspace(0, np.pi / 2, 6)
    ]
    deep, sides = (rng.uniform(0.5, 1), 24) if neck < 0.6 and rng.random() < 0.3 else (1.0, 24)
    parts: list[Part] = [
        (
            turned(
                [(0, 0), (r * 0.95, 0), (r, 1), (r, shoulder), *bend, (r * neck, tall * 0.95), (0, tall * 0.95)],
                sides=sides,
                deep=deep,
            ),
            made_of,
        )
    ]
    parts.append((rod(tall * 0.09, r * neck * 1.12, (0, tall * 0.91, 0)), cap))
    if rng.random() < label:
        low = shoulder * rng.uniform(0.15, 0.35)
        parts.append(
            (
                turned([(r * 1.02, low), (r * 1.02, shoulder * rng.uniform(0.65, 0.95))], deep=deep),
                BRIGHT if rng.random() < 0.5 else paint(rng),
            )
        )
    return parts


def _bottled(name: str, rng: Rng) -> list[Part]:
    dark = Material([(0.1, 0.22, 0.1), (0.3, 0.16, 0.06), (0.15, 0.04, 0.06)][int(rng.integers(3))])
    if name == "wine bottle":
        return bottle(rng, 31, 0.25, 0.36, dark if rng.random() < 0.7 else glass(rng), paint(rng))
    if name == "beer bottle":
        return bottle(rng, 24, 0.27, 0.42, dark, metal(rng))
    if name == "medicine bottle":
        amber = Material((0.75, 0.4, 0.1)) if rng.random() < 0.5 else BRIGHT
        return bottle(rng, 9, 0.55, rng.uniform(0.65, 0.95), amber, BRIGHT, 0.9)
    if name == "perfume bottle":
        return bottle(
            rng, 10, 0.7, rng.uniform(0.25, 0.45), glass(rng) if rng.random() < 0.6 else paint(rng), metal(rng), 0.3
        )
    parts = bottle(rng, 18, 0.42, 0.38, paint(rng), BRIGHT if rng.random() < 0.5 else DARK)
    if name == "soap bottle":
        top = float(max(shape[..., 1].max() for shape, _ in parts))
        parts += [(tube([(0, top, 0), (0, top + 3, 0), (4, top + 2.6, 0)], 0.6), parts[1][1])]
    return parts


def pot(rng: Rng) -> list[Part]:
    """A pot that bulges, with a lid and with ears at times."""
    tall, t = rng.uniform(11, 22), np.linspace(0, 1, 10)
    radius = tall * (rng.uniform(0.3, 0.45) * (0.7 + 0.3 * np.sin(np.pi * t ** rng.uniform(0.6, 1.4))))
    made_of = paint(rng, 0.4) if rng.random() < 0.7 else wood(rng)
    parts: list[Part] = [(hollow(list(zip(radius, t * tall, strict=True)), tall * 0.04), made_of)]
    if rng.random() < 0.5:
        r = radius[-1] * 1.05
        parts.append(
            (
                turned(
                    [
                        (r, tall),
                        (r * 0.8, tall * 1.1),
                        (r * 0.1, tall * 1.15),
                        (r * 0.15, tall * 1.25),
                        (0, tall * 1.27),
                    ]
                ),
                made_of,
            )
        )
    if rng.random() < 0.4:
        for s in (-1, 1):
            r = radius[6]
            parts.append(
                (
                    tube([(s * r, tall * 0.8, 0), (s * r * 1.4, tall * 0.7, 0), (s * r, tall * 0.5, 0)], tall * 0.035),
                    made_of,
                )
            )
    return parts


def pan(rng: Rng) -> list[Part]:
    """A pan with one long handle, or a pot with two ears and a lid."""
    made_of, r = metal(rng) if rng.random() < 0.7 else paint(rng), rng.uniform(10, 15)
    tall = r * rng.uniform(0.3, 1.2)
    parts: list[Part] = [(hollow([(r * 0.92, 0), (r, tall)], 0.6), made_of)]
    if tall < r * 0.7:
        return [*parts, (tube([(r, tall * 0.8, 0), (r * 2.3, tall * 1.2, 0)], [0.9, 1.3]), DARK)]
    parts += [
        (tube([(s * r, tall * 0.8, -2.5), (s * r * 1.2, tall * 0.8, 0), (s * r, tall * 0.8, 2.5)], 0.7), DARK)
        for s in (-1, 1)
    ]
    if rng.random() < 0.6:
        parts.append((turned([(r, tall), (r * 0.7, tall + r * 0.18), (0, tall + r * 0.22)]), made_of))
        parts.append((cushion((-1.5, tall + r * 0.2, -1.5), (1.5, tall + r * 0.2 + 3, 1.5), 0.8, 10), DARK))
    return parts


def plate(rng: Rng, deep: float = 1.0) -> list[Part]:
    """A plate with a rim."""
    r, made_of = rng.uniform(10, 16), paint(rng, 0.7)
    rings = [(0, 0), (r * 0.6, 0), (r, r * 0.12), (r, r * 0.15), (r * 0.62, r * 0.05), (0, r * 0.05)]
    parts: list[Part] = [(turned(rings, sides=36, deep=deep), made_of)]
    if rng.random() < 0.5:
        parts.append((turned([(r * 0.7, r * 0.075), (r * 0.75, r * 0.092)], (0, 0.1, 0), 36, deep), paint(rng)))
    return parts


MADE: dict[str, Maker] = {
    "vase": vase,
    "bowl": bowl,
    "bowl of apples": lambda rng: bowl(rng, Material((0.75, rng.uniform(0.1, 0.6), 0.12))),
    "coffee cup": partial(cup, saucer=0.6),
    "plastic cup": partial(cup, handle=0.0, tall=11),
    "glass": partial(tumbler, stemmed=0.2),
    "cocktail glass": partial(tumbler, stemmed=1.0),
    **{
        name: partial(_bottled, name)
        for name in ("wine bottle", "beer bottle", "medicine bottle", "perfume bottle", "shampoo bottle", "soap bottle")
    },
    "pot": pot,
    "large pan": pan,
    "plate": plate,
    "oval plate": partial(plate, deep=0.65),
}

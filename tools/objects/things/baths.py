"""Washbasins, toilets and bidets, built of solids."""

from functools import partial

from mesh import Material

from things.frames import fronts
from things.solids import BRIGHT, Maker, Part, Rng, board, box, cushion, metal, moved, paint, rod, spun, tube, turned


def washbasin(rng: Rng) -> list[Part]:
    """A basin on a column, on the wall or on a cabinet, with its tap."""
    wide, deep, low, body = rng.uniform(42, 75), rng.uniform(36, 52), rng.uniform(60, 75), BRIGHT
    edge, tall = rng.uniform(0.15, 0.8), rng.uniform(12, 20)
    x, z = wide / 2, deep / 2
    parts: list[Part] = [
        (cushion((-x, low, -z), (x, low + tall, z), edge), body),
        (
            cushion((-x * 0.8, low + tall * 0.75, -z * 0.6), (x * 0.8, low + tall + 1.0, z * 0.85), 0.7),
            Material((0.78, 0.8, 0.82)),
        ),
    ]
    if rng.random() < 0.5:
        parts.append((turned([(12, 0), (8, low * 0.5), (11, low + 2)]), body))
    elif rng.random() < 0.6:
        parts += fronts(rng, (-x * 0.95, 0, -z), (x * 0.95, low + 2, z * 0.9), board(rng), board(rng), (2, 1))
    tap = metal(rng)
    top = low + tall
    return [
        *parts,
        (
            tube(
                [(0, top - 2, -z * 0.8), (0, top + 9, -z * 0.8), (0, top + 10, -z * 0.5), (0, top + 7, -z * 0.25)], 1.2
            ),
            tap,
        ),
    ]


def toilet(rng: Rng, bowl_only: bool = False) -> list[Part]:
    """A bowl with a seat, and a tank with a lid; the bowl alone with a tap is a bidet."""
    wide, long, high, body = (
        rng.uniform(34, 40),
        rng.uniform(44, 54),
        rng.uniform(36, 42),
        BRIGHT if rng.random() < 0.85 else paint(rng),
    )
    parts: list[Part] = [
        (
            turned(
                [(wide * 0.3, 0), (wide * 0.27, high * 0.4), (wide * 0.46, high * 0.85), (wide * 0.5, high)],
                deep=long / wide,
            ),
            body,
        )
    ]
    hole = turned([(0, high + 0.4), (wide * 0.34, high + 0.4)], deep=long / wide)
    parts += [
        (
            turned(
                [(wide * 0.33, high), (wide * 0.33, high + 2.5), (wide * 0.51, high + 2.5), (wide * 0.51, high)],
                deep=long / wide,
            ),
            body,
        ),
        (hole, Material((0.6, 0.65, 0.7))),
    ]
    z = -long / 2
    if bowl_only:
        return [*parts, (tube([(0, high, z + 6), (0, high + 10, z + 7), (0, high + 9, z + 14)], 1.1), metal(rng))]
    tall = rng.uniform(30, 42)
    parts += [
        (cushion((-wide / 2, high - 4, z - 16), (wide / 2, high + tall, z + 2), 0.15), body),
        (box((-wide / 2 - 1, high + tall, z - 17), (wide / 2 + 1, high + tall + 3, z + 3)), body),
    ]
    parts.append((rod(1.5, 2, (0, high + tall + 3, z - 7)), metal(rng)))
    if rng.random() < 0.5:
        lid = moved(turned([(0, -1), (wide * 0.5, -1), (wide * 0.5, 1), (0, 1)], deep=long / wide), (0, 0, long / 2))
        parts.append((moved(spun(lid, -rng.uniform(80, 92), 0), (0, high + 3, z + 5)), body))
    return parts


MADE: dict[str, Maker] = {
    "washbasin": washbasin,
    "toilet": toilet,
    "bidet": partial(toilet, bowl_only=True),
}

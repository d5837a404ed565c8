"""Solids of which things are built: boxes, cushions, turned bodies, tubes, slabs, leaves, and what they are made of.

Knows shapes and materials, not what is built of them (the other files here). Lengths are cm, y points up, the
front is +z. A shape is its triangles [F, 3, 3]; a part is a shape and its material.
"""

import colorsys
from collections.abc import Callable, Sequence

import numpy as np
from mesh import Material, Mesh

Rng = np.random.Generator
Point = Sequence[float] | np.ndarray
Path = Sequence[Point] | np.ndarray  # points [n, 3]
Part = tuple[np.ndarray, Material]
Maker = Callable[[Rng], list[Part]]  # draws one thing anew from its generator

TILE = 40.0  # cm of a texture's side
GRAIN = 64  # its texels


def box(low: Point, high: Point, narrow: float = 1.0) -> np.ndarray:
    """A box between two corners, `narrow` times as wide and deep at its top."""
    (x, y, z), (u, v, w) = low, high
    corner = np.array([[a, b, c] for b in (y, v) for a, c in ((x, z), (u, z), (u, w), (x, w))], float)
    middle = np.array([(x + u) / 2, 0, (z + w) / 2])
    corner[4:] = middle + (corner[4:] - middle) * [narrow, 1, narrow]
    sides = [(i, (i + 1) % 4, (i + 1) % 4 + 4, i + 4) for i in range(4)]
    return quads(corner[[(0, 1, 2, 3), (4, 5, 6, 7), *sides]])


def quads(corners: np.ndarray) -> np.ndarray:
    """The triangles [2 n, 3, 3] of flat four-sided faces [n, 4, 3]."""
    return np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])


def skin(rings: np.ndarray) -> np.ndarray:
    """What spans rings of points [n, m, 3] one after another, each of them closed."""
    after = np.roll(rings, -1, axis=1)
    return quads(np.stack([rings[:-1], after[:-1], after[1:], rings[1:]], 2).reshape(-1, 4, 3))


def cushion(low: Point, high: Point, edge: float = 0.35, sides: int = 16) -> np.ndarray:
    """A rounded box between two corners (a superellipsoid): `edge` 1 is an ellipsoid, near 0 a box."""
    middle, reach = (np.add(high, low) / 2, np.subtract(high, low) / 2)
    up, round_ = np.linspace(-np.pi / 2, np.pi / 2, sides // 2 + 1), np.linspace(0, 2 * np.pi, sides, endpoint=False)

    def bent(x: np.ndarray) -> np.ndarray:
        return np.sign(x) * np.abs(x) ** edge

    level, ring = bent(np.cos(up))[:, None], np.ones((len(up), 1))
    level[[0, -1]] = 0  # the poles: closed, whatever a cosine of 6e-17 is bent to
    unit = np.stack(
        [level * bent(np.cos(round_)), bent(np.sin(up))[:, None] + 0 * round_, level * bent(np.sin(round_))], 2
    )
    return skin(middle + unit * ring[..., None] * reach)


def turned(
    profile: Sequence[tuple[float, float]], at: Point = (0, 0, 0), sides: int = 24, deep: float = 1.0
) -> np.ndarray:
    """A body turned on a lathe from (radius, height) pairs about a foot `at`; `deep` times as deep as wide."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    radius, height = np.array(profile, float).T
    rings = np.stack(
        [radius[:, None] * np.cos(angle), height[:, None] + 0 * angle, deep * radius[:, None] * np.sin(angle)], 2
    )
    return skin(rings + np.asarray(at, float))


def rod(height: float, radius: float, at: Point = (0, 0, 0), top: float | None = None, sides: int = 16) -> np.ndarray:
    """An upright cylinder with its ends, `top` its upper radius."""
    return turned([(0, 0), (radius, 0), (radius if top is None else top, height), (0, height)], at, sides)


def tube(path: Path, radius: float | Sequence[float], sides: int = 8) -> np.ndarray:
    """A pipe along points, with one radius or one for each point."""
    points = np.asarray(path, float)
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    helper = np.where(np.abs(along[:, 1:2]) > 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    across = np.cross(along, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    over, angle = np.cross(along, across), np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    wide = np.broadcast_to(np.asarray(radius, float), len(points))[:, None, None]
    return skin(points[:, None] + wide * (np.cos(angle) * across[:, None] + np.sin(angle) * over[:, None]))


def slab(outline: Sequence[tuple[float, float]] | np.ndarray, back: float, front: float) -> np.ndarray:
    """A flat outline (x, y), which its middle sees whole, as thick as from z `back` to `front`."""
    flat = np.array(outline, float)
    rings = [np.column_stack([flat, np.full(len(flat), z)]) for z in (back, front)]
    middles = [np.broadcast_to(ring.mean(0), ring.shape) for ring in rings]
    return skin(np.stack([middles[0], rings[0], rings[1], middles[1]]))


def leaf(path: Path, width: float, across: Point) -> np.ndarray:
    """A flat blade along points, widest in its middle, lying towards `across`."""
    points = np.asarray(path, float)
    wide = width / 2 * np.sin(np.linspace(0.15, np.pi, len(points)))[:, None] * np.asarray(across, float)
    left, right = points - wide, points + wide
    return quads(np.stack([left[:-1], right[:-1], right[1:], left[1:]], 1))


def disc(radius: float, thick: float, at: Point = (0, 0, 0)) -> np.ndarray:
    """A round plate that faces the front: its middle `at`, as thick as it reaches forward."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return moved(slab(np.column_stack([np.cos(angle), np.sin(angle)]) * radius, 0, thick), at)


def moved(shape: np.ndarray, by: Point) -> np.ndarray:
    """The shape elsewhere."""
    return shape + np.asarray(by, float)


def spun(shape: np.ndarray, degrees: float, axis: int = 1, about: Point = (0, 0, 0)) -> np.ndarray:
    """The shape turned about a line through `about` along an axis (0 to the right, 1 up, 2 to the front)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn, (i, j) = np.eye(3), [k for k in range(3) if k != axis]
    turn[i, i] = turn[j, j] = c
    turn[i, j], turn[j, i] = -s, s
    return (shape - about) @ turn.T + about


def mesh_of(parts: Sequence[Part]) -> Mesh:
    """The parts as one mesh; textures lie on each face along the two axes that it faces least."""
    points = np.concatenate([shape for shape, _ in parts])
    normal = np.abs(np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]))
    least = np.array([[2, 1], [0, 2], [0, 1]])[normal.argmax(1)]
    places = np.take_along_axis(points, np.repeat(least[:, None], 3, 1), 2) / TILE
    material = np.repeat(np.arange(len(parts)), [len(shape) for shape, _ in parts])
    return Mesh(points, places, material, [made_of for _, made_of in parts])


def paint(rng: Rng, grey: float = 0.45) -> Material:
    """Any colour, black, white or grey in a share of `grey`."""
    hue, strength, light = rng.random(), rng.uniform(0.35, 0.95), rng.uniform(0.3, 0.95)
    if rng.random() < grey:
        strength, light = (
            rng.uniform(0, 0.12),
            rng.choice([rng.uniform(0.08, 0.25), rng.uniform(0.4, 0.65), rng.uniform(0.8, 0.97)]),
        )
    red, green, blue = colorsys.hsv_to_rgb(hue, strength, light)
    return Material((red, green, blue))


def wood(rng: Rng) -> Material:
    """A wood, light or dark, with grain."""
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(0.05, 0.1), rng.uniform(0.35, 0.75), rng.uniform(0.25, 0.85))
    along = np.cumsum(rng.normal(0, 0.05, GRAIN))
    grain = (
        1
        + np.clip(along - np.linspace(along[0], along[-1], GRAIN), -0.25, 0.25)[:, None]
        + rng.normal(0, 0.02, (GRAIN, GRAIN))
    )
    return _textured((red, green, blue), grain if rng.random() < 0.7 else grain.T)


def cloth(rng: Rng) -> Material:
    """A stuff of any colour: plain, striped, checked or speckled."""
    plain = paint(rng, 0.35)
    y, x = np.mgrid[:GRAIN, :GRAIN]
    kind, number, deep = rng.integers(5), int(rng.integers(2, 9)), rng.uniform(0.15, 0.5)
    wave = [np.sin(2 * np.pi * number * axis / GRAIN) > 0 for axis in (x, y)]
    pattern = [0 * x, 0 * x, wave[0], wave[0] ^ wave[1], rng.random(x.shape) < 0.2][kind]
    return _textured(plain.colour, 1 - deep * pattern + rng.normal(0, 0.03, x.shape))


def metal(rng: Rng) -> Material:
    """Steel, iron or brass."""
    return Material(
        [(0.75, 0.76, 0.78), (0.55, 0.56, 0.58), (0.12, 0.12, 0.13), (0.72, 0.6, 0.3)][int(rng.integers(4))]
    )


def white(rng: Rng) -> Material:
    """What appliances and basins are made of: nearly white, at times black or steel."""
    light = rng.uniform(0.82, 0.98)
    return Material((light, light, light * rng.uniform(0.94, 1))) if rng.random() < 0.7 else metal(rng)


def board(rng: Rng) -> Material:
    """What furniture is made of: wood, often, or painted."""
    return wood(rng) if rng.random() < 0.65 else paint(rng, 0.7)


def leaves(rng: Rng) -> Material:
    """A green."""
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(0.2, 0.38), rng.uniform(0.4, 0.85), rng.uniform(0.25, 0.65))
    return Material((red, green, blue))


def glass(rng: Rng) -> Material:
    """See-through, at times tinted."""
    tint = rng.choice([[0.85, 0.92, 0.95], [0.4, 0.6, 0.4], [0.5, 0.35, 0.2], [0.8, 0.8, 0.8]])
    red, green, blue = map(float, tint)
    return Material((red, green, blue), opacity=rng.uniform(0.4, 0.75))


def _textured(colour: Point, shade: np.ndarray) -> Material:
    rgb = np.clip(shade[..., None] * np.array(colour), 0.02, 1)
    texture = np.concatenate([rgb, np.ones((*rgb.shape[:2], 1))], 2)
    red, green, blue = map(float, colour)
    return Material((red, green, blue), texture=texture)


DARK, BRIGHT, SCREEN = Material((0.1, 0.1, 0.11)), Material((0.95, 0.94, 0.9)), Material((0.09, 0.1, 0.14))
EARTH = Material((0.25, 0.17, 0.1))

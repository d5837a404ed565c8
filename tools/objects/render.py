"""A small z-buffer renderer: a textured triangle mesh in, an RGBA picture with a clean alpha edge out.

Knows one orthographic camera that looks slightly down, and one fixed light. Knows nothing of model files (mesh.py), of
what models are called, or of how pictures are stored (furniture.py).

    F triangles   M materials   T texels of all textures, one after another
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from mesh import Material, Mesh

LIGHT = np.array([-0.45, 0.75, 0.50]) / np.linalg.norm([-0.45, 0.75, 0.50])  # from the upper left, before the object
AMBIENT, DIFFUSE = 0.55, 0.60
CREASE = 0.78  # cosine: neighbours that meet at less than about 75 degrees share a smooth normal
GLASS = 0.45  # the least opacity of a visible part, so that a glass table top still belongs to the table's mask


def camera(yaw: float, pitch: float) -> np.ndarray:
    """The rotation [3,3] from the object's axes to the eye's (x right, y up, z towards the eye), angles in degrees."""
    y, p = np.radians(yaw), np.radians(pitch)
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return tilt @ turn


@dataclass(frozen=True)
class View:
    """A picture [h,w,4] uint8 (straight alpha), its scale, and where the object's origin falls in it (pixels, x y)."""

    rgba: np.ndarray
    px_per_unit: float
    origin_xy: tuple[float, float]


def render(mesh: Mesh, yaw: float, pitch: float, side: int = 176, supersample: int = 3) -> View:
    """The mesh seen by the orthographic `camera`, cropped to its alpha plus one pixel, the longest side <= `side`."""
    eye = mesh.points @ camera(yaw, pitch).T  # [F,3,3]
    low, high = eye.min((0, 1)), eye.max((0, 1))
    scale = (side - 4) / max(high[0] - low[0], high[1] - low[1], 1e-9)
    width, height = (int(np.ceil((high[i] - low[i]) * scale)) + 4 for i in (0, 1))
    origin = np.array([2 - low[0] * scale, 2 + high[1] * scale])

    screen = np.empty(eye.shape, np.float32)
    screen[..., 0] = (origin[0] + eye[..., 0] * scale) * supersample
    screen[..., 1] = (origin[1] - eye[..., 1] * scale) * supersample
    screen[..., 2] = eye[..., 2]
    light = _light(eye)  # [F,3]

    table, texels = _tables(mesh.materials)
    opacity = table[mesh.material, 3]
    solid = np.flatnonzero(opacity >= 0.98)
    glass = np.flatnonzero((opacity < 0.98) & (opacity > 0.02))  # 0: helpers that the author hid
    glass = glass[np.argsort(screen[glass, :, 2].mean(1), kind="stable")]  # far to near
    order = np.concatenate([solid, glass])

    paint = np.zeros((height * supersample, width * supersample, 4), np.float32)  # premultiplied
    depth = np.full(paint.shape[:2], -np.inf, np.float32)
    _fill(screen, mesh.places.astype(np.float32), light, mesh.material, table, texels, order, paint, depth)

    paint = paint.reshape(height, supersample, width, supersample, 4).mean((1, 3))
    alpha = paint[..., 3:]
    rgba = np.concatenate([paint[..., :3] / np.maximum(alpha, 1e-6), alpha], -1)
    pixels = np.round(np.clip(rgba, 0, 1) * 255).astype(np.uint8)
    y, x = np.nonzero(pixels[..., 3])
    if len(x) == 0:
        return View(pixels[:1, :1], scale, (0.0, 0.0))
    left, top = max(x.min() - 1, 0), max(y.min() - 1, 0)
    cropped = pixels[top : y.max() + 2, left : x.max() + 2]
    return View(cropped, scale, (float(origin[0] - left), float(origin[1] - top)))


def _light(eye: np.ndarray) -> np.ndarray:
    """Brightness [F,3] of each corner; both sides of a face are lit, since many models are wound either way."""
    normal = np.cross(eye[:, 1] - eye[:, 0], eye[:, 2] - eye[:, 0])  # [F,3], as long as twice the area
    flat = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12)
    grain = max(float(np.ptp(eye)), 1e-9) * 1e-5
    cells = np.round((eye.reshape(-1, 3) - eye.min((0, 1))) / grain).astype(np.int64)
    _, vertex = np.unique(cells @ np.array([1, 1 << 20, 1 << 40]), return_inverse=True)
    total = np.stack([np.bincount(vertex, np.repeat(normal[:, i], 3)) for i in range(3)], -1)
    smooth = total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12)
    smooth = smooth[vertex].reshape(eye.shape)
    agrees = (smooth * flat[:, None]).sum(-1, keepdims=True) > CREASE
    corner = np.where(agrees, smooth, flat[:, None])
    corner = corner * np.where(flat[:, None, 2:] < 0, -1, 1)  # turned towards the eye
    return (AMBIENT + DIFFUSE * np.clip(corner @ LIGHT, 0, 1)).astype(np.float32)


def _tables(materials: list[Material]) -> tuple[np.ndarray, np.ndarray]:
    """Materials as rows [M,7] (r g b opacity, first texel, texture height, texture width) and all texels [T,4]."""
    rows, texels, first = [], [np.zeros((1, 4), np.float32)], 1
    for material in materials:
        h, w = material.texture.shape[:2] if material.texture is not None else (0, 0)
        seen = material.opacity if material.opacity <= 0.02 else max(material.opacity, GLASS)
        rows.append([*material.colour, seen, first, h, w])
        if material.texture is not None:
            texels.append(material.texture.reshape(-1, 4))
            first += h * w
    return np.array(rows, np.float64), np.concatenate(texels).astype(np.float32)


@numba.njit
def _fill(screen, places, light, material, table, texels, order, paint, depth):
    """Paint triangles in `order` where they are nearest; see-through ones blend over and leave the depth alone."""
    rows, columns = depth.shape
    for f in order:
        x0, y0, z0 = screen[f, 0]
        x1, y1, z1 = screen[f, 1]
        x2, y2, z2 = screen[f, 2]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-7:
            continue
        m = material[f]
        first, h, w = int(table[m, 4]), int(table[m, 5]), int(table[m, 6])
        for y in range(max(0, int(min(y0, y1, y2))), min(rows - 1, int(max(y0, y1, y2))) + 1):
            for x in range(max(0, int(min(x0, x1, x2))), min(columns - 1, int(max(x0, x1, x2))) + 1):
                px, py = x + 0.5, y + 0.5
                a = ((x1 - px) * (y2 - py) - (x2 - px) * (y1 - py)) / area
                b = ((x2 - px) * (y0 - py) - (x0 - px) * (y2 - py)) / area
                c = 1 - a - b
                if a < 0 or b < 0 or c < 0:
                    continue
                z = a * z0 + b * z1 + c * z2
                if z <= depth[y, x]:
                    continue
                red, green, blue, opacity = table[m, 0], table[m, 1], table[m, 2], table[m, 3]
                if h > 0:
                    u = a * places[f, 0, 0] + b * places[f, 1, 0] + c * places[f, 2, 0]
                    v = a * places[f, 0, 1] + b * places[f, 1, 1] + c * places[f, 2, 1]
                    column = min(w - 1, int((u - np.floor(u)) * w))
                    row = min(h - 1, int((1 - (v - np.floor(v))) * h))
                    texel = texels[first + row * w + column]
                    if texel[3] < 0.5:  # a hole: leaves, lace, fences
                        continue
                    red, green, blue = texel[0], texel[1], texel[2]
                s = a * light[f, 0] + b * light[f, 1] + c * light[f, 2]
                if opacity >= 0.98:
                    depth[y, x] = z
                    opacity = 1.0
                keep = 1 - opacity
                paint[y, x, 0] = paint[y, x, 0] * keep + min(1.0, red * s) * opacity
                paint[y, x, 1] = paint[y, x, 1] * keep + min(1.0, green * s) * opacity
                paint[y, x, 2] = paint[y, x, 2] * keep + min(1.0, blue * s) * opacity
                paint[y, x, 3] = paint[y, x, 3] * keep + opacity

"""A textured triangle mesh, and how one is read from a Wavefront OBJ with its MTL and pictures.

Knows the two formats and nothing of cameras and light (render.py), nor of where the files come from (furniture.py).

    C polygon corners   F triangles   M materials
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numba
import numpy as np
from PIL import Image

TEXTURE_SIDE = 256  # textures are shrunk to about the size of the picture, which also filters them
BLACK = 0.06  # the least colour, so that black things show their edges
AMBIENT_SHARE = 0.12  # how far Ka lightens Kd: some authors make things white by Ka alone
MAX_TRIANGLES = 2_000_000


@dataclass(frozen=True)
class Material:
    """What one part is made of: colour [3] in 0..1, opacity in 0..1, and a texture [h,w,4] in 0..1 or None."""

    colour: tuple[float, float, float] = (0.7, 0.7, 0.7)
    opacity: float = 1.0
    texture: np.ndarray | None = None


@dataclass(frozen=True)
class Mesh:
    """Triangles in space (y up, front towards +z): points [F,3,3], texture places [F,3,2], material [F]."""

    points: np.ndarray
    places: np.ndarray
    material: np.ndarray
    materials: list[Material]

    def transformed(self, matrix: np.ndarray) -> Mesh:
        """The same mesh with every point p moved to matrix @ p."""
        return Mesh(self.points @ np.asarray(matrix, float).T, self.places, self.material, self.materials)

    def fitted(self, width: float, height: float, depth: float) -> Mesh:
        """The mesh stretched to the given size, standing on y = 0, its foot's middle at the origin."""
        low, high = self.points.min((0, 1)), self.points.max((0, 1))
        scale = np.array([width, height, depth]) / np.maximum(high - low, 1e-9)
        middle = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
        return Mesh((self.points - middle) * scale, self.places, self.material, self.materials)


def load_obj(name: str, read: Callable[[str], bytes | None]) -> Mesh:
    """The mesh of the OBJ called `name`; `read` gives a file's bytes by name, or None where there is no such file.

    Raises ValueError when the file is missing, has no face, or has more than MAX_TRIANGLES.
    """
    data = read(name)
    if data is None:
        raise ValueError(f"{name}: no such model; name an OBJ file that the archive holds")
    folder = posixpath.dirname(name)
    vertices: list[list[float]] = []
    places: list[list[float]] = []
    corners: list[tuple[int, int]] = []  # of all polygons, one after another
    first: list[int] = [0]  # where each polygon begins
    material_of: list[int] = []
    materials: list[Material] = [Material()]
    known: dict[str, int] = {}
    current = 0
    for line in data.decode("latin-1").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif word == "vt":
            places.append([float(x) for x in rest.split()[:2]])
        elif word == "f":
            corners += [_corner(token, len(vertices), len(places)) for token in rest.split()]
            first.append(len(corners))
            material_of.append(current)
            if len(corners) > 3 * MAX_TRIANGLES:
                raise ValueError(f"{name}: more than {MAX_TRIANGLES} triangles; simplify the model first")
        elif word == "mtllib":
            for key, material in _load_mtl(posixpath.join(folder, rest.strip()), read).items():
                known[key] = len(materials)
                materials.append(material)
        elif word == "usemtl":
            current = known.get(rest.strip(), 0)
    if not corners:
        raise ValueError(f"{name}: the model has no face; it can't be rendered")
    index = np.array(corners)
    points = np.array(vertices)[index[:, 0]]
    uv = np.array([*places, [0.0, 0.0]], np.float64)[index[:, 1]]  # index -1 is "no place given"
    triangles, polygon = _triangles(points, np.array(first))
    if len(triangles) == 0:
        raise ValueError(f"{name}: the model has no face; it can't be rendered")
    return Mesh(points[triangles], uv[triangles], np.array(material_of)[polygon], materials)


def _corner(token: str, n_vertices: int, n_places: int) -> tuple[int, int]:
    """`v`, `v/vt` or `v/vt/vn`, counted from 1 or backwards from the end, as two indices from 0 (-1: no place)."""
    parts = token.split("/")
    v = int(parts[0])
    vt = int(parts[1]) if len(parts) > 1 and parts[1] else 0
    return (v - 1 if v > 0 else n_vertices + v, vt - 1 if vt > 0 else n_places + vt if vt < 0 else -1)


@numba.njit
def _triangles(points, first):
    """Cut flat polygons, hollow ones too, into triangles by clipping ears: corners [F,3] and polygon [F] of each."""
    most = len(points)
    triangles = np.empty((most, 3), np.int64)
    polygon = np.empty(most, np.int64)
    n = 0
    for p in range(len(first) - 1):
        start, count = first[p], first[p + 1] - first[p]
        normal = np.zeros(3)  # Newell's: right for hollow polygons as well
        for i in range(count):
            a, b = points[start + i], points[start + (i + 1) % count]
            normal[0] += (a[1] - b[1]) * (a[2] + b[2])
            normal[1] += (a[2] - b[2]) * (a[0] + b[0])
            normal[2] += (a[0] - b[0]) * (a[1] + b[1])
        drop = np.argmax(np.abs(normal))  # seen along this axis the polygon is widest
        sign = 1.0 if normal[drop] >= 0 else -1.0
        x, y = points[start : start + count, (drop + 1) % 3], points[start : start + count, (drop + 2) % 3]
        ring = np.arange(count)
        left = count
        while left >= 3:
            ear = 0  # where no ear is found (a crossed polygon), cut anyway
            for i in range(left if left > 3 else 0):
                a, b, c = ring[i - 1 if i else left - 1], ring[i], ring[(i + 1) % left]
                if sign * _turn(x, y, a, b, c) <= 0:
                    continue
                clear = True
                for j in range(left):
                    d = ring[j]
                    same = False  # bridges to holes pass twice through one point
                    for k in (a, b, c):
                        same = same or (x[k] == x[d] and y[k] == y[d])
                    if same:
                        continue
                    inside = sign * _turn(x, y, a, b, d) >= 0 and sign * _turn(x, y, b, c, d) >= 0
                    if inside and sign * _turn(x, y, c, a, d) >= 0:
                        clear = False
                        break
                if clear:
                    ear = i
                    break
            triangles[n, 0] = start + ring[ear - 1 if ear else left - 1]
            triangles[n, 1] = start + ring[ear]
            triangles[n, 2] = start + ring[(ear + 1) % left]
            polygon[n] = p
            n += 1
            ring[ear : left - 1] = ring[ear + 1 : left].copy()
            left -= 1
    return triangles[:n], polygon[:n]


@numba.njit
def _turn(x, y, a, b, c):
    """Twice the signed area of the triangle a b c: above 0 where the way turns left."""
    return (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])


def _load_mtl(name: str, read: Callable[[str], bytes | None]) -> dict[str, Material]:
    fields: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in (read(name) or b"").decode("latin-1").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "newmtl":
            current = fields.setdefault(rest.strip(), {})
        else:
            current[word] = rest.strip()
    folder = posixpath.dirname(name)
    return {key: _material(values, folder, read) for key, values in fields.items()}


def _material(values: dict[str, str], folder: str, read: Callable[[str], bytes | None]) -> Material:
    diffuse = np.array(values.get("Kd", "0.7 0.7 0.7").split()[:3], float)
    ambient = np.array(values.get("Ka", "0 0 0").split()[:3], float)
    colour = np.clip(diffuse + AMBIENT_SHARE * ambient, BLACK, 1).tolist()
    texture = _texture(values.get("map_Kd"), folder, read)
    cut = _texture(values.get("map_d"), folder, read)
    if texture is not None and cut is not None and cut.shape == texture.shape:
        hole = cut[..., 3] if cut[..., 3].min() < 1 else cut[..., :3].mean(-1)
        texture = np.dstack([texture[..., :3], hole])
    return Material((colour[0], colour[1], colour[2]), float(values.get("d", "1").split()[-1]), texture)


def _texture(name: str | None, folder: str, read: Callable[[str], bytes | None]) -> np.ndarray | None:
    if not name:
        return None
    data = read(posixpath.normpath(posixpath.join(folder, name)))
    if data is None:  # a path of the author's own machine: the plain colour must do
        return None
    image = Image.open(BytesIO(data)).convert("RGBA")
    image.thumbnail((TEXTURE_SIDE, TEXTURE_SIDE), Image.Resampling.BOX)
    return np.maximum(np.asarray(image, np.float32) / 255, [BLACK, BLACK, BLACK, 0])

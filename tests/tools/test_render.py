"""The renderer on cubes made in memory, against numbers worked by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))  # scripts, which import their neighbours

import mesh as meshes
import render

CORNERS = [(x, y, z) for x in (-1, 1) for y in (0, 2) for z in (-1, 1)]
SIDES = {  # indices from 1 into CORNERS
    "left": (1, 2, 4, 3),
    "right": (5, 6, 8, 7),
    "floor": (1, 2, 6, 5),
    "top": (3, 4, 8, 7),
    "back": (1, 3, 7, 5),
    "front": (2, 4, 8, 6),
}
RED, GREEN = "newmtl red\nKd 1 0 0\n", "newmtl green\nKd 0 1 0\n"
DARK = round(255 * meshes.BLACK * (render.AMBIENT + render.DIFFUSE))  # the brightest that no colour can be


def files(obj: str, mtl: str):
    return {"m/cube.obj": ("mtllib cube.mtl\n" + obj).encode(), "m/cube.mtl": mtl.encode()}.get


def cube(front: str = "red", rest: str = "red", mtl: str = RED + GREEN) -> meshes.Mesh:
    lines = [f"v {x} {y} {z}" for x, y, z in CORNERS]
    for side, corners in SIDES.items():
        lines += [f"usemtl {front if side == 'front' else rest}", "f " + " ".join(map(str, corners))]
    return meshes.load_obj("m/cube.obj", files("\n".join(lines), mtl))


def test_a_cube_seen_straight_is_a_full_square():
    view = render.render(cube(), yaw=0, pitch=0, side=104)
    alpha = view.rgba[..., 3]
    assert alpha.shape == (102, 102)  # 100 pixels of cube and one of air on each side
    assert (alpha[1:-1, 1:-1] == 255).all()
    assert alpha[0].max() == alpha[-1].max() == alpha[:, 0].max() == alpha[:, -1].max() == 0
    assert view.px_per_unit == pytest.approx(50)
    assert view.origin_xy == pytest.approx((51, 101))  # the foot's middle: bottom edge, half way along


def test_a_turned_cube_has_the_silhouette_that_geometry_says():
    view = render.render(cube(), yaw=45, pitch=30, side=304)
    # width 2√2; height 2 cos 30 + 2√2 sin 30; area of a cube's shadow: the sum of 4 |n·z| over the three seen sides
    across, up = 2 * np.sqrt(2), 2 * np.cos(np.pi / 6) + 2 * np.sqrt(2) * np.sin(np.pi / 6)
    area = 4 * (2 * np.cos(np.pi / 4) * np.cos(np.pi / 6) + np.sin(np.pi / 6))
    scale = 300 / max(across, up)
    height, width = (n - 2 for n in view.rgba.shape[:2])
    assert abs(width - across * scale) <= 2 and abs(height - up * scale) <= 2
    assert view.rgba[..., 3].sum() / 255 == pytest.approx(area * scale**2, rel=0.005)


@pytest.mark.parametrize(("yaw", "colour"), [(0, 0), (180, 1)])
def test_the_nearer_face_hides_the_farther(yaw, colour):
    view = render.render(cube(front="red", rest="green"), yaw=yaw, pitch=0, side=64)
    inside = view.rgba[4:-4, 4:-4]
    assert (inside[..., colour] > 80).all()
    assert (inside[..., 1 - colour] <= DARK).all()


def test_looking_down_shows_the_top_above_the_front_and_brighter():
    view = render.render(cube(), yaw=0, pitch=30, side=124)
    middle = view.rgba[:, view.rgba.shape[1] // 2, 0].astype(int)
    assert middle[10] > middle[-10] + 20


def test_light_comes_from_the_left():
    view = render.render(cube(), yaw=45, pitch=0, side=124)
    row = view.rgba[view.rgba.shape[0] // 2, :, 0].astype(int)
    assert row[len(row) // 4] > row[3 * len(row) // 4] + 20


def test_glass_lets_the_colour_behind_through():
    view = render.render(cube(front="green", mtl=RED + GREEN + "d 0.5\n"), yaw=0, pitch=0, side=64)
    red, green, _, alpha = view.rgba[32, 32].astype(int)
    assert alpha == 255 and red > 40 and green > 40


def test_a_hidden_part_is_not_drawn():
    view = render.render(cube(front="green", mtl=RED + GREEN + "d 0\n"), yaw=0, pitch=0, side=64)
    red, green, _, alpha = view.rgba[32, 32].astype(int)
    assert alpha == 255 and red > 40 and green <= DARK


def test_a_fitted_cube_has_the_size_asked_and_stands_on_the_ground():
    points = cube().fitted(width=30, height=10, depth=20).points
    assert points.min((0, 1)) == pytest.approx([-15, 0, -10])
    assert points.max((0, 1)) == pytest.approx([15, 10, 10])


def test_a_hollow_polygon_keeps_its_hollow():
    # An L: a square of side 2 whose upper right quarter is missing, fanned wrongly from any but one corner.
    corner = "v 0 0 0\nv 2 0 0\nv 2 1 0\nv 1 1 0\nv 1 2 0\nv 0 2 0\nf 2 3 4 5 6 1\n"
    mesh = meshes.load_obj("m/cube.obj", files(corner, ""))
    assert len(mesh.points) == 4
    alpha = render.render(mesh, yaw=0, pitch=0, side=104).rgba[..., 3]
    assert alpha[10:45, 60:95].max() == 0
    assert alpha[10:45, 10:45].min() == alpha[60:95, 10:95].min() == 255


def test_indices_may_count_back_from_the_end():
    square = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4 -3 -2 -1\n"
    mesh = meshes.load_obj("m/cube.obj", files(square, ""))
    assert mesh.points.shape == (2, 3, 3)
    corners = np.unique(mesh.points.reshape(-1, 3), axis=0)
    assert corners.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]]


def test_a_model_without_faces_is_refused_by_name():
    with pytest.raises(ValueError, match=r"m/cube\.obj: the model has no face"):
        meshes.load_obj("m/cube.obj", files("v 0 0 0\n", ""))

"""Built things are for training alone: of known kinds, each unlike the next, closed, whole, the same every time."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

import built
from built import HUNG, build, drawn, known
from render import render
from things import MADE
from things.solids import box, cushion, disc, mesh_of, moved, rod, slab, spun, tube, turned

from perceptiongpt.data.objects import ObjectLibrary, read_index, write_index

SHIPPED = ObjectLibrary.open()


def volume(shape: np.ndarray) -> float:
    """What a closed skin holds, however its faces are wound: by rays, not by signs."""
    low, high = shape.min((0, 1)) - 1e-3, shape.max((0, 1)) + 1e-3
    rng = np.random.default_rng(0)
    x, z = rng.uniform(low[[0, 2], None], high[[0, 2], None], (2, 1500))
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (shape[:, i, :, None].transpose(1, 0, 2) for i in range(3))
    area = (bx - ax) * (cz - az) - (cx - ax) * (bz - az)
    with np.errstate(divide="ignore", invalid="ignore"):
        b = ((x - ax) * (cz - az) - (cx - ax) * (z - az)) / area
        c = ((bx - ax) * (z - az) - (x - ax) * (bz - az)) / area
        hit = (b >= 0) & (c >= 0) & (b + c <= 1) & (np.abs(area) > 1e-9)
        height = np.where(hit, ay + b * (by - ay) + c * (cy - ay), np.nan)
    assert (hit.sum(0) % 2 == 0).mean() > 0.99, "a ray that goes in comes out: the skin has a hole"
    ordered = np.sort(np.where(hit, height, np.inf), axis=0)
    ordered = np.where(np.isfinite(ordered), ordered, np.nan)[: 2 * (len(ordered) // 2)]
    inside = np.nansum(ordered[1::2] - ordered[::2], axis=0)
    return float(inside.mean() * np.prod((high - low)[[0, 2]]))


ANGLE = np.linspace(0, 2 * np.pi, 32, endpoint=False)


@pytest.mark.parametrize(
    "shape, wanted",
    [
        (box((-1, 0, -2), (2, 4, 2)), 48),
        (box((-2, 0, -2), (2, 3, 2), 0.5), 28),
        (cushion((-3, 0, -2), (3, 2, 2), 1, 64), 4 / 3 * np.pi * 3 * 2 * 1),
        (cushion((-3, 0, -2), (3, 2, 2), 0.02), 48),
        (rod(5, 2, sides=64), 20 * np.pi),
        (rod(6, 2, top=1, sides=64), 14 * np.pi),
        (turned([(0, 0), (2, 0), (2, 3), (0, 3)], sides=64, deep=0.5), 6 * np.pi),
        (slab([(0, 0), (4, 0), (4, 2), (0, 2)], -1, 1), 16),
        (disc(3, 2), 18 * np.pi),
        (spun(moved(box((0, 0, 0), (1, 2, 3)), (5, 5, 5)), 37, 2), 6),
    ],
)
def test_solids_are_closed_and_hold_what_geometry_says(shape: np.ndarray, wanted: float) -> None:
    assert volume(spun(spun(shape, 11, 0), 7, 2)) == pytest.approx(wanted, rel=0.07)


def test_a_tube_keeps_its_distance_from_its_path() -> None:
    for path in ([(0, 0, 0), (0, 9, 0)], [(0, 0, 0), (3, 4, 0), (8, 4, 2)], [(1, 1, 1), (1, 5, 1), (1, 9, 1)]):
        points = np.array(path, float)
        shape = tube(path, 0.5, 12)
        away = np.linalg.norm(shape.reshape(-1, 1, 3) - points, axis=2).min(1)
        assert np.allclose(away, 0.5)


@given(st.integers(0, 2), st.floats(-360, 360), st.tuples(*[st.floats(-50, 50)] * 3))
def test_turning_moves_nothing_nearer_and_back_again(axis: int, degrees: float, about: tuple[float, ...]) -> None:
    shape = box((0, 0, 0), (1, 2, 3))
    turn = spun(shape, degrees, axis, about)
    assert np.allclose(spun(turn, -degrees, axis, about), shape, atol=1e-9)
    assert np.allclose(np.linalg.norm(turn - about, axis=2), np.linalg.norm(shape - about, axis=2))
    assert np.allclose(turn[..., axis], shape[..., axis])


@pytest.mark.parametrize("name", sorted(MADE))
def test_each_thing_is_whole_of_a_plausible_size_and_unlike_the_next(name: str) -> None:
    meshes = [mesh_of(MADE[name](np.random.default_rng([built.SEED, number, *name.encode()]))) for number in range(4)]
    for mesh in meshes:
        sides = np.ptp(mesh.points, axis=(0, 1))
        assert np.isfinite(mesh.points).all() and np.isfinite(mesh.places).all()
        assert 4 < sides.max() < 1500 and len(mesh.points) < 60_000, sides
        assert mesh.material.max() == len(mesh.materials) - 1
        assert all(0 <= level <= 1 for made_of in mesh.materials for level in (*made_of.colour, made_of.opacity))
    assert len({mesh.points.tobytes() for mesh in meshes}) == 4
    again = mesh_of(MADE[name](np.random.default_rng([built.SEED, 0, *name.encode()])))
    assert again.points.tobytes() == meshes[0].points.tobytes()
    alpha = render(meshes[0], -25, built.PITCH, 48, 1).rgba[..., 3]
    assert (alpha > 127).mean() > 0.02


def test_only_what_training_knows_is_built_and_nothing_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = known(SHIPPED)
    assert kinds.keys() == MADE.keys() >= HUNG
    assert set(kinds.values()).isdisjoint({o.kind for o in SHIPPED.objects("novel")})
    for name, said in (("kettle", "no 'kettle' in train"), ("perpetual motion machine", "no 'perpetual")):
        monkeypatch.setattr(built, "MADE", {name: MADE["vase"]})
        with pytest.raises(ValueError, match=said):
            known(SHIPPED)


def test_a_kind_that_is_held_out_is_not_built(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = read_index(library)
    held = [row | {"split": "novel"} if row["id"] == "a/3" else row for row in index["objects"]]
    write_index(index | {"objects": held}, library)
    monkeypatch.setattr(built, "MADE", {"vase": MADE["vase"]})
    with pytest.raises(ValueError, match="'vase' is built, but its kind is held out"):
        known(ObjectLibrary.open(library))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A vase and a chair to learn from, and another vase that is held out."""
    folder = tmp_path / "library"
    objects: list[dict[str, Any]] = []
    for identity, name, split in (("a/1", "vase", "train"), ("a/2", "chair", "train"), ("a/3", "vase", "test")):
        views = [{"file": f"{identity}.webp", "size_wh": [16, 16]}]
        told = {"id": identity, "name": name, "kind": name, "split": split, "views": views, "tags": [], "colour": None}
        objects.append(told | {"three_d": False, "source": "s", "licence": "MIT", "author": "Someone"})
    folder.mkdir()
    write_index({"version": 1, "objects": objects, "backgrounds": []}, folder)
    with zipfile.ZipFile(folder / "objects.zip", "w") as archive:
        for told in objects:
            Image.new("RGBA", (16, 16), (200, 30, 30, 255)).save(tmp_path / "one.webp")
            archive.write(tmp_path / "one.webp", told["views"][0]["file"])
    return folder


def test_a_library_gains_things_to_train_on_and_the_same_ones_every_time(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built, "MADE", {name: MADE[name] for name in ("vase", "chair")})
    assert build(library, tmp_path / "out", 1, each=3) == build(library, tmp_path / "again", 1, each=3) == 6
    before, after = ObjectLibrary.open(library), ObjectLibrary.open(tmp_path / "out")
    assert after.objects("test") == before.objects("test")
    made = [o for o in after.objects("train") if o not in before.objects("train")]
    assert [o.id for o in made] == [f"built/{name}-{i}" for name in ("chair", "vase") for i in range(3)]
    assert all(o.three_d and o.size_cm and min(o.size_cm) > 0 and len(o.views) == 3 for o in made)
    assert {(o.licence, o.source) for o in made} == {("Apache-2.0", "built")}
    again = ObjectLibrary.open(tmp_path / "again")
    assert [after.view(o, 2).tobytes() for o in made] == [again.view(o, 2).tobytes() for o in made]
    with pytest.raises(ValueError, match="holds built/chair-0 and 5 more already"):
        build(tmp_path / "out", tmp_path / "more", 1, each=3)


def test_what_hangs_on_a_wall_is_seen_from_the_front(tmp_path: Path) -> None:
    for name in ("clock", "vase"):
        row = drawn((name, 0, name, tmp_path))
        assert row is not None
        front = [min(view["yaw"], 360 - view["yaw"]) <= 60 for view in row["views"]]
        assert all(front) is (name in HUNG)


def test_a_library_without_such_names_is_refused(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["built.py", str(library), str(tmp_path / "out")])
    assert built.main() == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "in train, which is built" in said
    assert not (tmp_path / "out").exists()

"""Variants are for training alone: other colours and proportions of its own 3-D models, none of what is held out."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

import variants
from a_furniture import BOX, PAINT, entry
from furniture import ARCHIVES, SOURCE
from variants import build, trained, variant

from perceptiongpt.data.objects import ObjectLibrary, write_index


@pytest.fixture
def furniture(tmp_path: Path) -> Path:
    """Archives of which one holds a table of training, a table held out, and a pot that stands nowhere."""
    for stem in ARCHIVES:
        with zipfile.ZipFile(tmp_path / f"{stem}.sh3f", "w") as archive:
            archive.writestr("LICENSE.TXT", "")
            if stem == "BlendSwap-CC-0":
                archive.writestr("box.obj", BOX)
                archive.writestr("box.mtl", PAINT)
                text = entry(1, "Table", "seat", 100) + entry(2, "Table", "seat", 120) + entry(3, "Pot", "tool", 30)
                archive.writestr("PluginFurnitureCatalog.properties", text)
    return tmp_path


def row(identity: str, split: str, side: float) -> dict:
    return {
        "id": f"furniture/{identity}",
        "name": "table",
        "kind": "table",
        "split": split,
        "views": [{"file": "table.webp", "yaw": 25, "pitch": 18}],
        "three_d": True,
        "size_cm": [side, 50.0, 60.0],
        "source": SOURCE,
        "author": "Someone",
    }


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    objects = [row("table-1", "train", 100.0), row("table-2", "test", 120.0)]
    write_index({"version": 1, "objects": objects, "backgrounds": []}, folder)
    Image.new("RGBA", (8, 8), "red").save(folder / "table.webp")
    with zipfile.ZipFile(folder / "objects.zip", "w") as archive:
        archive.write(folder / "table.webp", "table.webp")
    return folder


def pictures(folder: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(folder / "objects.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_what_is_in_training_gets_variants_and_nothing_else(furniture: Path, library: Path, tmp_path: Path) -> None:
    assert build(furniture, library, tmp_path / "out", 1) == variants.VARIANTS
    larger = ObjectLibrary.open(tmp_path / "out")
    assert [o.id for o in larger.objects("test")] == ["furniture/table-2"]
    made = [o for o in larger.objects("train") if o.id.startswith("variant/")]
    assert {(o.name, o.kind, o.three_d, o.author) for o in made} == {("table", "table", True, "Someone")}
    assert all(v.pitch == 18 for o in made for v in o.views) and len({v.yaw for o in made for v in o.views}) > 4
    sizes = np.array([o.size_cm for o in made])
    assert (abs(np.log(sizes / [100, 50, 60])) < 0.29).all() and (sizes.std(0) > 0).all()
    looks = [np.asarray(larger.view(o).resize((16, 16)), int) for o in made]
    assert all(abs(a - b).mean() > 2 for i, a in enumerate(looks) for b in looks[:i])
    assert build(furniture, library, tmp_path / "again", 2) == len(made)
    assert pictures(tmp_path / "again") == pictures(tmp_path / "out")


def test_other_archives_are_refused_before_anything_is_written(library: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whose archives are"):
        build(library, library, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_what_is_bent_stays_in_its_frame_and_keeps_its_order_of_heights() -> None:
    points = np.random.default_rng(0).uniform(-3, 5, (40, 3, 3))
    for seed in range(20):
        bent = variants._bent(points, np.random.default_rng(seed))
        assert np.allclose([bent[..., 1].min(), bent[..., 1].max()], [points[..., 1].min(), points[..., 1].max()])
        assert (np.argsort(bent[..., 1], axis=None) == np.argsort(points[..., 1], axis=None)).all()
        reach = np.abs(bent - (points.min((0, 1)) + points.max((0, 1))) / 2).max((0, 1))
        assert (reach <= 1.16 * np.ptp(points, (0, 1)) / 2).all() and not np.allclose(bent, points)


def test_a_model_that_is_also_held_out_has_no_variant() -> None:
    assert trained({"objects": [row("a", "train", 100.0), row("b", "test", 100.0)]}) == set()
    assert trained({"objects": [row("a", "train", 100.0), row("b", "train", 100.0)]})


@pytest.mark.parametrize("name, tags", [("red table", []), ("table", ["plant"])])
def test_what_lives_or_is_called_by_a_colour_keeps_its_hues(furniture: Path, name: str, tags: list[str]) -> None:
    (piece, *_) = variants.pieces(variants.Archive(furniture / "BlendSwap-CC-0.sh3f"))
    mesh = variants.load_obj(piece.model, piece.archive.read)
    blue = next(m for m in mesh.materials if m.colour[2] > m.colour[0])
    at = mesh.materials.index(blue)
    for seed in range(20):
        kept, _ = variant(mesh, replace(piece, name=name, tags=tags), np.random.default_rng(seed))
        red, green, blues = kept.materials[at].colour
        assert blues > max(red, green)
    others = [variant(mesh, piece, np.random.default_rng(s))[0].materials[at].colour for s in range(20)]
    assert any(blues < max(red, green) for red, green, blues in others)


@pytest.mark.parametrize("held", [None, b"no archive"])
def test_what_is_no_package_is_refused_in_a_sentence(
    held: bytes | None, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    package = tmp_path / "furniture.deb"
    if held is not None:
        package.write_bytes(held)
    monkeypatch.setattr(sys, "argv", ["variants.py", str(package), str(library), str(tmp_path / "out")])
    assert variants.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("variants.py: ") and said.count("\n") == 1 and "furniture.deb" in said
    assert not (tmp_path / "out").exists()

"""Furniture by further authors is for training alone: plain names, nothing novel, nothing held out, never packed."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from a_furniture import BOX, entry

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

import contributed
import held
from contributed import DEFAULT, build, found
from contributed_names import SHADES, plain
from mesh import load_obj
from pack import LICENCES
from variants import VARIANTS

from perceptiongpt.data.objects import ObjectLibrary

BARE = BOX.replace("mtllib box.mtl\n", "").replace("usemtl top", "usemtl ruby").replace("usemtl side", "usemtl glass")
NAMES = ("Bed cherry", "Bookcase 45x160", "Frame Eiffel Tower", "Curtain rod", "Spare umbrella")


@pytest.fixture
def packages(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders as the packages unpack: catalogues of which one has boxes by these names, and the program's."""
    nonfree, program = tmp_path / "nonfree", tmp_path / "program"
    for folder in (nonfree, program):
        folder.mkdir()
    for stem in ("Contributions", "LucaPresidente", "Trees"):
        with zipfile.ZipFile(nonfree / f"{stem}.sh3f", "w") as archive:
            text = "".join(entry(n, name, "", 60 + 10 * n) for n, name in enumerate(NAMES, 1))
            archive.writestr("PluginFurnitureCatalog.properties", text if stem == "Trees" else "")
            archive.writestr("box.obj", BARE)
    with zipfile.ZipFile(program / "sweethome3d.jar", "w") as archive:
        told = entry(1, "Zither cabinet", "music", 70).replace("creator#1=Someone\n", "").replace("/box", "/com/box")
        archive.writestr(DEFAULT, told)
        archive.writestr("com/box.obj", BARE)
    return nonfree, program


@pytest.mark.parametrize(
    ("catalogue", "said"),
    [
        ("Bed 140x190", "bed"),
        ("Wardrobe cherry", "wardrobe"),
        ("Bookcase 45x160", "office cabinet"),
        ("Bookcase", "bookcase"),
        ("Opened patio door", "open patio door"),
        ("Wood glass door cabinet", "wooden glass door cabinet"),
        ("Frame Mont Blanc", "picture"),
        ("Frame", "picture frame"),
        ("TV 16:9", "tv"),
        ("Gray smaller upper cabinet", "grey upper cabinet"),
        ("Incandescent light source", ""),
    ],
)
def test_a_catalogues_name_becomes_what_a_person_would_say(catalogue: str, said: str) -> None:
    assert plain(catalogue) == said


def test_models_have_plain_names_and_whoever_made_them(packages: tuple[Path, Path]) -> None:
    pieces = [(source.split()[0], p.name, p.kind, p.licence, p.author) for source, p in found(*packages)]
    assert pieces == [
        ("sweethome3d-furniture-nonfree", "bed", "bed", "Free-Art-1.3", "Someone"),
        ("sweethome3d-furniture-nonfree", "office cabinet", "cabinet", "Free-Art-1.3", "Someone"),
        ("sweethome3d-furniture-nonfree", "picture", "picture", "Free-Art-1.3", "Someone"),
        ("sweethome3d-furniture-nonfree", "spare umbrella", "umbrella", "Free-Art-1.3", "Someone"),
        ("sweethome3d", "zither cabinet", "cabinet", "GPL-2.0-or-later", "Emmanuel Puybaret / eTeks"),
    ]
    assert not {p[3] for p in pieces} & set(LICENCES)  # so that none can be packed


def test_a_model_without_materials_of_its_own_has_the_programs(packages: tuple[Path, Path]) -> None:
    _, piece = found(*packages)[0]
    mesh = load_obj(piece.model, piece.archive.read)
    used = [mesh.materials[i] for i in sorted({int(m) for m in mesh.material})]
    assert len(mesh.materials) == 1 + len(SHADES)
    (glass,) = [m for m in used if m.opacity < 1]
    (ruby,) = [m for m in used if m.opacity == 1]
    assert min(glass.colour) > 0.5 and ruby.colour[0] > 3 * ruby.colour[1]


def test_the_larger_library_adds_to_training_alone(packages: tuple[Path, Path], tmp_path: Path) -> None:
    packaged = ObjectLibrary.open()
    assert any(o.kind == "umbrella" for o in packaged.objects("novel"))
    assert build(*packages, contributed.PACKAGED, tmp_path / "out", 1) == 4  # all but the novel umbrella
    larger = ObjectLibrary.open(tmp_path / "out")
    added = larger.objects("train")[len(packaged.objects("train")) :]
    assert larger.objects("train")[: -len(added)] == packaged.objects("train")
    assert {o.name for o in added} == {"bed", "office cabinet", "picture", "zither cabinet"}
    assert len(added) == 4 * (1 + VARIANTS) and all(o.three_d for o in added)
    assert all(larger.objects(s) == packaged.objects(s) for s in ("val", "test", "novel"))
    assert all(larger.view(o).size[0] > 3 for o in added)


def test_what_looks_like_something_held_out_is_left_out(
    packages: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "ALIKE", 65)  # of 64 bits: everything does
    with pytest.raises(ValueError, match="nothing to add"):
        build(*packages, contributed.PACKAGED, tmp_path / "out", 1)


def test_other_packages_are_refused_before_anything_is_written(packages: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wanted 3 and 1"):
        build(packages[1], packages[0], contributed.PACKAGED, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()

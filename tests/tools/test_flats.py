"""Variants of flat pictures are for training alone: none of what is held out, and none that makes a name a lie."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

import flats
from colours import colour
from flats import build, fit, variant

from perceptiongpt.data.objects import ObjectLibrary, write_index


def row(identity: str, split: str, name: str = "mug", **more: object) -> dict:
    view = {"file": f"{identity}/0.webp", "yaw": None, "pitch": None}
    kind = name.split()[-1]
    told = {"id": identity, "name": name, "kind": kind, "split": split, "views": [view], "three_d": False}
    return told | {"source": "us", "author": "Someone", "licence": "MIT", "tags": ["household"]} | more


def a_mug(rgb: tuple[int, int, int] = (200, 40, 40)) -> Image.Image:
    picture = Image.new("RGBA", (80, 60))
    picture.paste((*rgb, 255), (10, 5, 60, 60))
    picture.paste((240, 240, 240, 255), (60, 20, 75, 40))
    return picture


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    objects = [
        row("emoji/mug", "train"),
        row("emoji/mug-2", "val"),
        row("emoji/mug-3", "test"),
        row("photo/lamp", "novel", "lamp"),
        row("noto/mug", "train"),
        row("emoji/hand", "train", "left hand"),
        row("furniture/mug", "train", three_d=True, size_cm=[9.0, 9.0, 9.0]),
    ]
    folder.mkdir()
    write_index({"version": 1, "objects": objects, "backgrounds": []}, folder)
    with zipfile.ZipFile(folder / "objects.zip", "w") as archive:
        for told in objects:
            a_mug().save(tmp_path / "one.webp", lossless=True)
            archive.write(tmp_path / "one.webp", told["views"][0]["file"])
    return folder


def test_flat_things_of_training_get_variants_and_nothing_else(library: Path, tmp_path: Path) -> None:
    assert build(library, tmp_path / "out") == flats.VARIANTS
    before, after = ObjectLibrary.open(library), ObjectLibrary.open(tmp_path / "out")
    for split in ("val", "test", "novel"):
        assert [o.id for o in after.objects(split)] == [o.id for o in before.objects(split)]
    made = [o for o in after.objects("train") if o not in before.objects("train")]
    assert [o.id for o in made] == [f"bent/emoji/mug-{i}" for i in range(flats.VARIANTS)]
    assert {(o.name, o.kind, o.author, o.licence) for o in made} == {("mug", "mug", "Someone", "MIT")}
    assert [o.colour for o in made] == [colour([after.view(o)]) for o in made]
    looks = [np.asarray(after.view(o).resize((16, 16)), int) for o in (before.objects("train")[0], *made)]
    assert all(abs(a - b).mean() > 2 for i, a in enumerate(looks) for b in looks[:i])
    assert build(library, tmp_path / "again") == len(made)
    indices = [(tmp_path / folder / "objects.json.gz").read_bytes() for folder in ("out", "again")]
    assert indices[0] == indices[1]
    assert [after.view(o).tobytes() for o in made] == [
        view.tobytes() for view in map(ObjectLibrary.open(tmp_path / "again").view, made)
    ]


def test_variants_have_no_variants_and_are_made_once(library: Path, tmp_path: Path) -> None:
    build(library, tmp_path / "out")
    assert sum(map(fit, ObjectLibrary.open(tmp_path / "out").objects("train"))) == 1
    with pytest.raises(ValueError, match=f"holds bent/emoji/mug-0 and {flats.VARIANTS - 1} more already"):
        build(tmp_path / "out", tmp_path / "more")
    assert not list((tmp_path / "more").iterdir())


def test_all_of_a_thing_stays_in_its_picture_and_fills_it() -> None:
    whole = np.count_nonzero(np.asarray(a_mug().getchannel("A")) > 127)
    for seed in range(30):
        made = variant(a_mug(), False, np.random.default_rng(seed))
        alpha = np.asarray(made.getchannel("A"))
        assert max(made.size) <= flats.LONGEST
        assert 0.4 * whole < np.count_nonzero(alpha > 127) < 2.5 * whole
        assert alpha[0].max() and alpha[-1].max() and alpha[:, 0].max() and alpha[:, -1].max()
        clear = np.asarray(made)[alpha == 255]  # no dark rim and no colour that the picture hasn't
        assert len(clear) and (clear[:, :3].max(1) > 25).all()


@pytest.mark.parametrize("name, tags", [("red mug", ("household",)), ("turkey", ("animal",)), ("kiwi", ("fruit",))])
def test_what_lives_or_is_called_by_a_colour_keeps_its_hues(
    name: str, tags: tuple[str, ...], library: Path, tmp_path: Path
) -> None:
    opened = ObjectLibrary.open(library)
    thing = replace(next(o for o in opened.objects("train") if o.id == "emoji/mug"), name=name, tags=tags)
    rows = flats.drawn(opened, thing, row("emoji/mug", "train", name), tmp_path / "work")
    assert [told["colour"] for told in rows] == ["red"] * flats.VARIANTS
    free = [colour([variant(a_mug(), False, np.random.default_rng(seed))]) for seed in range(20)]
    assert len({*free}) > 3


def test_what_is_there_is_kept(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (library / "objects.json.gz").read_bytes()
    for source, out in ((library, library), (tmp_path, tmp_path / "out")):
        monkeypatch.setattr(sys, "argv", ["flats.py", str(source), str(out)])
        assert flats.main() == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert (library / "objects.json.gz").read_bytes() == before and not (tmp_path / "out").exists()


def test_what_breaks_off_leaves_no_library(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[dict]:
        raise KeyboardInterrupt

    monkeypatch.setattr(flats, "drawn", broken)
    with pytest.raises(KeyboardInterrupt):
        build(library, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())

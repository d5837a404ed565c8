"""Stamps are for training alone: plain names, nothing novel, nothing that is held out, never the packer's licences."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

from held import look
from pack import LICENCES
from stamps import build, called, stamps

from perceptiongpt.data.objects import ObjectLibrary


@pytest.fixture(scope="module")
def packaged() -> ObjectLibrary:
    return ObjectLibrary.open()


def stamp(folder: Path, name: str, says: str, picture: Image.Image | None = None) -> None:
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture is None:
        noise = np.random.default_rng(len(name)).integers(0, 255, (12, 12, 3), np.uint8)
        picture = Image.fromarray(noise).resize((120, 120)).convert("RGBA")
        picture.putalpha(Image.new("L", (120, 120), 0))
        picture.paste(Image.fromarray(noise).resize((100, 110)), (10, 5))
    picture.save(path)
    path.with_suffix(".txt").write_text(f"{says}\nde.utf8=Etwas.\n", encoding="utf-8")


@pytest.mark.parametrize(
    "says, name",
    [
        ("A zither.", "zither"),
        ("An old red tractor.", "old red tractor"),
        ("A pair of pliers.", "pliers"),
        ("Some cherries.", "cherries"),
        ("Remember to flush the toilet!", None),
        ("A thing. Put your letter in here!", None),
        ("Two wild boars.", None),
        ("A very long name of something.", None),
        ("", None),
    ],
)
def test_a_plain_name_is_told_from_a_saying(says: str, name: str | None, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(f"{says}\n", encoding="utf-8")
    assert called(tmp_path / "x.txt") == name
    assert called(tmp_path / "none.txt") is None


def test_what_is_novel_held_out_small_or_whole_is_left_out(tmp_path: Path, packaged: ObjectLibrary) -> None:
    held = packaged.objects("test")[0]
    novel = packaged.objects("novel")[0]
    shown = packaged.view(held).resize((150, 140))
    stamp(tmp_path, "music/zither", "A red zither.")
    stamp(tmp_path, "music/held", "A gizmo.", shown)
    stamp(tmp_path, "music/novel", f"A blue {novel.kind}.")
    stamp(tmp_path, "music/small", "A gizmo.", packaged.view(packaged.objects("train")[0]).resize((50, 60)))
    stamp(tmp_path, "music/whole", "A gizmo.", Image.new("RGBA", (100, 100), "red"))
    stamp(tmp_path, "town/flags/flag", "A gizmo.")
    rows = stamps(tmp_path, packaged, tmp_path / "work")
    assert [(r["id"], r["name"], r["kind"], r["colour"]) for r in rows] == [
        ("stamp/music/zither", "red zither", "zither", "red")
    ]
    assert rows[0]["licence"] not in LICENCES  # so that it cannot be packed


def test_the_larger_library_adds_to_training_alone(tmp_path: Path, packaged: ObjectLibrary) -> None:
    stamp(tmp_path / "stamps", "music/zither", "A zither.")
    assert build(tmp_path / "stamps", tmp_path / "out") == 1
    larger = ObjectLibrary.open(tmp_path / "out")
    assert larger.objects("train")[:-1] == packaged.objects("train")
    assert all(larger.objects(s) == packaged.objects(s) for s in ("val", "test", "novel"))
    assert larger.backgrounds() == packaged.backgrounds()
    last = larger.objects("train")[-1]
    assert last.name == "zither" and larger.view(last).size == (100, 110)


def test_a_picture_made_smaller_looks_the_same_and_another_does_not(packaged: ObjectLibrary) -> None:
    one, other = (packaged.view(o) for o in packaged.objects("test")[:2])
    smaller = one.resize((one.width * 2 // 3, one.height * 2 // 3), Image.Resampling.LANCZOS)
    assert (look(one) != look(smaller)).sum() < 6 < (look(one) != look(other)).sum()


def test_a_folder_without_stamps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to add"):
        build(tmp_path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())

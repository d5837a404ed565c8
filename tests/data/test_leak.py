"""Pictures that two data sets share are found by id and by look; others aren't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.data.leak import shared
from perceptiongpt.data.record import Record


def picture(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 16, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def records(folder: Path, **pictures: Image.Image) -> list[Record]:
    folder.mkdir()
    out = []
    for name, image in pictures.items():
        path = folder / name.replace("_jpg", ".jpg").replace("_png", ".png").removeprefix("n")
        image.save(path)
        out.append(Record(path, name, name))
    return out


def test_a_copy_is_found_by_its_look_whatever_it_is_called(tmp_path: Path) -> None:
    train = records(tmp_path / "train", **{f"n{i}_png": picture(i) for i in range(30)})
    test = records(tmp_path / "test", other_jpg=picture(7, (90, 70)), fresh_png=picture(99), tenth_png=picture(10))
    assert list(shared(train, test)) == [("n7_png", "other_jpg", "same look"), ("n10_png", "tenth_png", "same look")]


@pytest.mark.parametrize(
    ("ours", "theirs"), [("COCO_train2014_000000000042_jpg", "n000000000042_jpg"), ("cup_a_png", "cup_a_png")]
)
def test_an_altered_copy_is_found_by_its_id(tmp_path: Path, ours: str, theirs: str) -> None:
    train = records(tmp_path / "train", **{ours: picture(1)})
    test = records(tmp_path / "test", **{theirs: picture(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT)})
    assert list(shared(train, test)) == [(ours, theirs, "same id, other look")]


def test_numbered_files_and_plain_walls_are_not_taken_for_copies(tmp_path: Path) -> None:
    train = records(tmp_path / "train", n0001_png=picture(1), wall_png=Image.new("RGB", (64, 64), "red"))
    test = records(tmp_path / "test", n0001_png=picture(2), sky_png=Image.new("RGB", (64, 64), "blue"))
    assert list(shared(train, test)) == []

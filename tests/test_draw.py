"""Painting: every size of picture, every kind of region; what is painted is where the region is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.data.shapes import shapes
from perceptiongpt.draw import COLOURS, LEAST_SIDE, LEAST_WIDTH, MOST_SIDE, contact_sheet, paint

GREY = (128, 128, 128)


def changed(painted: Image.Image, plain: Image.Image) -> np.ndarray:
    return (np.asarray(painted, int) != np.asarray(plain, int)).any(-1)


@pytest.mark.parametrize("size", [(1, 1), (64, 48), (640, 480), (20_000, 20), (20, 9000), (4200, 600)])
def test_any_size_of_picture_is_painted_readably(size: tuple[int, int]) -> None:
    mask = np.ones((size[1], size[0]), bool)
    region = Region((0, 0, *size), mask, (size[0] / 2, size[1] / 2), 0.5, "everything")
    painted = paint(Image.new("RGB", size, GREY), Answer("Everything there is.", (region,), size))
    assert painted.mode == "RGB"
    assert painted.width >= LEAST_WIDTH
    assert max(painted.size) >= LEAST_SIDE
    assert painted.width <= MOST_SIDE
    assert painted.height <= MOST_SIDE + 400


def test_a_picture_without_regions_or_words_stays_as_it_is() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (500, 600, 3)).astype(np.uint8))
    assert not changed(paint(picture, Answer("", (), picture.size)), picture).any()


def test_a_mask_tints_its_inside_and_nothing_far_from_it() -> None:
    picture = Image.new("RGB", (600, 500), GREY)
    mask = np.zeros((500, 600), bool)
    mask[100:200, 300:450] = True
    touched = changed(paint(picture, Answer("", (Region(mask=mask),), picture.size)), picture)
    assert touched[mask].all()
    near = np.zeros_like(mask)
    near[85:215, 285:465] = True
    assert not touched[~near].any()


def test_a_box_is_drawn_on_its_sides_only() -> None:
    picture = Image.new("RGB", (600, 500), GREY)
    touched = changed(paint(picture, Answer("", (Region(box=(200, 100, 400, 300)),), picture.size)), picture)
    assert touched[200, 200]
    assert touched[200, 399]
    assert touched[100, 300]
    assert touched[299, 300]
    assert not touched[110:290, 210:390].any()
    assert not touched[:, :190].any()
    assert not touched[:90].any()


def test_a_point_is_painted_in_its_colour() -> None:
    picture = Image.new("RGB", (600, 500), GREY)
    painted = paint(picture, Answer("", (Region(point=(120, 340)), Region(point=(500, 60))), picture.size))
    assert painted.getpixel((120, 340)) == COLOURS[0]
    assert painted.getpixel((500, 60)) == COLOURS[1]


def test_small_pictures_are_enlarged_with_their_regions() -> None:
    picture = Image.new("RGB", (48, 48), GREY)
    mask = np.zeros((48, 48), bool)
    mask[12:24, 24:36] = True
    touched = changed(paint(picture, Answer("", (Region(mask=mask),), (48, 48))), Image.new("RGB", (480, 480), GREY))
    assert touched[125:235, 245:355].all()
    assert not touched[300:].any()


def test_labels_of_regions_at_one_place_hide_each_other_not() -> None:
    picture = Image.new("RGB", (600, 500), GREY)
    box = (200.0, 200.0, 400.0, 300.0)
    regions = tuple(Region(box=box, label=f"thing {i}") for i in range(4))
    painted = np.asarray(paint(picture, Answer("", regions, picture.size)))
    areas = [int((painted == colour).all(-1).sum()) for colour in COLOURS[:4]]
    assert min(areas) > 300  # each label's ground is to be seen


@pytest.mark.parametrize("text", ["One. " * 400, "x" * 3000, "日本 Ωμέγα \x1b[0m", "two\nlines"])
def test_the_strip_below_holds_any_text(text: str) -> None:
    picture = Image.new("RGB", (600, 500), GREY)
    painted = paint(picture, Answer(text, (), picture.size))
    assert 500 < painted.height < 500 + 260
    assert (np.asarray(painted)[500:] > 200).any()


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="give that one"):
        paint(Image.new("RGB", (10, 10)), Answer("", (), (20, 10)))


def test_samples_are_shown_with_their_talk() -> None:
    drawn = [*shapes(5, 0), Sample(None, (Turn("user", "Hello?"), Turn("assistant", "Hello.")))]
    sheet = contact_sheet(drawn, columns=3, side=200)
    assert sheet.width == 3 * 208
    assert sheet.height > 2 * 200
    with pytest.raises(ValueError, match="no samples"):
        contact_sheet([])

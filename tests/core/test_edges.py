"""Masks drawn to edges: what an outline misses by a few pixels is mended, and nothing is made of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from perceptiongpt.core import edges
from perceptiongpt.core.answer import Region
from perceptiongpt.core.edges import mask_to_edges, to_edges
from perceptiongpt.core.masks import mask_iou, mask_to_box


def disc(hw: tuple[int, int], middle: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    return (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2


def painted(
    mask: np.ndarray, inside: Any = (200, 60, 40), outside: Any = (90, 110, 160), noise: int = 12
) -> Image.Image:
    """A picture with a mask in one colour and the rest in another, and grain."""
    grain = np.random.default_rng(0).integers(-noise, noise + 1, (*mask.shape, 3))
    colours = np.where(mask[..., None], np.asarray(inside), np.asarray(outside)) + grain
    return Image.fromarray(colours.clip(0, 255).astype(np.uint8))


TRUE = disc((90, 120), (44, 58), 25)
BLUNT = {
    "too small": binary_erosion(TRUE, iterations=3),
    "too large": binary_dilation(TRUE, iterations=3),
    "beside it": np.roll(TRUE, (2, -3), (0, 1)),
    "of cells": np.kron(TRUE[::6, ::6], np.ones((6, 6), bool)),
}


@pytest.mark.parametrize("how", BLUNT)
def test_a_blunt_outline_is_drawn_to_the_edge(how: str) -> None:
    made = mask_to_edges(BLUNT[how], painted(TRUE))
    assert made.shape == TRUE.shape and made.dtype == np.bool_
    assert mask_iou(BLUNT[how], TRUE) < 0.9 < 0.97 < mask_iou(made, TRUE)


def test_the_mask_that_came_is_left_as_it_was() -> None:
    came = BLUNT["too small"].copy()
    mask_to_edges(came, painted(TRUE))
    assert np.array_equal(came, BLUNT["too small"])


def test_where_there_is_no_edge_the_mask_hardly_moves() -> None:
    plain = Image.new("RGB", (120, 90), (90, 110, 160))
    assert mask_iou(mask_to_edges(TRUE, plain), TRUE) > 0.9
    assert mask_iou(mask_to_edges(TRUE, painted(np.zeros_like(TRUE))), TRUE) > 0.9


def test_an_edge_far_off_does_not_draw_it() -> None:
    """A small thing on a large one of another colour stays the small one."""
    large = disc((90, 120), (44, 58), 40)
    picture = np.asarray(painted(large)).copy()
    picture[TRUE] = np.asarray(painted(TRUE, inside=(240, 220, 60)))[TRUE]
    assert mask_iou(mask_to_edges(BLUNT["too small"], Image.fromarray(picture)), TRUE) > 0.97


def test_a_mask_of_another_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="a mask of 120x90 pixels came with a picture of 90x120; give its own"):
        to_edges(Region(mask=TRUE), Image.new("RGB", (90, 120)))


def test_a_line_of_pixels_is_too_thin_to_have_edges() -> None:
    mask = np.zeros((2, 4000), bool)
    mask[0, 1000:3000] = True
    random = np.random.default_rng(0).integers(0, 256, (2, 4000, 3), dtype=np.uint8)
    assert np.array_equal(mask_to_edges(mask, Image.fromarray(random)), mask)


@pytest.mark.parametrize("mask", [np.zeros((20, 30), bool), np.ones((20, 30), bool)], ids=["nothing", "everything"])
def test_nothing_and_everything_stay(mask: np.ndarray) -> None:
    with np.errstate(all="raise"):
        assert np.array_equal(mask_to_edges(mask, Image.new("RGB", (30, 20))), mask)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 2), (7, 3)])
def test_the_smallest_pictures_have_masks_too(size: tuple[int, int]) -> None:
    mask = np.zeros(size[::-1], bool)
    mask[0, 0] = True
    with np.errstate(all="raise"):
        made = mask_to_edges(mask, Image.new("RGB", size, "teal"))
    assert made.shape == mask.shape and made.any()


def test_what_would_be_left_empty_stays() -> None:
    """A line of one pixel that looks like all around it has no inside to speak of."""
    line = np.zeros((60, 60), bool)
    line[30, 10:50] = True
    assert mask_to_edges(line, Image.new("RGB", (60, 60), "teal")).any()


def test_what_is_lost_in_drawing_large_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sliver that a few small pixels hold by a hair may reach no large one."""
    monkeypatch.setattr(edges, "SIDE", 16)
    mask = np.zeros((42, 31), bool)
    mask[:11, 2:5] = True
    for seed in range(80):
        picture = np.random.default_rng(seed).integers(0, 256, (42, 31, 3), dtype=np.uint8)
        assert mask_to_edges(mask, Image.fromarray(picture)).any()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_pictures_of_every_mode(mode: str) -> None:
    made = mask_to_edges(BLUNT["too small"], painted(TRUE, noise=0).convert(mode))
    assert mask_iou(made, TRUE) > 0.9


@settings(max_examples=25, deadline=None)
@given(st.integers(12, 28), st.integers(35, 85), st.integers(35, 55), st.integers(0, 4), st.booleans())
def test_turned_pictures_have_turned_masks(radius: int, x: int, y: int, off: int, colours: bool) -> None:
    true = disc((90, 120), (y, x), radius)
    picture, came = painted(true, outside=(90, 110, 160) if colours else (190, 70, 60)), np.roll(true, off, 1)
    made = mask_to_edges(came, picture)
    for turned in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM):
        axis = 1 if turned is Image.Transpose.FLIP_LEFT_RIGHT else 0
        again = mask_to_edges(np.flip(came, axis), picture.transpose(turned))
        assert mask_iou(np.flip(again, axis), made) > 0.98


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([8, 16, 256]))
def test_any_mask_of_any_picture_gives_a_mask_near_it(h: int, w: int, seed: int, side: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((h, w)) < random.random() ** 2
    picture = Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8))
    with pytest.MonkeyPatch.context() as small:
        small.setattr(edges, "SIDE", side)
        made = mask_to_edges(mask, picture)
    assert made.shape == mask.shape and made.dtype == np.bool_ and made.any() == mask.any()
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows):
        reach = edges.MARGIN * max(np.ptp(rows), np.ptp(columns)) + 5
        y, x = np.nonzero(made)
        assert y.min() >= rows[0] - reach and y.max() <= rows[-1] + reach
        assert x.min() >= columns[0] - reach and x.max() <= columns[-1] + reach


def test_large_pictures_are_worked_on_small_and_drawn_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of rows fit together, and what is worked on is at most SIDE long."""
    sides, walked = list[int](), edges._walked

    def seen(inside: np.ndarray, colours: np.ndarray) -> np.ndarray:
        assert inside.shape == colours.shape[:2]
        sides.append(max(inside.shape))
        return walked(inside, colours)

    monkeypatch.setattr(edges, "_walked", seen)
    true = disc((900, 1200), (440, 580), 300)
    came, picture = binary_erosion(true, iterations=20), painted(true)
    made = mask_to_edges(came, picture)
    assert mask_iou(came, true) < 0.9 < 0.98 < mask_iou(made, true) and sides == [edges.SIDE]
    for rows in (1, 37, 10_000):
        monkeypatch.setattr(edges, "STRIP", rows)
        assert np.array_equal(mask_to_edges(came, picture), made)


def test_specks_are_left_out() -> None:
    two = disc((90, 120), (44, 40), 22) | disc((90, 120), (44, 85), 8)
    came = binary_erosion(two, iterations=2)
    made = mask_to_edges(came, painted(two))
    assert mask_iou(made, disc((90, 120), (44, 40), 22)) > 0.95


def test_a_box_that_fits_is_drawn_round_the_mask_and_another_stays() -> None:
    came, picture = np.roll(TRUE, (1, -1), (0, 1)), painted(TRUE)
    box = mask_to_box(came)
    assert box is not None
    region = Region(box, came, (3.0, 4.0), 0.5, "disc", (0, 4), 2)
    made = to_edges(region, picture)
    assert made.mask is not None and made.box == mask_to_box(made.mask) != box
    assert (made.point, made.score, made.label, made.span, made.picture) == ((3.0, 4.0), 0.5, "disc", (0, 4), 2)
    far = Region((0.0, 0.0, 60.0, 60.0), came)
    assert to_edges(far, picture).box == far.box and np.array_equal(to_edges(far, picture).mask, made.mask)
    near = Region((box[0] - 4, box[1] - 4, box[2] + 3, box[3] + 3), came)  # an IoU of 0.77: it holds more than the mask
    assert to_edges(near, picture).box == near.box
    bare = to_edges(Region(mask=came), picture)
    assert bare.box is None and np.array_equal(bare.mask, made.mask)


def test_what_has_no_mask_stays_as_it_is() -> None:
    picture = painted(TRUE)
    for region in (Region(box=(1.0, 2.0, 30.0, 40.0)), Region(point=(3.0, 4.0)), Region(mask=np.zeros_like(TRUE))):
        assert to_edges(region, picture) is region

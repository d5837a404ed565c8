"""Laws of the answer formats: what is spelled is read back within its resolution, and nonsense is no region."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perceptiongpt.core.answer import Region
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.masks import mask_iou
from perceptiongpt.data.formats import BINS, END, VERTICES, Reading, reading, regions_of, spell

# The most that a coordinate moves, in 0..1 of the canvas: half a step, or all of the last bin's half.
RESOLUTION = {"numerals": 0.0005, "integers": 0.5 / 999, "bins": 0.5 / BINS, "polygon": 0.5 / BINS}
sides = st.integers(8, 900)


def said(name: str, *regions: Region, canvas: Canvas, words: str = "All the mugs") -> Reading:
    return reading(name, [words, *(p for r in regions for p in spell(name, r, canvas)), "."])


@pytest.mark.parametrize("name", ["numerals", "integers", "bins"])
@settings(max_examples=60)
@given(sides, sides, st.lists(st.floats(0, 1), min_size=8, max_size=8))
@example(224, 224, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
def test_boxes_survive_within_the_resolution(name: str, width: int, height: int, at: list[float]) -> None:
    canvas = Canvas((width, height), 224)
    pairs = [(min(a, b), max(a, b)) for a, b in pairwise(at)]
    boxes = [(x0 * width, y0 * height, x1 * width, y1 * height) for (x0, x1), (y0, y1) in pairwise(pairs)][::2]
    read = said(name, *(Region(b) for b in boxes), canvas=canvas)
    assert (read.text, read.readable) == ("All the mugs.", True)
    assert [f.place for f in read.found] == [12] * len(boxes)
    for box, found in zip(boxes, read.found, strict=True):
        true = np.asarray([*canvas.point_in(box[:2]), *canvas.point_in(box[2:])])
        assert np.abs(true - np.asarray(found.box)).max() <= RESOLUTION[name] + 1e-9


@settings(max_examples=40)
@given(sides, sides, st.integers(0, 10**6))
def test_masks_survive_as_outlines(width: int, height: int, seed: int) -> None:
    canvas, drawn = Canvas((width, height), 224), np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] + 0.5
    radius = drawn.uniform(0.15, 0.5, 2) * (width, height)
    centre = drawn.uniform(0.3, 0.7, 2) * (width, height)
    mask = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1
    if not mask.any():
        return
    pieces = spell("polygon", Region(mask=mask), canvas)
    assert len(pieces) <= 2 * VERTICES + 1 and pieces[-1] == END
    read = said("polygon", Region(mask=mask), canvas=canvas)
    (region,) = regions_of(read, "polygon", canvas)
    assert read.readable and region.mask is not None
    # A bin's half and a pixel's corner on every side, and what 32 corners leave out of an ellipse.
    edge = 2 * (radius.sum() * 2) * (1.0 + max(width, height) * RESOLUTION["polygon"])
    assert mask_iou(region.mask, mask) > min(0.93, 1 - edge / mask.sum())


def test_a_mask_of_several_pieces_is_its_largest() -> None:
    mask = np.zeros((40, 40), bool)
    mask[2:6, 2:6] = mask[10:30, 10:36] = True
    canvas = Canvas((40, 40), 224)
    (region,) = regions_of(said("polygon", Region(mask=mask), canvas=canvas), "polygon", canvas)
    assert np.abs(np.subtract(region.box, (10, 10, 36, 30))).max() < 0.1
    assert spell("bins", Region(mask=mask), canvas) == [50, 50, 900, 750]  # but its box is that of all


def test_a_box_without_a_mask_is_an_outline_of_four_corners() -> None:
    canvas = Canvas((100, 100), 224)
    assert spell("polygon", Region((10, 20, 30, 40)), canvas) == [100, 200, 300, 200, 300, 400, 100, 400, END]
    assert spell("numerals", Region(point=(10, 20)), canvas) == ["[0.100,0.200,0.100,0.200]"]
    with pytest.raises(ValueError, match="give a box or a point"):
        spell("bins", Region(mask=np.zeros((100, 100), bool)), canvas)


@pytest.mark.parametrize(
    ("name", "pieces", "regions"),
    [
        ("numerals", ["the [0.5,0.1,0.2,0.3] mug"], 0),  # not three decimals
        ("numerals", ["[0.500,0.100,0.200,0.300]"], 0),  # inverted
        ("numerals", ["[0.100,0.100,1.200,0.300]"], 0),  # outside
        ("numerals", ["[0.100,0.100,0.200"], 0),  # cut off
        ("numerals", ["[0.100,0.100,0.200,0.300][0.100,"], 1),  # what is whole counts
        ("numerals", ["]" * 5000 + "[" * 5000], 0),
        ("integers", ["[1,2,3]"], 0),
        ("integers", ["[1,2,3,1000]"], 0),
        ("integers", ["[-1,2,3,4]"], 0),
        ("integers", ["[²,2,3,4]"], 0),
        ("bins", [1, 2, 3], 0),
        ("bins", ["a", 1, 2, "b", 3, 4], 0),
        ("bins", [5, 2, 3, 4], 0),
        ("bins", [1, 2, 3, 4, 5], 1),
        ("polygon", [1, 2, 3, 4, 5, 6], 0),  # never ended
        ("polygon", [1, 2, 3, 4, END], 0),  # two corners
        ("polygon", [1, 2, 3, 4, 5, 6, 7, END], 0),
        ("polygon", [END], 0),
        ("polygon", [1, 1, 9, 1, 9, 9, END, END], 1),
    ],
)
def test_what_is_no_region_is_unreadable(name: str, pieces: list[str | int], regions: int) -> None:
    read = reading(name, pieces)
    assert not read.readable
    assert len(read.found) == regions


@given(st.text(max_size=80) | st.text("[],.0123456789 ", max_size=80))
def test_no_text_breaks_the_reader(text: str) -> None:
    for name in ("numerals", "integers"):
        read = reading(name, [text])
        assert all(0 <= v <= 1 for f in read.found for v in f.box)
        assert read.readable or "[" in text or "]" in text


@given(st.lists(st.text("ab ", max_size=3) | st.integers(0, BINS - 1), max_size=30))
def test_no_row_of_location_tokens_breaks_the_reader(pieces: list[str | int]) -> None:
    canvas = Canvas((30, 20), 224)
    for name in ("bins", "polygon"):
        mixed = [END if p == 7 and name == "polygon" else p for p in pieces]
        regions_of(reading(name, mixed), name, canvas)

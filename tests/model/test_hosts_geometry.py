"""Boxes and masks land on the right pixels of pictures of any size and shape, in each family's way of seeing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt.core.masks import mask_iou
from perceptiongpt.model.backbone import Backbone
from perceptiongpt.model.zoo import HOSTS

unit = st.floats(0, 1)


@lru_cache(32)
def held(family: str) -> Backbone:
    return Backbone(*HOSTS[family]())


@st.composite
def sizes(draw, pixels: int = 16_000_000) -> tuple[int, int]:
    longest = draw(st.integers(16, 4000))
    shortest = max(1, round(longest / draw(st.floats(1, 50))))
    shrink = max(1.0, (longest * shortest / pixels) ** 0.5)
    size = (max(16, int(longest / shrink)), max(1, int(shortest / shrink)))
    return size if draw(st.booleans()) else size[::-1]


def rectangle(size: tuple[int, int], a: float, b: float, c: float, d: float) -> tuple[float, float, float, float]:
    (width, height) = size
    return min(a, b) * width, min(c, d) * height, max(a, b) * width, max(c, d) * height


@pytest.mark.parametrize("family", sorted(HOSTS))
@settings(max_examples=50)
@given(sizes(), unit, unit, unit, unit)
def test_a_drawn_rectangles_centre_comes_back_within_half_a_pixel_in_all_hosts(family, size, a, b, c, d) -> None:
    canvas = held(family).canvas(size)
    xyxy = rectangle(size, a, b, c, d)
    x0, y0, x1, y1 = canvas.boxes_out(torch.tensor([canvas.box_in(xyxy)]))[0].tolist()
    assert abs((x0 + x1) / 2 - (xyxy[0] + xyxy[2]) / 2) <= 0.5
    assert abs((y0 + y1) / 2 - (xyxy[1] + xyxy[3]) / 2) <= 0.5
    cx, cy = canvas.point_in(((xyxy[0] + xyxy[2]) / 2, (xyxy[1] + xyxy[3]) / 2))
    assert 0 <= cx <= 1 and 0 <= cy <= 1


@pytest.mark.parametrize("family", sorted(HOSTS))
@settings(max_examples=10)
@given(sizes(500_000), unit, unit, unit, unit)
def test_a_mask_painted_on_the_map_lands_as_well_as_the_grid_can_in_all_hosts(family, size, a, b, c, d) -> None:
    host = held(family)
    canvas, side = host.canvas(size), host.map_side
    x0, y0, x1, y1 = (round(v) for v in rectangle(size, a, b, c, d))
    mask = np.zeros(size[::-1], bool)
    mask[y0:y1, x0:x1] = True
    cell = [s / reach / side for s, reach in zip(size, canvas.reach_xy, strict=True)]
    # The grid's own limit: an edge is known to half a cell and half a pixel, and each corner to a quarter of a cell.
    kept = [1 - (c + 1) / max(s, 1e-9) for c, s in zip(cell, (x1 - x0, y1 - y0), strict=True)]
    limit = max(kept[0], 0) * max(kept[1], 0) - cell[0] * cell[1] / max((x1 - x0) * (y1 - y0), 1)
    found = canvas.mask_out(canvas.mask_in(mask, side) - 0.5)
    assert mask_iou(found, mask) >= min(limit, 1.0) or limit <= 0


@pytest.mark.parametrize("family", sorted(HOSTS))
def test_pictures_of_extreme_shapes_are_seen_by_all_hosts(family: str) -> None:
    host = held(family)
    for size in ((400, 8), (8, 400), (16, 16)):
        canvas = host.canvas(size)
        look = host.look(host.pixels([canvas.view(Image.new("RGB", size, "teal"))]))
        assert len(look.tokens[0]) == host.image_places(canvas)
        assert look.cells.isfinite().all() and look.layers[0].shape[1] == host.map_side

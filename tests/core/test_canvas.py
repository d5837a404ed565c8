"""The canvas: there and back for boxes, points and masks, over all sizes and ratios."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt.core.batch import Regions
from perceptiongpt.core.canvas import PADDING, Canvas
from perceptiongpt.core.masks import mask_iou, mask_to_box

unit = st.floats(0, 1)


@st.composite
def canvases(draw, largest=4000):
    width = draw(st.integers(1, largest))
    height = draw(st.integers(max(1, width // 50), min(largest, width * 50)))
    size_wh = (width, height) if draw(st.booleans()) else (height, width)
    side = draw(st.sampled_from([56, 224, 336, 518]))
    mode = draw(st.sampled_from(["pad", "squeeze", "free"]))
    if mode == "free":
        return Canvas.free(size_wh, (draw(st.integers(1, 40)) * 14, draw(st.integers(1, 40)) * 14))
    return Canvas(size_wh, side, mode)


@settings(max_examples=300)
@given(canvases(), unit, unit, unit, unit)
def test_boxes_and_points_come_back_within_half_a_pixel(canvas, a, b, c, d):
    (width, height) = canvas.size_wh
    xyxy = (min(a, b) * width, min(c, d) * height, max(a, b) * width, max(c, d) * height)
    inside = canvas.box_in(xyxy)
    assert all(-1e-9 <= v <= 1 + 1e-9 for v in inside)
    assert canvas.box_out(inside) == pytest.approx(xyxy, abs=1e-6)
    assert canvas.point_out(canvas.point_in(xyxy[:2])) == pytest.approx(xyxy[:2], abs=1e-6)
    np.testing.assert_allclose(canvas.boxes_out(torch.tensor([inside] * 3)), [xyxy] * 3, atol=0.01)


@settings(max_examples=60)
@given(canvases(largest=1200), st.integers(8, 64), unit, unit, unit, unit)
def test_a_rectangle_painted_on_the_map_lands_within_one_cell(canvas, cells, a, b, c, d):
    (width, height), (reach_x, reach_y) = canvas.size_wh, canvas.reach_xy
    xyxy = (min(a, b) * width, min(c, d) * height, max(a, b) * width, max(c, d) * height)
    cell_x, cell_y = width / reach_x / cells, height / reach_y / cells  # one cell in pixels
    assume(xyxy[2] - xyxy[0] >= 2 * cell_x + 2 and xyxy[3] - xyxy[1] >= 2 * cell_y + 2)
    cx, cy, w, h = canvas.box_in(xyxy)
    centre = (np.arange(cells) + 0.5) / cells
    inside_x, inside_y = np.abs(centre - cx) < w / 2, np.abs(centre - cy) < h / 2
    logits = np.where(inside_y[:, None] & inside_x, 1.0, -1.0)
    found = mask_to_box(canvas.mask_out(logits))
    assert found is not None
    for got, wanted, cell in zip(found, xyxy, (cell_x, cell_y) * 2, strict=True):
        assert abs(got - wanted) <= max(cell, 1.0) + 1e-6


@settings(max_examples=60)
@given(canvases(largest=700), st.integers(1, 64), unit, unit, unit, unit)
def test_a_mask_on_the_map_keeps_its_area_cell_by_cell(canvas, cells, a, b, c, d):
    (width, height), (reach_x, reach_y) = canvas.size_wh, canvas.reach_xy
    x0, x1 = sorted((round(a * width), round(b * width)))
    y0, y1 = sorted((round(c * height), round(d * height)))
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    covered = canvas.mask_in(mask, cells)
    assert covered.shape == (cells, cells) and covered.dtype == np.float32
    edges = np.arange(cells + 1) / cells
    in_x = np.clip(np.minimum(edges[1:], x1 / width * reach_x) - np.maximum(edges[:-1], x0 / width * reach_x), 0, None)
    in_y = np.clip(
        np.minimum(edges[1:], y1 / height * reach_y) - np.maximum(edges[:-1], y0 / height * reach_y), 0, None
    )
    np.testing.assert_allclose(covered, np.outer(in_y, in_x) * cells * cells, atol=1e-4)


@pytest.mark.parametrize("mode", ["pad", "squeeze"])
def test_a_mask_goes_there_and_back(mode):
    y, x = np.ogrid[:300, :500]
    blob = ((y - 140) / 90) ** 2 + ((x - 220) / 150) ** 2 < 1
    canvas = Canvas((500, 300), 224, mode)
    assert mask_iou(canvas.mask_out(canvas.mask_in(blob, 128) - 0.5), blob) > 0.98


@settings(max_examples=60)
@given(canvases(200), st.sampled_from([56, 224]), unit, unit, unit, unit)
def test_what_a_map_shows_of_a_piece_is_what_the_piece_shows(whole, side, a, b, c, d):
    """A mask over the whole picture's canvas, seen from a piece of it, is that mask's crop over the piece's own."""
    width, height = whole.size_wh
    assume(min(width, height) >= 20)
    x0, y0 = int(min(a, b) * (width - 10)), int(min(c, d) * (height - 10))
    piece = (x0, y0, x0 + 10 + int(max(a, b) * (width - 10 - x0)), y0 + 10 + int(max(c, d) * (height - 10 - y0)))
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 3 : width] = True
    crop = mask[piece[1] : piece[3], piece[0] : piece[2]]
    own = Canvas(crop.shape[::-1], side)
    maps = torch.from_numpy(np.stack([whole.mask_in(mask, 128), whole.mask_in(~mask, 128)]))
    seen = own.of_piece(maps, piece, whole, 32).numpy()
    assert seen.shape == (2, 32, 32)
    for found, wanted in zip(seen, (crop, ~crop), strict=True):
        assert abs(found - own.mask_in(wanted, 32)).mean() < 0.12  # rims are blurred, and soft pieces are ten pixels
    reach_x, reach_y = own.reach_xy
    assert not seen[:, int(32 * reach_y) + 1 :].any() and not seen[:, :, int(32 * reach_x) + 1 :].any()


@settings(max_examples=60)
@given(canvases(largest=700), st.integers(16, 64), unit, unit, unit, unit)
def test_what_is_found_in_the_mirror_image_is_found_in_the_picture(canvas, side, a, b, c, d):
    (width, height), reach = canvas.size_wh, canvas.reach_xy
    (x0, x1), (y0, y1) = sorted((round(a * width), round(b * width))), sorted((round(c * height), round(d * height)))
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    here, there = (torch.tensor(canvas.mask_in(m, side))[None] for m in (mask, mask[:, ::-1]))
    boxes = torch.tensor([canvas.box_in((width - x1, y0, width - x0, y1))])
    found = canvas.mirrored(Regions(boxes, there, there, torch.zeros(1)))
    np.testing.assert_allclose(canvas.boxes_out(found.boxes), [(x0, y0, x1, y1)], atol=0.01)
    inside = int(reach[0] * side)  # cells that the picture fills
    off = (found.masks - here)[..., :inside].abs()
    assert float(off.sum(-1).max()) <= (1e-4 if reach[0] == 1 else 2.0)  # each edge within a cell
    if float(there.min()) == 0:
        assert float(found.masks[..., inside + 1 :].sum()) == 0  # and nothing where there is no picture
    assert torch.equal(found.masks, found.points) and torch.equal(found.masks, canvas.turned(there))
    if reach[0] == 1:
        assert torch.equal(canvas.turned(found.masks), there)


def test_masks_are_interpolated_before_they_are_cut():
    canvas = Canvas((100, 100), 100, "squeeze")
    logits = np.array([[3.0, -1.0], [3.0, -1.0]])
    # Between the cells' centres at 25 and 75 the logit falls from 3 to -1: it crosses 0 at 62.5, and 1 at exactly 50.
    assert mask_to_box(canvas.mask_out(logits)) == (0.0, 0.0, 62.0, 100.0)
    assert mask_to_box(canvas.mask_out(logits, threshold=1.0)) == (0.0, 0.0, 50.0, 100.0)


def test_many_masks_equal_each_alone_however_they_are_chunked(monkeypatch):
    logits = torch.randn(3, 9, 7, generator=torch.Generator().manual_seed(0))
    canvas = Canvas.free((61, 83), (42, 56))
    whole = canvas.masks_out(logits)
    monkeypatch.setattr("perceptiongpt.core.canvas.CHUNK_PIXELS", 100)
    assert whole.shape == (3, 83, 61) and whole.dtype == bool
    assert np.array_equal(np.stack([canvas.mask_out(one) for one in logits]), whole)
    assert canvas.masks_out(logits[:0]).shape == (0, 83, 61)


def test_interpolation_equals_the_library_on_a_plain_enlargement():
    logits = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(1))
    wanted = torch.nn.functional.interpolate(logits[None], size=(37, 53), mode="bilinear")[0] > 0
    assert np.array_equal(Canvas((53, 37), 8, "squeeze").masks_out(logits), wanted.numpy())


def test_boxes_are_clipped_to_the_picture():
    canvas = Canvas((200, 100), 100, "pad")  # the picture covers the upper half
    assert canvas.box_out((0.5, 0.5, 2.0, 2.0)) == (0.0, 0.0, 200.0, 100.0)
    assert canvas.boxes_out(torch.tensor([[0.5, 0.75, 0.5, 0.1]])).tolist() == [[50.0, 100.0, 150.0, 100.0]]
    assert canvas.point_out((0.25, 0.9)) == (50.0, 100.0)
    assert canvas.box_in((0.0, 0.0, 200.0, 100.0)) == (0.5, 0.25, 1.0, 0.5)


def test_the_view_shows_what_the_numbers_say():
    picture = Image.new("RGB", (400, 100), "white")
    picture.paste((255, 0, 0), (200, 0, 400, 100))
    padded = Canvas((400, 100), 224).view(picture)
    assert padded.size == (224, 224)
    assert padded.getpixel((20, 20)) == (255, 255, 255)
    assert padded.getpixel((200, 20)) == (255, 0, 0)
    assert padded.getpixel((20, 60)) == PADDING
    squeezed = Canvas((400, 100), 224, "squeeze").view(picture)
    assert squeezed.getpixel((200, 220)) == (255, 0, 0)
    assert Canvas.free((400, 100), (280, 70)).view(picture).size == (280, 70)


def test_the_view_is_antialiased():
    stripes = Image.fromarray(np.tile(np.uint8([0, 255]), (400, 200))).convert("RGB")
    view = np.asarray(Canvas((400, 400), 40, "squeeze").view(stripes))
    assert view[:, 5:-5].min() > 115 and view[:, 5:-5].max() < 140


def test_a_thin_picture_keeps_at_least_one_pixel():
    canvas = Canvas((4000, 3), 56)
    assert canvas.content_wh == (56, 1)
    assert canvas.view(Image.new("RGB", (4000, 3))).size == (56, 56)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Canvas((0, 4), 224), "size_wh"),
        (lambda: Canvas((4.0, 4), 224), "size_wh"),
        (lambda: Canvas((4, 4, 3), 224), "size_wh"),
        (lambda: Canvas((4, 4), 0), "side"),
        (lambda: Canvas((4, 4), 224, "crop"), "crop"),
        (lambda: Canvas((4, 4), 224, "free"), "Canvas.free"),
        (lambda: Canvas.free((4, 4), (0, 28)), "free_wh"),
        (lambda: Canvas((4, 4), 8).view(Image.new("RGB", (5, 4))), "wants RGB"),
        (lambda: Canvas((4, 4), 8).view(Image.new("L", (4, 4))), "wants RGB"),
        (lambda: Canvas((4, 3), 8).mask_in(np.zeros((4, 3), bool), 8), "wants bool"),
        (lambda: Canvas((4, 3), 8).masks_out(torch.zeros(8, 8)), "wanted"),
    ],
)
def test_what_does_not_fit_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()

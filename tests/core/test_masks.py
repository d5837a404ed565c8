"""Masks: run lengths against two libraries, hostile run lengths, polygons there and back."""

import numpy as np
import pytest
from faster_coco_eval import mask as faster_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from perceptiongpt.core.masks import (
    decode_rle,
    encode_rle,
    mask_iou,
    mask_to_box,
    mask_to_polygons,
    polygons_to_mask,
    without_specks,
)

small_masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def disc(h, w, cy, cx, r):
    y, x = np.ogrid[:h, :w]
    return (y - cy) ** 2 + (x - cx) ** 2 <= r * r


@given(small_masks)
def test_a_mask_survives_rle(mask):
    assert np.array_equal(decode_rle(encode_rle(mask)), mask)


@given(small_masks)
def test_a_mask_survives_polygons(mask):
    assert np.array_equal(polygons_to_mask(mask_to_polygons(mask), mask.shape), mask)


def test_rle_equals_the_reference_libraries():
    rng = np.random.default_rng(0)
    masks = [rng.random((37, 53)) < p for p in (0, 0.01, 0.5, 0.99, 1)] + [disc(300, 400, 150, 120, 90)]
    for mask in masks:
        ours = encode_rle(mask)
        for library in (coco_mask, faster_mask):
            theirs = library.encode(np.asfortranarray(mask, np.uint8))
            text = theirs["counts"] if isinstance(theirs["counts"], str) else theirs["counts"].decode()
            assert (ours["size"], ours["counts"]) == (list(theirs["size"]), text)
            assert np.array_equal(library.decode({**ours, "counts": ours["counts"].encode()}).astype(bool), mask)
        assert np.array_equal(decode_rle({**ours, "counts": ours["counts"].encode()}), mask)


def test_uncompressed_runs_go_down_the_columns():
    mask = decode_rle({"size": [2, 3], "counts": [1, 2, 3]})
    assert mask.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    ("rle", "said"),
    [
        ({"size": [10**6, 10**6], "counts": [10**12]}, "limit"),
        ({"size": [2**40, 2**40], "counts": "a"}, "limit"),
        ({"size": [0, 4], "counts": []}, "positive"),
        ({"size": [-2, -2], "counts": [4]}, "positive"),
        ({"size": [2.0, 2.0], "counts": [4]}, "positive"),
        ({"size": [True, True], "counts": [1]}, "positive"),
        ({"size": [4], "counts": [4]}, "positive"),
        ({"size": "22", "counts": [4]}, "positive"),
        ({"size": [2, 2], "counts": [3]}, "fill"),
        ({"size": [2, 2], "counts": [2, 3]}, "fill"),
        ({"size": [2, 2], "counts": []}, "fill"),
        ({"size": [2, 2], "counts": [5, -1]}, "run lengths"),
        ({"size": [2, 2], "counts": [2.0, 2.0]}, "run lengths"),
        ({"size": [2, 2], "counts": [0] * 100 + [4]}, "runs for"),
        ({"size": [2, 2], "counts": "0" * 1000}, "characters"),
        ({"size": [2, 2], "counts": ""}, "empty"),
        ({"size": [2, 2], "counts": "\x00"}, "foreign"),
        ({"size": [2, 2], "counts": "ok"}, "cut off"),
        ({"size": [2, 2], "counts": "ooooooooo0"}, "characters"),
        ({"size": [2, 2], "counts": "é"}, "ASCII"),
        ({"size": [2, 2], "counts": "5"}, "fill"),
        ({"size": [2, 2], "counts": "O5"}, "fill"),  # -1 and 5: the sum is right, the runs are not
        ({"size": [2, 2], "counts": None}, "NoneType"),
        ({"counts": [4]}, "mapping"),
        ([4], "mapping"),
    ],
)
def test_a_hostile_rle_is_refused_in_one_sentence(rle, said):
    with pytest.raises(ValueError, match=said) as caught:
        decode_rle(rle)
    assert "\n" not in str(caught.value)


@settings(max_examples=300)
@given(st.binary(max_size=40) | st.text("0123456789OPQo`no", max_size=30), st.integers(1, 9), st.integers(1, 9))
def test_any_text_is_a_mask_or_a_value_error(counts, h, w):
    try:
        mask = decode_rle({"size": [h, w], "counts": counts})
    except ValueError:
        return
    raw = counts.encode() if isinstance(counts, str) else counts
    assert np.array_equal(mask, coco_mask.decode({"size": [h, w], "counts": raw}).astype(bool))


def test_the_pixel_limit_is_the_callers():
    rle = {"size": [10, 10], "counts": [100]}
    assert not decode_rle(rle, limit_pixels=100).any()
    with pytest.raises(ValueError, match="limit of 99 pixels"):
        decode_rle(rle, limit_pixels=99)


def test_polygons_of_a_rectangle_a_ring_and_two_pieces():
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:5] = True
    assert mask_to_polygons(mask) == [[2.0, 1.0, 5.0, 1.0, 5.0, 3.0, 2.0, 3.0]]
    assert mask_to_polygons(np.zeros((6, 8), bool)) == []
    mask[4:6, 6:8] = True
    assert len(mask_to_polygons(mask)) == 2
    ring = disc(200, 200, 90, 100, 70) & ~disc(200, 200, 90, 100, 40) & ~disc(200, 200, 150, 100, 5)
    polygons = mask_to_polygons(ring)
    assert len(polygons) == 1
    assert np.array_equal(polygons_to_mask(polygons, ring.shape), ring)


def test_outlines_equal_the_reference_rasteriser_on_noise():
    mask = np.random.default_rng(1).random((60, 90)) < 0.6
    rles = coco_mask.frPyObjects(mask_to_polygons(mask), *mask.shape)
    assert np.array_equal(coco_mask.decode(coco_mask.merge(rles)).astype(bool), mask)


def test_polygons_are_a_union_and_come_in_two_shapes():
    mask = polygons_to_mask([[0, 0, 4, 0, 4, 4, 0, 4], np.array([[2, 2], [6, 2], [6, 6], [2, 6]])], (8, 8))
    assert mask.sum() == 16 + 16 - 4
    assert not polygons_to_mask([], (3, 3)).any()


@pytest.mark.parametrize(
    ("polygons", "said"),
    [
        ([[0, 0, 1, 1]], "3 points"),
        ([[0, 0, 1, 1, 2]], "3 points"),
        ([[0, 0, 1, float("nan"), 2, 2]], "finite"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "outside"),
        ([["a", 0, 1, 0, 1, 1]], "numbers"),
        ([[[0, 0, 0], [1, 1, 1], [2, 2, 2]]], "3 points"),
        ([[0, 0, 1900, 900] * 10_000], "outlines"),
    ],
)
def test_a_hostile_polygon_is_refused(polygons, said):
    with pytest.raises(ValueError, match=said):
        polygons_to_mask(polygons, (1000, 1000))


def test_a_box_reaches_to_the_far_edge_of_its_pixels():
    mask = np.zeros((5, 7), bool)
    assert mask_to_box(mask) is None
    mask[2, 3] = True
    assert mask_to_box(mask) == (3.0, 2.0, 4.0, 3.0)
    mask[4, 6] = True
    assert mask_to_box(mask) == (3.0, 2.0, 7.0, 5.0)


def test_mask_iou_on_rows_worked_by_hand():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert mask_iou(a, b) == 1.0
    a[:2, :2] = True
    assert mask_iou(a, b) == 0.0
    b[1:3, :2] = True
    assert mask_iou(a, b) == pytest.approx(2 / 6)
    with pytest.raises(ValueError, match="shapes"):
        mask_iou(a, b[:3])


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-9, 9, width=32),
    )
)
def test_a_mask_without_specks_lies_within_it_and_keeps_its_largest_piece(logits):
    clean = without_specks(logits)
    assert clean.shape == logits.shape and not ((clean > 0) & (logits <= 0)).any()
    assert np.array_equal(np.abs(clean), np.abs(logits))  # what goes is as surely outside as it was inside
    assert np.array_equal((clean > 0).any((1, 2)), (logits > 0).any((1, 2)))
    assert np.array_equal(without_specks(clean), clean)


def test_specks_go_and_two_halves_of_a_thing_stay():
    mask = np.full((1, 12, 12), -3.0, np.float32)
    mask[0, :4, :4] = mask[0, 6:8, :4] = 3.0  # 16 cells, and half as many behind something
    mask[0, 8, 4] = 3.0  # holds on by a corner
    alone = mask.copy()
    mask[0, 10:, 9:] = 3.0  # 6 cells far off
    assert np.array_equal(without_specks(mask), np.where(mask == alone, mask, -mask))


def test_what_is_no_mask_is_refused():
    for wrong in (np.zeros((2, 2), np.uint8), np.zeros(4, bool), np.zeros((0, 3), bool)):
        with pytest.raises(ValueError, match="wanted bool"):
            encode_rle(wrong)

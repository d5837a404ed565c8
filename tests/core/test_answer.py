"""Regions and answers validate themselves, are indexed by a condition, and leave as JSON and COCO."""

import json

import numpy as np
import pytest

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.masks import decode_rle


def answer():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    regions = [
        Region(box=(2, 1, 5, 3), mask=mask, score=0.9, label="cup", span=(0, 3)),
        Region(box=(0, 0, 1, 1), score=0.2),
        Region(point=(3, 2)),
    ]
    return Answer("cup, dot", regions, (6, 4), {"look": 0.12345}, "tiny")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "neither box nor mask nor point"),
        ({"box": (0, 0, 1)}, "four finite"),
        ({"box": (0, 0, 1, float("nan"))}, "four finite"),
        ({"box": (2, 0, 1, 1)}, "inverted"),
        ({"box": (0, 2, 1, 1)}, "inverted"),
        ({"mask": np.zeros((2, 2), np.uint8)}, "wanted bool"),
        ({"mask": np.zeros((1, 2, 2), bool)}, "wanted bool"),
        ({"point": (1, 2, 3)}, "two finite"),
        ({"point": (1, float("inf"))}, "two finite"),
        ({"point": (1, 1), "score": 1.5}, "outside 0..1"),
        ({"point": (1, 1), "score": float("nan")}, "outside 0..1"),
    ],
)
def test_a_region_that_makes_no_sense_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Region(**fields)


def test_a_degenerate_box_is_a_region():
    assert Region(box=(1, 1, 1, 1)).box == (1.0, 1.0, 1.0, 1.0)


def test_a_mask_of_another_size_than_the_picture_is_refused():
    with pytest.raises(ValueError, match="height 4, width 6"):
        Answer("", [Region(mask=np.zeros((6, 4), bool))], (6, 4))


def test_an_answer_is_indexed_like_a_list_and_by_a_condition():
    a = answer()
    assert len(a) == 3 and [r.label for r in a] == ["cup", None, None]
    assert a[0] is a.regions[0] and a[-1] is a.regions[2] and a[np.int64(1)] is a.regions[1]
    assert a[:2].regions == a.regions[:2]
    sure = a[a.score > 0.5]
    assert isinstance(sure, Answer) and sure.regions == a.regions[:1]
    assert (sure.text, sure.size_wh, sure.model) == (a.text, a.size_wh, a.model)
    assert len(a[[False, False, False]]) == 0
    for wrong in ([True, False], np.array([0, 1, 2]), np.ones((3, 1), bool)):
        with pytest.raises(ValueError, match="condition"):
            a[wrong]
    with pytest.raises(IndexError):
        a[3]


def test_an_empty_answer_can_be_indexed_by_its_own_condition():
    a = Answer("there is none", (), (6, 4))
    assert len(a[a.score > 0.5]) == 0


def test_arrays_have_one_row_a_region():
    a = answer()
    assert a.xyxy.dtype == np.float32 and a.xyxy[0].tolist() == [2, 1, 5, 3] and np.isnan(a.xyxy[2]).all()
    assert a.masks.shape == (3, 4, 6) and a.masks.sum() == 6
    assert np.isnan(a.score).tolist() == [False, False, True]
    none = Answer("", (), (6, 4))
    assert none.xyxy.shape == (0, 4) and none.masks.shape == (0, 4, 6) and none.score.shape == (0,)


def test_an_answer_leaves_as_json():
    a = answer()
    got = json.loads(a.to_json())
    assert got == a.to_dict()
    assert got["image"] == {"width": 6, "height": 4}
    assert got["timings"] == {"look": 0.1235}
    first, second, third = got["regions"]
    assert first["box"] == [2.0, 1.0, 5.0, 3.0] and first["span"] == [0, 3] and first["score"] == 0.9
    assert np.array_equal(decode_rle(first["mask"]), a[0].mask)
    assert second["mask"] is None and third["box"] is None and third["point"] == [3.0, 2.0]


def test_an_answer_leaves_as_coco_results():
    rows = answer()[:2].to_coco(image_id=7, category_id=3)
    assert rows[0]["bbox"] == [2.0, 1.0, 3.0, 2.0]
    assert (rows[0]["image_id"], rows[0]["category_id"], rows[0]["score"]) == (7, 3, 0.9)
    assert rows[0]["segmentation"]["size"] == [4, 6]
    assert "segmentation" not in rows[1]
    json.dumps(rows)

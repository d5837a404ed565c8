"""Judges: the truth scores 1, nothing scores 0, what is missing is wrong; rows worked by hand."""

import math

import numpy as np
import pytest

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.metrics import box_iou, group_f1, rec, rejection, res

WH = (10, 10)


def block(x0, y0, x1, y1):
    mask = np.zeros((10, 10), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def boxes(*rows):
    return Answer("", [Region(box=r) for r in rows], WH)


def masks(*rows):
    return Answer("", [Region(mask=m) for m in rows], WH)


def test_the_truth_scores_one_and_nothing_scores_zero():
    truth = [Region(box=(1, 1, 5, 5), mask=block(1, 1, 5, 5)), Region(box=(0, 0, 9, 2), mask=block(0, 0, 9, 2))]
    right = [(Answer("", [t], WH), t) for t in truth]
    silent = [(Answer("", (), WH), t) for t in truth]
    assert rec(right) == {"acc50": 1, "acc75": 1, "acc90": 1, "miou": 1, "invalid": 0, "n": 2}
    assert rec(silent) == {"acc50": 0, "acc75": 0, "acc90": 0, "miou": 0, "invalid": 1, "n": 2}
    ones, zeros = res(right), res(silent)
    for key in ("miou", "ciou", "p50", "p60", "p70", "p80", "p90"):
        assert (ones[key], zeros[key]) == (1, 0)
    assert (ones["invalid"], zeros["invalid"]) == (0, 1)


def test_rec_on_rows_worked_by_hand():
    true = Region(box=(0, 0, 4, 4))
    pairs = [
        (boxes((0, 0, 4, 4)), true),  # 1
        (boxes((0, 0, 4, 2)), true),  # 8 of 16: exactly 0.5 counts
        (boxes((0, 0, 4, 3)), true),  # 0.75
        (boxes((8, 8, 9, 9), (0, 0, 4, 4)), true),  # the first counts, though the second is right
        (Answer("", [Region(point=(2, 2))], WH), true),  # a point is no box
    ]
    got = rec(pairs)
    assert got["acc50"] == pytest.approx(3 / 5)
    assert got["acc75"] == pytest.approx(2 / 5)
    assert got["acc90"] == pytest.approx(1 / 5)
    assert got["miou"] == pytest.approx((1 + 0.5 + 0.75) / 5)
    assert got["invalid"] == pytest.approx(1 / 5)


def test_box_iou_on_rows_worked_by_hand():
    assert box_iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert box_iou((0, 0, 1, 1), (5, 5, 6, 6)) == 0.0
    assert box_iou((1, 1, 1, 1), (1, 1, 1, 1)) == 0.0


def test_res_tells_the_mean_of_ious_from_the_iou_of_sums():
    small, large = Region(mask=block(0, 0, 2, 2)), Region(mask=block(0, 0, 10, 8))
    pairs = [(masks(block(0, 0, 2, 1)), small), (masks(block(0, 0, 10, 8)), large)]  # 2 of 4, 80 of 80
    got = res(pairs)
    assert got["miou"] == pytest.approx(0.75)
    assert got["ciou"] == pytest.approx(82 / 84)
    assert (got["p50"], got["p60"], got["p90"], got["n"]) == (1.0, 0.5, 0.5, 2)


def test_res_where_there_is_nothing_to_find():
    nothing, empty = Answer("there is none", (), WH), masks(np.zeros((10, 10), bool))
    some, true = masks(block(0, 0, 5, 1)), Region(mask=block(0, 0, 5, 5))
    assert res([(nothing, None), (empty, None), (nothing, Region(mask=np.zeros((10, 10), bool)))])["miou"] == 1.0
    assert res([(nothing, None)])["ciou"] == 1.0
    got = res([(some, None), (nothing, true), (masks(true.mask), true)])
    assert got["miou"] == pytest.approx(1 / 3)
    assert got["ciou"] == pytest.approx(25 / (5 + 25 + 25))  # a missed "none" adds what was painted


def test_res_takes_the_first_mask_or_the_union_of_all():
    true = Region(mask=block(0, 0, 4, 1))
    pair = (masks(block(0, 0, 2, 1), block(2, 0, 4, 1)), true)
    assert res([pair])["miou"] == 0.5
    assert res([pair], merged=True)["miou"] == 1.0


def test_rejection_counts_both_ways_of_being_right():
    true = Region(box=(0, 0, 1, 1))
    said, silent, empty = boxes((5, 5, 6, 6)), boxes(), masks(np.zeros((10, 10), bool))
    got = rejection([(silent, None), (empty, None), (said, None), (said, true), (silent, true)])
    assert got == {"n_acc": pytest.approx(2 / 3), "t_acc": 0.5, "n_none": 3, "n_some": 2}
    assert math.isnan(rejection([(said, true)])["n_acc"])


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueError, match="no pairs"):
        rec([])
    with pytest.raises(ValueError, match="no pairs"):
        res([])
    with pytest.raises(ValueError, match="pair 1 has a truth without a box"):
        rec([(boxes(), Region(box=(0, 0, 1, 1))), (boxes(), Region(point=(0, 0)))])
    with pytest.raises(ValueError, match="truth without a mask"):
        res([(boxes(), Region(box=(0, 0, 1, 1)))])
    with pytest.raises(ValueError, match="shapes"):
        res([(masks(block(0, 0, 1, 1)), Region(mask=np.ones((5, 5), bool)))])


def test_a_group_is_judged_by_its_best_pairs_each_box_once():
    true = boxes((0, 0, 4, 4), (5, 0, 9, 4)).regions
    assert group_f1(true, true) == 1
    assert group_f1((), true) == 0
    assert group_f1((), ()) == 1
    assert group_f1(true[:1], true) == pytest.approx(2 / 3)  # one of one right, one of two found
    assert group_f1(true[:1] * 3, true) == pytest.approx(2 / 5)  # said thrice, found once
    assert group_f1(boxes((0, 0, 4, 2), (5, 0, 9, 1)).regions, true) == 0.5  # IoU 0.5 counts, 0.25 does not
    assert group_f1((*true, Region(point=(1, 1))), true) == pytest.approx(4 / 5)  # pointed at without a box: wrong

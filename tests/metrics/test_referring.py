"""REC and RES on rows worked by hand."""

import numpy as np
import pytest

from perceptiongpt.metrics.overlaps import box_iou
from perceptiongpt.metrics.referring import rec, res


def test_the_truth_scores_one_and_nothing_scores_zero():
    assert rec([1, 1], [False] * 2) == {"acc50": 1, "acc75": 1, "acc90": 1, "miou": 1, "invalid": 0, "n": 2}
    assert rec([0, 0], [True] * 2) == {"acc50": 0, "acc75": 0, "acc90": 0, "miou": 0, "invalid": 1, "n": 2}
    ones, zeros = res([4, 9], [4, 9], [False] * 2), res([0, 0], [4, 9], [True] * 2)
    for key in ("miou", "ciou", "p50", "p60", "p70", "p80", "p90"):
        assert (ones[key], zeros[key]) == (1, 0)
    assert (ones["invalid"], zeros["invalid"]) == (0, 1)


def test_rec_on_rows_worked_by_hand():
    got = rec([1.0, 0.5, 0.75, 0.0, 0.0], [False, False, False, False, True])  # exactly 0.5 counts
    assert (got["acc50"], got["acc75"], got["acc90"]) == (3 / 5, 2 / 5, 1 / 5)
    assert got["miou"] == pytest.approx((1 + 0.5 + 0.75) / 5)
    assert got["invalid"] == pytest.approx(1 / 5)


def test_box_iou_on_rows_worked_by_hand():
    assert box_iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert box_iou((0, 0, 4, 4), (0, 0, 4, 2)) == 0.5
    assert box_iou((0, 0, 1, 1), (5, 5, 6, 6)) == 0.0
    assert box_iou((1, 1, 1, 1), (1, 1, 1, 1)) == 0.0


def test_res_tells_the_mean_of_ious_from_the_iou_of_sums():
    got = res(np.array([2, 80]), np.array([4, 80]), [False, False])
    assert got["miou"] == pytest.approx(0.75)
    assert got["ciou"] == pytest.approx(82 / 84)
    assert (got["p50"], got["p60"], got["p90"], got["n"]) == (1.0, 0.5, 0.5, 2)


def test_two_empty_masks_agree_wholly():
    assert res([0], [0], [False])["miou"] == res([0], [0], [False])["ciou"] == 1.0


def test_no_pairs_at_all_are_refused():
    with pytest.raises(ValueError, match="no pairs"):
        rec([], [])
    with pytest.raises(ValueError, match="no pairs"):
        res([], [], [])

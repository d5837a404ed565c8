"""Several things or none: gRefCOCO, GREC, F1@mIoU and presence on rows worked by hand from their definitions."""

import numpy as np
import pytest

from perceptiongpt.core.packed import Packed
from perceptiongpt.metrics.overlaps import region_ious
from perceptiongpt.metrics.several import (
    cgf1,
    f1,
    f1_over_ious,
    generalized,
    grec,
    greedy_hits,
    hungarian_hits,
    presence,
    rejection,
    rejection_curve,
)


def boxes(*rows):
    return [Packed(box=r) for r in rows]


def test_rejection_counts_both_ways_of_being_right():
    got = rejection([False, False, True, True, False], [False, False, False, True, True])
    assert got == {"n_acc": pytest.approx(2 / 3), "t_acc": 0.5, "n_none": 3, "n_some": 2}
    assert rejection([True], [True])["n_acc"] is None


def test_the_rejection_curve_on_rows_worked_by_hand():
    some, none = [0.9] * 18 + [0.4, 0.2], [-np.inf, 0.3, 0.3, 0.8]
    got = rejection_curve([*some, *none], [True] * 20 + [False] * 4)
    at = {point["wanted"]: point for point in got["curve"]}
    # 20 are there: 0.2 keeps all and drops the silent one; 0.4 keeps 19 and drops three; 0.9 keeps 18 and drops all
    assert at[1.0] == {"wanted": 1.0, "threshold": 0.2, "t_acc": 1.0, "n_acc": 1 / 4}
    assert at[0.95] == {"wanted": 0.95, "threshold": 0.4, "t_acc": 0.95, "n_acc": 3 / 4}
    assert at[0.9] == {"wanted": 0.9, "threshold": 0.9, "t_acc": 0.9, "n_acc": 1.0}
    assert got["best_n_acc_at_t_acc_95"] == 3 / 4


def test_a_t_acc_that_silence_forbids_is_no_point_of_the_curve():
    got = rejection_curve([0.9] * 9 + [-np.inf, 0.1], [True] * 10 + [False])
    assert got["best_n_acc_at_t_acc_95"] is None
    assert got["curve"][0] == {"wanted": 0.9, "threshold": 0.9, "t_acc": 0.9, "n_acc": 1.0}
    assert rejection_curve([0.9], [True]) == {"best_n_acc_at_t_acc_95": None, "curve": []}


def test_generalized_ious_on_rows_worked_by_hand():
    # right about none; none missed, 5 px said; a target missed, 25 px; half of 40 px found
    rows = [(0, 0, 0), (0, 5, 0), (0, 0, 25), (20, 20, 40)]
    got = generalized(*zip(*rows, strict=True))
    assert got["giou"] == pytest.approx((1 + 0 + 0 + 0.5) / 4)
    assert got["ciou"] == pytest.approx(20 / (5 + 25 + 40))


def test_the_best_pairs_count_first_and_each_box_once():
    true = boxes((0, 0, 4, 4), (5, 0, 9, 4))
    for said, hits in ((true, 2), ([], 0), (true[:1], 1), (true[:1] * 3, 1), (boxes((0, 0, 4, 2), (5, 0, 9, 1)), 1)):
        assert greedy_hits(region_ious(said, true)) == hits
    assert greedy_hits(region_ious([Packed(point=(1.0, 1.0))], true)) == 0
    assert (f1(0, 0, 0), f1(1, 3, 2)) == (1.0, 0.4)


def test_grec_wants_everything_found_and_nothing_else():
    hits, said, true = [2, 1, 2, 0, 0], [2, 1, 3, 0, 1], [2, 2, 2, 0, 0]
    assert grec(hits, said, true) == {"pr": 2 / 5, "n": 5}  # all found; one missed; one too many; none; said of nothing


def test_hungarian_matching_takes_the_largest_sum_not_the_greatest_first():
    ious = np.array([[0.9, 0.8], [0.85, 0.0]])  # greedily 0.9 and 0; together best 0.8 and 0.85
    assert hungarian_hits(ious).tolist() == [2, 2, 2, 2, 2, 2, 2, 1, 0, 0]
    assert greedy_hits(ious) == 1


def test_f1_over_ious_on_rows_worked_by_hand():
    hits = np.array([[2] * 5 + [1] * 5, [0] * 10])
    got = f1_over_ious(hits, [2, 1], [2, 0])  # 3 said, 2 true
    assert got["f1_50"] == pytest.approx(4 / 5)
    assert got["f1_miou"] == pytest.approx((4 / 5 + 2 / 5) / 2)


def test_presence_is_the_matthews_correlation():
    # TP 2, FN 1, TN 1, FP 1: (2 * 1 - 1 * 1) / sqrt(3 * 3 * 2 * 2) = 1 / 6
    assert presence([True, True, False, False, True], [True, True, True, False, False]) == pytest.approx(1 / 6)
    assert presence([True, True], [True, False]) == 0.0
    assert presence([True, False], [True, False]) == 1.0


def test_cgf1_is_positive_f1_times_presence():
    hits = np.array([[1] * 10, [0] * 10])
    assert cgf1(hits, [1, 4], [1, 0], mcc=0.5) == pytest.approx(0.5)  # boxes said of nothing count in the MCC alone
    assert cgf1(hits[1:], [4], [0], mcc=0.5) == 0.0

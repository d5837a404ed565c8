"""Flickr30k recall, calibration and bootstrap intervals on rows worked by hand."""

import numpy as np
import pytest

from perceptiongpt.metrics.bootstrap import interval, paired_interval
from perceptiongpt.metrics.calibration import calibration
from perceptiongpt.metrics.phrases import phrase_recall


def test_flickr_recall_under_both_protocols_on_rows_worked_by_hand():
    two = np.array([[0, 0, 10, 10], [20, 0, 30, 10]])  # "two men"; the box around both is 30 x 10
    left, around, off = [0, 0, 10, 10], [0, 0, 30, 10], [50, 50, 60, 60]
    said = [np.array([left]), np.array([off, around]), np.array([off] * 9 + [left]), np.zeros((0, 4))]
    true = [two] * 4
    # any: the first of row 1; row 2's box has IoU 1/3 with each; row 3's tenth. merged: row 2's second; left has 1/3
    assert phrase_recall(said, true, "any") == {"r1": 1 / 4, "r5": 1 / 4, "r10": 2 / 4, "n": 4}
    assert phrase_recall(said, true, "merged") == {"r1": 0, "r5": 1 / 4, "r10": 1 / 4, "n": 4}
    with pytest.raises(ValueError, match="protocol"):
        phrase_recall(said, true, "best")


def test_calibration_error_on_rows_worked_by_hand():
    # bins of 1/15: (0.8667, 0.9333] holds 0.9 thrice, two right; (0.0667, 0.1333] holds 0.1 once, wrong
    got = calibration([0.9, 0.9, 0.9, 0.1], [True, True, False, False])
    assert got["ece"] == pytest.approx(3 / 4 * abs(0.9 - 2 / 3) + 1 / 4 * 0.1)
    assert [(b["score"], b["n"]) for b in got["reliability"]] == [(pytest.approx(0.1), 1), (pytest.approx(0.9), 3)]
    assert got["risk_coverage"][-1] == {"coverage": 1.0, "risk": 0.5}
    assert got["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert calibration([], [])["ece"] is None
    assert calibration([0.0, 1.0], [False, True])["ece"] == 0.0


def test_the_error_of_exact_scores_falls_with_the_root_of_their_number_and_is_what_they_show():
    rng = np.random.default_rng(1)
    chance = {}
    for n in (400, 6400):
        scores = rng.random(n)
        got = calibration(scores.tolist(), (rng.random(n) < scores).tolist())
        assert got["ece"] == pytest.approx(got["ece_by_chance"], rel=0.7)
        chance[n] = got["ece_by_chance"]
    assert chance[400] / chance[6400] == pytest.approx(4, rel=0.25)
    assert calibration([0.0, 1.0], [False, True])["ece_by_chance"] == 0.0
    assert calibration([], [])["ece_by_chance"] is None


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(100):
        rate = rng.uniform(0.2, 0.8, 60)  # a picture's questions stand or fall together
        hits = (rng.random((60, 5)) < rate[:, None]).astype(float)
        low, high = interval(hits.ravel(), np.ones(300), np.repeat(np.arange(60), 5), seed=trial)
        held += low <= 0.5 <= high
    assert 88 <= held <= 100


def test_questions_of_one_picture_are_drawn_together():
    hits, ones = np.repeat([1.0, 0.0], 50), np.ones(100)
    two = interval(hits, ones, np.repeat([0, 1], 50))
    many = interval(hits, ones, np.arange(100))
    assert two == (0.0, 1.0)
    assert 0.35 < many[0] < 0.5 < many[1] < 0.65


def test_a_paired_difference_is_surer_than_two_intervals():
    rng = np.random.default_rng(1)
    a = rng.random(200)
    b = a + 0.02 + rng.normal(0, 0.01, 200)
    low, high = paired_interval([(a, np.ones(200)), (b, np.ones(200))], np.arange(200))
    assert 0.017 < low < 0.02 < high < 0.023

"""Is a score worth what it says? Expected calibration error, reliability, risk against coverage; and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

BINS = 15
DRAWS = 100
SUREST = 5e-5  # a score is taken to be this far from 0 and 1 at least: kept answers have scores of four places


def calibration(scores: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    """ECE and the curves behind it (Guo et al., 2017; Geifman and El-Yaniv, 2017).

    `ece`: over 15 bins of equal width, (low, high], the share of answers in a bin times the distance of mean score
    and share that is right. `ece_by_chance`: what scores that are exactly the chance of being right would show with so
    many answers, the mean of 100 draws: an ECE about there is as good as can be told. `reliability`: for each bin that
    holds something, score, right, n. `risk_coverage`: share wrong among the most certain, at coverage .05, .10 … 1;
    `aurc`: the mean of that over every coverage. None of anything for no answers.
    """
    score, truth = np.asarray(scores, np.float64), np.asarray(right, bool)
    if not len(score):
        return {"ece": None, "ece_by_chance": None, "aurc": None, "reliability": [], "risk_coverage": [], "n": 0}
    which = np.clip(np.ceil(score * BINS).astype(int) - 1, 0, BINS - 1)
    full = np.bincount(which, minlength=BINS)
    said = np.bincount(which, score, BINS)

    def off(truth: np.ndarray) -> float:
        return float(np.abs(said - np.bincount(which, truth, BINS)).sum() / len(score))

    drawn = np.random.default_rng(0)
    bins = [(said[b] / full[b], truth[which == b].mean(), full[b]) for b in np.flatnonzero(full)]
    wrong = np.cumsum(~truth[np.argsort(-score, kind="stable")]) / np.arange(1, len(score) + 1)
    shares = [i / 20 for i in range(1, 21)]
    at = [max(1, round(share * len(score))) for share in shares]
    return {
        "ece": off(truth),
        "ece_by_chance": float(np.mean([off(drawn.random(len(score)) < score) for _ in range(DRAWS)])),
        "aurc": float(wrong.mean()),
        "reliability": [{"score": float(s), "right": float(r), "n": int(n)} for s, r, n in bins],
        "risk_coverage": [
            {"coverage": share, "risk": float(wrong[k - 1])} for share, k in zip(shares, at, strict=True)
        ],
        "n": len(score),
    }


def platt(scores: Sequence[float], right: Sequence[bool]) -> tuple[float, float]:
    """(a, b) for which sigmoid(a * logit(score) + b) tells best, by mean log-likelihood, what is right (Platt, 1999).

    Two numbers, not a temperature 1 / a alone: a score learns the IoU to be expected, and the chance that an IoU is at
    least 0.5 is another number, also where that is 0.5. `a` in 0.01..100, `b` in -100..100. Raises ValueError for no
    scores, and where all are right or all wrong: any score would then be told to be 1 or 0.
    """
    z = logit(np.clip(np.asarray(scores, np.float64), SUREST, 1 - SUREST))
    sign = np.where(np.asarray(right, bool), -1.0, 1.0)
    if not len(z) or abs(sign.sum()) == len(z):
        told = f"all {len(z)} answers are {'right' if sign[0] < 0 else 'wrong'}" if len(z) else "no answer has a score"
        raise ValueError(f"{told}, so nothing can be calibrated; give more data, or a model that learned to score")

    def loss(ab: np.ndarray) -> tuple[float, np.ndarray]:
        wrong = sign * (ab[0] * z + ab[1])
        share = sign * expit(wrong)
        return float(np.logaddexp(0, wrong).mean()), np.asarray([(share * z).mean(), share.mean()])

    found = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0.01, 100), (-100, 100)], tol=1e-12)
    return float(found.x[0]), float(found.x[1])


def platt_by_side(scores: Sequence[float], right: Sequence[bool]) -> tuple[float, float, float]:
    """(above, below, b) for which sigmoid(above * max(z, 0) + below * min(z, 0) + b), z the logit of a score, tells
    best what is right: `platt` with a slope for each side of 0.

    The third number must earn its place by Schwarz's criterion (BIC, 1978): where it adds less than log(n) / 2 to the
    log-likelihood, both slopes are `platt`'s. Limits and errors are `platt`'s, too.
    """
    a, b = platt(scores, right)
    z = logit(np.clip(np.asarray(scores, np.float64), SUREST, 1 - SUREST))
    sides, sign = np.stack([z.clip(min=0), z.clip(max=0), np.ones_like(z)], axis=1), np.where(right, -1.0, 1.0)

    def loss(slopes: np.ndarray) -> tuple[float, np.ndarray]:
        wrong = sign * (sides @ slopes)
        return float(np.logaddexp(0, wrong).mean()), sides.T @ (sign * expit(wrong)) / len(z)

    bounds = [(0.01, 100), (0.01, 100), (-100, 100)]
    found = minimize(loss, [a, a, b], jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12).x
    earned = len(z) * (loss(np.asarray([a, a, b]))[0] - loss(found)[0]) > np.log(len(z)) / 2
    return (float(found[0]), float(found[1]), float(found[2])) if earned else (a, a, b)


def stands_for(scores: Sequence[float], share: float) -> float:
    """The largest score that a share of them reaches: the least score at which so many are still found."""
    return sorted(scores, reverse=True)[max(1, int(np.ceil(share * len(scores) - 1e-9))) - 1]

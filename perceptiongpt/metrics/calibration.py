"""Is a score worth what it says? Expected calibration error, the reliability diagram, risk against coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 15


def calibration(scores: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    """ECE and the curves behind it (Guo et al., 2017; Geifman and El-Yaniv, 2017).

    `ece`: over 15 bins of equal width, (low, high], the share of answers in a bin times the distance of mean score
    and share that is right. `reliability`: for each bin that holds something, score, right, n. `risk_coverage`: share
    wrong among the most certain, at coverage .05, .10 … 1; `aurc`: the mean of that over every coverage. None of
    anything for no answers.
    """
    score, truth = np.asarray(scores, np.float64), np.asarray(right, bool)
    if not len(score):
        return {"ece": None, "aurc": None, "reliability": [], "risk_coverage": [], "n": 0}
    which = np.clip(np.ceil(score * BINS).astype(int) - 1, 0, BINS - 1)
    bins = []
    for b in np.unique(which):
        inside = which == b
        bins.append((float(score[inside].mean()), float(truth[inside].mean()), int(inside.sum())))
    ece = sum(n * abs(s - r) for s, r, n in bins) / len(score)
    wrong = np.cumsum(~truth[np.argsort(-score, kind="stable")]) / np.arange(1, len(score) + 1)
    shares = [i / 20 for i in range(1, 21)]
    at = [max(1, round(share * len(score))) for share in shares]
    return {
        "ece": float(ece),
        "aurc": float(wrong.mean()),
        "reliability": [{"score": s, "right": r, "n": n} for s, r, n in bins],
        "risk_coverage": [
            {"coverage": share, "risk": float(wrong[k - 1])} for share, k in zip(shares, at, strict=True)
        ],
        "n": len(score),
    }

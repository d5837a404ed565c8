"""A phrase may mean several things or nothing: gRefCOCO, groups, detection without scores, and presence."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

F1_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
T_ACCS = tuple(round(1 - 0.01 * i, 2) for i in range(31))  # 1 … 0.7


def rejection(found: Sequence[bool], exists: Sequence[bool]) -> dict[str, float | None]:
    """Does the model say "none" when, and only when, there is none (N-acc and T-acc of gRefCOCO, Liu et al., 2023).

    `found`: something was pointed at (an empty mask is nothing); `exists`: there is something. `n_acc` = TP / (TP + FN)
    over those without a target, `t_acc` = TN / (TN + FP) over the others; None where there are none.
    """
    said, true = np.asarray(found, bool), np.asarray(exists, bool)
    return {
        "n_acc": float((~said[~true]).mean()) if (~true).any() else None,
        "t_acc": float(said[true].mean()) if true.any() else None,
        "n_none": int((~true).sum()),
        "n_some": int(true.sum()),
    }


def rejection_curve(sure: Sequence[float], exists: Sequence[bool]) -> dict[str, Any]:
    """N-acc against T-acc when answers less sure than a threshold are taken for "none".

    `sure`: an answer's score that there is something, -inf where nothing was said. `curve`: for each T-acc of
    `T_ACCS` that can be had, the highest threshold that keeps it (a score at the threshold is kept), T-acc and N-acc
    there. `best_n_acc_at_t_acc_95`: N-acc where T-acc >= 0.95; None where that can't be had, or nothing is missing.
    The threshold is chosen on the very answers that are judged: the best possible, not what a user gets.
    """
    score, there = np.asarray(sure, float), np.asarray(exists, bool)
    some, none = np.sort(score[there])[::-1], score[~there]
    curve = []
    for wanted in T_ACCS if len(some) and len(none) else ():
        threshold = some[ceil(round(wanted * len(some), 6)) - 1]
        if np.isfinite(threshold):
            kept = {"t_acc": float((some >= threshold).mean()), "n_acc": float((none < threshold).mean())}
            curve.append({"wanted": wanted, "threshold": float(threshold), **kept})
    best = next((point["n_acc"] for point in curve if point["wanted"] == 0.95), None)
    return {"best_n_acc_at_t_acc_95": best, "curve": curve}


def generalized(shared: Sequence[float], said: Sequence[float], true: Sequence[float]) -> dict[str, float]:
    """gIoU and cIoU of generalized referring segmentation (gRefCOCO; as in ReLA's evaluation).

    Pixels of each expression: `shared` by the union of all said masks and the union of all true ones, `said` and
    `true` of those unions. No target and nothing said: IoU 1, adds nothing to the sums; no target but something said:
    IoU 0 and the said area joins the union; a target but nothing said: IoU 0 and the true area joins it.
    """
    inter, a, b = (np.asarray(v, np.float64) for v in (shared, said, true))
    union = a + b - inter
    ious = np.divide(inter, union, out=np.ones_like(union), where=union > 0)
    total = float(union.sum())
    return {"giou": float(ious.mean()), "ciou": float(inter.sum()) / total if total else 1.0, "n": len(ious)}


def greedy_hits(ious: np.ndarray, threshold: float = 0.5) -> int:
    """Pairs of said and true boxes: the best first, each box once, IoU at or above the threshold (as GREC counts)."""
    left, hits = ious.copy(), 0
    while left.size and left.max() >= threshold:
        i, k = np.unravel_index(left.argmax(), left.shape)
        left[i, :], left[:, k] = -1.0, -1.0
        hits += 1
    return hits


def f1(hits: float, said: float, true: float) -> float:
    """2 hits / (said + true); nothing said where nothing is scores 1."""
    return 2 * hits / (said + true) if said + true else 1.0


def grec(hits: Sequence[int], said: Sequence[int], true: Sequence[int]) -> dict[str, float]:
    """GREC's Pr@(F1=1, IoU>=0.5) (He et al., 2023): share of expressions whose boxes are all found and nothing else.

    `hits` as `greedy_hits` counts them; an expression without a target is right where nothing was said.
    """
    perfect = [f1(h, s, t) == 1.0 for h, s, t in zip(hits, said, true, strict=True)]
    return {"pr": float(np.mean(perfect)), "n": len(perfect)}


def hungarian_hits(ious: np.ndarray) -> np.ndarray:
    """Pairs at or above each of `F1_THRESHOLDS` [10], in the one-to-one matching with the largest sum of IoU."""
    rows, columns = linear_sum_assignment(ious, maximize=True)
    matched = ious[rows, columns]
    return np.asarray([(matched >= t).sum() for t in F1_THRESHOLDS])


def f1_over_ious(hits: np.ndarray, said: Sequence[int], true: Sequence[int]) -> dict[str, float]:
    """F1@mIoU: micro F1 of boxes averaged over IoU .50:.05:.95, no scores needed (Rex-Omni, Falcon-Perception).

    `hits` [questions, 10] as `hungarian_hits` counts them.
    """
    totals = np.asarray(hits, np.float64).reshape(-1, len(F1_THRESHOLDS)).sum(0)
    values = [f1(h, sum(said), sum(true)) for h in totals]
    return {"f1_miou": float(np.mean(values)), "f1_50": float(values[0]), "n": len(said)}


def presence(found: Sequence[bool], exists: Sequence[bool]) -> float:
    """Matthews correlation of "something is there" as said and as true (IL_MCC of SAM 3); 0 where it's undefined."""
    said, true = np.asarray(found, bool), np.asarray(exists, bool)
    tp, tn = float((said & true).sum()), float((~said & ~true).sum())
    fp, fn = float((said & ~true).sum()), float((~said & true).sum())
    below = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    return (tp * tn - fp * fn) / below if below else 0.0


def cgf1(hits: np.ndarray, said: Sequence[int], true: Sequence[int], mcc: float) -> float:
    """Classification-gated F1 (SAM 3): micro F1 over the questions with a target, averaged over IoU, times the MCC."""
    there = np.asarray(true) > 0
    if not there.any():
        return 0.0
    kept = np.flatnonzero(there).tolist()
    micro = f1_over_ious(np.asarray(hits)[kept], [said[i] for i in kept], [true[i] for i in kept])["f1_miou"]
    return micro * mcc

"""Judges: what an answer is worth against the truth, in pixels of the original picture.

Every judge takes pairs (what was said, what is true) and returns plain numbers; a missing region counts as wrong,
never as absent. Knows nothing of models, files or data sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.masks import mask_iou

RES_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def box_iou(a_xyxy: Iterable[float], b_xyxy: Iterable[float]) -> float:
    """Intersection over union of two boxes xyxy; 0 where neither has an area."""
    a, b = np.asarray(tuple(a_xyxy), np.float64), np.asarray(tuple(b_xyxy), np.float64)
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = np.clip(a[2:] - a[:2], 0, None).prod() + np.clip(b[2:] - b[:2], 0, None).prod() - shared
    return float(shared / union) if union > 0 else 0.0


def rec(pairs: Iterable[tuple[Answer, Region]]) -> dict[str, float]:
    """Referring expression comprehension: the first region's box (top-1) against the one true box.

    `acc50`, `acc75`, `acc90`: share of expressions with IoU at or above 0.5, 0.75, 0.9 (RefCOCO's protocol); `miou`:
    mean IoU; `invalid`: share of answers whose first region has no box, or that have no region; both count as IoU 0.
    Raises ValueError for no pairs, or a truth without a box.
    """
    ious, invalid = [], 0
    for number, (answer, true) in enumerate(pairs):
        if true.box is None:
            raise ValueError(f"pair {number} has a truth without a box; REC compares boxes")
        said = answer[0].box if len(answer) else None
        invalid += said is None
        ious.append(0.0 if said is None else box_iou(said, true.box))
    values = _some(ious, "REC")
    shares = {f"acc{round(t * 100)}": float((values >= t).mean()) for t in (0.5, 0.75, 0.9)}
    return {**shares, "miou": float(values.mean()), "invalid": invalid / len(values), "n": len(values)}


def res(pairs: Iterable[tuple[Answer, Region | None]], merged: bool = False) -> dict[str, float]:
    """Referring expression segmentation at the original resolution; a truth of None or an empty mask is "none there".

    `miou`: mean over expressions of IoU, both empty = 1 (ReasonSeg's and LISA's gIoU); `ciou`: sum of intersections
    over sum of unions (RefCOCO's oIoU); `p50` … `p90`: share with IoU at or above; `invalid`: share without a mask.
    `merged`: the answer is the union of all its masks (gRefCOCO's protocol), not the first region's mask (top-1).
    Raises ValueError for no pairs, or a truth without a mask.
    """
    ious, invalid, shared, union = [], 0, 0, 0
    for number, (answer, true) in enumerate(pairs):
        said = _said_mask(answer, merged)
        invalid += said is None
        if true is None:
            truth = np.zeros((1, 1) if said is None else said.shape, bool)
        elif true.mask is None:
            raise ValueError(f"pair {number} has a truth without a mask; RES compares masks")
        else:
            truth = true.mask
        said = np.zeros(truth.shape, bool) if said is None else said
        ious.append(mask_iou(said, truth))
        shared += int(np.count_nonzero(said & truth))
        union += int(np.count_nonzero(said | truth))
    values = _some(ious, "RES")
    shares = {f"p{round(t * 100)}": float((values >= t).mean()) for t in RES_THRESHOLDS}
    ciou = shared / union if union else 1.0
    return {"miou": float(values.mean()), "ciou": ciou, **shares, "invalid": invalid / len(values), "n": len(values)}


def rejection(rows: Iterable[tuple[Answer, Region | None]]) -> dict[str, float]:
    """Does the model say "none" when, and only when, there is none (gRefCOCO's N-acc and T-acc).

    `n_acc`: share of the rows whose truth is None that were answered with no region (an empty mask is no region);
    `t_acc`: share of the others that were answered with one; `n_none`, `n_some`: how many; NaN where there are none.
    """
    none: list[bool] = []
    some: list[bool] = []
    for answer, true in rows:
        said = any(r.mask is None or r.mask.any() for r in answer)
        is_there = true is not None and (true.mask is None or bool(true.mask.any()))
        (some if is_there else none).append(said == is_there)
    return {
        "n_acc": float(np.mean(none)) if none else float("nan"),
        "t_acc": float(np.mean(some)) if some else float("nan"),
        "n_none": len(none),
        "n_some": len(some),
    }


def group_f1(said: Sequence[Region], true: Sequence[Region], threshold: float = 0.5) -> float:
    """F1 of the boxes said of a group against the true ones: the best pairs first, each box once, IoU >= `threshold`.

    A region said without a box counts as wrong; nothing said where nothing is scores 1. Not a protocol of a paper's.
    """
    pairs = [
        (box_iou(s.box, t.box), i, k)
        for i, s in enumerate(said)
        for k, t in enumerate(true)
        if s.box is not None and t.box is not None
    ]
    used: tuple[set[int], set[int]] = (set(), set())
    for iou, i, k in sorted(pairs, reverse=True):
        if iou >= threshold and i not in used[0] and k not in used[1]:
            used[0].add(i)
            used[1].add(k)
    return 2 * len(used[0]) / (len(said) + len(true)) if said or true else 1.0


def _said_mask(answer: Answer, merged: bool) -> np.ndarray | None:
    masks = [r.mask for r in (answer if merged else answer[:1]) if r.mask is not None]
    return np.logical_or.reduce(masks) if masks else None


def _some(values: list[float], name: str) -> np.ndarray:
    if not values:
        raise ValueError(f"{name} came with no pairs; give at least one answer and its truth")
    return np.asarray(values, np.float64)

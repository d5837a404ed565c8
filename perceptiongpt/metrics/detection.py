"""COCO's average precision, for a million boxes: the reference's rules, one rank of all pictures at a time.

Definition: Lin et al., 2014, and `COCOeval`: IoU .50:.05:.95, at most 100 detections of a class in a picture, 101
recall points; equal to the reference programs to 1e-6 (tests/metrics). Needs scores.

N detections, G true things, P pairs of the two with an IoU of at least 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from perceptiongpt.metrics.overlaps import shared_and_union

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100
AREAS = {"": (0.0, 1e10), "_small": (0.0, 32.0**2), "_medium": (32.0**2, 96.0**2), "_large": (96.0**2, 1e10)}
_AT_ONCE = 1_000_000  # pairs


@dataclass(frozen=True, eq=False)
class Things:
    """Detections, or what is true: row i is a thing of class `category[i]` in picture `image[i]`.

    `boxes` xyxy [N, 4], or `rles`: then masks are compared. `areas` [N] in pixels, for the breakdown by size (default:
    of the box or mask). Detections have `scores`; true things may be a `crowd`, which takes any number and costs none.
    """

    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray | None = None
    rles: Sequence[dict[str, Any]] | None = None
    scores: np.ndarray | None = None
    crowd: np.ndarray | None = None
    areas: np.ndarray | None = None

    def sizes(self) -> np.ndarray:
        if self.areas is not None:
            return np.asarray(self.areas, np.float64)
        if self.rles is not None:
            # One at a time: of more than 255 in a list pycocotools 2.0.11 fails under NumPy 2.
            return np.asarray([coco_mask.area(rle) for rle in self.rles], np.float64)
        assert self.boxes is not None
        return np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1)


def average_precision(said: Things, true: Things) -> dict[str, float | None]:
    """`ap`, `ap50`, `ap75`, `ap_small`, `ap_medium`, `ap_large`: means over the classes that have true things.

    None where there is nothing true (of that size). Raises ValueError for detections without scores.
    """
    if said.scores is None or not np.isfinite(said.scores).all():
        raise ValueError("detections came without finite scores; AP ranks by score, so give one for each")
    cell_of_said, cell_of_true = _cells(said, true)
    order, rank = _ranked(cell_of_said, np.asarray(said.scores, np.float64))
    cells = cell_of_said[order]
    crowd = np.zeros(len(true.image), bool) if true.crowd is None else np.asarray(true.crowd, bool)
    d, g, iou = _pairs(said, true, order, cells, cell_of_true, crowd)
    sizes, true_sizes = said.sizes()[order], true.sizes()
    categories, true_category = np.asarray(said.category)[order], np.asarray(true.category)
    scores = np.asarray(said.scores, np.float64)[order]
    found: dict[str, float | None] = {}
    for name, (least, most) in AREAS.items():
        ignored = crowd | (true_sizes < least) | (true_sizes > most)
        hit, spared = _matched(d, g, iou, rank, ignored, crowd)
        outside = (sizes < least) | (sizes > most)
        spared |= ~hit & outside
        precision = _precisions(hit & ~spared, spared, categories, scores, true_category[~ignored])
        found[f"ap{name}"] = None if precision is None else float(precision.mean())
        if not name:
            found["ap50"] = None if precision is None else float(precision[:, 0].mean())
            found["ap75"] = None if precision is None else float(precision[:, 5].mean())
    return found


def _cells(said: Things, true: Things) -> tuple[np.ndarray, np.ndarray]:
    """One number for each (class, picture), growing with both."""
    images = np.unique(np.concatenate([said.image, true.image]))
    classes = np.unique(np.concatenate([said.category, true.category]))
    both = (np.searchsorted(classes, x.category) * len(images) + np.searchsorted(images, x.image) for x in (said, true))
    return next(both), next(both)


def _ranked(cells: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The detections by cell and falling score, at most `MOST` a cell; and the rank of each in its cell."""
    order = np.lexsort((np.arange(len(cells)), -scores, cells))
    at = cells[order]
    starts = np.searchsorted(at, at, side="left")
    rank = np.arange(len(at)) - starts
    return order[rank < MOST], rank[rank < MOST]


def _pairs(
    said: Things, true: Things, order: np.ndarray, cells: np.ndarray, true_cells: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index into `order`, index of the true thing, IoU, of the P pairs of one cell; against a crowd over own area."""
    by_cell = np.argsort(true_cells, kind="stable")
    first = np.searchsorted(true_cells[by_cell], cells, side="left")
    count = np.searchsorted(true_cells[by_cell], cells, side="right") - first
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    cuts = np.searchsorted(np.cumsum(count), np.arange(_AT_ONCE, int(count.sum()), _AT_ONCE))
    for low, high in pairwise([0, *(int(c) + 1 for c in np.unique(cuts)), len(order)]):
        many = count[low:high]
        d = np.repeat(np.arange(low, high), many)
        within = np.arange(len(d)) - np.repeat(np.cumsum(many) - many, many)
        g = by_cell[np.repeat(first[low:high], many) + within]
        iou = _ious(said, true, order[d], g, crowd)
        keep = iou >= THRESHOLDS[0] - 1e-10
        parts.append((d[keep], g[keep], iou[keep]))
    d, g, iou = (np.concatenate(part) for part in zip(*parts, strict=True))
    return d, g, iou


def _ious(said: Things, true: Things, i: np.ndarray, k: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    if true.boxes is not None and said.boxes is not None:
        shared, union = shared_and_union(said.boxes[i].astype(np.float64), true.boxes[k].astype(np.float64))
        own = np.prod(said.boxes[i, 2:].astype(np.float64) - said.boxes[i, :2], axis=1)
        union = np.where(crowd[k], own, union)
        return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    if said.rles is None or true.rles is None:
        raise ValueError("boxes came on one side and masks on the other; give the same of both")
    out = np.zeros(len(i))
    edges = np.flatnonzero(np.diff(i, prepend=-1, append=-1))  # a detection against all of its cell at once
    for low, high in pairwise(edges):
        group = k[low:high]
        out[low:high] = coco_mask.iou(
            [said.rles[int(i[low])]], [true.rles[int(n)] for n in group], crowd[group].tolist()
        )[0]
    return out


def _matched(
    d: np.ndarray, g: np.ndarray, iou: np.ndarray, rank: np.ndarray, ignored: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections found a thing, and which of those found one that doesn't count: bool [10, N] each.

    In the order of scores each takes the free thing with the best IoU; things that count come before others, and of
    equals the last is taken, as the reference does.
    """
    t_many = len(THRESHOLDS)
    hit, spared = np.zeros((t_many, len(rank)), bool), np.zeros((t_many, len(rank)), bool)
    taken = np.zeros((t_many, len(ignored)), bool)
    order = np.lexsort((g, iou, ~ignored[g], d, rank[d]))
    d, g, iou = d[order], g[order], iou[order]
    ranks = rank[d]
    for low, high in pairwise(np.flatnonzero(np.diff(ranks, prepend=-1, append=-1))):
        dd, gg, io = d[low:high], g[low:high], iou[low:high]
        for t, threshold in enumerate(THRESHOLDS):
            able = np.flatnonzero((io >= min(threshold, 1 - 1e-10)) & (~taken[t, gg] | crowd[gg]))
            last = able[np.flatnonzero(np.diff(dd[able], append=-1))]
            hit[t, dd[last]] = True
            spared[t, dd[last]] = ignored[gg[last]]
            taken[t, gg[last]] = True
    return hit, spared


def _precisions(
    hit: np.ndarray,
    spared: np.ndarray,
    categories: np.ndarray,
    scores: np.ndarray,
    true_categories: np.ndarray,
) -> np.ndarray | None:
    """Interpolated precision [classes, 10, 101]; None where no class has anything true."""
    classes, wanted = np.unique(true_categories, return_counts=True)
    if not len(classes):
        return None
    order = np.lexsort((np.arange(len(scores)), -scores, categories))  # pictures in order among equal scores
    bounds = (
        np.searchsorted(categories[order], classes, side="left"),
        np.searchsorted(categories[order], classes, side="right"),
    )
    out = np.zeros((len(classes), len(THRESHOLDS), len(RECALLS)))
    for c, (low, high, count) in enumerate(zip(*bounds, wanted, strict=True)):
        these = order[low:high]
        for t in range(len(THRESHOLDS)):
            right, kept = hit[t, these], ~spared[t, these]
            tp, fp = np.cumsum(right & kept), np.cumsum(~right & kept)
            recall = tp / count
            precision = tp / (tp + fp + np.spacing(1))
            precision = np.maximum.accumulate(precision[::-1])[::-1]
            at = np.searchsorted(recall, RECALLS, side="left")
            there = at < len(precision)
            out[c, t, there] = precision[at[there]]
    return out

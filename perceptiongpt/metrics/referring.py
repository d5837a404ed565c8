"""One phrase, one thing: referring expression comprehension (boxes) and segmentation (masks)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REC_THRESHOLDS = (0.5, 0.75, 0.9)
RES_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def rec(ious: Sequence[float], invalid: Sequence[bool]) -> dict[str, float]:
    """Referring expression comprehension: the first region's box (top-1) against the one true box.

    `ious`: IoU of each expression, 0 where no box came; `invalid`: where none came. `acc50`, `acc75`, `acc90`: share
    of expressions with IoU at or above 0.5, 0.75, 0.9 (RefCOCO: Yu et al., 2016; Mao et al., 2016); `miou`: mean
    IoU; `invalid`: share without a box. Raises ValueError for none.
    """
    values = _some(ious, "REC")
    shares = {f"acc{round(t * 100)}": float((values >= t).mean()) for t in REC_THRESHOLDS}
    return {**shares, "miou": float(values.mean()), "invalid": float(np.mean(invalid)), "n": len(values)}


def res(shared: Sequence[float], union: Sequence[float], invalid: Sequence[bool]) -> dict[str, float]:
    """Referring expression segmentation at the original resolution.

    `shared`, `union`: pixels of intersection and union of the said and the true mask of each expression. `miou`: mean
    over expressions of IoU, both empty = 1 (gIoU in LISA and ReasonSeg); `ciou`: sum of intersections over sum of
    unions (oIoU in RefCOCO's papers); `p50` … `p90`: share with IoU at or above; `invalid`: share without a mask.
    Raises ValueError for none.
    """
    inter, whole = _some(shared, "RES"), np.asarray(union, np.float64)
    values = mask_ious(inter, whole)
    shares = {f"p{round(t * 100)}": float((values >= t).mean()) for t in RES_THRESHOLDS}
    ciou = float(inter.sum() / whole.sum()) if whole.sum() else 1.0
    return {
        "miou": float(values.mean()),
        "ciou": ciou,
        **shares,
        "invalid": float(np.mean(invalid)),
        "n": len(values),
    }


def mask_ious(shared: np.ndarray, union: np.ndarray) -> np.ndarray:
    """IoU of each pair of masks; two empty masks agree: 1."""
    return np.divide(shared, union, out=np.ones_like(union, np.float64), where=union > 0)


def _some(values: Sequence[float], name: str) -> np.ndarray:
    if not len(values):
        raise ValueError(f"{name} came with no pairs; give at least one answer and its truth")
    return np.asarray(values, np.float64)

"""How much boxes and masks share, by the pair or all against all. Knows pixels; judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from perceptiongpt.core.packed import Packed


def box_iou(a_xyxy: Iterable[float], b_xyxy: Iterable[float]) -> float:
    """Intersection over union of two boxes xyxy; 0 where neither has an area."""
    return float(box_ious(np.asarray([tuple(a_xyxy)]), np.asarray([tuple(b_xyxy)]))[0, 0])


def box_ious(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """All boxes [N, 4] against all [M, 4]: IoU float64 [N, M]."""
    a, b = np.asarray(a_xyxy, np.float64)[:, None], np.asarray(b_xyxy, np.float64)[None]
    shared, union = shared_and_union(a, b)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def shared_and_union(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas of intersection and union of boxes [..., 4] that broadcast against each other."""
    sides = np.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:]) - np.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    shared = np.clip(sides, 0, None).prod(-1)
    areas = [np.clip(x[..., 2:] - x[..., :2], 0, None).prod(-1) for x in (a_xyxy, b_xyxy)]
    return shared, areas[0] + areas[1] - shared


def region_ious(said: Sequence[Packed], true: Sequence[Packed]) -> np.ndarray:
    """Box IoU of all said against all true regions [N, M]; a region without a box shares nothing."""
    ious = np.zeros((len(said), len(true)))
    rows = [i for i, r in enumerate(said) if r.box is not None]
    columns = [k for k, r in enumerate(true) if r.box is not None]
    if rows and columns:
        boxes = [np.asarray([part[i].box for i in kept]) for part, kept in ((said, rows), (true, columns))]
        ious[np.ix_(rows, columns)] = box_ious(*boxes)
    return ious

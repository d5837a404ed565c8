"""Flickr30k Entities: is the phrase's box among the first k said?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from perceptiongpt.metrics.overlaps import box_ious

RANKS = (1, 5, 10)
Protocol = Literal["any", "merged"]


def phrase_recall(
    said: Sequence[np.ndarray], true: Sequence[np.ndarray], protocol: Protocol, threshold: float = 0.5
) -> dict[str, float]:
    """Recall `r1`, `r5`, `r10` of phrases (Plummer et al., 2015; both protocols as in MDETR's evaluator).

    `said[i]`: boxes xyxy [K, 4], the best first; `true[i]`: the phrase's boxes [M, 4]. ANY-BOX ("any"): one of the
    first k reaches IoU 0.5 with any true box; MERGED-BOXES ("merged"): with the box around all true ones.
    """
    if protocol not in ("any", "merged"):
        raise ValueError(f"protocol {protocol!r} came; wanted any (ANY-BOX) or merged (MERGED-BOXES)")
    hits = np.zeros((len(true), len(RANKS)), bool)
    for row, (boxes, truth) in enumerate(zip(said, true, strict=True)):
        wanted = np.asarray(truth, np.float64).reshape(-1, 4)
        if protocol == "merged" and len(wanted):
            wanted = np.concatenate([wanted[:, :2].min(0), wanted[:, 2:].max(0)])[None]
        best = box_ious(np.asarray(boxes, np.float64).reshape(-1, 4), wanted).max(1, initial=0.0)
        hits[row] = [bool((best[:k] >= threshold).any()) for k in RANKS]
    return {f"r{k}": float(hits[:, i].mean()) if len(true) else 0.0 for i, k in enumerate(RANKS)} | {"n": len(true)}

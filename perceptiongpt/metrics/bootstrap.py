"""How far a number may be off by the luck of the pictures: bootstrap intervals, also of paired differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
_AT_ONCE = 20_000_000  # drawn numbers


def interval(
    above: Sequence[float], below: Sequence[float], cluster: Sequence[object], seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of sum(above) / sum(below) when whole clusters (pictures) are drawn again.

    Questions about one picture stand or fall together, so pictures are drawn, not questions (Efron, 1979; clusters:
    Field and Welsh, 2007). Every share and mean is such a ratio: `above` its hits, `below` ones.
    """
    return paired_interval([(above, below)], cluster, seed)


def paired_interval(
    ratios: Sequence[tuple[Sequence[float], Sequence[float]]], cluster: Sequence[object], seed: int = 0
) -> tuple[float, float]:
    """The same of one ratio, or of the second minus the first, both over the same questions."""
    _, which = np.unique(np.asarray([str(c) for c in cluster]), return_inverse=True)
    many = int(which.max()) + 1
    sums = np.stack([np.bincount(which, np.asarray(v, np.float64), many) for pair in ratios for v in pair], 1)
    rng = np.random.default_rng(seed)
    drawn = []
    for start in range(0, RESAMPLES, max(1, _AT_ONCE // many)):
        rows = min(RESAMPLES - start, max(1, _AT_ONCE // many))
        times = rng.multinomial(many, np.full(many, 1 / many), size=rows).astype(np.float64)
        drawn.append(times @ sums)
    totals = np.concatenate(drawn)
    values = [
        np.divide(
            totals[:, 2 * i], totals[:, 2 * i + 1], out=np.full(RESAMPLES, np.nan), where=totals[:, 2 * i + 1] > 0
        )
        for i in range(len(ratios))
    ]
    value = values[0] if len(values) == 1 else values[1] - values[0]
    if np.isnan(value).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(value, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)

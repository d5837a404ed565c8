"""Measured answers to an operating point: scores that are chances of being right, the score to stand by, whose box.

Knows which answers are told of. Knows no models, no files and none of the fitting (metrics.calibration).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F

from perceptiongpt.breakdowns import group_f1, groups
from perceptiongpt.core.boxes import iou_xyxy
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.core.packed import Packed, rim
from perceptiongpt.judging import Judged, Measure, certainty, measure, measured
from perceptiongpt.metrics.calibration import SUREST, calibration, platt_by_side, stands_for
from perceptiongpt.metrics.several import rejection

AGREE = (1.0, 0.8, 0.7, 0.6, 0.5)  # tried for `agree`; the first is the box as it was decoded
MORE = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)  # for `more`, `counted`
ALIKE = (0.0, 8.0)  # for `alike`: numbers are asked for anew with each
TINTED = (6.0, 12.0)  # and for `tinted`, beside 0
HALF = 5e-5  # by which the score of a kept answer, of four places, may lie above the one that was given


def group_end(several: Sequence[Judged]) -> float:
    """What the second and further things of a model that enumerates should score to be found, as scores are born.

    It is what gives groups the best mean F1, their boxes drawn with the `agree` that suits them best; where there are
    none, what leaves an untouched operating point as it is. Answers hold their regions as they were found, down to the
    least of MORE.
    """
    kept = groups(measured(several))
    if not kept:
        return OperatingPoint().more
    drawn = [[_redrawn(row, agree) for row in kept] for agree in AGREE]
    best = {least: max(fmean(group_f1(_ended(r, least)) for r in some) for some in drawn) for least in MORE}
    return max(MORE, key=lambda least: round(best[least], 4))


def count_end(counts: Sequence[tuple[Judged, int]]) -> tuple[float, float]:
    """What further things should score to be told of in words, as scores are born, and the share of right numbers then.

    It is what tells the right number, given beside the answer, in most of `counts`, at least one; answers as for
    `group_end`.
    """
    right = {least: sum(_end(pair, least) == number for pair, number in counts) for least in MORE}
    counted = max(MORE, key=right.__getitem__)
    return counted, right[counted] / len(counts)


def calibrate(
    rows: Sequence[Measure],
    t_acc: float,
    more: float | None = None,
    counted: float = 0.0,
    alike: float = 0.0,
    tinted: float = 0.0,
) -> tuple[OperatingPoint, dict[str, Any]]:
    """The operating point for answers that were given with scores as they are born and nothing left out.

    `agree` is what gives the first boxes of one thing the best mean IoU; the rest is fitted to boxes drawn so. Of each
    question the first region counts, right where its box has IoU >= 0.5 with a true one, so never where there is none.
    `min_score` is the largest at which a share `t_acc` of what is there is still found, 0 where none is. `more` and
    `counted`, with which a model that enumerates answered, are told anew in calibrated scores; `alike` and `tinted`
    were in its logits and stay. Beside the point: "raw"
    and "calibrated" (`metrics.calibration`) and "rejection" at that point. Raises ValueError where the answers hold no
    scores, are all right or all wrong, or where nothing that is there was asked for.
    """
    rows = [r for r in rows if r.question.points]
    agree = _agree(rows)
    rows = [_redrawn(r, agree) for r in rows]
    raw, right = certainty(rows)
    some = [bool(r.question.targets) for r in rows]
    if not any(some):
        raise ValueError("the data ask for nothing that is there, so no score can be chosen; give data with things")
    fitted = _fitted(raw, right)
    best = [_best(r) for r in rows]
    least = stands_for([s for s, there in zip(best, some, strict=True) if there], t_acc)
    point = replace(fitted, agree=agree, alike=alike, tinted=tinted)
    if more is not None:
        point = replace(point, more=round(_again([more], point)[0], 4))
    if counted:
        point = replace(point, counted=round(_again([counted], point)[0], 4))
    if least > HALF:
        point = replace(point, min_score=math.floor(1e4 * _again([least - HALF], point)[0]) / 1e4)
    found = [score >= 0 and _again([score], point)[0] >= point.min_score for score in best]
    return point, {
        "raw": calibration(raw, right),
        "calibrated": calibration(_again(raw, point), right),
        "rejection": rejection(found, some),
    }


def likelihood(pairs: Sequence[Judged]) -> float:
    """The mean log-likelihood of first regions being right, by their scores once these are calibrated. Raises
    ValueError as `calibrate` does."""
    raw, right = certainty([r for r in measured(pairs) if r.question.points])
    sure = torch.tensor(_again(raw, _fitted(raw, right)))
    return -float(F.binary_cross_entropy(sure, torch.tensor(right, dtype=sure.dtype)))


def _fitted(raw: Sequence[float], right: Sequence[bool]) -> OperatingPoint:
    """The point whose scores tell best what is right (`platt_by_side`), in numbers of four places."""
    above, under, bias = platt_by_side(raw, right)
    below = 0.0 if under == above else float(f"{1 / under:.4g}")
    return OperatingPoint(temperature=float(f"{1 / above:.4g}"), bias=float(f"{bias:.4g}"), below=below)


def _agree(rows: Sequence[Measure]) -> float:
    """Whose box is the better one, the decoded or the mask's, where they agree by this much."""
    single = [r for r in rows if r.iou is not None and r.pair.said.regions]
    if not single:
        return AGREE[0]
    means = {agree: fmean(_redrawn(r, agree).iou or 0.0 for r in single) for agree in AGREE}
    return max(AGREE, key=lambda agree: round(means[agree], 4))


def _ended(row: Measure, more: float) -> Measure:
    """A row whose answer ends before the first region, but one, that scores under `more`."""
    said, end = row.pair.said, _end(row.pair, more)
    if end == len(said.regions):
        return row
    return measure(Judged(row.question, replace(said, regions=said.regions[:end])))


def _end(pair: Judged, more: float) -> int:
    """How many regions of an answer come before the first, but one, that scores under `more`."""
    regions = pair.said.regions
    return next((n for n, r in enumerate(regions) if n and r.score is not None and r.score < more), len(regions))


def _redrawn(row: Measure, agree: float) -> Measure:
    """A row whose boxes are drawn round their masks where they agree."""
    said = row.pair.said
    regions = tuple(_round(r, agree) for r in said.regions)
    return row if regions == said.regions else measure(Judged(row.question, replace(said, regions=regions)))


def _round(region: Packed, agree: float) -> Packed:
    its = rim(region.rle) if region.rle is not None else None
    if its is None or region.box is None or agree >= 1:
        return region
    return replace(region, box=its) if iou_xyxy(torch.tensor(its), torch.tensor(region.box)) >= agree else region


def _best(row: Measure) -> float:
    """The highest score of what an answer found, -1 where it found nothing."""
    return max((r.score for r in row.pair.said.regions if r.holds_something and r.score is not None), default=-1.0)


def _again(scores: Sequence[float], point: OperatingPoint) -> list[float]:
    """Raw scores as the operating point gives them."""
    return point.scores(torch.logit(torch.tensor(scores, dtype=torch.float64), SUREST)).tolist()

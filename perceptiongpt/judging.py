"""From questions and answers to numbers with stable names: each pair is measured once, every metric is over measures.

Knows which metric applies to which question. Knows no definitions (metrics/), no models and no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from perceptiongpt import breakdowns, credits
from perceptiongpt.answers import Said
from perceptiongpt.breakdowns import first
from perceptiongpt.core.packed import Packed, overlap, union
from perceptiongpt.metrics import referring, several
from perceptiongpt.metrics.bootstrap import interval
from perceptiongpt.metrics.calibration import calibration
from perceptiongpt.metrics.detection import Things, average_precision
from perceptiongpt.metrics.overlaps import region_ious
from perceptiongpt.metrics.short import Similarity
from perceptiongpt.questions import Question


@dataclass(frozen=True, eq=False)
class Judged:
    """A question and what was said to it."""

    question: Question
    said: Said


@dataclass(frozen=True, eq=False)
class Measure:
    """What one question adds to every metric."""

    pair: Judged
    iou: float | None  # of the first box with the only true one; None where REC doesn't apply
    mask: tuple[int, int] | None  # intersection and union of the first mask with the only true one
    merged: tuple[int, int, int] | None  # intersection, said, true pixels of all masks together
    hits: int  # boxes found, the best first
    right: bool  # the first box has IoU >= 0.5 with a true one
    hungarian: np.ndarray
    found: bool
    credits: credits.Credits = field(default_factory=dict)  # of words and ranked boxes, by the names of their metrics

    @property
    def question(self) -> Question:
        return self.pair.question

    @property
    def part(self) -> str | None:
        """Which of `credits.PARTS` it belongs to."""
        return next(iter(self.credits), "").partition(".")[0] or None

    @property
    def cluster(self) -> str:
        """The picture: ids are PICTURE-NUMBER where it isn't named."""
        return self.question.picture or self.question.id.rpartition("-")[0]

    @property
    def sure(self) -> float:
        """How sure it is that something is there: the best score among what was found (1 without one); -inf: nothing
        was."""
        scores = [r.score for r in self.pair.said.regions if r.holds_something]
        return max((1.0 if s is None else s for s in scores), default=1.0 if self.found else -np.inf)

    @property
    def mask_iou(self) -> float | None:
        if self.mask is None:
            return None
        return self.mask[0] / self.mask[1] if self.mask[1] else 1.0


def measured(pairs: Iterable[Judged], similarity: Similarity | None = None) -> list[Measure]:
    """Every answer compared with its truth; `similarity` of nouns is for WUPS. Raises ValueError as `measure` does."""
    rows = [measure(pair, similarity) for pair in pairs]
    captions = [i for i, row in enumerate(rows) if row.question.judge == "captions"]
    earned = credits.captions_earned([(rows[i].question, rows[i].pair.said) for i in captions])
    for i, found in zip(captions, earned, strict=True):
        rows[i] = replace(rows[i], credits=found)
    return rows


def measure(pair: Judged, similarity: Similarity | None = None) -> Measure:
    """Compare one answer with its truth; captions need `measured`. ValueError for masks of another size than the
    picture's."""
    question, said = pair.question, pair.said.regions
    true = question.targets
    single = len(true) == 1 and question.kind != "group"
    head = said[0] if said else None
    ious = region_ious(said, true)
    return Measure(
        pair=pair,
        iou=float(ious[0, 0]) if single and head else 0.0 if single and true[0].box is not None else None,
        mask=_masks(head, true[0]) if single and true[0].rle is not None else None,
        merged=_merged(said, true),
        hits=several.greedy_hits(ious),
        right=bool(ious.size and ious[0].max() >= 0.5),
        hungarian=several.hungarian_hits(ious) if ious.size else np.zeros(len(several.F1_THRESHOLDS), int),
        found=any(r.holds_something for r in said) or not pair.said.readable,  # what can't be read is no rejection
        credits=credits.earned(question, pair.said, similarity),
    )


def _masks(said: Packed | None, true: Packed) -> tuple[int, int]:
    assert true.rle is not None
    if said is None or said.rle is None:
        return 0, int(true.area)
    return overlap(said.rle, true.rle)


def _merged(said: Sequence[Packed], true: Sequence[Packed]) -> tuple[int, int, int] | None:
    """None where a true mask isn't known."""
    if any(t.rle is None for t in true):
        return None
    masks = [r.rle for r in said if r.rle is not None]
    truths = [t.rle for t in true if t.rle is not None]
    a, b = (int(Packed(rle=union(m)).area) if m else 0 for m in (masks, truths))
    return (overlap(union(masks), union(truths))[0] if masks and truths else 0), a, b


def judged(rows: Sequence[Measure], seed: int = 0) -> dict[str, Any]:
    """The numbers of measured answers (docs/evaluation.md names the keys); null where there was nothing to judge."""
    values = {
        **_regions([r for r in rows if r.question.points]),
        **credits.parts(rows),
        "intervals": _intervals(rows, seed),
        "unreadable": sum(not r.pair.said.readable for r in rows),
        "counts": _counts(rows),
    }
    return _rounded(values)


def _regions(rows: Sequence[Measure]) -> dict[str, Any]:
    """What is judged of questions that want regions."""
    found, exists = [r.found for r in rows], [bool(r.question.targets) for r in rows]
    return {
        **breakdowns.single(rows),
        "same_kind": breakdowns.same_kind_numbers(rows),
        "rejection": {**several.rejection(found, exists), **several.rejection_curve([r.sure for r in rows], exists)},
        "group": breakdowns.group_numbers(rows),
        "gres": _gres(rows),
        "grec": several.grec([r.hits for r in rows], _said(rows), _true(rows)) if rows else None,
        "detection": _detection(rows),
        "presence": _presence(rows) if rows else None,
        "calibration": calibration(*certainty(rows)),
        **breakdowns.by_everything(rows),
    }


def _counts(rows: Sequence[Measure]) -> dict[str, int]:
    words = sum(not r.question.points for r in rows)
    groups, none = len(breakdowns.groups(rows)), sum(r.question.points and not r.question.targets for r in rows)
    return {
        "expressions": len(rows),
        "single": len(rows) - groups - none - words,
        "group": groups,
        "none": none,
        "words": words,
        "pictures": len({r.cluster for r in rows}),
    }


def _said(rows: Sequence[Measure]) -> list[int]:
    return [len(r.pair.said.regions) for r in rows]


def _true(rows: Sequence[Measure]) -> list[int]:
    return [len(r.question.targets) for r in rows]


def _gres(rows: Sequence[Measure]) -> dict[str, Any] | None:
    merged = [r.merged for r in rows if r.merged is not None]
    return several.generalized(*zip(*merged, strict=True)) if merged else None


def _presence(rows: Sequence[Measure]) -> dict[str, Any]:
    mcc = several.presence([r.found for r in rows], [bool(r.question.targets) for r in rows])
    hits = np.asarray([r.hungarian for r in rows])
    return {"mcc": mcc, "cgf1": several.cgf1(hits, _said(rows), _true(rows), mcc)}


def _detection(rows: Sequence[Measure]) -> dict[str, Any] | None:
    """AP and F1 of the questions that ask for all of a class: every target of it, nothing of it left out."""
    kept = [
        r for r in rows if r.question.category is not None and (r.question.distractors == 0 or not r.question.targets)
    ]
    if not any(r.question.targets for r in kept):
        return None
    f1 = several.f1_over_ious(np.asarray([r.hungarian for r in kept]), _said(kept), _true(kept))
    said = _things((r, region) for r in kept for region in r.pair.said.regions if region.box is not None)
    true = _things((r, region) for r in kept for region in r.question.targets if region.box is not None)
    return {**average_precision(said, true), **f1}


def _things(found: Iterable[tuple[Measure, Packed]]) -> Things:
    rows = list(found)
    return Things(
        image=np.asarray([r.cluster for r, _ in rows], np.str_),
        category=np.asarray([r.question.category for r, _ in rows], np.str_),
        boxes=np.asarray([region.box for _, region in rows], np.float64).reshape(-1, 4),
        scores=np.asarray([1.0 if region.score is None else region.score for _, region in rows]),
    )


def certainty(rows: Sequence[Measure]) -> tuple[list[float], list[bool]]:
    """First regions' scores and whether their boxes are right; what has no score isn't counted."""
    kept = [(s, r.right) for r in rows if (s := first(r, "score")) is not None]
    return [s for s, _ in kept], [right for _, right in kept]


def _intervals(rows: Sequence[Measure], seed: int) -> dict[str, list[float]]:
    """95 % intervals of the chief numbers, by their keys."""
    found = {}
    for key, (kept, above, below) in ratios(rows).items():
        if kept and any(below):
            found[key] = list(interval(above, below, [r.cluster for r in kept], seed))
    return found


def ratios(rows: Sequence[Measure]) -> dict[str, tuple[list[Measure], list[float], list[float]]]:
    """The chief numbers as sums over sums: the questions each is about, what stands above and below the line."""
    pointed = [r for r in rows if r.question.points]
    boxes = [r for r in pointed if r.iou is not None]
    masks = [r for r in pointed if r.mask is not None]
    alike, groups = breakdowns.same_kind(pointed), breakdowns.groups(pointed)
    none = [r for r in pointed if not r.question.targets]
    some = [r for r in pointed if r.question.targets]
    table: dict[str, tuple[list[Measure], list[float], list[float] | None]] = {
        **{
            f"rec.acc{round(100 * t)}": (boxes, [float((r.iou or 0.0) >= t) for r in boxes], None)
            for t in referring.REC_THRESHOLDS
        },
        "rec.miou": (boxes, [r.iou or 0.0 for r in boxes], None),
        "res.miou": (masks, [r.mask_iou or 0.0 for r in masks], None),
        "res.ciou": (masks, [float(r.mask[0]) for r in masks if r.mask], [float(r.mask[1]) for r in masks if r.mask]),
        "same_kind.acc50": (alike, [float(r.iou >= 0.5) for r in alike], None),
        "group.f1": (groups, [breakdowns.group_f1(r) for r in groups], None),
        "rejection.n_acc": (none, [float(not r.found) for r in none], None),
        "rejection.t_acc": (some, [float(r.found) for r in some], None),
        **credits.ratios(rows),
    }
    return {
        k: (kept, above, [1.0] * len(kept) if below is None else below) for k, (kept, above, below) in table.items()
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return round(value, 6) if isinstance(value, float) else value

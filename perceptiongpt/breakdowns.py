"""The same numbers of parts of the questions: by kind, size, distractors, by how many are meant.

Knows what tells questions apart. Knows no definitions (metrics/); rows are `judging.Measure`s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from perceptiongpt.metrics import referring, several

SIZES = (("small", 32.0**2), ("medium", 96.0**2), ("large", float("inf")))  # of the thing, in pixels, as COCO says
TELLS_APART = ("colour", "place", "relation", "ordinal")  # kinds of expression that pick one among things of a kind
MOST_COUNTED = 8


def single(rows: Sequence[Any]) -> dict[str, Any]:
    """REC and RES of the questions with one target, None where none has a box or a mask."""
    boxes = [r for r in rows if r.iou is not None]
    masks = [r for r in rows if r.mask is not None]
    rec = referring.rec([r.iou or 0.0 for r in boxes], [first(r, "box") is None for r in boxes]) if boxes else None
    shared = [(r.mask or (0, 0))[0] for r in masks]
    whole = [(r.mask or (0, 0))[1] for r in masks]
    res = referring.res(shared, whole, [first(r, "rle") is None for r in masks]) if masks else None
    return {"rec": rec, "res": res}


def first(row: Any, part: str) -> Any:
    """A part of the first region that was said; None where none was."""
    said = row.pair.said.regions
    return getattr(said[0], part) if said else None


def by_everything(rows: Sequence[Any]) -> dict[str, Any]:
    """`by_kind`, `by_size`, `by_distractors`, `by_category`: Acc@0.5, mask mIoU and n of questions with one target."""
    return {
        "by_kind": _by(rows, lambda r: r.question.kind),
        "by_size": _by(rows, lambda r: _size(r.question.targets[0].area)),
        "by_distractors": _by(rows, lambda r: _distractors(r.question.distractors)),
        "by_category": _by(rows, lambda r: r.question.category),
    }


def same_kind(rows: Sequence[Any]) -> list[Any]:
    """Questions for one thing beside others of its kind, told apart by colour, place, relation or ordinal."""
    return [
        r for r in rows if r.iou is not None and r.question.kind in TELLS_APART and (r.question.distractors or 0) >= 1
    ]


def same_kind_numbers(rows: Sequence[Any]) -> dict[str, Any] | None:
    """Acc@0.5, mask mIoU and n of `same_kind`, whole and by kind of expression; None for none."""
    kept = same_kind(rows)
    return {**_of_one(kept), "by_kind": _by(kept, lambda r: r.question.kind)} if kept else None


def groups(rows: Sequence[Any]) -> list[Any]:
    """Questions for all of something that is there."""
    return [r for r in rows if len(r.question.targets) > 1 or (r.question.kind == "group" and r.question.targets)]


def group_f1(row: Any) -> float:
    """F1 at IoU 0.5 of one group, the best pairs first. Not a protocol of a paper's."""
    return several.f1(row.hits, len(row.pair.said.regions), len(row.question.targets))


def group_numbers(rows: Sequence[Any]) -> dict[str, Any]:
    """The mean F1 of groups, whole and by how many are meant."""
    kept = groups(rows)
    by: dict[str, list[float]] = {}
    for row in sorted(kept, key=lambda r: len(r.question.targets)):
        many = len(row.question.targets)
        by.setdefault(str(many) if many <= MOST_COUNTED else f"{MOST_COUNTED + 1}+", []).append(group_f1(row))
    return {
        "f1": float(np.mean([group_f1(r) for r in kept])) if kept else None,
        "n": len(kept),
        "by_count": {many: {"f1": float(np.mean(values)), "n": len(values)} for many, values in by.items()},
    }


def _by(rows: Sequence[Any], key: Callable[[Any], str | None]) -> dict[str, Any]:
    told = [(key(r), r) for r in rows if r.iou is not None or r.mask is not None]
    names = sorted({name for name, _ in told if name is not None})
    return {name: _of_one([r for n, r in told if n == name]) for name in names}


def _of_one(rows: Sequence[Any]) -> dict[str, Any]:
    found = single(rows)
    rec, res = found["rec"], found["res"]
    return {"acc50": rec and rec["acc50"], "miou": res and res["miou"], "n": (rec or res)["n"]}


def _size(area: float) -> str:
    return next(name for name, most in SIZES if area < most)


def _distractors(count: int | None) -> str | None:
    return None if count is None else "3+" if count >= 3 else str(count)

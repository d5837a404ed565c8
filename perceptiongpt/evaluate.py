"""What a user would get, judged: the public predictor is asked in its own words, its answers are kept, judges judge.

The protocol is free generation, top-1, pixels of the original picture; an answer that is missing counts as wrong. Knows
no batches of tensors and nothing inside a model.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from perceptiongpt import metrics
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.masks import decode_rle, encode_rle
from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.data.sample import Picture
from perceptiongpt.data.scenes import Scenes, make_scene

DEFAULT_SEED = 1
_SKIP = 10_000_000  # as data.scenes does: a picture of which nothing may be asked is made again from another index


@dataclass(frozen=True, eq=False)
class Question:
    """A phrase and the regions (box and mask) that it means; none for what isn't there."""

    phrase: str
    kind: str
    targets: tuple[Region, ...]


@dataclass(frozen=True, eq=False)
class Asked:
    """A picture and the questions about it."""

    picture: Picture
    questions: tuple[Question, ...]


@dataclass(frozen=True, eq=False)
class Row:
    """What was said and what is true of one question, as numbers and run lengths: a picture is not kept."""

    phrase: str
    kind: str
    size_wh: tuple[int, int]
    said: tuple[Region, ...]  # boxes and scores
    said_rle: dict[str, Any] | None  # of the first region
    found: bool  # whether any region holds something
    true: tuple[Region, ...]  # boxes
    true_rle: dict[str, Any] | None  # of the only one
    text: str

    def pair(self) -> tuple[Answer, Region]:
        """The top-1 answer and the truth of a question with one target."""
        mask = None if self.said_rle is None else decode_rle(self.said_rle)
        first = tuple(Region(r.box, mask, r.point, r.score) for r in self.said[:1])
        truth = None if self.true_rle is None else decode_rle(self.true_rle)
        return Answer(self.text, first, self.size_wh), Region(self.true[0].box, truth)


def questions_of(
    data: str, seed: int | None = None, library: ObjectLibrary | None = None
) -> tuple[Iterator[Asked], str]:
    """The questions that `data` names, and the protocol's words for it.

    "scenes:SPLIT" or "scenes:SPLIT:SEED" makes pictures without end (seed 1 unless told); else a folder that
    `data scenes` wrote. Raises ValueError or FileNotFoundError.
    """
    kind, _, rest = data.partition(":")
    if kind == "scenes":
        split, _, told = rest.partition(":")
        if told and not told.isdecimal():
            raise ValueError(f"{told!r} in {data!r} is no seed; write scenes:test:1, for example")
        chosen = int(told) if told else DEFAULT_SEED if seed is None else seed
        opened = library or ObjectLibrary.open()
        opened.objects(split)  # type: ignore[arg-type]  # refuses a split that does not exist
        return scene_questions(opened, split, chosen), f"scenes:{split} seed {chosen}"
    if not Path(data).is_dir():
        raise FileNotFoundError(
            f"{data} is neither scenes:SPLIT nor a folder; make one with `perceptiongpt data scenes`"
        )
    return folder_questions(Scenes(data)), Path(data).name


def scene_questions(library: ObjectLibrary, split: Any, seed: int) -> Iterator[Asked]:
    """Composed pictures with their expressions, made when asked for, without end."""
    index = 0
    while True:
        scenes = (make_scene(library, split, seed, index + again * _SKIP) for again in range(100))
        scene = next((s for s in scenes if s.expressions), None)
        if scene is None:
            raise ValueError(f"no picture of split {split!r} offers a question; the library is too small")
        things = [Region(box=o.box, mask=o.mask, label=o.name) for o in scene.objects]
        asked = tuple(Question(e.phrase, e.kind, tuple(things[i] for i in e.targets)) for e in scene.expressions)
        yield Asked(scene.image, asked)
        index += 1


def folder_questions(scenes: Scenes) -> Iterator[Asked]:
    """The expressions in a folder, those of one picture together."""
    for image, rows in groupby(scenes.expressions(), key=lambda row: row["image"]):
        found = []
        for row in rows:
            regions = zip(row["boxes"], row["masks"], strict=True)
            targets = tuple(Region(box=tuple(box), mask=decode_rle(rle)) for box, rle in regions)
            found.append(Question(row["phrase"], row["kind"], targets))
        yield Asked(image, tuple(found))


def evaluate(eye: Any, asked: Iterable[Asked], n: int, batch: int = 8, show: bool | None = None) -> dict[str, Any]:
    """Numbers of the first `n` questions: rec, res (exactly one target), rejection, group, by kind, counts.

    `eye` is what `predict.load` gives. Each picture is looked at once and asked `batch` questions at a time. `show`: a
    progress bar on stderr (default: where that is a terminal).
    """
    if n < 1 or batch < 1:
        raise ValueError(f"n is {n} and batch {batch}; wanted at least 1 of each")
    started = time.monotonic()
    rows = list(_answered(eye, asked, n, batch, sys.stderr.isatty() if show is None else show))
    if not rows:
        raise ValueError("there was nothing to ask; give data with at least one expression")
    return {**judged(rows), "seconds": round(time.monotonic() - started, 2)}


def _answered(eye: Any, asked: Iterable[Asked], n: int, batch: int, show: bool) -> Iterator[Row]:
    from tqdm import tqdm

    left = n
    with tqdm(total=n, unit="expression", disable=not show, file=sys.stderr) as bar:
        for one in asked:
            questions = one.questions[:left]
            left -= len(questions)
            if not questions:
                continue
            seen = eye.look(one.picture)
            for start in range(0, len(questions), batch):
                part = questions[start : start + batch]
                answers = seen.many(len(part)).segment([q.phrase for q in part])
                yield from (_row(q, a) for q, a in zip(part, answers, strict=True))
                bar.update(len(part))
            if not left:
                return


def _row(question: Question, answer: Answer) -> Row:
    first = answer[0].mask if len(answer) else None
    true = question.targets[0].mask if len(question.targets) == 1 else None
    return Row(
        phrase=question.phrase,
        kind=question.kind,
        size_wh=answer.size_wh,
        said=tuple(Region(r.box, None, r.point or (0.0, 0.0), r.score) for r in answer),
        said_rle=None if first is None else encode_rle(first),
        found=any(r.mask is None or bool(r.mask.any()) for r in answer),
        true=tuple(Region(box=r.box) for r in question.targets),
        true_rle=None if true is None else encode_rle(true),
        text=answer.text,
    )


def judged(rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of rows; null where there was nothing to judge."""
    single = [r for r in rows if len(r.true) == 1 and r.kind != "group"]
    groups = [r for r in rows if len(r.true) > 1 or (r.kind == "group" and r.true)]
    kinds = sorted({r.kind for r in single})
    f1s = [metrics.group_f1(r.said, r.true) for r in groups]
    by_kind = {kind: _single([r for r in single if r.kind == kind]) for kind in kinds}
    something = (Answer("", (Region(point=(0.0, 0.0)),)), Answer(""))
    told = metrics.rejection((something[0 if r.found else 1], r.true[0] if r.true else None) for r in rows)
    values = {
        **_single(single),
        "rejection": {k: v if v == v else None for k, v in told.items()},  # NaN, where there were none, is no JSON
        "group": {"f1": sum(f1s) / len(f1s) if f1s else None, "n": len(f1s)},
        "by_kind": {
            k: {"acc50": v["rec"]["acc50"], "miou": v["res"]["miou"], "n": v["rec"]["n"]} for k, v in by_kind.items()
        },
        "counts": {
            "expressions": len(rows),
            "single": len(single),
            "group": len(groups),
            "none": len(rows) - len(single) - len(groups),
        },
    }
    return _rounded(values)


def _single(rows: Sequence[Row]) -> dict[str, Any]:
    if not rows:
        return {"rec": None, "res": None}
    return {"rec": metrics.rec(r.pair() for r in rows), "res": metrics.res(r.pair() for r in rows)}


def table(result: dict[str, Any]) -> str:
    """The numbers as lines to read, the protocol last."""
    rec, res, rejection, group = (result[k] for k in ("rec", "res", "rejection", "group"))
    lines = []
    if rec is not None:
        lines += [f"REC  {_told(rec, 'acc50', 'acc75', 'acc90', 'miou', 'invalid')}   n {rec['n']}"]
        lines += [f"RES  {_told(res, 'miou', 'ciou', 'p50', 'invalid')}   n {res['n']}"]
    lines += [
        f"none {_told(rejection, 'n_acc', 't_acc')}   n {rejection['n_none']} of {result['counts']['expressions']}"
    ]
    lines += [f"all  {_told(group, 'f1')}   n {group['n']}"]
    for kind, value in result["by_kind"].items():
        lines.append(f"  {kind:<10} {_told(value, 'acc50', 'miou')}   n {value['n']}")
    if "protocol" in result:
        lines.append("protocol: " + "; ".join(f"{k} {v}" for k, v in result["protocol"].items()))
    return "\n".join(lines)


def protocol(eye: Any, data: str, result: dict[str, Any]) -> dict[str, Any]:
    """How the numbers came about, for whoever reads them later."""
    return {
        "answers": "generated freely, greedy",
        "scored": "top-1",
        "pixels": "original resolution",
        "data": data,
        "n": result["counts"]["expressions"],
        "model": eye.name,
    }


def _told(values: dict[str, Any], *names: str) -> str:
    shown = ((name, values[name]) for name in names)
    return "  ".join(f"{name} {'   -  ' if value is None else f'{value:.4f}'}" for name, value in shown)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def to_json(result: dict[str, Any]) -> str:
    return json.dumps(result, indent=1, allow_nan=False) + "\n"

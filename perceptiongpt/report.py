"""An evaluation as one page to read: numbers, curves, and pictures of the worst, the best and random answers.

The page is whole in itself: no script, picture or style from elsewhere. Knows measures and HTML; judges nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from perceptiongpt.charts import bars, lines
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.packed import Packed
from perceptiongpt.credits import PARTS as WORDED
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.sample import Picture
from perceptiongpt.draw import COLOURS, paint
from perceptiongpt.judging import Measure
from perceptiongpt.page import data_url, page
from perceptiongpt.questions import Asked

CASES = 8  # pictures of each sort
SIDE = 420  # pixels of a picture on the page
TRUE, SAID = COLOURS[2], COLOURS[0]
LEAST_ROWS = 3  # questions below which a category is no row of the table
PARTS = (
    "rec",
    "res",
    "same_kind",
    "rejection",
    "group",
    "gres",
    "grec",
    "detection",
    "presence",
    "calibration",
    *WORDED,
)
CHIEF = (
    ("rec.acc50", "boxes right", "share of phrases whose first box has IoU ≥ 0.5 with the true one (REC Acc@0.5)"),
    ("res.miou", "masks overlap", "mean IoU of the first mask with the true one (RES mIoU)"),
    ("rejection.n_acc", "none said rightly", "share of phrases for what isn't there that got no region (N-acc)"),
    ("calibration.ece", "score's error", "expected distance of a score from the share that is right (ECE, 15 bins)"),
    ("phrases.any_r1", "phrases found", "share whose first box has IoU ≥ 0.5 with any true one (R@1, ANY-BOX)"),
    ("phrases.merged_r1", "found as one box", "the same with the box around all true ones (R@1, MERGED-BOXES)"),
    ("vqa.accuracy", "answers right", "agreement with people (VQA accuracy; exact match where there is one answer)"),
    ("pope.f1", "presence told", "F1 of yes where something is (POPE)"),
    ("choice.accuracy", "choices right", "share of questions whose letter is right"),
    ("choice.circular", "right in every order", "share right under every rotation of the options (CircularEval)"),
    ("captions.cider", "like people's words", "CIDEr-D, 0 to 10"),
)


def report(result: Mapping[str, Any], rows: Sequence[Measure], asked: Iterable[Asked], title: str) -> str:
    """The page as HTML. `asked` gives the pictures again; `result` is what `judging.judged` gave, with its protocol."""
    chosen = choose(rows, random.Random(0))
    pictures = pictures_of({r.question.id for found in chosen.values() for r in found}, asked)
    protocol = result.get("protocol", {})
    words = f"{len(rows)} expressions about {result['counts']['pictures']} pictures of {protocol.get('data', 'data')}"
    parts = [
        f"<h1>{escape(title)}</h1><p class=lead>{escape(words)}; {escape(str(protocol.get('answers', '')))}</p>",
        "<nav>" + "".join(f'<a href="#{n}">{n}</a>' for n in ("numbers", "curves", *chosen, "protocol")) + "</nav>",
        f"<div class=cards>{''.join(_card(result, *each) for each in CHIEF)}</div>",
        f'<h2 id="numbers">Numbers</h2>{_numbers(result)}',
        f'<h2 id="curves">Curves</h2><div class=charts>{_charts(result, rows)}</div>',
        _categories(result),
    ]
    for name, found in chosen.items():
        cases = "".join(_case(row, pictures[row.question.id]) for row in found)
        legend = "<span class='true'>green is true</span>, <span class='said'>orange was said</span>"
        parts.append(f'<h2 id="{name}">The {name}: {legend}</h2><div class=cases>{cases}</div>')
    parts.append(f'<h2 id="protocol">Protocol</h2>{_table([(k, _plain(v)) for k, v in protocol.items()])}')
    return page(title, "".join(parts[1:]), parts[0])


def choose(rows: Sequence[Measure], rng: random.Random) -> dict[str, list[Measure]]:
    """The worst, the best and random answers; the surest of equals first, since a sure mistake tells more."""
    ranked = sorted(rows, key=lambda r: (worth(r), -_certainty(r), r.question.id))
    worst, rest = ranked[:CASES], ranked[CASES:]
    best = rest[::-1][:CASES]
    left = rest[: max(0, len(rest) - CASES)]
    return {"worst": worst, "best": best, "random": rng.sample(left, min(CASES, len(left)))}


def _certainty(row: Measure) -> float:
    return (row.pair.said.regions[0].score or 0.0) if row.pair.said.regions else 0.0


def worth(row: Measure) -> float:
    """How good one answer is, 0 to 1: of one thing its overlap, of several their F1, of none whether none was said, of
    words what they earn."""
    if row.part and row.part != "phrases":
        return next(iter(row.credits.values())) / (10 if row.part == "captions" else 1)
    if row.mask_iou is not None:
        return row.mask_iou
    if row.iou is not None:
        return row.iou
    if not row.question.targets:
        return float(not row.found)
    return 2 * row.hits / (len(row.pair.said.regions) + len(row.question.targets))


def case_picture(picture: Picture, truth: Sequence[Packed], said: Sequence[Packed], text: str) -> Image.Image:
    """Truth (green) and answer (orange) painted on one picture."""
    opened = open_picture(picture)
    marks = [*_marks(truth, "true"), *_marks(said, "said")]
    painted = paint(opened, Answer(text, tuple(marks), opened.size), [TRUE] * len(truth) + [SAID] * len(said) or [SAID])
    painted.thumbnail((SIDE, 2 * SIDE))
    return painted


def _marks(regions: Sequence[Packed], label: str) -> Iterator[Region]:
    for r in regions:
        whole = r.region()
        yield Region(whole.box, whole.mask, None if whole.box else whole.point, r.score, label)


def pictures_of(ids: set[str], asked: Iterable[Asked]) -> dict[str, Picture]:
    """The pictures of some questions; an endless source is read as far as needed."""
    found: dict[str, Picture] = {}
    for one in asked if ids else ():
        found |= {q.id: one.picture for q in one.questions if q.id in ids}
        if len(found) == len(ids):
            break
    if len(found) < len(ids):
        raise ValueError(f"{len(ids) - len(found)} questions are no longer in the data; ask again with another folder")
    return found


def _case(row: Measure, picture: Picture) -> str:
    q, said = row.question, row.pair.said.regions
    image = data_url(case_picture(picture, (q.shown,) if q.shown else q.targets, said, ""))
    if q.points:
        overlap = f"box IoU {_plain(row.iou)} · mask IoU {_plain(row.mask_iou)}"
        meta = f"{q.kind} · {overlap} · {len(said)} said, {len(q.targets)} true"
    else:
        meta = " · ".join([q.kind, f"true: {'; '.join(dict.fromkeys(q.answers))}", f"worth {worth(row):.2f}"])
    return (
        f'<div class="card case"><img src="{image}" alt="{escape(q.phrase)}" loading="lazy"><div>'
        f"<p class=tag>{escape(q.phrase)}</p><p>{escape(row.pair.said.text) or '(no words)'}</p>"
        f"<p class=meta>{escape(meta)}</p></div></div>"
    )


def _card(result: Mapping[str, Any], key: str, name: str, meaning: str) -> str:
    part, _, field = key.partition(".")
    value = (result[part] or {}).get(field)
    if value is None:
        return ""
    bounds = result["intervals"].get(key)
    sure = "" if bounds is None else f" <small>{bounds[0]:.2f} – {bounds[1]:.2f}</small>"
    head = f"<small>{escape(name)}</small><b>{value:.3f}{sure}</b>"
    return f'<div class=card title="{escape(key)}">{head}{escape(meaning)}</div>'


def _numbers(result: Mapping[str, Any]) -> str:
    """A small table for each part, with intervals and, where asked for, the teacher-forced column."""
    forced, made = result.get("teacher_forced") or {}, []
    for part in PARTS:
        found = []
        for field, value in (result.get(part) or {}).items():
            if isinstance(value, (list, dict)):
                continue
            bounds = result["intervals"].get(f"{part}.{field}")
            row = [f"{part}.{field}", _plain(value), "" if bounds is None else f"{bounds[0]:.3f} – {bounds[1]:.3f}"]
            found.append([*row, _plain(forced[part].get(field))] if forced.get(part) else row)
        head = ["", "free", "95 %", "told"] if forced.get(part) else []
        anything = any(row[1] not in ("–", "0") for row in found)
        made += [f"<div class=card>{_table(found, head)}</div>"] if anything else []
    note = "<p class=lead>“told”: teacher-forced, the true words and regions known beforehand; no user's case.</p>"
    return f"{note if forced else ''}<div class=charts>{''.join(made)}</div>"


def _charts(result: Mapping[str, Any], rows: Sequence[Measure]) -> str:
    ious = {
        "boxes": [r.iou for r in rows if r.iou is not None],
        "masks": [r.mask_iou for r in rows if r.mask_iou is not None],
    }
    steps = [i / 50 for i in range(51)]
    curves = [(n, [(t, sum(v >= t for v in vs) / len(vs)) for t in steps]) for n, vs in ious.items() if vs]
    sure = result["calibration"]
    made = [lines("How many reach an IoU", "IoU at or above", "share of phrases", curves)] if curves else []
    if sure["n"]:
        points = [(b["score"], b["right"]) for b in sure["reliability"]]
        made.append(lines("Is a score worth what it says?", "score", "share right", [("answers", points)], True))
        risk = [(p["coverage"], p["risk"]) for p in sure["risk_coverage"]]
        made.append(lines("Wrong among the surest", "share answered", "share wrong", [("answers", risk)]))
    none = result["rejection"]["curve"]
    if none:
        made.append(
            lines("None said rightly", "T-acc", "N-acc", [("answers", [(p["t_acc"], p["n_acc"]) for p in none])])
        )
    for part, title in (("by_kind", "By kind of phrase"), ("by_size", "By size"), ("by_distractors", "By distractors")):
        table = [(k, v["acc50"], v["miou"], v["n"]) for k, v in result[part].items()]
        if table:
            made.append(bars(title, table, ("Acc@0.5", "mask mIoU")))
    for part in WORDED:
        most, name = (10, "CIDEr-D / 10") if part == "captions" else (1, "right")
        kinds = (result[part] or {}).get("by_kind", {}).items()
        if kinds:
            shares = [(kind, next(iter(v.values())) / most, None, v["n"]) for kind, v in kinds]
            made.append(bars(f"{part} by kind of question", shares, (name, "")))
    return "".join(made)


def _categories(result: Mapping[str, Any]) -> str:
    many = [(k, v) for k, v in result["by_category"].items() if v["n"] >= LEAST_ROWS]
    if not many:
        return ""
    ranked = sorted(many, key=lambda kv: (-(kv[1]["acc50"] or 0.0), kv[0]))
    table = _table(
        [(k, _plain(v["acc50"]), _plain(v["miou"]), str(v["n"])) for k, v in ranked],
        ("category", "Acc@0.5", "mask mIoU", "n"),
    )
    return f"<details><summary>{len(many)} categories with at least {LEAST_ROWS} phrases</summary>{table}</details>"


def _table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    top = "<tr>" + "".join(f"<th>{escape(h)}</th>" for h in head) + "</tr>" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table>{top}{body}</table></div>"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value)

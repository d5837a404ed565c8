"""What was said, as an answer in pixels: each region with its words and its score, and which of them are kept.

Knows one request and its answer. Knows nothing of looking, prompts and batches (predict.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.boxes import PART, SAME, cxcywh_to_xyxy, pairwise_inside, pairwise_iou
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.data import phrases
from perceptiongpt.data.render import Renderer
from perceptiongpt.data.sample import Turn
from perceptiongpt.data.spans import name_spans
from perceptiongpt.data.words import asks_for_many
from perceptiongpt.model.generate import Spoken
from perceptiongpt.spelled import read_answer
from perceptiongpt.tasks.point import best_xy


@dataclass(frozen=True, eq=False)
class Request:
    """One question as the model is asked it, and what its answer's regions should hold."""

    turn: Turn
    box: bool = True
    mask: bool = True
    point: bool = True
    label: str | None = None  # what is to be found: what a region is called where the answer's own words don't say


def told(eye: Any, hw: tuple[int, int], said: Spoken, request: Request, canvas: Canvas) -> Answer:
    """All that was said, about the picture on this canvas and in its pixels; `hw` is the grid that requests look at."""
    if eye.renderer.answer_format != "vis":
        return read_answer(eye.renderer, said, request, canvas, eye.name)
    text, spans = _text(eye.renderer, said)
    regions = said.regions
    boxes, logits = canvas.found_out(regions, eye.operating.agree)
    masks = canvas.masks_out(logits) if request.mask and len(boxes) else None
    cells = (regions.points.shape[-2], regions.points.shape[-1])
    points = best_xy(regions.points.float().flatten(1), *cells).tolist() if len(boxes) else []
    scores = eye.operating.scores(regions.scores).tolist()
    found = tuple(
        Region(
            box=boxes[n] if request.box else None,
            mask=None if masks is None else masks[n],
            point=canvas.point_out((points[n][0], points[n][1])) if request.point else None,
            score=scores[n],
            label=request.label if span is None else text[slice(*span)],
            span=span,
        )
        for n, span in enumerate(spans)
    )
    looked = tuple(canvas.heat_out(look.unflatten(0, hw)) for look in said.looked)
    return Answer(text, found, canvas.size_wh, dict(said.timings), eye.name, looked)


def foreseen(renderer: Renderer, requests: Sequence[Request]) -> dict[str, Any]:
    """What `generate` may know of answers beforehand: `likely`, and which are to find several things."""
    return {"draft": likely(renderer, requests), "several": [several(r.label) for r in requests]}


def likely(renderer: Renderer, requests: Sequence[Request]) -> list[int]:
    """What the answer to a single request for a phrase will likely say (`model.draft`); nothing for others."""
    phrase = requests[0].label if len(requests) == 1 else None
    if not phrase or renderer.answer_format != "vis":
        return []
    listed = [part for part in phrase.split(";") if part.strip()]
    text = phrases.answer_list([(part, 1) for part in listed]) if listed[1:] else phrases.answer_region(phrase, 1)
    return renderer.guess(text.split("{0}")[0] + "{0}" if several(phrase) else text)


def several(phrase: str | None) -> bool:
    """Whether a phrase, or one of those that it lists, is for several things."""
    return phrase is not None and any(asks_for_many(part) for part in phrase.split(";"))


def for_a_group(phrase: str | None) -> bool:
    """Whether it is one phrase for several things: their regions are of one group, and none is there twice."""
    return several(phrase) and ";" not in (phrase or "")


def left_to_right(said: Spoken, k: int) -> Spoken:
    """The same answer with the regions of each breath, of k tokens each, in order: by picture, then by their middles.

    A model that enumerates finds them in any order.
    """
    x = said.regions.boxes[:, 0].tolist()
    keys = zip(said.breaths(k), said.pictures, x, range(len(x)), strict=True)
    order = [key[-1] for key in sorted(keys)]
    each: dict[str, Any] = {name: [getattr(said, name)[n] for n in order] for name in ("pictures", "heard", "shades")}
    return replace(said, regions=said.regions.at(order), **each)


def kept(answer: Answer, said: Spoken, phrase: str | None, least: float) -> Answer:
    """The answer without the regions that score under `least`, nor those that a group holds twice or in part, too.

    The words stay as they were said, and the span of a region that goes, goes with it. Only where `phrase` was to be
    found and nothing is left (or, at a `least` above 0, was said) they say that there is none, as training does.
    """
    twice = _twice(answer, said) if for_a_group(phrase) else set()
    stay = tuple(r for n, r in enumerate(answer) if n not in twice and (r.score is None or r.score >= least))
    text = _none(phrase) if phrase and not stay and least > 0 else answer.text
    return replace(answer, text=text, regions=stay)


def without_masks(answer: Answer) -> Answer:
    """The same answer, its regions without their masks."""
    return replace(answer, regions=tuple(replace(region, mask=None) for region in answer))


def _none(phrase: str) -> str:
    several = [part for part in phrase.split(";") if part.strip()]
    return phrases.answer_list([(part, 0) for part in several]) if several[1:] else phrases.answer_none(phrase)


def _twice(answer: Answer, said: Spoken) -> set[int]:
    """Which regions have the label and, by more than SAME, the box of one that scores higher, or lie inside it by more
    than PART; spelled ones have no score, and stay. Boxes are those of the answer, looked at closer or not; of points,
    those decoded."""
    scores = torch.tensor([r.score for r in answer if r.score is not None])
    if not len(scores):
        return set()
    seen = [r.box for r in answer]
    boxes = cxcywh_to_xyxy(said.regions.boxes) if None in seen else torch.tensor(seen)
    held = ((pairwise_iou(boxes, boxes) > SAME) | (pairwise_inside(boxes, boxes) > PART)).tolist()
    best: list[int] = []
    for n in torch.argsort(scores, descending=True, stable=True).tolist():
        if not any(held[n][b] and answer[n].label == answer[b].label for b in best):
            best.append(n)
    return set(range(len(scores))) - set(best)


def _text(renderer: Renderer, said: Spoken) -> tuple[str, list[tuple[int, int] | None]]:
    """The answer's words, and the range of them that names each region."""
    whole = renderer.decode(said.ids)
    text = whole.strip()
    lead = len(whole) - len(whole.lstrip())
    places = [min(max(len(renderer.decode(said.ids[:p])) - lead, 0), len(text)) for p in said.places]
    return text, name_spans(text, places)

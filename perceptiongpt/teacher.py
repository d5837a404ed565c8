"""Regions when the model is told the true answer word by word, and the true regions before: no user's case.

Many papers score masks so. Here it stands beside the free answers, to show the gap; it is never the default.
"""

from __future__ import annotations

from typing import Any

import torch

from perceptiongpt.core.answer import Region
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.core.packed import Packed, pack
from perceptiongpt.data import phrases
from perceptiongpt.data.collate import assemble, pad_id
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.sample import Picture, Sample, Turn
from perceptiongpt.questions import Asked, Question


@torch.inference_mode()
def told_regions(eye: Any, asked: Asked, batch: int = 16, language: bool = True) -> dict[str, tuple[Packed, ...]]:
    """The regions of the questions that have targets, by question id, teacher-forced; `eye` is what `load` gives.

    Without `language` they are found by the words alone (`read_window`).
    """
    if eye.renderer.answer_format != "vis":
        raise ValueError(f"a model that answers in {eye.renderer.answer_format} has no states to force; leave that out")
    picture = open_picture(asked.picture)
    backbone = eye.model.backbone
    canvas = backbone.canvas(picture.size)
    view = canvas.view(picture)
    questions = [q for q in asked.questions if q.targets]
    found: dict[str, tuple[Packed, ...]] = {}
    for start in range(0, len(questions), batch):
        part = questions[start : start + batch]
        rendered = [eye.renderer.training(_sample(picture, q), backbone.spelled(canvas)) for q in part]
        pixels = backbone.pixels([view] * len(part))
        given = assemble(rendered, [canvas] * len(part), pixels, pad_id(eye.renderer.tokenizer))
        out = eye.model(given, language=language)
        regions = iter(_regions(out.regions, canvas, eye.operating))
        for q, r in zip(part, rendered, strict=True):  # of several in a row, one more is said: the end
            found[q.id] = tuple(next(regions) for _ in r.regions)[: len(q.targets)]
    return found


def _sample(picture: Picture, question: Question) -> Sample:
    regions = tuple(Region(t.box, t.region().mask) for t in question.targets)
    answer = phrases.answer_region(question.phrase, len(regions))
    return Sample(picture, (Turn("user", phrases.ask_region(question.phrase)), Turn("assistant", answer, regions)))


def _regions(said: Any, canvas: Canvas, operating: OperatingPoint) -> list[Packed]:
    boxes, logits = canvas.found_out(said, operating.agree)
    masks = canvas.masks_out(logits)
    scores = operating.scores(said.scores).tolist()
    return [pack(Region(b, m, score=s)) for b, m, s in zip(boxes, masks, scores, strict=True)]

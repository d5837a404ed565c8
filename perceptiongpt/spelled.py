"""Answers whose regions are spelled in words or location tokens, the alternatives to `<vis>`, read as an Answer.

Knows how a predictor's request wants its regions; the spellings themselves are data/formats.py's.
"""

from __future__ import annotations

from typing import Any

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.data.formats import regions_of
from perceptiongpt.data.render import Renderer
from perceptiongpt.data.spans import name_spans
from perceptiongpt.model.generate import Spoken


def read_answer(renderer: Renderer, said: Spoken, request: Any, canvas: Canvas, model: str) -> Answer:
    """What was said about the picture on this canvas, in its pixels; `readable` is False where nobody could tell."""
    read = renderer.read(said.ids)
    spans = name_spans(read.text, [f.place for f in read.found])
    found = tuple(
        Region(
            box=r.box if request.box else None,
            mask=r.mask if request.mask else None,
            point=r.point if request.point else None,
            label=request.label if span is None else read.text[slice(*span)],
            span=span,
        )
        for r, span in zip(regions_of(read, renderer.answer_format, canvas), spans, strict=True)
    )
    return Answer(read.text, found, canvas.size_wh, dict(said.timings), model, readable=read.readable)

"""Every look after the first: an answer's regions in the mirror, from closer by, what rows of them missed, and edges.

Knows one request, what was said to it and its picture; says in which order looks come. Each is a module of its own.
Beyond the papers; the language model isn't run again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from perceptiongpt.closer import closer
from perceptiongpt.core.answer import Answer
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.edges import to_edges
from perceptiongpt.mirrored import Mirror, both_ways, instead, may_mirror
from perceptiongpt.missed import missed
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.seen import Seen
from perceptiongpt.telling import Request, told
from perceptiongpt.tinted import tinted


def looked(
    eye: Any,
    said: Spoken,
    request: Request,
    canvas: Canvas,
    seen: Seen,
    pictures: Sequence[Image.Image],
    mirror: Mirror | None,
    most: int,
) -> tuple[Answer, Spoken]:
    """What was said, as an answer of at most `most` regions, once all was looked at that the model looks at.

    `seen`: what the first look saw; `pictures`: the same in pixels, none where the model neither looks closer nor
    follows edges; `mirror`: None where it doesn't look into one; the first row that does has its pictures encoded. The
    answer's timings gain the seconds of "mirror", "closer" and "edges", where it did these.
    """
    started, timings = time.perf_counter(), dict(said.timings)
    other, elsewhere = said, list[int]()
    if mirror is not None and may_mirror(eye, request.turn, said):
        said, other, elsewhere = both_ways(eye, said, canvas, mirror)
        timings["mirror"] = time.perf_counter() - started
    said = tinted(eye, said, request.label)
    answer = replace(told(eye, seen.sources_hw, said, request, canvas), timings=timings)
    started, closely = time.perf_counter(), bool(pictures) and eye.looks_closer
    if closely:
        answer = replace(answer, regions=closer(eye, answer.regions, said, pictures))
    if elsewhere:
        other = tinted(eye, other, request.label)
        there = told(eye, seen.sources_hw, other, request, canvas).regions
        there = closer(eye, there, other, pictures, elsewhere) if closely else there
        surer = [n for n in elsewhere if (there[n].score or 0.0) > (answer.regions[n].score or 0.0)]
        answer = replace(answer, regions=tuple(there[n] if n in surer else r for n, r in enumerate(answer.regions)))
        said = instead(said, other, surer)
    if closely:
        answer, said = missed(eye, answer, said, request, canvas, seen, pictures, most)
        timings["closer"] = time.perf_counter() - started
    answer = replace(answer, timings=timings)
    if pictures and follows_edges(eye):
        answer = edged(answer, [pictures[i] for i in said.pictures])
    return answer, said


def follows_edges(eye: Any) -> bool:
    """Whether its answers' masks are drawn to the edges of the picture."""
    return bool(eye.model.settings.follows_edges) and not eye.as_found


def edged(answer: Answer, pictures: Sequence[Image.Image]) -> Answer:
    """An answer whose regions, each in its picture of `pictures`, are drawn to the edges there; its timings gain the
    seconds of "edges"."""
    started = time.perf_counter()
    regions = tuple(to_edges(region, picture) for region, picture in zip(answer, pictures, strict=True))
    return replace(answer, regions=regions, timings={**answer.timings, "edges": time.perf_counter() - started})

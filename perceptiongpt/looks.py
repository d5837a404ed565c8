"""Every look after the first: in the mirror, from closer by, for what rows of regions missed, in slices, at edges.

Knows one request, what was said to it and its picture; says in which order looks come. Each is a module of its own.
Beyond the papers; the language model isn't run again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from perceptiongpt.sliced import Slices, in_slices, may_slice
from perceptiongpt.telling import Request, told
from perceptiongpt.tinted import tinted


@dataclass(frozen=True, eq=False)
class Further:
    """The pictures that the first look saw, as the further looks that a model takes need them."""

    pictures: tuple[Image.Image, ...] = ()  # none where it neither looks closer nor follows edges
    mirror: Mirror | None = None
    slices: Slices | None = None

    @classmethod
    def of(cls, eye: Any, pictures: Sequence[Image.Image], canvases: Sequence[Canvas]) -> Further:
        """What `eye` needs of pictures, each on its canvas; nothing is encoded before an answer wants it."""
        return cls(
            tuple(pictures) if eye.does("looks_closer") or eye.does("follows_edges") else (),
            Mirror(eye, pictures, canvases) if eye.does("looks_mirrored") else None,
            Slices(eye, pictures, canvases) if eye.does("looks_sliced") else None,
        )


def looked(
    eye: Any, said: Spoken, request: Request, canvas: Canvas, seen: Seen, further: Further, most: int
) -> tuple[Answer, Spoken]:
    """What was said, as an answer of at most `most` regions, once all was looked at that the model looks at.

    `seen`: what the first look saw. The answer's timings gain the seconds of "mirror", "closer", "slices" and "edges",
    where it did these.
    """
    pictures, mirror = further.pictures, further.mirror
    started, timings = time.perf_counter(), dict(said.timings)
    other, elsewhere = said, list[int]()
    if mirror is not None and may_mirror(eye, request.turn, said):
        said, other, elsewhere = both_ways(eye, said, canvas, mirror)
        timings["mirror"] = time.perf_counter() - started
    said = tinted(eye, said, request.label)
    answer = replace(told(eye, seen.sources_hw, said, request, canvas), timings=timings)
    started, closely = time.perf_counter(), bool(pictures) and eye.does("looks_closer")
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
    started = time.perf_counter()
    if further.slices is not None and may_slice(request, answer):
        cut = further.slices.of(said.pictures[0])
        if cut is not None:
            answer = replace(answer, regions=(in_slices(eye, answer.regions[0], said, request, cut),))
            timings["slices"] = time.perf_counter() - started
    answer = replace(answer, timings=timings)
    if pictures and eye.does("follows_edges"):
        answer = edged(answer, [pictures[i] for i in said.pictures])
    return answer, said


def edged(answer: Answer, pictures: Sequence[Image.Image]) -> Answer:
    """An answer whose regions, each in its picture of `pictures`, are drawn to the edges there; its timings gain the
    seconds of "edges"."""
    started = time.perf_counter()
    regions = tuple(to_edges(region, picture) for region, picture in zip(answer, pictures, strict=True))
    return replace(answer, regions=regions, timings={**answer.timings, "edges": time.perf_counter() - started})

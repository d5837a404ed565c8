"""A look in slices: what is asked for by name in a large picture is looked for once more in quarters of it.

A small thing has few cells of the whole picture and many of a slice (sliced inference, SAHI, arXiv 2202.06934). What a
slice cuts off isn't believed, for the whole shows more of it; the surest of what is left is looked at closer there,
and stands where it is surer by some than what the whole showed. Knows what was said and heard, its picture and its
canvas. Beyond the papers; the language model isn't run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from PIL import Image

from perceptiongpt.closer import closer
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.boxes import area_xyxy
from perceptiongpt.core.canvas import Canvas, Four
from perceptiongpt.data.words import says_where
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import again
from perceptiongpt.model.seen import Seen
from perceptiongpt.outlined import Piece, placed
from perceptiongpt.tasks.mask import MASK_SIDE
from perceptiongpt.telling import Request, several, told
from perceptiongpt.tinted import tinted

LARGE = 1.5  # sides of its canvas from which a picture is cut into slices: smaller ones show no more in them
ASIDE = 2  # slices
SHARE = 0.6  # of a side of the picture that a slice is long: neighbours have a third of each other
CUT = 0.03  # of a slice's side, that far from where it was cut a box is taken to go on
SMALL = 0.05  # of the picture: what is larger the whole shows well enough
SURE = 0.8  # score from which what the whole showed stands
DOUBT = 0.6  # taken off the logit of what a slice shows: of four looks one is surer by chance


class Cut(NamedTuple):
    """The slices of one picture, seen."""

    whole: Image.Image
    pieces: list[Piece]
    canvases: list[Canvas]
    seen: Seen


class Slices:
    """The slices of pictures: encoded once, when they are first looked at."""

    def __init__(self, eye: Any, pictures: Sequence[Image.Image], canvases: Sequence[Canvas]) -> None:
        self._eye, self._pictures, self._canvases = eye, pictures, canvases
        self._cut: dict[int, Cut] = {}

    def of(self, picture: int) -> Cut | None:
        """Those of a picture; None where it is too small for them."""
        whole, model = self._pictures[picture], self._eye.model
        if max(whole.size) < LARGE * max(self._canvases[picture].view_wh):
            return None
        if picture not in self._cut:
            crops = [whole.crop(piece) for piece in _pieces(whole.size)]
            canvases = [model.backbone.canvas(crop.size) for crop in crops]
            views = [canvas.view(crop) for canvas, crop in zip(canvases, crops, strict=True)]
            seen = model.see(model.backbone.pixels(views))
            self._cut[picture] = Cut(whole, _pieces(whole.size), canvases, seen)
        return self._cut[picture]


def may_slice(request: Request, answer: Answer) -> bool:
    """Whether one thing was asked for, with its box, and isn't sure, by words that mean the same in a slice."""
    phrase = request.label
    if phrase is None or ";" in phrase or several(phrase) or not request.box or len(answer) != 1:
        return False
    return (answer[0].score or 0.0) < SURE and not says_where(phrase)


@torch.inference_mode()
def in_slices(eye: Any, region: Region, said: Spoken, request: Request, cut: Cut) -> Region:
    """The one region of an answer, or what a slice of its picture shows where that is surer."""
    each, heard = range(len(cut.pieces)), said.heard * len(cut.pieces)
    nothing = said.regions.masks.new_zeros(len(each), MASK_SIDE, MASK_SIDE)
    found, shades = again(eye.model, heard, cut.seen, each, nothing if eye.model.settings.enumerates else None)
    every = tinted(eye, replace(said, regions=found, pictures=[*each], heard=heard, shades=shades), request.label)
    scores = every.regions.scores.tolist()
    for n in sorted(each, key=scores.__getitem__, reverse=True):
        one = replace(said, regions=every.regions.at([n]), pictures=[0], shades=[shades[n]])
        there = told(eye, cut.seen.sources_hw, one, request, cut.canvases[n]).regions[0]
        if not _cut_off(there, cut, n):
            if eye.does("looks_closer"):
                (there,) = closer(eye, [there], one, [cut.whole.crop(cut.pieces[n])])
            if _cut_off(there, cut, n):
                continue
            score = float((torch.tensor(there.score or 0.0, dtype=torch.float64).logit(1e-6) - DOUBT).sigmoid())
            there = replace(placed(there, cut.pieces[n], cut.whole.size), score=score)
            return there if score > (region.score or 0.0) and _share(there.box, cut.whole.size) <= SMALL else region
    return region


def _share(box: Four | None, size_wh: tuple[int, int]) -> float:
    """How much of a picture of that size a box covers."""
    return 1.0 if box is None else float(area_xyxy(torch.tensor(box))) / (size_wh[0] * size_wh[1])


def _pieces(size_wh: tuple[int, int]) -> list[Piece]:
    """Row by row; whole pixels."""
    (w, h), steps = size_wh, range(ASIDE)
    wide, high = round(SHARE * w), round(SHARE * h)
    corners = [(round((w - wide) * i / (ASIDE - 1)), round((h - high) * j / (ASIDE - 1))) for j in steps for i in steps]
    return [(x, y, x + wide, y + high) for x, y in corners]


def _cut_off(region: Region, cut: Cut, n: int) -> bool:
    """Whether a region, in pixels of slice n, ends where that was cut out of its picture."""
    box, piece = region.box, cut.pieces[n]
    assert box is not None  # as one was asked for
    for axis in (0, 1):
        start, end = piece[axis], piece[axis + 2]
        near = CUT * (end - start)
        if (start > 0 and box[axis] < near) or (end < cut.whole.size[axis] and box[axis + 2] > end - start - near):
            return True
    return False

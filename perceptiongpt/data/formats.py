"""Regions as words or location tokens: the alternatives to `<vis>`, spelled for training and read back from answers.

Coordinates are shares of the canvas, 0..1, in the order x0, y0, x1, y1 or x, y of each vertex. Knows no token ids of a
host and no tensors: a spelling is a row of words (str) and numbers of location tokens (int). What is read is hostile:
a box that is cut off, inverted or outside 0..1 is no box, and makes the answer unreadable.

    numerals  "[0.120,0.250,0.500,0.775]"   Shikra: three decimals, some 25 tokens a box
    integers  "[120,250,500,774]"           0..999 as text, as Qwen-VL and MiniGPT-v2 do
    bins      <120><250><500><775>          1,000 location tokens, 4 a box (Pix2Seq, Florence-2)
    polygon   <120><250> ... <end>          the same, 2 a vertex of the outline, and one that ends it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import ANSWER_FORMATS
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.masks import mask_to_box, polygons_to_mask
from perceptiongpt.core.outline import trace

BINS = ANSWER_FORMATS["bins"]
END = BINS  # the location token that ends an outline
VERTICES = 32  # at most, of an outline
_NUMBER = {"numerals": r"[01]\.\d{3}", "integers": r"\d{1,3}"}
_SHARE = {"numerals": 1.0, "integers": BINS - 1.0}

Piece = str | int


@dataclass(frozen=True)
class Found:
    """A region that an answer spells: an outline [n, 2] or the two corners of a box, in 0..1 of the canvas."""

    place: int  # a character index into the text
    vertices: np.ndarray

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in 0..1."""
        (x0, y0), (x1, y1) = self.vertices.min(0).tolist(), self.vertices.max(0).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True)
class Reading:
    """An answer read: its words, the regions that stand among them, and whether all that looks like one is one."""

    text: str
    found: list[Found] = field(default_factory=list)
    readable: bool = True


def spell(name: str, region: Region, canvas: Canvas) -> list[Piece]:
    """A region as words and numbers of location tokens, in the format called `name`."""
    if name == "polygon":
        return [*_bins(outline(region, canvas)), END]
    corners = _box(region, canvas)
    if name == "bins":
        return [*_bins(corners)]
    if name == "numerals":
        return [f"[{','.join(f'{v:.3f}' for v in corners.ravel())}]"]
    return [f"[{','.join(str(round(v * (BINS - 1))) for v in corners.ravel())}]"]


def reading(name: str, pieces: Sequence[Piece]) -> Reading:
    """What an answer says: words, and location tokens as numbers, in the order in which they were said."""
    return _of_text(name, "".join(map(str, pieces))) if name in _NUMBER else _of_tokens(name, pieces)


def pieces_of(ids: Sequence[int], first: int, decode: Callable[[list[int]], str]) -> list[Piece]:
    """Token ids as pieces: location tokens have the ids from `first` on, what lies between them is `decode`d."""
    pieces: list[Piece] = []
    words: list[int] = []
    for i in ids:
        if i < first:
            words.append(i)
            continue
        pieces += [decode(words)] if words else []
        pieces.append(i - first)
        words = []
    return [*pieces, decode(words)] if words else pieces


def regions_of(read: Reading, name: str, canvas: Canvas) -> list[Region]:
    """The regions of an answer in pixels: box and its centre as a point, and a mask where outlines are spelled."""
    regions = []
    for found in read.found:
        box = canvas.point_out(found.box[:2]) + canvas.point_out(found.box[2:])
        mask = None
        if name == "polygon":
            vertices = [canvas.point_out((x, y)) for x, y in found.vertices.tolist()]
            mask = polygons_to_mask([np.asarray(vertices)], (canvas.size_wh[1], canvas.size_wh[0]))
        regions.append(Region(box, mask, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)))
    return regions


def outline(region: Region, canvas: Canvas) -> np.ndarray:
    """The outline of a region's largest piece with at most VERTICES corners, float [n, 2] in 0..1 of the canvas."""
    if region.mask is None or not region.mask.any():
        (x0, y0), (x1, y1) = _box(region, canvas)
        return np.asarray([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    walk = max(trace(region.mask), key=_area).astype(float)
    while len(walk) > 4:  # the corner that changes the area least goes first (Visvalingam and Whyatt, 1993)
        (ax, ay), (bx, by) = (walk - np.roll(walk, 1, 0)).T, (np.roll(walk, -1, 0) - np.roll(walk, 1, 0)).T
        loss = np.abs(ax * by - ay * bx) / 2
        least = int(loss.argmin())
        if len(walk) <= VERTICES and loss[least] > 1.0:
            break
        walk = np.delete(walk, least, 0)
    return np.clip(np.asarray([canvas.point_in((x, y)) for x, y in walk.tolist()]), 0.0, 1.0)


def _box(region: Region, canvas: Canvas) -> np.ndarray:
    """The two corners of a region's box, of its mask's, or of its point's, float [2, 2] in 0..1 of the canvas."""
    box = region.box
    if box is None and region.mask is not None:
        box = mask_to_box(region.mask)
    if box is None:
        if region.point is None:
            raise ValueError("a region with an empty mask and nothing else cannot be spelled; give a box or a point")
        box = (*region.point, *region.point)
    return np.clip(np.asarray([canvas.point_in(box[:2]), canvas.point_in(box[2:])]), 0.0, 1.0)


def _bins(shares: np.ndarray) -> list[int]:
    return np.minimum((shares * BINS).astype(int), BINS - 1).ravel().tolist()


def _area(walk: np.ndarray) -> float:
    x, y = walk[:, 0].astype(float), walk[:, 1].astype(float)
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _of_text(name: str, whole: str) -> Reading:
    number = _NUMBER[name]
    text, found, at, readable = "", [], 0, True
    for match in re.finditer(rf"\[({number}),({number}),({number}),({number})\]", whole):
        text += whole[at : match.start()]
        at = match.end()
        corners = np.asarray([float(v) for v in match.groups()]).reshape(2, 2) / _SHARE[name]
        if _is_box(corners):
            found.append(Found(len(text), corners))
        else:
            readable = False
    text += whole[at:]
    return _stripped(text, found, readable and "[" not in text and "]" not in text)


def _of_tokens(name: str, pieces: Sequence[Piece]) -> Reading:
    text, found, readable = "", list[Found](), True
    run: list[int] = []
    for piece in (*pieces, ""):  # the empty word closes a run
        if isinstance(piece, int) and piece != END:
            run.append(piece)
            if name == "polygon" or len(run) < 4:
                continue
        if not run:
            readable &= piece != END
        else:
            vertices = (np.asarray(run[: len(run) // 2 * 2]).reshape(-1, 2) + 0.5) / BINS
            ended = piece == END if name == "polygon" else len(run) == 4
            good = ended and not len(run) % 2 and (len(run) >= 6 if name == "polygon" else _is_box(vertices))
            found += [Found(len(text), vertices)] if good else []
            readable &= good
            run = []
        text += piece if isinstance(piece, str) else ""
    return _stripped(text, found, readable)


def _is_box(corners: np.ndarray) -> bool:
    return bool((corners[0] <= corners[1]).all() and (corners >= 0).all() and (corners <= 1).all())


def _stripped(text: str, found: list[Found], readable: bool) -> Reading:
    """The words without space around them, and places that count from there."""
    bare, lead = text.strip(), len(text) - len(text.lstrip())
    moved = [Found(min(max(f.place - lead, 0), len(bare)), f.vertices) for f in found]
    return Reading(bare, moved, readable)

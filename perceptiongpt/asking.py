"""What a person may ask and show: words, and regions that lie in their picture, or one sentence saying why not.

Knows nothing of models: what is refused here is refused before one is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perceptiongpt.core.answer import Region
from perceptiongpt.data.sample import PLACE, Turn

WORDS_LIMIT = 500  # characters
_CLOSING = ".?!"

Shown = Region | Sequence[Region] | None


def checked_words(text: str, what: str, limit: int = WORDS_LIMIT) -> str:
    """A person's words on one line; ValueError for none, for too many and for what is no text."""
    if not isinstance(text, str):
        raise ValueError(f"the {what} is a {type(text).__name__}; wanted text")
    line = " ".join(text.split())
    if not line:
        raise ValueError(f"the {what} is empty; say something, such as 'the red mug'")
    if len(line) > limit:
        raise ValueError(f"the {what} has {len(line)} characters; at most {limit} are read, shorten it")
    try:
        line.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"the {what} holds bytes that are no text; write it in UTF-8") from error
    return line


def checked_region(region: Region, size_wh: tuple[int, int]) -> Region:
    """A shown region as it lies in a picture of that size; ValueError where it reaches outside or holds nothing."""
    width, height = size_wh
    said = f"a picture {width} wide and {height} high"
    box, mask, point = region.box, region.mask, region.point
    if box is not None:
        if box[0] < -0.5 or box[1] < -0.5 or box[2] > width + 0.5 or box[3] > height + 0.5:
            raise ValueError(f"box {[round(v, 2) for v in box]} reaches outside {said}; give pixels inside it")
        box = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height)))
        if box[0] >= box[2] or box[1] >= box[3]:
            raise ValueError(f"box {[round(v, 2) for v in box]} has no area; wanted x0 < x1 and y0 < y1")
    if mask is not None and mask.shape != (height, width):
        raise ValueError(f"the mask is {mask.shape[1]} wide and {mask.shape[0]} high, for {said}; give one of its size")
    if mask is not None and not np.any(mask):
        raise ValueError("the mask is empty; mark at least one pixel")
    if point is not None and not (0 <= point[0] <= width and 0 <= point[1] <= height):
        raise ValueError(f"point {[round(v, 2) for v in point]} lies outside {said}; give pixels inside it")
    return replace(region, box=box)


def question_turn(text: str, shown: Shown, size_wh: tuple[int, int], limit: int = WORDS_LIMIT) -> Turn:
    """A question as a turn: shown regions stand where it says {0}, {1} …, else before its closing mark."""
    words = checked_words(text, "question", limit)
    given = () if shown is None else (shown,) if isinstance(shown, Region) else tuple(shown)
    regions = tuple(checked_region(r, size_wh) for r in given)
    if regions and [int(n) for n in PLACE.findall(words)] == list(range(len(regions))):
        return Turn("user", words, regions)
    words = words.replace("{", "(").replace("}", ")")  # curly braces would be read as places of regions
    bare = words.rstrip(_CLOSING)
    places = "".join(f" {{{i}}}" for i in range(len(regions)))
    return Turn("user", bare + places + words[len(bare) :], regions)

"""Which words of an answer name which region: the piece of the sentence that stands before the region's place.

Knows words only; where the places are is told by whoever decoded the tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BREAK = re.compile(r"(?<!\b[A-Z])[.!?;:,\n](?=\s|$)")  # an initial's dot ends nothing: "the U.S. flag"
# What a sentence says before it comes to the thing itself.
_LEAD = re.compile(
    r"[\s.!?;:,]*(?:(?:and|or|then|with|yes|no)\b[\s,]*)*"
    r"(?:(?:it|this|that|here|there|they|these|those)(?:'s\b| is\b| are\b)\s*)?",
    re.IGNORECASE,
)


def name_spans(text: str, places: Sequence[int]) -> list[tuple[int, int] | None]:
    """For each place (a character index into `text`, ascending) the range [a, b) of the words that name it.

    Places side by side share their words: "All the apples" names both of `{0}{1}`; None where no words are left.

    >>> name_spans("A dog and two apples.", [5, 20, 20])
    [(0, 5), (10, 20), (10, 20)]
    """
    spans: list[tuple[int, int] | None] = []
    before = 0
    for place in places:
        piece = text[before:place]
        if not piece.strip() and spans:
            spans.append(spans[-1])
        else:
            spans.append(_within(text, before, place))
        before = place
    return spans


def _within(text: str, start: int, end: int) -> tuple[int, int] | None:
    while end > start and text[end - 1].isspace():
        end -= 1
    breaks = [m.end() for m in _BREAK.finditer(text, start, end) if m.end() < end]
    start = breaks[-1] if breaks else start
    lead = _LEAD.match(text, start, end)
    start = lead.end() if lead else start
    return (start, end) if any(c.isalnum() for c in text[start:end]) else None

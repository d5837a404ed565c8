"""The third mug from the right: counted in the answer to "all the mugs", which is asked for besides.

Decoders know a thing by its looks and its place, so they find the first from a side; which is the third takes an order
of them all, and is hardly learnt (`docs/model_history.md`). Knows phrases and answers, and asks for the row as a user
would. Beyond the papers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.data.words import ORDINALS, is_countable, plural
from perceptiongpt.model.generate import MOST_REGIONS

_SIDES = {"left": (0, False), "right": (0, True), "top": (1, False), "bottom": (1, True)}  # the axis; counted backwards
_NUMERALS = ("1st", "2nd", "3rd", *(f"{n}th" for n in range(4, len(ORDINALS) + 1)))
_NTH = {word: n for words in (ORDINALS, _NUMERALS) for n, word in enumerate(words) if n}
_PHRASE = re.compile(
    rf"(?:the )?(?P<nth>{'|'.join(_NTH)}) (?P<noun>[a-z' -]+) from (?:the )?(?P<side>{'|'.join(_SIDES)})[.!?]?"
)
# What has one of these tells of something else, too ("the second mug in the third row"), or names no kind of thing.
_ELSE = {"the", "and", "or", "to", "from", "one", "last", *_NTH, *_SIDES}


class Ordinal(NamedTuple):
    """What a phrase such as "the third mug from the right" counts."""

    row: str  # the phrase for all of them: "all the mugs"
    place: int  # from 0; 1 or more
    side: str  # "left", "right", "top" or "bottom": from where

    def of(self, regions: Sequence[Region]) -> Region | None:
        """That one of these, as sure as the least sure that was counted; None: they are too few."""
        axis, backwards = _SIDES[self.side]
        held = [(r.box[axis] + r.box[axis + 2], n, r) for n, r in enumerate(regions) if r.box is not None]
        first = [r for _, _, r in sorted(held, reverse=backwards)][: self.place + 1]
        if len(first) <= self.place:
            return None
        return replace(first[-1], score=min((r.score for r in first if r.score is not None), default=None))


def ordinal(phrase: str) -> Ordinal | None:
    """What a phrase counts; None for one that counts nothing, from no side of the picture, or no further than one."""
    found = _PHRASE.fullmatch(" ".join(phrase.lower().split()))
    if found is None or _ELSE & set(found["noun"].split()) or not is_countable(found["noun"]):
        return None
    return Ordinal(f"all the {plural(found['noun'])}", _NTH[found["nth"]], found["side"])


def in_order(
    seen: Any, looks: Sequence[tuple[Answer, Any]], requests: Sequence[Any], how: Mapping[str, Any]
) -> list[tuple[Answer, Any]]:
    """The looks, one for each row of `seen`; of one whose request counts, box, mask, point and score are those of what
    is counted, where its row holds so many.

    `seen`: the `SeenAll` that was asked, `how` it was asked. Only for a model that enumerates, and answers with one
    region. A thing counts from the operating point's least score on, whatever is left out of answers. Timings gain the
    seconds of "row".
    """
    made, settings = list(looks), seen.eye.model.settings
    if not settings.enumerates or seen.eye.as_found:
        return made
    started = time.perf_counter()
    asked = {n: r.label for n, r in enumerate(requests) if r.label and len(looks[n][0]) == 1}
    sought = {n: one for n, phrase in asked.items() if (one := ordinal(phrase))}
    if not sought:
        return made
    told = {**how, "max_regions": MOST_REGIONS, "min_score": seen.eye.operating.min_score}
    rows = seen.pick([seen.rows[n] for n in sought]).segment([one.row for one in sought.values()], **told)
    seconds = time.perf_counter() - started
    for (n, one), row in zip(sought.items(), rows, strict=True):
        (answer, said), there = looks[n], one.of(row.regions)
        timings = {**answer.timings, "row": seconds}
        regions = answer.regions if there is None else (_instead(answer.regions[0], there),)
        made[n] = replace(answer, regions=regions, timings=timings), said
    return made


def _instead(region: Region, there: Region) -> Region:
    """A region that lies where another does, with all that it has and no more."""
    kept = {name: getattr(there, name) for name in ("box", "mask", "point") if getattr(region, name) is not None}
    return replace(region, score=there.score, **kept)

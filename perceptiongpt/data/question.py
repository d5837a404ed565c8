"""A question of a test and what is true: regions, or words that are right.

Knows neither where questions come from nor how answers are judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from perceptiongpt.core.packed import Packed
from perceptiongpt.data.sample import Picture


@dataclass(frozen=True, eq=False)
class Question:
    """A phrase about a picture and the regions that it means, none for what isn't there; or words and right answers.

    `kind` of expression: name, colour, place … group, none; `class` where all of a class are asked for; of a question
    in words what its data set says. `distractors`: how many other things of the target's kind the picture holds; None
    where that isn't known. `judge`: "regions"; "phrases": their recall as Flickr30k counts it; of `answers` in words
    "vqa", "pope", "choice" (a letter, of `choices`) or "captions" (of the region `shown`, if one is). `picture`: what
    the picture is called, by default the id before its last hyphen; `whole`: the question of which this is a rotation.
    """

    id: str
    phrase: str
    kind: str
    targets: tuple[Packed, ...]
    size_wh: tuple[int, int]
    category: str | None = None
    distractors: int | None = None
    judge: str = "regions"
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    shown: Packed | None = None
    picture: str = ""
    whole: str = ""

    @property
    def points(self) -> bool:
        """Whether regions are wanted, not words."""
        return self.judge in ("regions", "phrases")


@dataclass(frozen=True, eq=False)
class Asked:
    """A picture and the questions about it."""

    picture: Picture
    questions: tuple[Question, ...]

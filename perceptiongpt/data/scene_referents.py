"""The things of a picture as something to talk about: who may be called what, where everybody is, what stands where.

Knows boxes, areas and names; nothing of pixels, questions or how often which kind of expression is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image

from perceptiongpt.data.objects import COLOURS
from perceptiongpt.data.scene_compose import SceneObject
from perceptiongpt.data.words import is_called, may_mean

ANYTHING = "object"
# A name that holds one of these takes no colour before it ("the grey silver fish").
COLOURED = frozenset((*COLOURS, "gray", "silver", "gold", "golden", "violet", "beige", "turquoise", "rainbow"))
NEAR_COLOURS = tuple(
    frozenset(pair.split("-"))
    for pair in re.findall(
        r"\S+",
        "red-orange orange-yellow red-pink pink-purple purple-blue brown-orange grey-black grey-white brown-red"
        " green-blue yellow-green brown-black brown-yellow white-yellow blue-black",
    )
)


@dataclass(frozen=True)
class Expression:
    """A phrase and the indices of the scene's objects it means, left to right; none for what isn't there."""

    phrase: str
    kind: str
    targets: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Scene:
    """A composed picture RGB, what is visible in it (back to front) and expressions that mean things of it."""

    image: Image.Image
    objects: tuple[SceneObject, ...]
    expressions: tuple[Expression, ...]
    id: str = ""


@dataclass(frozen=True)
class Candidate:
    expression: Expression
    weight: float = 1.0  # one that a shorter phrase could replace weighs less


class Referents:
    """The things of a picture as something to talk about: who may be called what, and where everybody is."""

    def __init__(self, objects: Sequence[SceneObject], size_wh: tuple[int, int]) -> None:
        self.objects = objects
        self.boxes = np.asarray([o.box for o in objects], float).reshape(-1, 4) / np.tile(size_wh, 2)  # xyxy in 0..1
        self.x, self.y = self.boxes[:, 0::2].mean(1), self.boxes[:, 1::2].mean(1)
        self.area = np.asarray([np.count_nonzero(o.mask) for o in objects], float)
        self.side = np.asarray([max(o.box[2] - o.box[0], o.box[3] - o.box[1]) for o in objects], float)
        self.height = float(size_wh[1])

    def called(self, noun: str) -> tuple[int, ...] | None:
        """Who is called `noun`; None when somebody else might be called so too."""
        sure = [i for i, o in enumerate(self.objects) if noun in (o.name, o.kind) or is_called(noun, o.name)]
        maybe = [i for i, o in enumerate(self.objects) if i in sure or may_be(noun, o.name, o.kind, o.tags)]
        return tuple(sure) if sure == maybe else None

    @cached_property
    def nouns(self) -> dict[str, tuple[int, ...]]:
        """Every clear noun of the picture with those it names, the bare "object" included."""
        found: dict[str, tuple[int, ...]] = {}
        for thing in self.objects:
            for noun in (thing.name, thing.kind):
                if noun not in found and (who := self.called(noun)):
                    found[noun] = who
        return {**found, ANYTHING: tuple(range(len(self.objects)))} if self.objects else found

    def askable(self, *who: int) -> bool:
        return all(self.objects[i].askable for i in who)

    def left_to_right(self, who: Sequence[int]) -> list[int]:
        return sorted(who, key=lambda i: (self.x[i], i))

    def only(self, noun: str) -> int | None:
        """The one thing that `noun` names, if it is one and a clear singular."""
        who = self.nouns.get(noun, ())
        return who[0] if len(who) == 1 and noun != ANYTHING else None


@lru_cache(maxsize=65536)
def may_be(noun: str, name: str, kind: str, tags: tuple[str, ...]) -> bool:
    return may_mean(noun, (name, kind, *tags))


def near(a: str, b: str) -> bool:
    """Whether people might take one colour for the other."""
    return a == b or {a, b} in NEAR_COLOURS


Holds = Callable[[Referents, int, int, float], bool]


def _beside(sign: int) -> Holds:
    def holds(who: Referents, i: int, a: int, margin: float) -> bool:
        dx, dy = sign * (who.x[i] - who.x[a]), abs(who.y[i] - who.y[a])
        return dx > 0.1 * margin and (not margin or (dx > 1.2 * dy and not _one_in_other(who, i, a)))

    return holds


def _over(sign: int) -> Holds:
    def holds(who: Referents, i: int, a: int, margin: float) -> bool:
        dx, dy = abs(who.x[i] - who.x[a]), sign * (who.y[i] - who.y[a])
        return dy > 0.1 * margin and (not margin or (dy > 1.2 * dx and not _one_in_other(who, i, a)))

    return holds


def _next_to(who: Referents, i: int, a: int, margin: float) -> bool:
    gap_x = max(who.boxes[i, 0], who.boxes[a, 0]) - min(who.boxes[i, 2], who.boxes[a, 2])
    gap_y = max(who.boxes[i, 1], who.boxes[a, 1]) - min(who.boxes[i, 3], who.boxes[a, 3])
    return max(gap_x, gap_y) < (0.06 if margin else 0.2) and not (margin and _one_in_other(who, i, a))


def _in_front(sign: int) -> Holds:
    def holds(who: Referents, i: int, a: int, margin: float) -> bool:
        foot, other = who.objects[i].foot, who.objects[a].foot
        if foot is None or other is None:
            return not margin  # might be seen so: spoils uniqueness, never a target
        shared = min(who.boxes[i, 2], who.boxes[a, 2]) - max(who.boxes[i, 0], who.boxes[a, 0])
        width = min(who.boxes[i, 2] - who.boxes[i, 0], who.boxes[a, 2] - who.boxes[a, 0])
        return sign * (foot - other) / who.height > 0.05 * margin and shared > (0.5 if margin else 0.0) * width

    return holds


def _one_in_other(who: Referents, i: int, a: int) -> bool:
    low, high = np.maximum(who.boxes[i, :2], who.boxes[a, :2]), np.minimum(who.boxes[i, 2:], who.boxes[a, 2:])
    least = min(np.prod(who.boxes[i, 2:] - who.boxes[i, :2]), np.prod(who.boxes[a, 2:] - who.boxes[a, :2]))
    return bool((high > low).all() and np.prod(high - low) > 0.5 * least)


# margin 0: somebody might say so; margin 1: everybody would.
RELATIONS = {
    "left of": _beside(-1),
    "to the left of": _beside(-1),
    "right of": _beside(1),
    "to the right of": _beside(1),
    "above": _over(-1),
    "below": _over(1),
    "next to": _next_to,
    "in front of": _in_front(1),
    "behind": _in_front(-1),
}

"""Expressions that mean exactly one thing (or one group) of a composed picture, and some that mean nothing in it.

Every expression is checked against all visible things, those too small or too hidden to be asked for included: a noun
is used only where whoever might be called so really is. Knows nothing of pixels beyond boxes and areas, nor of turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image

from perceptiongpt.data.objects import COLOURS
from perceptiongpt.data.scene_compose import SceneObject
from perceptiongpt.data.words import NUMBERS, ORDINALS, is_called, is_plural, may_mean, plural, stems

KINDS = ("name", "colour", "place", "size", "relation", "ordinal", "group", "none")
# Shares of the draws, not of what comes of them: a picture offers few names and many places. On the shipped library
# they give name 0.40, colour 0.12, place 0.15, relation 0.10, size 0.05, ordinal 0.03, group 0.05, none 0.10.
MIX = {
    "name": 0.58,
    "colour": 0.13,
    "place": 0.055,
    "size": 0.04,
    "relation": 0.075,
    "ordinal": 0.075,
    "group": 0.06,
    "none": 0.05,
}
LEAST_EXPRESSIONS = 3
NEAR_COLOURS = (
    {"red", "orange"}, {"orange", "yellow"}, {"red", "pink"}, {"pink", "purple"}, {"purple", "blue"}, {"brown", "orange"},
    {"grey", "black"}, {"grey", "white"}, {"brown", "red"}, {"green", "blue"}, {"yellow", "green"}, {"brown", "black"},
    {"brown", "yellow"}, {"white", "yellow"},
)  # fmt: skip
# Photographs behind the things may hold these; they are never called absent.
OFTEN_BEHIND = stems(
    "tree cloud mountain sun moon flower plant grass leaf house building sky sea ocean water beach river lake road"
    " path bridge rock stone field forest light window wall fence snow star stars night sunrise sunset sunset landscape"
    " boat island castle tower city street car bench bush palm wave fog rainbow"
)
ANYTHING = "object"


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
class _Candidate:
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
        maybe = [i for i, o in enumerate(self.objects) if i in sure or _may_be(noun, o.name, o.kind, o.tags)]
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
def _may_be(noun: str, name: str, kind: str, tags: tuple[str, ...]) -> bool:
    return may_mean(noun, (name, kind, *tags))


def express(
    objects: Sequence[SceneObject],
    size_wh: tuple[int, int],
    absent: Sequence[str],
    rng: np.random.Generator,
    most: int = 8,
) -> tuple[Expression, ...]:
    """At most `most` expressions of a picture in the training mix of kinds; `absent`: nouns that may be called missing."""
    who = Referents(objects, size_wh)
    makers = {"name": _names, "colour": _colours, "place": _places, "size": _sizes, "relation": _relations,
              "ordinal": _ordinals, "group": _groups}  # fmt: skip
    offered = {kind: list(make(who)) for kind, make in makers.items()}
    offered["none"] = list(_absent(who, absent, rng))
    chosen: list[Expression] = []
    shares = np.asarray([MIX[k] for k in KINDS])
    for draw in range(4 * most):
        # A kind that the picture cannot offer loses its draw: redistributing it would drown the names in the rest.
        kind = KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
        pool = offered[kind]
        if not pool:
            continue
        weights = np.asarray([c.weight for c in pool])
        one = pool.pop(int(rng.choice(len(pool), p=weights / weights.sum()))).expression
        if all(one.phrase != c.phrase for c in chosen):
            chosen.append(one)
        if len(chosen) == most or (draw >= most and len(chosen) >= LEAST_EXPRESSIONS):
            break
    return tuple(chosen)


def _say(phrase: str, kind: str, *targets: int, weight: float = 1.0) -> _Candidate:
    return _Candidate(Expression(phrase, kind, targets), weight)


def _names(who: Referents) -> Iterator[_Candidate]:
    for noun, members in who.nouns.items():
        if len(members) == 1 and noun != ANYTHING and who.askable(*members):
            yield _say(f"the {noun}", "name", *members)


def near(a: str, b: str) -> bool:
    """Whether people might take one colour for the other."""
    return a == b or {a, b} in NEAR_COLOURS


def _colours(who: Referents) -> Iterator[_Candidate]:
    for noun, members in who.nouns.items():
        if set(noun.split()) & set(COLOURS):
            continue
        colours = [who.objects[i].colour for i in members]
        for i, colour in zip(members, colours, strict=True):
            others = [c for j, c in zip(members, colours, strict=True) if j != i]
            if colour and who.askable(i) and all(c and not near(c, colour) for c in others):
                weight = (0.25 if noun == ANYTHING else 1.0) if others else 0.4
                yield _say(f"the {colour} {noun}", "colour", i, weight=weight)


def _places(who: Referents) -> Iterator[_Candidate]:
    for noun, members in who.nouns.items():
        least = 0.35 if noun == ANYTHING else 1.0
        x, y = who.x[list(members)], who.y[list(members)]
        if len(members) == 1:
            i = members[0]
            if not who.askable(i) or noun == ANYTHING:
                continue
            for side, told in (
                ("left", x[0] < 0.33),
                ("right", x[0] > 0.67),
                ("top", y[0] < 0.3),
                ("bottom", y[0] > 0.7),
            ):
                if told:
                    where = f"on the {side}" if side in ("left", "right") else f"at the {side}"
                    yield _say(f"the {noun} {where}", "place", i, weight=0.3)
            continue
        for values, sides in ((x, ("left", "right")), (y, ("top", "bottom"))):
            order = np.argsort(values, kind="stable")
            for side, first, second in ((sides[0], order[0], order[1]), (sides[1], order[-1], order[-2])):
                i = members[int(first)]
                if not who.askable(i) or abs(values[first] - values[second]) < 0.12:
                    continue
                if len(members) == 2:
                    where = f"on the {side}" if side in ("left", "right") else f"at the {side}"
                    yield _say(f"the {noun} {where}", "place", i, weight=least)
                most = {"left": "leftmost", "right": "rightmost", "top": "topmost", "bottom": "lowest"}[side]
                yield _say(f"the {most} {noun}", "place", i, weight=0.6 * least)
        yield from _corners(who, noun, members, least)
        yield from _depths(who, noun, members)


def _corners(who: Referents, noun: str, members: Sequence[int], weight: float) -> Iterator[_Candidate]:
    for i in members:
        if not who.askable(i):
            continue
        others = [j for j in members if j != i]
        for across, sign_x in (("left", -1), ("right", 1)):
            for down, sign_y in (("top", -1), ("bottom", 1)):
                inside = min(sign_x * (who.x[i] - 0.5), sign_y * (who.y[i] - 0.5)) > 0.1
                alone = all(min(sign_x * (who.x[j] - 0.5), sign_y * (who.y[j] - 0.5)) < -0.02 for j in others)
                if inside and alone:
                    yield _say(f"the {noun} in the {down} {across}", "place", i, weight=weight)
        off = np.hypot(who.x - 0.5, who.y - 0.5)
        if off[i] < 0.12 and all(off[j] > 0.25 for j in others):
            yield _say(f"the {noun} in the middle", "place", i, weight=weight)


def _depths(who: Referents, noun: str, members: Sequence[int]) -> Iterator[_Candidate]:
    feet = [who.objects[i].foot for i in members]
    if noun == ANYTHING or any(f is None for f in feet):
        return
    values = np.asarray(feet, float) / who.height
    order = np.argsort(values, kind="stable")
    for words, first, second in (
        (("nearest", "in front"), order[-1], order[-2]),
        (("farthest", "at the back"), order[0], order[1]),
    ):
        i = members[int(first)]
        if who.askable(i) and abs(values[first] - values[second]) > 0.1:
            yield _say(f"the {words[0]} {noun}", "place", i, weight=0.4)
            if len(members) == 2:
                yield _say(f"the {noun} {words[1]}", "place", i, weight=0.4)


def _sizes(who: Referents) -> Iterator[_Candidate]:
    for noun, members in who.nouns.items():
        if len(members) < 2 or any(who.objects[i].visible_share < 0.8 for i in members):
            continue
        order = sorted(members, key=lambda i: who.area[i])
        weight = 0.35 if noun == ANYTHING else 1.0
        two = len(members) == 2
        for words, first, second in (
            (("bigger", "larger", "big") if two else ("biggest", "largest"), order[-1], order[-2]),
            (("smaller", "small") if two else ("smallest",), order[1], order[0]),
        ):
            big, small = (first, second)
            target = first if words[0].startswith("bigg") else second
            clear = who.area[big] > 1.6 * who.area[small] and who.side[big] > 1.2 * who.side[small]
            if clear and who.askable(target):
                for word in words:
                    yield _say(f"the {word} {noun}", "size", target, weight=weight / len(words))


_Holds = Callable[[Referents, int, int, float], bool]


def _relations(who: Referents) -> Iterator[_Candidate]:
    anchors = [(noun, m[0]) for noun, m in who.nouns.items() if len(m) == 1 and noun != ANYTHING]
    for noun, members in who.nouns.items():
        if noun == ANYTHING:
            continue
        for anchor_noun, a in anchors:
            if a in members:
                continue
            for words, holds in _RELATIONS.items():
                told = [i for i in members if holds(who, i, a, 0.0)]
                if len(told) == 1 and holds(who, told[0], a, 1.0) and who.askable(told[0]):
                    weight = 1.0 if len(members) > 1 else 0.35
                    yield _say(f"the {noun} {words} the {anchor_noun}", "relation", told[0], weight=weight)


def _beside(sign: int) -> _Holds:
    def holds(who: Referents, i: int, a: int, margin: float) -> bool:
        dx, dy = sign * (who.x[i] - who.x[a]), abs(who.y[i] - who.y[a])
        return dx > 0.1 * margin and (not margin or (dx > 1.2 * dy and not _one_in_other(who, i, a)))

    return holds


def _over(sign: int) -> _Holds:
    def holds(who: Referents, i: int, a: int, margin: float) -> bool:
        dx, dy = abs(who.x[i] - who.x[a]), sign * (who.y[i] - who.y[a])
        return dy > 0.1 * margin and (not margin or (dy > 1.2 * dx and not _one_in_other(who, i, a)))

    return holds


def _next_to(who: Referents, i: int, a: int, margin: float) -> bool:
    gap_x = max(who.boxes[i, 0], who.boxes[a, 0]) - min(who.boxes[i, 2], who.boxes[a, 2])
    gap_y = max(who.boxes[i, 1], who.boxes[a, 1]) - min(who.boxes[i, 3], who.boxes[a, 3])
    return max(gap_x, gap_y) < (0.06 if margin else 0.2) and not (margin and _one_in_other(who, i, a))


def _in_front(sign: int) -> _Holds:
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
_RELATIONS = {
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


def _ordinals(who: Referents) -> Iterator[_Candidate]:
    for noun, members in who.nouns.items():
        row = who.left_to_right(members)
        if len(row) < 3 or not who.askable(*row) or np.diff(who.x[row]).min() < 0.06:
            continue
        for k, i in enumerate(row):
            weight = (0.2 if noun == ANYTHING else 1.0) * (1.0 if 0 < k < len(row) - 1 else 0.4)
            yield _say(f"the {ORDINALS[k]} {noun} from the left", "ordinal", i, weight=weight)
            yield _say(f"the {ORDINALS[len(row) - 1 - k]} {noun} from the right", "ordinal", i, weight=weight)


def _groups(who: Referents) -> Iterator[_Candidate]:
    for noun, members in who.nouns.items():
        row = who.left_to_right(members)
        if len(row) < 2 or noun == ANYTHING or is_plural(noun) or not who.askable(*row):
            continue
        several = plural(noun)
        yield _say(f"all the {several}", "group", *row)
        yield _say(f"the {several}", "group", *row, weight=0.4)
        if len(row) < len(NUMBERS):
            yield _say(f"the {NUMBERS[len(row)]} {several}", "group", *row, weight=0.3)
        if len(row) == 2:
            yield _say(f"both {several}", "group", *row, weight=0.3)


def _absent(who: Referents, nouns: Sequence[str], rng: np.random.Generator) -> Iterator[_Candidate]:
    """Things that aren't there: nouns that nobody might be called, and the right kind in a wrong colour."""
    for i in rng.permutation(len(nouns))[:6]:
        noun = nouns[int(i)]
        nobody = not any(_may_be(noun, o.name, o.kind, o.tags) for o in who.objects)
        if nobody and not stems(noun) & OFTEN_BEHIND:
            several = rng.random() < 0.12 and not is_plural(noun)
            yield _say(f"all the {plural(noun)}" if several else f"the {noun}", "none")
    for noun, members in who.nouns.items():
        here = [who.objects[i].colour for i in members]
        if noun != ANYTHING and all(here) and who.askable(members[0]) and not set(noun.split()) & set(COLOURS):
            wrong = [c for c in COLOURS if not any(near(c, h) for h in here if h)]
            if wrong:
                yield _say(f"the {wrong[int(rng.integers(len(wrong)))]} {noun}", "none")

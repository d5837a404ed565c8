"""Expressions that mean exactly one thing (or one group) of a composed picture, and some that mean nothing in it.

Every expression is checked against all visible things, those too small or too hidden to be asked for included: a noun
is used only where whoever might be called so really is. Knows nothing of pixels beyond boxes and areas, nor of turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from perceptiongpt.data.objects import COLOURS
from perceptiongpt.data.scene_compose import LEAST_VISIBLE, SceneObject
from perceptiongpt.data.scene_referents import (
    ANYTHING,
    COLOURED,
    RELATIONS,
    Candidate,
    Expression,
    Referents,
    may_be,
    near,
)
from perceptiongpt.data.words import NUMBERS, ORDINALS, is_countable, plural, stems

KINDS = ("name", "colour", "place", "size", "relation", "ordinal", "group", "none")
# Shares of the draws, not of what comes of them: a picture offers few names and many places. On the shipped library
# they give name 0.40, colour 0.12, place 0.15, relation 0.10, size 0.05, ordinal 0.03, group 0.05, none 0.10.
MIX = {
    "name": 0.50,
    "colour": 0.12,
    "place": 0.085,
    "size": 0.055,
    "relation": 0.09,
    "ordinal": 0.05,
    "group": 0.05,
    "none": 0.055,
}
# The same for sources that teach something apart: things that aren't there, and several of a kind.
MIX_MISSING = {kind: 0.5 * share / (1 - MIX["none"]) for kind, share in MIX.items()} | {"none": 0.5}
MIX_ALIKE = {
    "name": 0.06,
    "colour": 0.20,
    "place": 0.18,
    "size": 0.10,
    "relation": 0.10,
    "ordinal": 0.18,
    "group": 0.15,
    "none": 0.03,
}
LEAST_EXPRESSIONS = 3
# Photographs behind the things may hold these, or the words are too wide; they are never called absent.
OFTEN_BEHIND = frozenset(
    re.findall(
        r"\w+",
        "tree cloud mountain sun moon flower plant grass leaf house building sky sea ocean water beach river lake road"
        " path bridge rock stone field forest light window wall fence snow star stars night sunrise sunset"
        " landscape boat island castle tower city street car bench bush palm wave fog rainbow toy animal"
        " tool machine food thing device fruit vegetable drink insect person people bird fish",
    )
)


def express(
    objects: Sequence[SceneObject],
    size_wh: tuple[int, int],
    absent: Sequence[str],
    rng: np.random.Generator,
    most: int = 8,
    mix: Mapping[str, float] = MIX,
) -> tuple[Expression, ...]:
    """At most `most` expressions of a picture in this mix; `absent`: nouns that may be called missing."""
    who = Referents(objects, size_wh)
    makers = {
        "name": _names,
        "colour": _colours,
        "place": _places,
        "size": _sizes,
        "relation": _relations,
        "ordinal": _ordinals,
        "group": _groups,
    }
    offered = {kind: list(make(who)) for kind, make in makers.items()}
    offered["none"] = list(_absent(who, absent, rng))
    chosen: list[Expression] = []
    shares = np.asarray([mix[k] for k in KINDS])
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


def _say(phrase: str, kind: str, *targets: int, weight: float = 1.0) -> Candidate:
    return Candidate(Expression(phrase, kind, targets), weight)


def _names(who: Referents) -> Iterator[Candidate]:
    for noun, members in who.nouns.items():
        if len(members) == 1 and noun != ANYTHING and who.askable(*members):
            yield _say(f"the {noun}", "name", *members)


def _colours(who: Referents) -> Iterator[Candidate]:
    for noun, members in who.nouns.items():
        if COLOURED & set(noun.split()):
            continue
        colours = [who.objects[i].colour for i in members]
        for i, colour in zip(members, colours, strict=True):
            others = [c for j, c in zip(members, colours, strict=True) if j != i]
            if colour and who.askable(i) and all(c and not near(c, colour) for c in others):
                weight = (0.25 if noun == ANYTHING else 1.0) if others else 0.4
                yield _say(f"the {colour} {noun}", "colour", i, weight=weight)


def _places(who: Referents) -> Iterator[Candidate]:
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


def _corners(who: Referents, noun: str, members: Sequence[int], weight: float) -> Iterator[Candidate]:
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


def _depths(who: Referents, noun: str, members: Sequence[int]) -> Iterator[Candidate]:
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


def _sizes(who: Referents) -> Iterator[Candidate]:
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


def _relations(who: Referents) -> Iterator[Candidate]:
    anchors = [
        (noun, m[0])
        for noun, m in who.nouns.items()
        if len(m) == 1 and noun != ANYTHING and who.objects[m[0]].visible_share >= LEAST_VISIBLE
    ]
    for noun, members in who.nouns.items():
        if noun == ANYTHING:
            continue
        for anchor_noun, a in anchors:
            if a in members:
                continue
            for words, holds in RELATIONS.items():
                told = [i for i in members if holds(who, i, a, 0.0)]
                if len(told) == 1 and holds(who, told[0], a, 1.0) and who.askable(told[0]):
                    weight = 1.0 if len(members) > 1 else 0.35
                    yield _say(f"the {noun} {words} the {anchor_noun}", "relation", told[0], weight=weight)


def _ordinals(who: Referents) -> Iterator[Candidate]:
    for noun, members in who.nouns.items():
        row = who.left_to_right(members)
        if len(row) < 3 or not who.askable(*row) or np.diff(who.x[row]).min() < 0.06:
            continue
        for k, i in enumerate(row):
            weight = (0.2 if noun == ANYTHING else 1.0) * (1.0 if 0 < k < len(row) - 1 else 0.4)
            yield _say(f"the {ORDINALS[k]} {noun} from the left", "ordinal", i, weight=weight)
            yield _say(f"the {ORDINALS[len(row) - 1 - k]} {noun} from the right", "ordinal", i, weight=weight)


def _groups(who: Referents) -> Iterator[Candidate]:
    for noun, members in who.nouns.items():
        row = who.left_to_right(members)
        if len(row) < 2 or noun == ANYTHING or not is_countable(noun) or not who.askable(*row):
            continue
        several = plural(noun)
        yield _say(f"all the {several}", "group", *row)
        yield _say(f"the {several}", "group", *row, weight=0.4)
        if len(row) < len(NUMBERS):
            yield _say(f"the {NUMBERS[len(row)]} {several}", "group", *row, weight=0.3)
        if len(row) == 2:
            yield _say(f"both {several}", "group", *row, weight=0.3)


def _absent(who: Referents, nouns: Sequence[str], rng: np.random.Generator) -> Iterator[Candidate]:
    """Things that aren't there: nouns that nobody might be called, and the right kind in a wrong colour."""
    for i in rng.permutation(len(nouns))[:6]:
        noun = nouns[int(i)]
        nobody = not any(may_be(noun, o.name, o.kind, o.tags) for o in who.objects)
        if nobody and not stems(noun) & OFTEN_BEHIND:
            several = rng.random() < 0.12 and is_countable(noun)
            yield _say(f"all the {plural(noun)}" if several else f"the {noun}", "none")
    for noun, members in who.nouns.items():
        here = [who.objects[i].colour for i in members]
        if noun != ANYTHING and all(here) and who.askable(members[0]) and not COLOURED & set(noun.split()):
            wrong = [c for c in COLOURS if not any(near(c, h) for h in here if h)]
            if wrong:
                yield _say(f"the {wrong[int(rng.integers(len(wrong)))]} {noun}", "none")

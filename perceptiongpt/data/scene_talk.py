"""A composed picture as a dialogue: several questions about it in sequence, so that they share its tokens.

Knows nothing of how the picture came about; all words come from phrases.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from perceptiongpt.core.answer import Region
from perceptiongpt.data import phrases
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.data.scene_compose import SceneObject
from perceptiongpt.data.scene_referents import ANYTHING, COLOURED, Expression, Referents, Scene
from perceptiongpt.data.words import NUMBERS, is_countable, plural, with_article

# Of the questions about a picture; the rest of what a picture cannot offer goes to the others.
TASKS = {
    "region": 0.33,
    "list": 0.33,  # several things in one breath: half the tokens a region, so twice the lessons an hour
    "point": 0.05,
    "grounded": 0.08,
    "caption": 0.02,
    "what": 0.07,
    "describe": 0.03,
    "count": 0.03,
    "colour": 0.03,
    "presence": 0.03,
}
COUNTS_UP_TO = 6

Exchange = tuple[Turn, Turn]


def scene_sample(
    scene: Scene, rng: np.random.Generator, least: int = 3, most: int = 7, nowhere: bool = False
) -> Sample:
    """One sample of `least` to `most` questions and answers about a scene, mostly for regions, none asked twice.

    With `nowhere` what isn't there is answered by a region with an empty mask instead of by words.
    """
    offered = {task: list(exchanges) for task, exchanges in _offers(scene, rng, nowhere).items()}
    wanted = int(rng.integers(least, most + 1))
    turns: list[Turn] = []
    while len(turns) < 2 * wanted and any(offered.values()):
        tasks = [t for t in TASKS if offered[t]]
        weights = np.asarray([TASKS[t] for t in tasks])
        question, answer = offered[tasks[int(rng.choice(len(tasks), p=weights / weights.sum()))]].pop()
        turns += [question, answer]
    return Sample(scene.image, tuple(turns), scene.id, {"expressions": len(scene.expressions)})


def _offers(scene: Scene, rng: np.random.Generator, nowhere: bool) -> dict[str, Iterator[Exchange]]:
    who = Referents(scene.objects, scene.image.size)
    regions = scene_regions(scene)
    askable = [i for i, o in enumerate(scene.objects) if o.askable]
    shuffled = [askable[int(i)] for i in rng.permutation(len(askable))]
    return {
        "region": _find(scene, regions, rng, "region", slice(0, None), nowhere),
        "list": _lists(scene, regions, rng, nowhere),
        "point": _find(scene, regions, rng, "point", slice(0, 1), nowhere),
        "grounded": caption(scene, who, regions, rng, places=True),
        "caption": caption(scene, who, regions, rng, places=False),
        "what": _shown(scene, who, shuffled[:2], rng, "what"),
        "describe": _shown(scene, who, shuffled[2:3] or shuffled[:1], rng, "describe"),
        "count": counts(scene, who, rng, regions, nowhere),
        "colour": colours(scene, who, shuffled, rng, regions),
        "presence": _presence(scene, rng),
    }


def scene_regions(scene: Scene) -> list[Region]:
    """Everything in the picture by name, askable or not."""
    return [Region(box=o.box, mask=o.mask, label=o.name) for o in scene.objects]


def shown(scene: Scene) -> dict[str, Any]:
    """What a sample's `meta` tells of the picture: all its objects as regions by name, and the colour of each."""
    return {"objects": scene_regions(scene), "colours": [o.colour for o in scene.objects]}


def _meant(scene: Scene, regions: Sequence[Region], expression: Expression, nowhere: bool) -> tuple[Region, ...]:
    """The regions of an expression; for what isn't there none, or with `nowhere` one whose mask is empty."""
    if nowhere and not expression.targets:
        return (_nothing(scene),)
    return tuple(regions[i] for i in expression.targets)


def _nothing(scene: Scene) -> Region:
    """A region that is nowhere in the picture."""
    return Region(mask=np.zeros((scene.image.height, scene.image.width), bool))


def _find(
    scene: Scene, regions: Sequence[Region], rng: np.random.Generator, task: str, which: slice, nowhere: bool
) -> Iterator[Exchange]:
    # The last expression is popped first; pointing takes the first, so that nothing is asked twice in one form.
    for expression in scene.expressions[which]:
        phrase = phrases.as_users_say(expression.phrase, rng)
        found = _meant(scene, regions, expression, nowhere)
        answer = phrases.answer_region(phrase, len(found))
        yield Turn("user", phrases.ask(task, rng, phrase=phrase)), Turn("assistant", answer, found)


def _lists(scene: Scene, regions: Sequence[Region], rng: np.random.Generator, nowhere: bool) -> Iterator[Exchange]:
    """All expressions in some order, two to five at a time."""
    order = [scene.expressions[int(i)] for i in rng.permutation(len(scene.expressions))]
    while len(order) >= 2:
        n = int(rng.integers(2, 6))
        chosen, order = order[:n], order[n:]
        meant = [_meant(scene, regions, e, nowhere) for e in chosen]
        said = [(phrases.as_users_say(e.phrase, rng), len(m)) for e, m in zip(chosen, meant, strict=True)]
        question = phrases.ask("list", rng, phrase=phrases.join_list([phrase for phrase, _ in said]))
        found = tuple(r for m in meant for r in m)
        yield Turn("user", question), Turn("assistant", phrases.answer_list(said), found)


def caption(
    scene: Scene, who: Referents, regions: Sequence[Region], rng: np.random.Generator, places: bool
) -> Iterator[Exchange]:
    """Left to right, things of one name together; names without a colour one get theirs now and then."""
    row = who.left_to_right([i for i, o in enumerate(scene.objects) if o.askable])
    together: dict[str, list[int]] = {}
    for i in row:
        together.setdefault(scene.objects[i].name, []).append(i)
    coloured = rng.random() < 0.35
    things, order = [], []
    for name, members in together.items():
        if len(members) == 1:
            things.append((with_article(_coloured(scene.objects[members[0]]) if coloured else name), 1))
        else:
            several = f"{NUMBERS[len(members)]} {plural(name)}" if is_countable(name) else name
            things.append((several, len(members)))
        order += members
    if things:
        found = tuple(regions[i] for i in order) if places else ()
        question = phrases.ask("grounded" if places else "caption", rng)
        yield Turn("user", question), Turn("assistant", phrases.say_caption(things, places), found)


def _shown(
    scene: Scene, who: Referents, indices: Sequence[int], rng: np.random.Generator, task: str
) -> Iterator[Exchange]:
    for i in indices:
        thing = scene.objects[i]
        words = thing.name if task == "what" else f"{_coloured(thing)}{where(who, i)}"
        yield (
            Turn("user", phrases.ask(task, rng), (_pointed_at(thing, rng),)),
            Turn("assistant", phrases.answer_name(words)),
        )


def _pointed_at(thing: SceneObject, rng: np.random.Generator) -> Region:
    """A thing as a user shows it: by a box, a mask, both or a point on it."""
    how = rng.random()
    if how < 0.35:
        return Region(box=thing.box)
    if how < 0.60:
        return Region(mask=thing.mask)
    if how < 0.75:
        return Region(box=thing.box, mask=thing.mask)
    return Region(point=point_on(thing.mask, rng))


def point_on(mask: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """A point (x, y) in the middle of a pixel of the mask, rather in its midst than at its rim."""
    y, x = np.divmod(np.flatnonzero(mask), mask.shape[1])
    tries = rng.integers(len(x), size=6)
    best = tries[np.argmin(np.hypot(x[tries] - x.mean(), y[tries] - y.mean()))]
    return float(x[best]) + 0.5, float(y[best]) + 0.5


def counts(
    scene: Scene, who: Referents, rng: np.random.Generator, regions: Sequence[Region] = (), nowhere: bool = False
) -> Iterator[Exchange]:
    """How many of a noun; with `regions` several are pointed at first, and with `nowhere` one is, too.

    After that one a region is said that is nowhere: there is no second. Of several a renderer knows that they end.
    """
    nouns = [n for n, m in who.nouns.items() if n != ANYTHING and is_countable(n) and who.askable(*m)]
    for k in rng.permutation(len(nouns)):
        noun = nouns[int(k)]
        n = len(who.nouns[noun])
        if n <= COUNTS_UP_TO and (n > 1 or rng.random() < 0.3):
            question = phrases.ask("count", rng, nouns=plural(noun))
            shown = tuple(regions[i] for i in who.left_to_right(who.nouns[noun])) if regions else ()
            if len(shown) == 1:
                shown = (*shown, _nothing(scene)) if nowhere else ()
            answer = phrases.answer_shown(len(shown), phrases.answer_count(n))
            yield Turn("user", question), Turn("assistant", answer, shown)


def colours(
    scene: Scene, who: Referents, indices: Sequence[int], rng: np.random.Generator, regions: Sequence[Region] = ()
) -> Iterator[Exchange]:
    """What colour a thing has; with `regions` it is pointed at first."""
    for i in indices:
        thing = scene.objects[i]
        if thing.colour and who.only(thing.kind) == i and not COLOURED & set(thing.name.split()):
            question = phrases.ask("colour", rng, phrase=f"the {thing.kind}")
            shown = (regions[i],) if regions else ()
            answer = phrases.answer_shown(len(shown), f"{thing.colour.capitalize()}.")
            yield Turn("user", question), Turn("assistant", answer, shown)


def _presence(scene: Scene, rng: np.random.Generator) -> Iterator[Exchange]:
    for k in rng.permutation(len(scene.expressions)):
        expression = scene.expressions[int(k)]
        if expression.kind in ("name", "colour", "none") and not expression.phrase.startswith("all "):
            question = phrases.ask("presence", rng, noun=phrases.bare(expression.phrase))
            yield Turn("user", question), Turn("assistant", phrases.answer_yes(bool(expression.targets)))


def _coloured(thing: SceneObject) -> str:
    plain = not thing.colour or COLOURED & set(thing.name.split())
    return thing.name if plain else f"{thing.colour} {thing.name}"


def where(who: Referents, i: int) -> str:
    x, y = who.x[i], who.y[i]
    across = "left" if x < 0.36 else "right" if x > 0.64 else ""
    down = "top" if y < 0.33 else "bottom" if y > 0.67 else ""
    if across and down:
        return f" in the {down} {across}"
    return f" on the {across}" if across else f" at the {down}" if down else " in the middle"

"""What an answer that looks closer sees: a piece of a composed picture around a thing, in the whole picture's words.

Half of what is asked for is that thing; the rest is something else of the picture, or nothing of it, and is nowhere in
the piece: so a second look learns to find what the first one found, and to tell that it was wrong.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perceptiongpt.core.answer import Region
from perceptiongpt.core.boxes import around
from perceptiongpt.core.masks import mask_to_box
from perceptiongpt.data import phrases
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.data.scene_compose import SceneObject
from perceptiongpt.data.scene_referents import Expression, Scene

TIMES = (1.7, 2.8)  # sides of the thing that a piece is long: what answers take lies between
AWAY = 0.12  # of its side, by which the first look's box may be off, each way
GONE, THERE = 0.05, 0.3  # a thing is not in a piece by so little of its visible pixels, and is by so much
MOST = 4


def closer_sample(scene: Scene, rng: np.random.Generator) -> Sample | None:
    """A piece around a thing that a phrase means, with up to MOST questions; None where no phrase means one thing."""
    single = [e for e in scene.expressions if len(e.targets) == 1]
    if not single:
        return None
    middle = single[int(rng.integers(len(single)))].targets[0]
    box = scene.objects[middle].box
    side = max(box[2] - box[0], box[3] - box[1])
    dx, dy = rng.uniform(-AWAY, AWAY, 2) * side
    piece = around((box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy), scene.image.size, float(rng.uniform(*TIMES)))
    kept = [cut(thing, piece) for thing in scene.objects]
    shares = [np.count_nonzero(k.mask) / np.count_nonzero(o.mask) for k, o in zip(kept, scene.objects, strict=True)]
    if shares[middle] < THERE:
        return None
    here = [e for e in single if e.targets[0] == middle]
    elsewhere = [e for e in scene.expressions if len(e.targets) < 2 and all(shares[i] < GONE for i in e.targets)]
    asked = [(e, kept[middle]) for e in _some(here, rng)] + [(e, None) for e in _some(elsewhere, rng)]
    turns: list[Turn] = []
    for i in rng.permutation(len(asked)):
        expression, thing = asked[int(i)]
        turns += _exchange(expression, thing, (piece[2] - piece[0], piece[3] - piece[1]), rng)
    seen = [(k, s) for k, s in zip(kept, shares, strict=True) if s >= THERE]
    objects = [Region(box=k.box, mask=k.mask, label=k.name) for k, _ in seen]
    meta = {"objects": objects, "colours": [k.colour for k, _ in seen]}
    return Sample(scene.image.crop(piece), tuple(turns), scene.id, meta)


def cut(thing: SceneObject, piece: tuple[int, int, int, int]) -> SceneObject:
    """What of a thing lies in a piece of its picture, in the piece's pixels; its box is kept where nothing does."""
    mask = np.ascontiguousarray(thing.mask[piece[1] : piece[3], piece[0] : piece[2]])
    return replace(thing, mask=mask, box=mask_to_box(mask) or thing.box)


def _some(found: list[Expression], rng: np.random.Generator) -> list[Expression]:
    return [found[int(i)] for i in rng.permutation(len(found))[: MOST // 2]]


def _exchange(
    expression: Expression, thing: SceneObject | None, size_wh: tuple[int, int], rng: np.random.Generator
) -> tuple[Turn, Turn]:
    phrase = phrases.as_users_say(expression.phrase, rng)
    nothing = Region(mask=np.zeros(size_wh[::-1], bool))
    region = nothing if thing is None else Region(box=thing.box, mask=thing.mask, label=thing.name)
    question = phrases.ask("region", rng, phrase=phrase)
    return Turn("user", question), Turn("assistant", phrases.answer_region(phrase, 1), (region,))

"""Who appears in a composed picture: the cast of a split, and groups of actors drawn from it.

Knows nothing of where they stand (scene_compose.py) nor of pixels.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from perceptiongpt.data.objects import Background, LibraryObject, ObjectLibrary, Split

PLAIN = 0.6  # how often a kind that has drawings, too, is shown without them: held-out things are none


@dataclass(frozen=True, eq=False)
class Cast:
    """Who may appear in the pictures of a split: targets by kind, others that only fill the picture, backgrounds."""

    targets: dict[str, list[LibraryObject]]
    others: dict[str, list[LibraryObject]]
    backgrounds: tuple[Background, ...]
    pitches: tuple[float, ...]
    nouns: tuple[str, ...]


@dataclass(frozen=True)
class Actor:
    """A thing with the view that is shown; `grounded`: it stands on the ground plane; `target`: it may be asked for."""

    thing: LibraryObject
    view: int
    grounded: bool
    target: bool


@lru_cache(maxsize=16)
def cast_of(library: ObjectLibrary, split: Split) -> Cast:
    """The cast of a split; in "novel" the targets are novel objects among those and the backgrounds of "test"."""
    objects = library.objects(split)
    fill = library.objects("test") if split == "novel" else objects
    backgrounds = library.backgrounds("test" if split == "novel" else split)
    if not objects or not backgrounds:
        raise ValueError(
            f"the library in {library.folder} has {len(objects)} objects and {len(backgrounds)} backgrounds for "
            f"{split!r}; wanted at least one of each"
        )
    pitches = sorted({whole_degrees(v.pitch) for o in objects if o.three_d for v in o.views if v.pitch is not None})
    nouns = sorted({n for o in objects for n in (o.name, o.kind)})
    return Cast(_by_kind(objects), _by_kind(fill), backgrounds, tuple(pitches), tuple(nouns))


def _by_kind(objects: tuple[LibraryObject, ...]) -> dict[str, list[LibraryObject]]:
    kinds: dict[str, list[LibraryObject]] = defaultdict(list)
    for thing in objects:
        kinds[thing.kind].append(thing)
    return dict(kinds)


def whole_degrees(pitch: float) -> float:
    return float(round(pitch))


def choose(
    cast: Cast, pitch: float | None, rng: np.random.Generator, n: int, novel: bool, alike: int = 0
) -> list[Actor]:
    """n actors in groups of one kind each: often twins or triplets, so that colour, place and ordinals matter.

    `alike`: so many of the first kind, one of every other.
    """
    how = rng.random()
    mode = "flat" if pitch is None else "ground" if how < 0.4 else "mixed" if how < 0.6 else "flat"
    shape = rng.random()
    if alike:
        groups = [alike] + [1] * (n - alike)
    elif n >= 4 and shape < 0.08:
        groups = [2, 2] + [1] * (n - 4)
    elif n >= 3 and shape < 0.25:
        groups = [int(rng.integers(3, min(n, 5) + 1))]
        groups += [1] * (n - groups[0])
    elif n >= 2 and shape < 0.55:
        groups = [2] + [1] * (n - 2)
    else:
        groups = [1] * n
    actors: list[Actor] = []
    taken: set[str] = set()
    for g, size in enumerate(groups):
        pool = cast.targets if not novel or g == 0 or rng.random() < 0.3 else cast.others
        grounded = mode == "ground" or (mode == "mixed" and rng.random() < 0.5)
        found = _kinds(pool, pitch if grounded else None, taken)
        if not found:
            grounded = not grounded and pitch is not None
            found = _kinds(pool, pitch if grounded else None, taken)
        if not found:
            continue
        weights = np.sqrt([sum(not t.drawing for t in v) or 1 for _, v in found])
        kind, things = found[int(rng.choice(len(found), p=weights / weights.sum()))]
        taken.add(kind)
        plain = [t for t in things if not t.drawing]
        if 0 < len(plain) < len(things) and rng.random() < PLAIN:
            things = plain
        if rng.random() < 0.3:
            things = [things[int(rng.integers(len(things)))]]  # the very same thing several times
        picks = rng.permutation(len(things))[:size] if len(things) >= size else rng.integers(len(things), size=size)
        for pick in picks:
            thing = things[int(pick)]
            views = [i for i, v in enumerate(thing.views) if not grounded or whole_degrees(v.pitch or 0.0) == pitch]
            view = views[int(rng.integers(len(views)))]
            actors.append(Actor(thing, view, grounded, not novel or thing.split == "novel"))
    return actors


def _kinds(
    pool: dict[str, list[LibraryObject]], pitch: float | None, taken: set[str]
) -> list[tuple[str, list[LibraryObject]]]:
    """The kinds not yet taken with their things fit to stand on the ground seen at `pitch` (None: to be pasted)."""
    found = []
    for kind, things in pool.items():
        if kind not in taken:
            if pitch is None:
                fit = [t for t in things if not t.three_d]
            else:
                fit = [t for t in things if t.three_d and any(whole_degrees(v.pitch or 0.0) == pitch for v in t.views)]
            if fit:
                found.append((kind, fit))
    return found

"""Questions about composed pictures whose answers are a word or two: what asking (LMEye) is trained and tested on.

Kinds: count, colour, place, relation, presence (yes or no), here (what is at a place), detail (colour or name of a
small thing). Knows what is true of a scene; nothing of tokens or models.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from perceptiongpt.core.answer import Region
from perceptiongpt.data import phrases
from perceptiongpt.data.objects import ObjectLibrary, Split
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.data.scene_cast import cast_of
from perceptiongpt.data.scene_referents import ANYTHING, RELATIONS, Referents, Scene, may_be
from perceptiongpt.data.scene_talk import Exchange, caption, colours, counts, scene_regions, shown, where
from perceptiongpt.data.scenes import make_scene
from perceptiongpt.data.words import is_countable, is_plural, with_article

KINDS = ("count", "colour", "place", "relation", "presence", "here", "detail")
SMALL = 0.03  # of the picture: a thing that covers less is a detail
JPEG_QUALITY = 90
_AGAIN = 10_000_000  # a picture of which nothing can be asked is made again from another index
# Relations with their opposites: "is a left of b" is yes or no, never "hardly".
_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@dataclass(frozen=True)
class QuestionStream:
    """n samples of a split, made when asked for: a picture, up to `most` questions of `kinds`, or its caption.

    `meta["kinds"]` tells the kind of each question. `pointing`: what counts, colours, places and things in a place are
    about is pointed at before it is told. The same library, split, seed and index give the same sample.
    """

    split: Split
    seed: int
    n: int
    library: ObjectLibrary
    most: int = 4
    kinds: tuple[str, ...] = KINDS
    captions: bool = False
    pointing: bool = False

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Sample:
        if not -self.n <= i < self.n:
            raise IndexError(f"sample {i} came; there are {self.n}")
        for again in range(100):
            scene = make_scene(self.library, self.split, self.seed, i % self.n + again * _AGAIN)
            rng = np.random.default_rng([self.seed, i % self.n, again, 2])
            offered = captioned(scene, rng) if self.captions else self._questions(scene, rng)
            asked = _some(offered, self.kinds if not self.captions else ("caption",), self.most, rng)
            if asked:
                turns = tuple(t for _, exchange in asked for t in exchange)
                meta = {"kinds": [kind for kind, _ in asked], **(shown(scene) if self.pointing else {})}
                return Sample(_jpeg(scene.image), turns, scene.id, meta)
        raise ValueError(f"no picture of split {self.split!r} offers a question of {', '.join(self.kinds)}")

    def _questions(self, scene: Scene, rng: np.random.Generator) -> dict[str, list[Exchange]]:
        return questions(scene, self.library, self.split, rng, scene_regions(scene) if self.pointing else ())

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(self.n))


def questions(
    scene: Scene, library: ObjectLibrary, split: Split, rng: np.random.Generator, regions: Sequence[Region] = ()
) -> dict[str, list[Exchange]]:
    """All questions that may be asked of a scene, by kind, each with the one right answer; with the `regions` of its
    objects they are pointed at first, see `QuestionStream`."""
    who = Referents(scene.objects, scene.image.size)
    named = _named(scene, who)
    size = scene.image.width * scene.image.height
    small = [i for i in named if who.area[i] < SMALL * size]
    large = [i for i in named if i not in small]
    return {
        "count": list(counts(scene, who, rng, regions, nowhere=True)),
        "colour": list(colours(scene, who, large, rng, regions)),
        "place": [
            _said(f"Where in the picture {_be(named[i])} the {named[i]}?", where(who, i), regions[i : i + 1])
            for i in named
        ],
        "relation": list(_relations(who, named, rng)),
        "presence": list(_presence(scene, who, named, cast_of(library, split).nouns, rng)),
        "here": [e for i in large for e in _here(who, i, regions)],
        "detail": [*colours(scene, who, small, rng, regions), *(e for i in small for e in _here(who, i, regions))],
    }


def captioned(scene: Scene, rng: np.random.Generator) -> dict[str, list[Exchange]]:
    """The scene's caption in words alone."""
    return {"caption": list(caption(scene, Referents(scene.objects, scene.image.size), (), rng, places=False))}


def _named(scene: Scene, who: Referents) -> dict[int, str]:
    """Things that may be asked for and have a noun of their own."""
    nouns = {i: n for n in who.nouns if (i := who.only(n)) is not None and not is_plural(n)}
    return {i: n for i, n in sorted(nouns.items()) if scene.objects[i].askable}


def _relations(who: Referents, named: dict[int, str], rng: np.random.Generator) -> Iterator[Exchange]:
    pairs = [(i, a) for i in named for a in named if i != a]
    for k in rng.permutation(len(pairs)):
        i, a = pairs[int(k)]
        for words, opposite in _OPPOSITE.items():
            if RELATIONS[words](who, i, a, 1.0):
                yes = rng.random() < 0.5
                question = f"Is the {named[i]} {words if yes else opposite} the {named[a]}?"
                yield Turn("user", question), Turn("assistant", phrases.answer_yes(yes))


def _presence(
    scene: Scene, who: Referents, named: dict[int, str], nouns: tuple[str, ...], rng: np.random.Generator
) -> Iterator[Exchange]:
    """As many yes as no: each thing that is there beside one that is not."""
    for noun in named.values():
        for k in rng.integers(len(nouns), size=20):
            other = nouns[int(k)]
            clear = is_countable(other) and not is_plural(other) and other not in who.nouns and other != ANYTHING
            if clear and not any(may_be(other, o.name, o.kind, o.tags) for o in scene.objects):
                yield from (_yes_no(noun, True), _yes_no(other, False))
                break


def _yes_no(noun: str, yes: bool) -> Exchange:
    return Turn("user", f"Is there {with_article(noun)}?"), Turn("assistant", phrases.answer_yes(yes))


def _here(who: Referents, i: int, regions: Sequence[Region]) -> list[Exchange]:
    """What is at a place, where one thing alone is: something in the top left is on the left, too."""
    place = where(who, i)
    alone = not any(set(place.split()[3:]) <= set(where(who, k).split()) for k in range(len(who.objects)) if k != i)
    return [_said(f"What is{place} of the picture?", who.objects[i].kind, regions[i : i + 1])] if alone else []


def _said(question: str, answer: str, shown: Sequence[Region] = ()) -> Exchange:
    words = answer.strip()
    told = phrases.answer_shown(len(shown), f"{words[:1].upper()}{words[1:]}.")
    return Turn("user", question), Turn("assistant", told, tuple(shown))


def _be(noun: str) -> str:
    return "are" if is_plural(noun) else "is"


def _some(
    offered: dict[str, list[Exchange]], kinds: tuple[str, ...], most: int, rng: np.random.Generator
) -> list[tuple[str, Exchange]]:
    """Up to `most` questions, the kinds taken in turn so that rare ones are not drowned."""
    offered = {k: [offered[k][int(i)] for i in rng.permutation(len(offered[k]))] for k in kinds}
    asked: list[tuple[str, Exchange]] = []
    while len(asked) < most and any(offered[k] for k in kinds):
        for k in rng.permutation(len(kinds)):
            if offered[kinds[int(k)]] and len(asked) < most:
                asked.append((kinds[int(k)], offered[kinds[int(k)]].pop()))
    return asked


def _jpeg(image: Image.Image) -> bytes:
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=JPEG_QUALITY)
    return packed.getvalue()

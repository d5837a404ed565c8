"""Records as dialogues: which of what is known about a picture is asked for, in which words; the same for every format.

Knows the tasks: find a class or an expression (boxes and masks where they are known), what isn't there, describe a
shown region, caption with and without regions, talk as it stands. Knows nothing of files.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np

from perceptiongpt.core.answer import Region
from perceptiongpt.data import phrases
from perceptiongpt.data.files import words
from perceptiongpt.data.record import Record
from perceptiongpt.data.sample import PLACE, Sample, Turn
from perceptiongpt.data.words import plural

MOST_OF_A_CLASS = 4  # "all the people" of a crowd teach little and cost a token each
SMALLEST_SHARE = 0.004  # of the picture: less cannot be seen at the model's size
VARIANTS = 16  # dialogues a picture
VAL_PERCENT = 15
MOST_ASKED = 5  # in one dialogue
TRIES = 100

Part = Literal["train", "val", "all"]
Asked = tuple[str, list[Region]]  # a phrase and what it means


class Dialogues:
    """Records as a source: item i is one of the ways to ask about a picture; talk stays as it stands.

    `part`: "train" or "val" by a hash of the picture's key (15 % val), or "all". A record of which nothing can be asked
    gives way to the next one.
    """

    def __init__(self, records: Sequence[Record], seed: int = 0, part: Part = "all") -> None:
        if part not in ("train", "val", "all"):
            raise ValueError(f"part {part!r} came; wanted train, val or all")
        self.records = [r for r in records if part == "all" or (part == "val") == is_val(r.key)]
        self.seed = seed
        self.variants = 1 if all(r.talk for r in self.records) else VARIANTS
        self.names = sorted({thing.name for r in self.records for thing in r.things if thing.name})

    def __len__(self) -> int:
        return len(self.records) * self.variants

    def __getitem__(self, i: int) -> Sample:
        if not 0 <= i < len(self):
            raise IndexError(f"sample {i} came; there are {len(self)}")
        variant, first = divmod(i, len(self.records))
        for step in range(min(TRIES, len(self.records))):
            record = self.records[(first + step) % len(self.records)]
            try:
                sample = dialogue_of(record, self.seed, variant)
            except ValueError as error:
                raise ValueError(f"{record.where}: {error}") from error
            if sample is not None:
                return sample
        raise ValueError(f"{self.records[first].where}: neither this nor the records after it hold anything to ask")


def is_val(key: str) -> bool:
    """Whether a picture belongs to the val part: the same for everyone, whatever else is in the file."""
    return zlib.crc32(key.encode()) % 100 < VAL_PERCENT


def dialogue_of(record: Record, seed: int, variant: int) -> Sample | None:
    """One of the ways to ask about a record, the same for the same seed and number."""
    return dialogue(record, np.random.default_rng((seed, zlib.crc32(record.key.encode()), variant)))


def dialogue(record: Record, rng: np.random.Generator) -> Sample | None:
    """Up to five questions about a record with their answers; None where nothing can be asked."""
    size_wh = record.size() if record.things else (0, 0)
    regions = [thing.region(size_wh) for thing in record.things]
    objects = {"objects": [r for r, t in zip(regions, record.things, strict=True) if r and t.name and not t.crowd]}
    if record.talk:
        talk = [Turn(role, text, _all(regions, places) or ()) for role, text, places in record.talk]  # type: ignore[arg-type]
        return Sample(record.image, tuple(talk), record.key, where=record.where)
    asked = [*_classes(record, regions, rng), *_expressions(record, regions)]
    more = [*_descriptions(record, regions, rng), *_captions(record, regions, rng)]
    if not asked and not more:
        return None
    order = [int(i) for i in rng.permutation(len(asked) + len(more))[:MOST_ASKED]]
    said = [(phrases.as_users_say(phrase, rng), found) for phrase, found in (asked[i] for i in order if i < len(asked))]
    turns: list[Turn] = []
    if len(said) > 1 and rng.random() < 0.5:
        question = phrases.ask("list", rng, phrase=phrases.join_list([phrase for phrase, _ in said]))
        answer = phrases.answer_list([(phrase, len(found)) for phrase, found in said])
        turns += [Turn("user", question), Turn("assistant", answer, tuple(r for _, found in said for r in found))]
    else:
        for phrase, found in said:
            turns.append(Turn("user", phrases.ask("region", rng, phrase=phrase)))
            turns.append(Turn("assistant", phrases.answer_region(phrase, len(found)), tuple(found)))
    for i in order:
        if i >= len(asked):
            turns.extend(more[i - len(asked)])
    return Sample(record.image, tuple(turns), record.key, objects, record.where)


def _all(regions: Sequence[Region | None], places: Sequence[int]) -> tuple[Region, ...] | None:
    """The regions of some things; None where one of them can't be used."""
    found = [regions[i] for i in places]
    return None if None in found else tuple(r for r in found if r is not None)


def visible(region: Region, size_wh: tuple[int, int]) -> bool:
    """Whether a region is large enough in its picture to be seen by a model."""
    if region.box is None:
        return region.mask is None or region.mask.mean() >= SMALLEST_SHARE
    x0, y0, x1, y1 = region.box
    return (x1 - x0) * (y1 - y0) >= SMALLEST_SHARE * size_wh[0] * size_wh[1]


def _classes(record: Record, regions: Sequence[Region | None], rng: np.random.Generator) -> list[Asked]:
    """The classes of which everything that is there can be shown, and perhaps one that isn't there."""
    by_name: dict[str, list[Region | None]] = defaultdict(list)
    crowded = set(record.partly)
    for thing, region in zip(record.things, regions, strict=True):
        if thing.name and thing.crowd:
            crowded.add(thing.name)
        elif thing.name and record.known:
            by_name[thing.name].append(region)
    asked: list[Asked] = []
    for name, found in by_name.items():
        seen = [r for r in found if r is not None and visible(r, record.size())]
        if len(seen) < len(found) or len(seen) > MOST_OF_A_CLASS or name in crowded:
            continue
        phrase = f"the {name}" if len(seen) == 1 else f"all the {plural(name)}"
        asked.append((phrase, sorted(seen, key=lambda r: r.box[0] if r.box else 0.0)))
    absent = [n for n in record.known if n not in by_name and n not in crowded]
    if absent and (not asked or rng.random() < 0.6):
        asked.append((f"the {absent[int(rng.integers(len(absent)))]}", []))
    return asked


def _expressions(record: Record, regions: Sequence[Region | None]) -> list[Asked]:
    found = ((words(phrase), _all(regions, places)) for phrase, places in record.phrases)
    return [(phrase.rstrip(" ."), list(rs)) for phrase, rs in found if rs is not None and phrase.rstrip(" .")]


def _descriptions(
    record: Record, regions: Sequence[Region | None], rng: np.random.Generator
) -> list[tuple[Turn, Turn]]:
    """One or two shown regions with what is said of them: a description, or the name of the class."""
    told = [(i, "describe", phrases.answer_told(words(text))) for i, text in record.told if words(text)]
    told += [(p[0], "describe", phrases.answer_told(words(t))) for t, p in record.phrases if len(p) == 1 and words(t)]
    if not told:
        told = [(i, "what", phrases.answer_name(t.name)) for i, t in enumerate(record.things) if t.name and not t.crowd]
    turns = []
    for i in rng.permutation(len(told))[: 2 if record.told else 1]:
        thing, task, answer = told[int(i)]
        region = regions[thing]
        if region is not None and visible(region, record.size()):
            turns.append((Turn("user", phrases.ask(task, rng), (region,)), Turn("assistant", answer)))
    return turns


def _captions(record: Record, regions: Sequence[Region | None], rng: np.random.Generator) -> list[tuple[Turn, Turn]]:
    if not any(text for text, _ in record.captions):
        return []
    text, places = record.captions[int(rng.integers(len(record.captions)))]
    found = _all(regions, places)
    if not places or found is None or rng.random() < 0.3:
        return [
            (Turn("user", phrases.ask("caption", rng)), Turn("assistant", phrases.answer_told(PLACE.sub("", text))))
        ]
    return [(Turn("user", phrases.ask("grounded", rng)), Turn("assistant", text[:1].upper() + text[1:], found))]

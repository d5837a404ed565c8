"""What is asked of a model and what is true: pictures with phrases and the regions they mean, from several sources.

Knows the sources of data; what wants an answer in words is made in data/worded.py. Knows no models and judges nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import Any

from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import encode_rle
from perceptiongpt.core.packed import Packed, pack, packed_of
from perceptiongpt.data import flickr, worded
from perceptiongpt.data.dialogues import visible
from perceptiongpt.data.files import reading
from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.data.photographed import PHOTOGRAPHS
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.question import Asked, Question
from perceptiongpt.data.record import Record
from perceptiongpt.data.scene_questions import KINDS
from perceptiongpt.data.scene_referents import ANYTHING, Referents
from perceptiongpt.data.scenes import Scenes, make_scene, read_expressions
from perceptiongpt.data.words import is_countable, is_plural, plural
from perceptiongpt.sources import FORMATS, named_records, parted

__all__ = ["Asked", "Question", "questions_of"]
DEFAULT_SEED = 1
LARGEST_GROUP = 8
ABSENT = 1  # classes asked of each photograph that it does not hold
_SKIP = 10_000_000  # as data.scenes does: a picture of which nothing may be asked is made again from another index


def questions_of(
    data: str, seed: int | None = None, library: ObjectLibrary | None = None
) -> tuple[Iterator[Asked], str]:
    """The questions that `data` names, and the protocol's words for it.

    "scenes:SPLIT", "groups:SPLIT" (all of a kind, 1 to 8), "questions:SPLIT" and "captions:SPLIT", with ":SEED" or
    without, make pictures without end (seed 1 unless told); "questions:SPLIT:SEED:KINDS" asks only those, such as
    count+colour. "photos:val", "photos:test" and "photos:novel" are the photographs that ship. "FORMAT:PATH:PART" asks
    for every class that a photograph holds and one that it doesn't, and for its expressions; of "flickr30k" for each
    phrase of its captions. "describe:FORMAT:PATH:PART" shows regions; "vqa:FORMAT:FILE[:PART]" asks in words. Else a
    folder that `data scenes` wrote. Raises ValueError or FileNotFoundError.
    """
    kind, _, rest = data.partition(":")
    if kind in ("scenes", "groups", "questions", "captions"):
        split, _, told = rest.partition(":")
        told, _, kinds = told.partition(":")
        if kinds and (kind != "questions" or not set(kinds.split("+")) <= set(KINDS)):
            raise ValueError(f"{kinds!r} in {data!r} are no kinds of question; write some of {'+'.join(KINDS)}")
        if told and not told.isdecimal():
            raise ValueError(f"{told!r} in {data!r} is no seed; write {kind}:test:1, for example")
        chosen = int(told) if told else DEFAULT_SEED if seed is None else seed
        opened = library or ObjectLibrary.open()
        opened.objects(split)  # type: ignore[arg-type]  # refuses a split that does not exist
        words = f"{kind}:{split} seed {chosen}" + f" {kinds}" * bool(kinds)
        if kind in ("scenes", "groups"):
            return (scene_questions if kind == "scenes" else group_questions)(opened, split, chosen), words
        some = tuple(kinds.split("+")) if kinds else KINDS
        return worded.scene_questions(opened, split, chosen, kind == "captions", some), words
    if kind == "photos":
        file = PHOTOGRAPHS / f"{rest}.jsonl"
        if rest == "train" or not rest.isalpha() or not file.is_file():  # what is trained on is not asked
            raise ValueError(f"{data!r} names no photographs; give photos:val, photos:test or photos:novel")
        return expression_questions(file), data
    if kind == "vqa":
        return iter(worded.vqa_questions(rest)), "vqa:" + ":".join(Path(part).name for part in rest.split(":"))
    if (Path(data) / "expressions.jsonl").is_file():
        return expression_questions(Scenes(data).asked), Path(data).name
    if kind == "describe":
        records, words = named_records(rest)
        return worded.region_questions(records), f"describe:{words}"
    if kind not in FORMATS and not Path(data.rpartition(":")[0]).exists():
        raise FileNotFoundError(
            f"{data} names no data; give scenes:SPLIT, FORMAT:PATH:PART, vqa:FORMAT:FILE or a folder that "
            "`perceptiongpt data scenes` wrote"
        )
    if kind == "flickr30k":
        _, path, split = parted(data)
        return phrase_questions(Path(path), split or "test"), f"flickr30k:{split or 'test'}"
    records, words = named_records(data)
    return record_questions(list(records)), words


def scene_questions(library: ObjectLibrary, split: Any, seed: int) -> Iterator[Asked]:
    """Composed pictures with their expressions, made when asked for, without end."""
    index = 0
    while True:
        scenes = (make_scene(library, split, seed, index + again * _SKIP) for again in range(100))
        scene = next((s for s in scenes if s.expressions), None)
        if scene is None:
            raise ValueError(f"no picture of split {split!r} offers a question; the library is too small")
        things = [Packed(o.box, encode_rle(o.mask), label=o.kind) for o in scene.objects]
        kinds = Counter(o.kind for o in scene.objects)
        yield Asked(
            scene.image,
            tuple(
                Question(
                    f"{split}-{seed}-{index:06d}-{k}",
                    e.phrase,
                    e.kind,
                    tuple(things[i] for i in e.targets),
                    scene.image.size,
                    *_company([things[i] for i in e.targets], kinds),
                )
                for k, e in enumerate(scene.expressions)
            ),
        )
        index += 1


def group_questions(library: ObjectLibrary, split: Any, seed: int) -> Iterator[Asked]:
    """One question a composed picture for all of a kind, of which it holds 1, 2 … 8 in turn, made without end."""
    for index in count():
        alike = 1 + index % LARGEST_GROUP
        for again in range(100):
            there = (alike, alike + 2)
            scene = make_scene(library, split, seed, index + again * _SKIP, there, most=0, alike=alike)
            who = Referents(scene.objects, scene.image.size)
            fit = [n for n, m in who.nouns.items() if len(m) == alike and n != ANYTHING and who.askable(*m)]
            noun = next((n for n in fit if is_countable(n) and not is_plural(n)), None)
            if noun is not None:
                break
        else:
            raise ValueError(f"no picture of split {split!r} holds {alike} things of a kind; the library is too small")
        phrase = f"the {noun}" if alike == 1 else f"all the {plural(noun)}"
        meant = [scene.objects[i] for i in who.left_to_right(who.nouns[noun])]
        targets = tuple(Packed(o.box, encode_rle(o.mask), label=o.kind) for o in meant)
        name = f"groups-{split}-{seed}-{index:06d}-0"
        yield Asked(scene.image, (Question(name, phrase, "group", targets, scene.image.size, noun, 0),))


def expression_questions(file: Path) -> Iterator[Asked]:
    """The expressions in a file that `data scenes` wrote (or like it), those of one picture together."""
    for image, rows in groupby(read_expressions(file), key=lambda row: row["image"]):
        found = []
        size = open_picture(image).size
        for row in rows:
            with reading(file, "a folder that `data scenes` wrote"):
                regions = zip(row["boxes"], row["masks"], strict=True)
                targets = tuple(packed_of({"box": box, "mask": rle}) for box, rle in regions)
            found.append(Question(row["id"], row["phrase"], row["kind"], targets, size))
        yield Asked(image, tuple(found))


def record_questions(records: Iterable[Record]) -> Iterator[Asked]:
    """Classes by name, where all of one are known: one instance is referred to, several are all asked for, absent ones
    too. And every expression with what it means."""
    counts: Counter[str] = Counter()
    for number, record in enumerate(records):
        if record.image is None:
            continue
        size = record.size()
        regions = [None if thing.crowd else thing.region(size) for thing in record.things]
        found = [*_classes(record, regions, number)] if record.known else []
        for phrase, places in record.phrases:
            kind = "phrase" if len(places) == 1 else "group" if places else "none"
            meant = [regions[i] for i in places]
            if all(meant):
                targets = tuple(pack(r) for r in meant if r is not None)
                id = f"{record.key}-{counts[record.key]}"
                found.append(Question(id, phrase, kind, targets, size, _company(targets, Counter())[0]))
            counts[record.key] += 1
        yield Asked(record.image, tuple(found))


def _classes(record: Record, regions: Sequence[Region | None], number: int) -> Iterator[Question]:
    size = record.size()
    by_class: dict[str, list[Region | None]] = {}
    for thing, region in zip(record.things, regions, strict=True):
        by_class.setdefault(thing.name or "", []).append(region)
    for name, found in sorted(by_class.items()):
        # A crowd is one annotation for many, and what is too small to be seen has no truth either.
        seen = [r for r in found if r is not None and visible(r, size)]
        if name and len(seen) == len(found) and name not in record.partly:
            kind = "class" if len(seen) > 1 else "name"
            phrase = f"all the {plural(name)}" if kind == "class" else f"the {name}"
            targets = tuple(pack(r) for r in seen)
            yield Question(f"{record.key}-{name}", phrase, kind, targets, size, name, 0)
    absent = [name for name in record.known if name not in by_class and name not in record.partly]
    start = 7 * number  # another class for each picture, the same for everyone
    for turn in range(min(ABSENT, len(absent))):
        name = absent[(start + turn) % len(absent)]
        yield Question(f"{record.key}-{name}", f"the {name}", "none", (), size, name)


def phrase_questions(path: Path, split: str) -> Iterator[Asked]:
    """Flickr30k Entities: each phrase of each caption that has boxes, with all of them."""
    for record, captions in flickr.read_phrases(path, split):
        size = record.size()
        found: list[Question] = []
        for phrase, kind, places in (p for caption in captions for p in caption):
            targets = tuple(pack(r) for r in (record.things[i].region(size) for i in places) if r is not None)
            if targets:
                id = f"{record.key}-{len(found)}"
                found.append(Question(id, phrase, kind, targets, size, judge="phrases"))
        yield Asked(record.image, tuple(found))  # type: ignore[arg-type]  # its pictures are files


def _company(targets: Sequence[Packed], kinds: Counter[str]) -> tuple[str | None, int | None]:
    """The category that all targets share, and how many things of it are not meant."""
    names = {t.label for t in targets}
    if len(names) != 1:
        return None, None
    name = names.pop() or ""
    return name, kinds[name] - len(targets)

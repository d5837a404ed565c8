"""Questions of a test that want words: about composed pictures, in other data sets' files, and of shown regions.

Knows which judge belongs to which data set. Knows no models and judges nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from perceptiongpt.core.packed import pack
from perceptiongpt.data import phrases
from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.data.question import Asked, Question
from perceptiongpt.data.record import Record
from perceptiongpt.data.sample import Sample
from perceptiongpt.data.scene_questions import KINDS, QuestionStream
from perceptiongpt.data.vqa import LETTERS, PARTS, READERS, listed, read_vqa

JUDGES = {**dict.fromkeys(READERS, "vqa"), "pope": "pope", "mmbench": "choice", "seedbench": "choice"}
WITHOUT_SIZE = (0, 0)  # of a picture whose size no judge wants


def scene_questions(
    library: ObjectLibrary, split: Any, seed: int, captions: bool, kinds: tuple[str, ...] = KINDS
) -> Iterator[Asked]:
    """Composed pictures with questions of `kinds`, or with their caption, made when asked for, without end."""
    for index in count():
        sample = QuestionStream(split, seed, index + 1, library, kinds=kinds, captions=captions)[index]
        picture, turns = f"{split}-{seed}-{index:06d}", sample.turns
        judge = "captions" if captions else "vqa"
        yield Asked(
            sample.image,  # type: ignore[arg-type]  # composed pictures are there
            tuple(
                Question(f"{picture}-{k}", said.text, kind, (), WITHOUT_SIZE, judge=judge, answers=(answer.text,))
                for k, (kind, said, answer) in enumerate(
                    zip(sample.meta["kinds"], turns[::2], turns[1::2], strict=True)
                )
            ),
        )


def vqa_questions(told: str) -> list[Asked]:
    """Those of "FORMAT:FILE[:PART]", by picture; what people gave no answer to is left out. ValueError for none."""
    form, _, rest = told.partition(":")
    file, _, part = rest.rpartition(":")
    if part not in PARTS:
        file, part = rest, "all"
    if form == "llava":
        raise ValueError("llava's dialogues have no answers that alone are right; evaluate on another format")
    by_picture: dict[str, list[Sample]] = defaultdict(list)
    for sample in read_vqa(form, file, part):
        if sample.meta["answers"]:
            by_picture[sample.meta["picture"]].append(sample)
    if not by_picture:
        raise ValueError(f"{file} holds no answers, so nothing can be judged; give a part whose answers are public")
    return [
        Asked(samples[0].image, tuple(q for s in samples for q in _asked(form, s)))  # type: ignore[arg-type]
        for samples in by_picture.values()
    ]


def _asked(form: str, sample: Sample) -> Iterator[Question]:
    """A question; of MMBench one for each rotation of the options, as CircularEval wants."""
    meta, judge = sample.meta, JUDGES[form]
    fixed: dict[str, Any] = {"judge": judge, "picture": meta["picture"]}
    if judge != "choice":
        said = Question(sample.id, sample.turns[0].text, meta["kind"], (), WITHOUT_SIZE, **fixed)
        yield Question(**{**vars(said), "answers": tuple(meta["answers"])})
        return
    choices, right = meta["choices"], LETTERS.index(meta["answers"][0])
    turns = range(len(choices)) if form == "mmbench" else (0,)
    for k in turns:
        rotated = (*choices[k:], *choices[:k])
        yield Question(
            sample.id if form != "mmbench" else f"{sample.id}-{k}",
            listed(meta["stem"], rotated),
            meta["kind"],
            (),
            WITHOUT_SIZE,
            answers=(LETTERS[(right - k) % len(choices)],),
            choices=rotated,
            whole=sample.id if form == "mmbench" else "",
            **fixed,
        )


def region_questions(records: Iterable[Record]) -> Iterator[Asked]:
    """Every thing that is described, or that an expression means alone, is shown: what is said of it is true."""
    for record in records:
        said: dict[int, list[str]] = defaultdict(list)
        for thing, text in (*record.told, *((p[0], text) for text, p in record.phrases if len(p) == 1)):
            said[thing].append(text)
        size = record.size() if said else WITHOUT_SIZE
        found = []
        for i, texts in sorted(said.items()):
            region = record.things[i].region(size)
            if region is not None:
                words, name = phrases.ask_describe(), record.things[i].name
                found.append(
                    Question(
                        f"{record.key}-{i}",
                        words,
                        "describe",
                        (),
                        size,
                        name,
                        judge="captions",
                        answers=tuple(texts),
                        shown=pack(region),
                    )
                )
        if record.image is not None:
            yield Asked(record.image, tuple(found))

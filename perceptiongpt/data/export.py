"""Records written in another format: a new folder with the pictures and one annotation file.

Knows which writer serves which format. What a format has no words for (masks in dialogues of others, talk in COCO) is
left out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from perceptiongpt.core.answer import Region
from perceptiongpt.data import coco, dialects_out, phrases, yolo
from perceptiongpt.data.jsonl import write_jsonl
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.record import Places, Record, Thing
from perceptiongpt.data.sample import PLACE, Sample, Turn
from perceptiongpt.data.spans import name_spans
from perceptiongpt.data.words import plural

TO = ("coco", "coco-polygons", "yolo", "yolo-outlines", "jsonl", "swift", "shikra", "llava", "qwen")


def convert(records: Iterable[Record], out: Path, to: str) -> Path:
    """Writes the folder `out` whole or not at all and gives it back; its pictures are linked or copied to out/images.

    Raises ValueError for a format that isn't in TO, FileExistsError unless `out` is new or empty.
    """
    if to not in TO:
        raise ValueError(f"there is no format {to!r} to write; choose {', '.join(TO)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is not an empty folder; name another or empty it first")
    part = out.with_name(f".{out.name}.partial")
    shutil.rmtree(part, ignore_errors=True)
    (part / "images").mkdir(parents=True)
    try:
        placed = _placed(records, part / "images")
        if to.startswith("coco"):
            coco.write(part / "annotations.json", _merged(placed), to == "coco-polygons")
        elif to.startswith("yolo"):
            yolo.write(part, _merged(placed), to == "yolo-outlines")
        elif to == "jsonl":
            write_jsonl(part / "samples.jsonl", (_sample(r) for r in map(talked, placed) if r.talk))
        else:
            dialects_out.write(part / f"{to}.jsonl", (r for r in map(talked, placed) if r.talk), to)
        if out.exists():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def talked(record: Record) -> Record:
    """A record with a dialogue that says all that is known of it, in canonical words; talk stays as it stands."""
    if record.talk:
        return record
    asked: list[tuple[str, Places]] = []
    by_name: dict[str, list[int]] = {}
    for i, thing in enumerate(record.things):
        if thing.name and not thing.crowd and not (record.phrases and not record.known):
            by_name.setdefault(thing.name, []).append(i)
    for name, found in by_name.items():
        asked.append((f"the {name}" if len(found) == 1 else f"all the {plural(name)}", tuple(found)))
    talk: list[tuple[str, str, Places]] = []
    for phrase, places in [*asked, *record.phrases]:
        talk += [
            ("user", phrases.ask_region(phrase), ()),
            ("assistant", phrases.answer_region(phrase, len(places)), places),
        ]
    for i, text in record.told:
        talk += [("user", phrases.ask_describe(), (i,)), ("assistant", phrases.answer_told(text), ())]
    for text, places in record.captions:
        talk += [("user", phrases.ask_grounded() if places else phrases.ask_caption(), ()), ("assistant", text, places)]
    return replace(record, talk=tuple(talk))


def _placed(records: Iterable[Record], folder: Path) -> Iterator[Record]:
    """The records with their pictures in `folder`: linked where the disk can, else copied; each picture once."""
    done: dict[object, Path] = {}
    taken: set[str] = set()
    for record in records:
        image = record.image
        if image is None:
            yield record
            continue
        name = record.key if callable(image) else str(Path(str(image)).resolve())
        if name not in done:
            stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(name).stem)[-100:] or "picture"
            suffix = ".png" if callable(image) else Path(name).suffix.lower()
            if stem in taken:
                stem = f"{stem}-{len(taken)}"
            taken.add(stem)
            done[name] = folder / f"{stem}{suffix}"
            if callable(image):
                open_picture(image).save(done[name])
            else:
                _link(Path(name), done[name])
        yield replace(record, image=done[name])


def _link(source: Path, target: Path) -> None:
    if not source.is_file():
        raise FileNotFoundError(f"picture {source} is not there; `data check` lists what is missing")
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _merged(records: Iterable[Record]) -> Iterator[Record]:
    """One record a picture, with each thing once; a region without a name is called by the words before it."""
    by_picture: dict[Path, tuple[Record, dict[tuple, Thing]]] = {}
    for record in records:
        if record.image is None:
            continue
        things = by_picture.setdefault(Path(str(record.image)), (record, {}))[1]
        for thing in _named(record):
            if thing.name:
                rounded = None if thing.box is None else tuple(round(v, 3) for v in thing.box)
                things.setdefault((thing.name, rounded or str(thing.shape)), thing)
    yield from (replace(first, things=tuple(things.values())) for first, things in by_picture.values())


def _named(record: Record) -> Iterator[Thing]:
    names: dict[int, str] = {}
    for _, text, places in record.talk:
        bare, at, end = "", [], 0
        for m in PLACE.finditer(text):
            bare += text[end : m.start()]
            at.append(len(bare))
            end = m.end()
        for i, span in zip(places, name_spans(bare + text[end:], at), strict=True):
            if span is not None:
                names[i] = phrases.bare(bare[slice(*span)].lower())
    for phrase, places in record.phrases:
        names.update(dict.fromkeys(places, phrase))
    yield from (t if t.name else replace(t, name=names.get(i)) for i, t in enumerate(record.things))


def _sample(record: Record) -> Sample:
    def region(thing: Thing) -> Region:
        return Region(box=thing.box, mask=thing.mask(record.size()), point=thing.point, label=thing.name)

    turns = [Turn(role, text, tuple(region(record.things[i]) for i in places)) for role, text, places in record.talk]  # type: ignore[arg-type]
    return Sample(record.image, tuple(turns), record.id or record.key)

"""Flickr30k Entities in its official files: captions whose phrases are boxes, one XML file and one text file a picture.

Knows `Annotations/ID.xml`, `Sentences/ID.txt` and `train|val|test.txt`. Knows nothing of how recall is judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from perceptiongpt.data.files import folder_of, read_text, words
from perceptiongpt.data.record import Fault, Four, Record, Say, Thing, strict

PHRASE = re.compile(r"\[/EN#(\d+)((?:/[^\s/\]]+)*) ([^\]]*)\]")
XML_LIMIT = 1 << 20  # bytes


Phrase = tuple[str, str, tuple[int, ...]]  # its words, its kind (people, clothing …), the numbers of its things


def read(path: Path, part: str = "train", say: Say = print) -> Iterator[Record | Fault]:
    """The pictures of a split with their captions; a phrase is followed by the places of its boxes.

    Boxes are counted from 1 in the files; as in the makers' own reader, 1 is taken from each number.
    """
    names = read_text(path / f"{part}.txt").split()
    pictures = folder_of(f"{names[0]}.jpg" if names else None, _folders(path))
    say(f"Flickr30k Entities, split {part}: boxes as x0, y0, x1, y1 in pixels counted from 1")
    for name in names:
        where = f"{name}.xml"
        if not name.isdecimal():
            yield Fault(f"{part}.txt", f"{name[:40]!r} is no number of a picture; wanted one a line")
            continue
        try:
            size, things, place, sentences = _picture(path, name)
        except (ValueError, OSError) as error:
            yield Fault(where, str(error))
            continue
        captions = tuple(_caption(line, place) for line in sentences)
        yield Record(pictures / f"{name}.jpg", where, name, size, tuple(things), captions=captions)


def read_phrases(path: Path, part: str) -> Iterator[tuple[Record, list[list[Phrase]]]]:
    """Each picture with the phrases of its captions; ValueError for the first that can't be read."""
    for record in strict(read(path, part, lambda line: None)):
        _, _, place, sentences = _picture(path, record.key)
        yield record, [[_phrase(m, place) for m in PHRASE.finditer(line)] for line in sentences]


def _phrase(m: re.Match[str], place: dict[str, list[int]]) -> Phrase:
    return words(m[3]), m[2].strip("/").partition("/")[0], tuple(place.get(m[1], ()))


def _picture(path: Path, name: str) -> tuple[tuple[int, int], list[Thing], dict[str, list[int]], list[str]]:
    """Size, boxes, the boxes of each chain of phrases, and the captions as they stand."""
    size, chains = _boxes(path / "Annotations" / f"{name}.xml")
    sentences = read_text(path / "Sentences" / f"{name}.txt", XML_LIMIT).splitlines()
    things: list[Thing] = []
    place: dict[str, list[int]] = {}
    for chain, boxes in chains.items():
        place[chain] = list(range(len(things), len(things) + len(boxes)))
        things += [Thing(box, id=f"entity {chain}") for box in boxes]
    return size, things, place, [line for line in sentences if line.strip()]


def _caption(line: str, place: dict[str, list[int]]) -> tuple[str, tuple[int, ...]]:
    """A caption with a place for each box of each phrase, in reading order, and the things of the places."""
    found: list[int] = []
    text, end = "", 0
    for m in PHRASE.finditer(line):
        text += " " + words(line[end : m.start()]) + " " + words(m[3])
        for thing in place.get(m[1], []):
            text += f"{{{len(found)}}}"
            found.append(thing)
        end = m.end()
    text = re.sub(r"\s+([.,;:!?])", r"\1", " ".join((text + " " + words(line[end:])).split()))
    return text, tuple(found)


def _boxes(path: Path) -> tuple[tuple[int, int], dict[str, list[Four]]]:
    """The picture's size and, for each chain of phrases, its boxes."""
    text = read_text(path, XML_LIMIT)
    if "<!" in text.replace("<!--", ""):
        raise ValueError(f"{path} declares entities or a type of its own; wanted plain XML, get it anew")
    try:
        root = ElementTree.fromstring(text)
        size = (int(root.findtext("size/width", "")), int(root.findtext("size/height", "")))
        chains: dict[str, list[Four]] = {}
        for entry in root.iter("object"):
            box = entry.find("bndbox")
            if box is None:
                continue  # a scene, or something that can't be boxed
            x0, y0, x1, y1 = (float(box.findtext(key, "")) - 1 for key in ("xmin", "ymin", "xmax", "ymax"))
            for name in entry.iter("name"):
                chains.setdefault((name.text or "").strip(), []).append((x0, y0, x1, y1))
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{path} is no annotation of Flickr30k Entities ({error}); get it anew") from error
    return size, chains


def _folders(path: Path) -> list[Path]:
    names = ("flickr30k-images", "flickr30k_images", "images", "")
    return [root / name for root in (path, path.parent) for name in names]

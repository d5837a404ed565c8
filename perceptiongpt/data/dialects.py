"""JSON lines as others write them: ms-swift, Shikra, LLaVA and Qwen, recognised row by row; and our own.

Knows each dialect's fields and marks; what its numbers mean is decided in readings.py, for the whole file, and told
aloud. System prompts are left out. Masks have no place in these dialects.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptiongpt.data.files import below, numbers, read_json, words
from perceptiongpt.data.jsonl import read_rows
from perceptiongpt.data.own import own_record
from perceptiongpt.data.phrases import answer_list
from perceptiongpt.data.picture import PictureError, picture_size
from perceptiongpt.data.readings import READINGS, reading_of, to_pixels
from perceptiongpt.data.record import Fault, Record, Say, Thing
from perceptiongpt.data.sample import Picture

Found = tuple[tuple[float, ...], str | None]  # numbers as written, a name
ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "model": "assistant"}
_BOX = r"\[\s*(-?\d+(?:\.\d+)?(?:\s*,\s*-?\d+(?:\.\d+)?){3})\s*\]"
MARKS = {
    "swift": re.compile(r"<ref-object>|<bbox>"),
    "shikra": re.compile(r"<boxes>"),
    "llava": re.compile(_BOX),
    "qwen": re.compile(r"\{[^{}]*\"(?:bbox|point)_2d\"[^{}]*\}"),
    "qwen2": re.compile(r"<\|box_start\|>\s*\(([^()]+)\)\s*(?:,\s*\(([^()]+)\)\s*)?<\|box_end\|>"),
}
_LEFT_OUT = re.compile(
    r"<image>\n?|<ph_st>|<ph_ed>|<\|object_ref_start\|>|<\|object_ref_end\|>|<\|vision_start\|>.*?<\|vision_end\|>"
)


@dataclass(frozen=True)
class Row:
    """One line of any dialect: numbers not yet pixels. `reading` is given where the line itself says what they are."""

    dialect: str
    image: str | None
    turns: list[tuple[str, str, list[Found]]]
    reading: str | None = None
    expression: tuple[str, Found] | None = None


def read(path: Path, part: str = "", say: Say = print) -> Iterator[Record | Fault]:
    """The lines of a file of dialogues as Records; `part` may name the reading of coordinates (readings.READINGS)."""
    if part and part not in READINGS:
        raise ValueError(f"there is no reading {part!r}; choose {', '.join(READINGS)}")
    seen: dict[str, list[tuple[tuple[float, ...], tuple[int, int]]]] = defaultdict(list)
    if not part:
        for _, row in _parsed(path):  # once through, to learn what the numbers are
            if (
                isinstance(row, Row)
                and row.reading is None
                and row.image
                and (boxes := [b for *_, f in row.turns for b in f])
            ):
                try:
                    size = picture_size(below(path.parent, row.image, path.name))
                except (ValueError, OSError):
                    continue
                seen[row.dialect] += [(values, size) for values, _ in boxes]
    readings: dict[str, str] = defaultdict(lambda: part or "pixels")
    for dialect, known in seen.items():
        readings[dialect], why = reading_of(dialect, known)
        say(f"{path.name}: {dialect} coordinates are read as {READINGS[readings[dialect]]} ({why})")
    told: set[str] = set()
    for where, row in _parsed(path):
        reading = readings[row.dialect] if isinstance(row, Row) else ""
        if isinstance(row, Row) and not part and row.reading and row.reading not in told:
            told.add(row.reading)
            say(f"{path.name}: {row.dialect} coordinates are read as {READINGS[row.reading]}")
        if isinstance(row, str):
            yield Fault(where, row)
            continue
        name = row.image if isinstance(row, Row) else row.get("image")
        try:
            image = None if name is None else below(path.parent, name, where)
        except ValueError as error:
            yield Fault(where, str(error).removeprefix(f"{where}: "))
            continue
        yield record_of(where, row, image, part or reading)


def _parsed(path: Path) -> Iterator[tuple[str, Row | dict[str, Any] | str]]:
    for where, value in _rows(path):
        yield where, parsed(value)


def parsed(value: Any) -> Row | dict[str, Any] | str:
    """A foreign line as a Row, one of our own as it is, and a sentence for what can't be read."""
    try:
        return value if isinstance(value, dict) and "turns" in value else _row(value)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        return f"{said}; wanted a dialogue of ms-swift, Shikra, LLaVA, Qwen or this project"


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix != ".json":
        yield from read_rows(path)
        return
    rows = read_json(path, "a list of dialogues")
    if not isinstance(rows, list):
        raise ValueError(f"{path} is no list of dialogues; give a JSON list, or JSON lines")
    yield from ((f"{path.name}:entry {number}", row) for number, row in enumerate(rows, 1))


def _row(value: dict[str, Any]) -> Row:
    """One foreign line, its dialect known by its keys and by the marks in its words."""
    image = _image(value)
    if "expression" in value:
        box = numbers(value["bbox"], 4)
        if box is None:
            raise ValueError(f"bbox {str(value['bbox'])[:60]} is not four numbers")
        return Row("shikra", image, [], "pixels", (words(value["expression"]), (box, None)))
    said = _said(value)
    text = "\n".join(t for _, t, _ in said)
    take: Callable[[re.Match[str]], str | list[Found]]
    if "img_path" in value or "<boxes>" in text or any(seq for *_, seq in said):
        boxes = value.get("boxes") or value.get("target", {}).get("boxes", [])
        dialect, take, reading = "shikra", _shikra(boxes, [s for *_, seq in said for s in seq or []]), "pixels"
    elif "objects" in value or "<bbox>" in text:
        objects = value.get("objects") or {}
        kind = objects.get("bbox_type", "real")
        reading = {"real": "pixels", "norm1": "norm1"}.get(kind, "")
        if not reading:
            raise ValueError(f"bbox_type {kind!r} came; wanted real or norm1")
        dialect, take = "swift", _swift(iter(objects.get("ref", [])), iter(objects.get("bbox", [])))
    else:
        dialect = "qwen" if '_2d"' in text else "qwen2" if "<|box_start|>" in text else "llava"
        take, reading = {"qwen": _qwen, "qwen2": _qwen2, "llava": _llava}[dialect], ""
    turns = []
    for role, spoken, _ in said:
        if dialect == "qwen" and role == "assistant" and (listed := _qwen_list(spoken)) is not None:
            turns.append((role, answer_list([(name or "it", 1) for _, name in listed]) if listed else "None.", listed))
        else:
            turns.append((role, *_placed(spoken, MARKS[dialect], take)))
    return Row(dialect, image, turns, reading or None)


def _image(value: dict[str, Any]) -> str | None:
    image = value.get("images", value.get("image", value.get("img_path")))
    if isinstance(image, list):
        if len(image) > 1:
            raise ValueError(f"it shows {len(image)} pictures; wanted one")
        image = image[0] if image else None
    return image.get("path") if isinstance(image, dict) else image


def _said(value: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """(role, words, boxes_seq) of each turn; system prompts left out."""
    if "question" in value:
        answer = value.get("cot_with_ans", value.get("answer"))
        both = [("user", value["question"], value.get("question_boxes_seq"))]
        both.append(("assistant", answer, value.get("answer_boxes_seq")))
        # The makers' generated answers mark a phrase, and its boxes stand where the mark ends.
        return [(r, t.replace("<ph_ed>", "<boxes>") if seq and "<boxes>" not in t else t, seq) for r, t, seq in both]
    turns = value["messages"] if "messages" in value else value["conversations"]
    out = []
    for turn in turns:
        role, text = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if role == "system":
            continue
        if isinstance(text, list):
            text = "".join(piece.get("text", "") for piece in text)
        if role not in ROLES or not isinstance(text, str):
            raise ValueError(f"a turn of {str(role)[:40]!r} came; wanted words of user and assistant")
        out.append((ROLES[role], text, turn.get("boxes_seq")))
    if [role for role, *_ in out] != ["user", "assistant"] * (len(out) // 2) or not out:
        raise ValueError(f"turns of {[role for role, *_ in out][:6]} came; wanted user and assistant in turn")
    return out


def _placed(
    text: str, mark: re.Pattern[str], take: Callable[[re.Match[str]], str | list[Found]]
) -> tuple[str, list[Found]]:
    """The words with a place for each box that a mark stands for; `take` gives a mark's boxes, or words for it."""
    found: list[Found] = []
    out, end = "", 0
    for m in mark.finditer(text):
        given = take(m)
        out += _plain(text[end : m.start()]) + (_plain(given) if isinstance(given, str) else "")
        for one in [] if isinstance(given, str) else given:
            out += f"{{{len(found)}}}"
            found.append(one)
        end = m.end()
    return (out + _plain(text[end:])).strip(), found


def _plain(text: str) -> str:
    return _LEFT_OUT.sub("", text).replace("{", "(").replace("}", ")")


def _numbers(value: Any) -> tuple[float, ...]:
    if (four := numbers(value, 4) or numbers(value, 2)) is None:
        raise ValueError(f"box {str(value)[:60]} is not four numbers")
    return four


def _swift(refs: Iterator[Any], boxes: Iterator[Any]) -> Callable[[re.Match[str]], str | list[Found]]:
    name: list[str] = []

    def take(m: re.Match[str]) -> str | list[Found]:
        given = next(refs if m[0] == "<ref-object>" else boxes, None)
        if given is None:
            raise ValueError(f"more {m[0]} than entries in objects")
        if m[0] == "<ref-object>":
            name[:] = [str(given)]
            return str(given)
        return [(_numbers(given), name[0] if name else None)]

    return take


def _shikra(boxes: list[Any], sequence: list[Any]) -> Callable[[re.Match[str]], list[Found]]:
    left = iter(sequence)

    def take(m: re.Match[str]) -> list[Found]:
        which = next(left, None)
        if which is None:
            raise ValueError("more <boxes> than entries in boxes_seq")
        return [(_numbers(boxes[i]), None) for i in which]

    return take


def _llava(m: re.Match[str]) -> list[Found]:
    return [(tuple(float(v) for v in m[1].split(",")), None)]


def _qwen(m: re.Match[str]) -> str | list[Found]:
    one = json.loads(m[0])
    return [(_numbers(one.get("bbox_2d", one.get("point_2d"))), words(one.get("label") or "") or None)]


def _qwen2(m: re.Match[str]) -> list[Found]:
    return [(_numbers([float(v) for pair in m.groups() if pair for v in pair.split(",")]), None)]


def _qwen_list(text: str) -> list[Found] | None:
    """The boxes of an answer that is one JSON list, fenced or not; None for any other answer."""
    bare = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip())
    try:
        rows = json.loads(bare)
    except (ValueError, RecursionError):
        return None
    if not isinstance(rows, list) or not all(isinstance(r, dict) and ("bbox_2d" in r or "point_2d" in r) for r in rows):
        return None
    return [(_numbers(r.get("bbox_2d", r.get("point_2d"))), words(r.get("label", "")) or None) for r in rows]


def record_of(where: str, row: Row | dict[str, Any], image: Picture | None, reading: str) -> Record | Fault:
    """A parsed line as a Record of that picture; what the line says of its numbers comes before `reading`."""
    if isinstance(row, dict):
        return own_record(where, row, image)
    reading = row.reading or reading
    found = [one for *_, boxes in row.turns for one in boxes] + ([row.expression[1]] if row.expression else [])
    try:
        size = picture_size(image) if found and reading != "pixels" else None
    except (PictureError, OSError) as error:
        return Fault(where, str(error))
    things = []
    for number, (values, name) in enumerate(found, 1):
        pixels = to_pixels(values, reading, size or (1, 1))
        at: dict[str, Any] = {"box": pixels} if len(pixels) == 4 else {"point": pixels}
        things.append(Thing(**at, name=name, id=f"region {number}"))
    talk, first = [], 0
    for role, text, boxes in row.turns:
        talk.append((role, text, tuple(range(first, first + len(boxes)))))
        first += len(boxes)
    meant = ((row.expression[0], (0,)),) if row.expression else ()
    return Record(image, where, row.image or where, size, tuple(things), meant, talk=tuple(talk))

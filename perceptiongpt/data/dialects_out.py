"""Dialogues written as JSON lines for other programs: ms-swift, Shikra, LLaVA, Qwen; the inverse of dialects.py.

Knows each dialect's fields and marks. Masks have no place in these dialects; a point is written as a box of no size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from perceptiongpt.data.readings import from_pixels
from perceptiongpt.data.record import Record
from perceptiongpt.data.sample import PLACE

SPEAKERS = {"user": "human", "assistant": "gpt"}


def write(path: Path, records: Iterable[Record], dialect: str) -> None:
    """Records with talk as lines of "swift", "shikra", "llava" or "qwen"; pictures lie below the file's folder."""
    with path.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(_WRITERS[dialect](record, path.parent), ensure_ascii=False) + "\n")


def _filled(record: Record, turn: tuple[str, str, tuple[int, ...]], mark: Callable[[int], str]) -> str:
    """A turn's words with a mark for each place that has a box."""
    return PLACE.sub(lambda m: mark(turn[2][int(m[1])]), turn[1])


def _box(record: Record, i: int) -> tuple[float, ...]:
    box = record.things[i].bounds(record.size())
    return tuple(round(v, 4) for v in (box or (*record.things[i].point, *record.things[i].point)))  # type: ignore[misc]


def _file(record: Record, folder: Path) -> str | None:
    return None if record.image is None else Path(str(record.image)).resolve().relative_to(folder.resolve()).as_posix()


def _to_swift(record: Record, folder: Path) -> dict[str, Any]:
    boxes: list[tuple[float, ...]] = []

    def mark(i: int) -> str:
        boxes.append(_box(record, i))
        return "<bbox>"

    messages = [{"role": turn[0], "content": _filled(record, turn, mark)} for turn in record.talk]
    file = _file(record, folder)
    if file:
        messages[0]["content"] = "<image>" + messages[0]["content"]
    return {
        "messages": messages,
        "images": [file] if file else [],
        "objects": {"ref": [], "bbox": boxes, "bbox_type": "real"},
    }


def _to_shikra(record: Record, folder: Path) -> dict[str, Any]:
    said = []
    for role, text, places in record.talk:
        runs = [m[0] for m in re.finditer(r"(?:\{\d+\})+", text)]
        sequence = [[places[int(i)] for i in PLACE.findall(run)] for run in runs]
        value = re.sub(r"(?:\{\d+\})+", "<boxes>", text)
        said.append({"from": SPEAKERS[role], "value": value, "boxes_seq": sequence})
    boxes = [_box(record, i) for i in range(len(record.things))]
    return {"img_path": _file(record, folder), "target": {"boxes": boxes}, "conversations": said}


def _to_llava(record: Record, folder: Path) -> dict[str, Any]:
    def mark(i: int) -> str:
        values = from_pixels(_box(record, i), "square", record.size())
        return " [" + ", ".join(f"{v:.8f}" for v in values) + "]"

    row = _conversation(record, folder, [_filled(record, turn, mark) for turn in record.talk])
    return {"id": record.key, "conversations": row["conversations"]} | ({"image": row["image"]} if row["image"] else {})


def _to_qwen(record: Record, folder: Path) -> dict[str, Any]:
    def one(i: int) -> dict[str, Any]:
        return {"bbox_2d": list(_box(record, i)), "label": record.things[i].name or "it"}

    def told(turn: tuple[str, str, tuple[int, ...]]) -> str:
        role, _, places = turn
        if role == "assistant" and places:
            return json.dumps([one(i) for i in places], ensure_ascii=False)
        return _filled(record, turn, lambda i: json.dumps(one(i), ensure_ascii=False))

    return _conversation(record, folder, [told(turn) for turn in record.talk])


def _conversation(record: Record, folder: Path, values: list[str]) -> dict[str, Any]:
    """The turns as LLaVA and Qwen write them, the picture's mark before the first."""
    file = _file(record, folder)
    said = [{"from": SPEAKERS[turn[0]], "value": v} for turn, v in zip(record.talk, values, strict=True)]
    if file:
        said[0]["value"] = "<image>\n" + said[0]["value"]
    return {"image": file, "conversations": said}


_WRITERS = {"swift": _to_swift, "shikra": _to_shikra, "llava": _to_llava, "qwen": _to_qwen}

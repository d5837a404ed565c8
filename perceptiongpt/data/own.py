"""Lines of our own format with their regions as they stand, broken ones too, so that a check can name what is wrong.

`jsonl.read_jsonl` is the strict reader, which training uses. Knows the keys of docs/data.md.
"""

from __future__ import annotations

from typing import Any

from perceptiongpt.data.files import numbers
from perceptiongpt.data.jsonl import REGION_KEYS, SAMPLE_KEYS, TURN_KEYS
from perceptiongpt.data.record import Fault, Record, Thing
from perceptiongpt.data.sample import PLACE, Picture


def own_record(where: str, row: dict[str, Any], image: Picture | None) -> Record | Fault:
    """One line as a Record, or the Fault of its structure; regions are taken unjudged."""
    try:
        turns = row["turns"]
        unknown = {*row} - SAMPLE_KEYS | {k for t in turns for k in {*t} - TURN_KEYS}
        unknown |= {k for t in turns for r in t.get("regions", []) for k in {*r} - REGION_KEYS}
        if unknown:
            raise ValueError(f"unknown key {sorted(unknown)[0][:60]!r}")
        things: list[Thing] = []
        talk: list[tuple[str, str, tuple[int, ...]]] = []
        for number, turn in enumerate(turns):
            given = [_own_thing(r, f"turn {number}, region {k}") for k, r in enumerate(turn.get("regions", []))]
            if [int(i) for i in PLACE.findall(turn["text"])] != list(range(len(given))):
                raise ValueError(
                    f"turn {number} has {len(given)} regions and other places than those in {turn['text'][:60]!r}"
                )
            talk.append((turn["role"], turn["text"], tuple(range(len(things), len(things) + len(given)))))
            things += given
        if [role for role, *_ in talk] != ["user", "assistant"] * (len(talk) // 2) or not talk:
            raise ValueError("turns are not user and assistant in turn")
        return Record(
            image, where, row.get("image") or where, None, tuple(things), talk=tuple(talk), id=str(row.get("id") or "")
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error).removeprefix(f"{where}: ")
        return Fault(where, f"{said}; see the keys in docs/data.md")


def _own_thing(row: dict[str, Any], number: str) -> Thing:
    box, point = numbers(row.get("box"), 4), numbers(row.get("point"), 2)
    if (row.get("box") is not None and box is None) or (row.get("point") is not None and point is None):
        raise ValueError(f"{number}: box or point is not numbers")
    if not isinstance(row.get("label", ""), (str, type(None))):
        raise ValueError(f"{number}: label is no text")
    shape = row.get("mask") if row.get("mask") is not None else row.get("polygons")
    return Thing(box, shape, row.get("label"), point, id=number)  # type: ignore[arg-type]

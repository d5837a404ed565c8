"""Answers kept as they come: a JSON line each, never computed twice, whole again after a kill.

Knows the file. Knows no models and judges nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptiongpt.core.answer import Answer
from perceptiongpt.core.packed import Packed, packed_of
from perceptiongpt.data.jsonl import read_rows


@dataclass(frozen=True, eq=False)
class Said:
    """What was answered: words and regions. `readable` is False for one that could not be read, ours or another's."""

    text: str
    regions: tuple[Packed, ...] = ()
    readable: bool = True


def answer_row(id: str, phrase: str, answer: Answer) -> dict[str, Any]:
    """An answer as a line of `answers.jsonl`; boxes and points to a hundredth of a pixel, scores to four places."""
    told = answer.to_dict()
    row = {"id": id, "phrase": phrase, "text": told["text"], "image": told["image"], "regions": told["regions"]}
    return row if answer.readable else {**row, "readable": False}


def said_of(row: Mapping[str, Any]) -> Said:
    """The answer in a line that `answer_row` made; raises ValueError for another form."""
    regions = row.get("regions")
    if not isinstance(regions, list) or not all(isinstance(r, dict) for r in regions):
        raise ValueError("regions is no list of objects; wanted box, mask, point and score of each; mend the line")
    return Said(str(row.get("text", "")), tuple(packed_of(r) for r in regions), row.get("readable") is not False)


class AnswerFile:
    """The answers in a file, by the id of their question; `append` adds a batch in one write.

    A last line that a kill cut short is dropped. Raises ValueError for lines that are no answers.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.said: dict[str, Said] = {}
        self.phrases: dict[str, str] = {}
        if path is not None and path.is_file():
            _drop_torn_line(path)
            for where, row in read_rows(path):
                try:
                    self._keep(row)
                except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                    raise ValueError(f"{where}: no answer of ours ({error}); name another folder") from error

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep answers, each a dict of `answer_row`."""
        for row in rows:
            self._keep(row)
        if self.path is not None:
            lines = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
            with self.path.open("ab", buffering=0) as file:
                file.write(lines.encode())

    def has(self, id: str, phrase: str) -> bool:
        """Whether that question is answered; ValueError where its id was given to another phrase."""
        if id in self.phrases and self.phrases[id] != phrase:
            raise ValueError(
                f"{self.path}: {id} answers {self.phrases[id]!r}, not {phrase!r}; the data changed: name another folder"
            )
        return id in self.said

    def _keep(self, row: Mapping[str, Any]) -> None:
        self.said[row["id"]], self.phrases[row["id"]] = said_of(row), row["phrase"]


def _drop_torn_line(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        at = size
        while at > 0:  # back to the end of the last whole line
            start = max(0, at - 65536)
            file.seek(start)
            cut = file.read(at - start).rfind(b"\n")
            if cut >= 0:
                at = start + cut + 1
                break
            at = start
        if at < size:
            file.truncate(at)

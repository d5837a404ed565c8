"""Records read one after the other and never all at once: what is too large to hold, or far away, as a source.

Knows when to read on and when to begin anew. Knows nothing of files nor of the network (the readers do).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from perceptiongpt.data.dialogues import dialogue_of, is_val
from perceptiongpt.data.record import Fault, Record
from perceptiongpt.data.sample import Sample

SHUFFLED = 256  # records that are held to be dealt out in another order
REMEMBERED = 256  # samples that may be asked for again


class EmptyStreamError(ValueError):
    """A stream was read to its end, and nothing in it can be asked about."""


class Stream:
    """An endless source: item i is the i-th sample read, shuffled among its neighbours; asked for i by i.

    At the end it begins anew, with other questions. Going back far costs reading from the beginning, as resuming does.
    `read` opens the records; `part`: as for Dialogues. An entry that can't be read raises ValueError when asked for.
    """

    def __init__(self, read: Callable[[], Iterable[Record | Fault]], seed: int = 0, part: str = "all") -> None:
        self.read, self.seed, self.part = read, seed, part
        self._restart()

    def __getitem__(self, i: int) -> Sample:
        if os.getpid() != self._owner or i < self._next - REMEMBERED:
            self._restart()  # another process's file or connection is not to be shared
        while self._next <= i:
            try:
                self._kept[self._next] = next(self._ahead)
            except Exception:
                self._restart()  # a reader that broke off gives no more
                raise
            self._kept.pop(self._next - REMEMBERED, None)
            self._next += 1
        found = self._kept[i]
        if isinstance(found, Fault):
            raise ValueError(f"{found.where}: {found.what}")
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"read": self.read, "seed": self.seed, "part": self.part}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _restart(self) -> None:
        self._owner, self._next = os.getpid(), 0
        self._kept: dict[int, Sample | Fault] = {}
        self._ahead = self._endless()

    def _endless(self) -> Iterator[Sample | Fault]:
        epoch, last = 0, -1
        while True:
            count = 0
            for row in self._shuffled(np.random.default_rng((self.seed, epoch))):
                try:
                    found = row if isinstance(row, Fault) else dialogue_of(row, self.seed, epoch)
                except ValueError as error:
                    found = Fault(row.where, str(error))
                if found is not None:
                    count += 1
                    yield found
            if not count and not last:  # an epoch may hold only what other words would make a question of
                raise EmptyStreamError("it holds nothing to ask; give data with regions, captions or talk")
            epoch, last = epoch + 1, count

    def _shuffled(self, rng: np.random.Generator) -> Iterator[Record | Fault]:
        held: list[Record | Fault] = []
        for row in self.read():
            if isinstance(row, Record) and self.part != "all" and (self.part == "val") != is_val(row.key):
                continue
            held.append(row)
            if len(held) > SHUFFLED:
                yield held.pop(int(rng.integers(len(held))))
        yield from (held[i] for i in rng.permutation(len(held)))

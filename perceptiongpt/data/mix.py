"""Several sources as one, by weight: item i is the same whoever asks, in whatever order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from perceptiongpt.data.sample import Sample
from perceptiongpt.data.stream import Stream

MOST_NAMES = 4096
_FURTHER = 1_000_003  # what is of no use is replaced by what stands so much further on


class Source(Protocol):
    """Anything that has a length and gives the i-th sample; it may tell what it calls things, as `names`."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Sample: ...


class Mix:
    """An endless shuffled mixture: item i comes from a source drawn by weight, each source walked epoch by epoch.

    Streams are walked as they come, at the pace of their weight.
    """

    def __init__(self, sources: Sequence[tuple[Source | Stream, float]], seed: int) -> None:
        if not sources or not all(0 < weight < float("inf") for _, weight in sources):
            raise ValueError(f"{len(sources)} sources with weights {[w for _, w in sources]}; give positive weights")
        if any(not isinstance(source, Stream) and len(source) == 0 for source, _ in sources):
            raise ValueError("a source is empty; leave it out or give it samples")
        self.sources = [source for source, _ in sources]
        weights = np.asarray([weight for _, weight in sources], np.float64)
        self.edges = np.cumsum(weights / weights.sum())
        self.seed = seed
        found = sorted({name for source in self.sources for name in getattr(source, "names", ())})
        self.names = tuple(found[:: -(-len(found) // MOST_NAMES) or 1])  # what the sources call things, or some of it

    def __getitem__(self, i: int) -> Sample:
        return self.instead(i, 0)

    def instead(self, i: int, again: int) -> Sample:
        """What stands in for item i after `again` others that were of no use; item i itself after none."""
        j = i + again * _FURTHER
        draw = np.random.default_rng((self.seed, j)).random()
        which = min(int(np.searchsorted(self.edges, draw, side="right")), len(self.sources) - 1)
        source = self.sources[which]
        if isinstance(source, Stream):
            share = self.edges[which] - (self.edges[which - 1] if which else 0.0)
            return source[int(i * share) + again]
        epoch, position = divmod(j, len(source))  # within one pass no sample of a source comes twice
        return source[_shuffled(position, len(source), (self.seed, which, epoch))]


_KEPT: dict[tuple[tuple[int, ...], int], np.ndarray] = {}


def _shuffled(position: int, length: int, seed: tuple[int, ...]) -> int:
    """Where `position` goes in the permutation of that seed; the last few permutations are kept."""
    key = (seed, length)
    if key not in _KEPT:
        if len(_KEPT) >= 8:
            _KEPT.pop(next(iter(_KEPT)))
        _KEPT[key] = np.random.default_rng(seed).permutation(length)
    return int(_KEPT[key][position])

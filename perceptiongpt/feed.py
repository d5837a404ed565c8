"""What a run is fed: batch k of a stage is a function of seed, begin and k alone; each process makes its own rows.

So a resumed run gets the same batches, and so do one process and several. Knows samples and the host's eye; nothing of
losses or steps.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perceptiongpt.config import Stage
from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import Batch
from perceptiongpt.core.objective import counts
from perceptiongpt.data.collate import Ready, ready, spend, together
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.render import Renderer
from perceptiongpt.data.sample import Sample
from perceptiongpt.model.align import NamedMask, named_masks

POOL = 8  # batches that are sorted by length together
SMALL = 1 << 16  # numbers
TRIES = 100  # samples in place of a bad one


class TrainError(ValueError):
    """A run that cannot start or go on, with the reason and what to do."""


@dataclass(frozen=True, eq=False)
class Fed:
    """One process's rows of a batch, for a forward pass."""

    batch: Batch
    named: list[list[NamedMask]]  # of each picture
    names: tuple[str, ...]  # of the whole batch, all processes' rows
    ids: tuple[str, ...]  # of the samples
    bad: tuple[str, ...] = ()  # what is wrong with samples that were passed over
    coloured: Sequence[Sequence[NamedMask]] = ()  # of each picture, where the colour of something is known

    def to(self, device: torch.device) -> Fed:
        return replace(self, batch=self.batch.to(device))

    def counts(self, language: bool) -> dict[str, int]:
        """Over how much each mean of the loss runs."""
        over = {"named": sum(map(len, self.named)), "coloured": sum(map(len, self.coloured))}
        return {**counts(self.batch, language), "pictures": len(self.named), **over}


@dataclass(frozen=True, eq=False)
class Batches(torch.utils.data.Dataset):
    """Batch k of a stage, made from nothing but (seed, begin, k); process `rank` of `world` gets the rows rank,
    rank + world …

    The samples are those from number `begin` of the mixture on. One that can't be read is an error as text, or with
    `skip_bad` gives way to another.
    """

    samples: Mix
    renderer: Renderer
    eye: Any
    size: int  # of all processes together
    seed: int
    count: int
    rank: int = 0
    world: int = 1
    skip_bad: bool = False
    naming: bool = True  # whether what is named where is wanted, too
    colours: bool = False  # and what has which colour
    begin: int = 0
    kept: dict[str, Any] = field(default_factory=dict)  # the pool that is being dealt out

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> Fed | str:
        rng, bad = np.random.default_rng((self.seed, 7, k)), list[str]()
        try:
            chosen = self._pool(k // POOL, bad)[k % POOL :: POOL]
            rngs = [rng] * len(chosen) if self.world == 1 else _each(chosen, rng)
            mine = slice(self.rank, None, self.world)
            rows = [self._ready(chosen[i], rngs[i], k, i, bad) for i in range(len(chosen))[mine]]
        except TrainError as error:
            return str(error)  # an exception would come out of a worker process with its trace for a message
        found, made, own = zip(*rows, strict=True)
        names = () if self.world == 1 else tuple(n for s in chosen for n in _names(s))
        named, coloured = (
            [
                named_masks([r for r in of(s) if r.picture == i], canvas) if wanted else []
                for s, (_, canvases, _) in zip(found, made, strict=True)
                for i, canvas in enumerate(canvases)
            ]
            for wanted, of in ((self.naming, named_regions), (self.colours, coloured_regions))
        )
        ids = tuple(s.called for s in found)
        batch = together(made, self.renderer, self.eye, own)
        fed = Fed(batch, named, names, ids, tuple(bad), coloured)
        return _light(fed) if torch.utils.data.get_worker_info() else fed

    def _pool(self, p: int, bad: list[str]) -> list[Sample]:
        """The samples of POOL batches, longest first, so that a batch holds samples of about one length."""
        if self.kept.get("p") != p:
            found = [self._sample(self.begin + p * self.size * POOL + i, bad) for i in range(self.size * POOL)]
            order = np.argsort([-sum(len(t.text) for t in s.turns) for s in found], kind="stable")
            batches = np.random.default_rng((self.seed, 8, p)).permutation(POOL)
            ranks = np.empty(len(found), int)
            for rank, i in enumerate(order):
                ranks[i] = batches[rank // self.size] + POOL * (rank % self.size)
            pool: list[Sample] = [found[i] for i in np.argsort(ranks, kind="stable")]
            self.kept.update(p=p, pool=pool)
        return self.kept["pool"]

    def _sample(self, i: int, bad: list[str], first: int = 0) -> Sample:
        """Sample i of the mixture, or the first that can be read after it."""
        for again in range(first, TRIES):
            try:
                return self.samples.instead(i, again)
            except (ValueError, OSError) as error:
                self._pass_over(str(error), bad)
        raise TrainError(f"{TRIES} samples in a row cannot be read, the last: {bad[-1]}; mend the data")

    def _ready(
        self, sample: Sample, rng: np.random.Generator, k: int, row: int, bad: list[str]
    ) -> tuple[Sample, Ready, np.random.Generator]:
        """A row opened and rendered, or another in its place, with choices of its own."""
        for again in range(1, TRIES):
            try:
                return sample, ready(sample, self.renderer, self.eye), rng
            except (ValueError, OSError) as error:
                told = str(error)
                self._pass_over(told if told.startswith(sample.called) else f"{sample.called}: {told}", bad)
            sample, rng = (
                self._sample(self.begin + k * self.size + row, bad, again),
                np.random.default_rng((self.seed, 11, k, row, again)),
            )
        raise TrainError(f"{TRIES} samples in a row cannot be used, the last: {bad[-1]}; mend the data")

    def _pass_over(self, what: str, bad: list[str]) -> None:
        if not self.skip_bad:
            raise TrainError(f"{what} (mend it, or leave such samples out with --skip-bad)")
        bad.append(what)


def _each(samples: list[Sample], rng: np.random.Generator) -> list[np.random.Generator]:
    """A generator for each sample, standing where one that makes all rows would stand."""
    found = []
    for sample in samples:
        found.append(copy.deepcopy(rng))
        spend(sample, rng)
    return found


def named_regions(sample: Sample) -> list[Region]:
    """What is known by name in a sample's picture: all its objects where the source tells, else what is spoken of."""
    if "objects" in sample.meta:
        return list(sample.meta["objects"])
    return [r for turn in sample.turns for r in turn.regions if r.label]


def coloured_regions(sample: Sample) -> list[Region]:
    """The things of a sample's picture whose colour its source tells, by that."""
    known = zip(sample.meta.get("objects", ()), sample.meta.get("colours", ()), strict=False)
    return [replace(r, label=colour) for r, colour in known if colour]


def _names(sample: Sample) -> list[str]:
    if sample.image is None:
        return []
    seen = [(r.label, r.mask) for r in named_regions(sample) if r.mask is not None or r.box is not None]
    return [label for label, mask in seen if label and (mask is None or mask.any())]


def begin(stages: Sequence[Stage], number: int) -> int:
    """With which sample of the run's data a stage begins: on from where the one before it ended, in whole pools; one
    that learns from the same kept pictures begins with it."""
    at = 0
    for before, stage in pairwise(stages[: number + 1]):
        if not (stage.sees and (before.sees, before.keep, before.batch) == (stage.sees, stage.keep, stage.batch)):
            at += -(-before.batches // POOL) * POOL * before.batch
    return at


def feed(source: Batches, first: int, workers: int) -> Iterator[Fed]:
    """Batches from number `first` on, made by `workers` processes beside this one. Raises TrainError for bad data."""
    rest = torch.utils.data.Subset(source, range(first, len(source)))
    loader: Any = torch.utils.data.DataLoader(
        rest, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
    )
    return map(checked, iter(loader))  # the loader draws from torch's generator here, not at the first batch


def checked(made: Fed | str) -> Fed:
    if isinstance(made, str):
        raise TrainError(made)
    return _light(made, back=True)


def _light(fed: Fed, back: bool = False) -> Fed:
    """With its small tensors as arrays, and `back`: between processes a tensor goes as a file, 0.2 ms each, which stays
    open for as long as the tensor is kept."""

    def light(held: Any) -> Any:
        if back:
            return torch.from_numpy(held) if isinstance(held, np.ndarray) else held
        return held.numpy() if isinstance(held, Tensor) and held.numel() < SMALL else held

    named, coloured = ([[(n, light(m)) for n, m in group] for group in of] for of in (fed.named, fed.coloured))
    batch = replace(fed.batch, **{f.name: light(getattr(fed.batch, f.name)) for f in fields(fed.batch)})
    return replace(fed, batch=batch, named=named, coloured=coloured)

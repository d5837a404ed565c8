"""The pictures that aims of `config.KEPT` learn from, looked at once: by the tower, or by tower and decoders.

What was seen lies on disk while it is needed, so a resumed run looks at the rest alone, and a stage that learns from
the pictures of the one before it at none. Knows batches and what looks; nothing of losses or steps.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from perceptiongpt.checkpoint import write_text, written
from perceptiongpt.config import Run, Stage
from perceptiongpt.feed import Batches, Fed, checked, feed
from perceptiongpt.model.align import Gallery
from perceptiongpt.model.instances import Instances
from perceptiongpt.model.outlines import Outlines

FOLDER, NOTE = "gallery", "plan.json"
TOGETHER = 64  # batches in a file
ALIKE = 0.02  # how far, of its norm, what is seen again may be from what was: another machine rounds otherwise
Look = dict[str, Tensor]  # what was seen of a batch, by name; nothing where it had no picture


@dataclass(frozen=True, eq=False)
class Picked:
    """Pictures of a gallery, for the aims of `config.KEPT`."""

    gallery: Gallery | Instances
    rows: Tensor  # long [n]
    ids: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()

    def to(self, device: torch.device) -> Picked:
        return replace(self, rows=self.rows.to(device))

    def counts(self, language: bool) -> dict[str, int]:
        """Over how much each mean of the loss runs."""
        return {"pictures": len(self.rows), "named": int(self.gallery.inside(self.rows).sum())}


def gallery(
    model: Any, source: Batches, stage: Stage, run: Run, say: Callable[[str], None], writes: bool = True
) -> Gallery | Instances:
    """The pictures of a stage, by each process all of them; one process `writes` what it saw into the run's folder.

    Raises TrainError for bad data and where it can't write.
    """
    device, folder = model.backbone.device, Path(run.out) / FOLDER
    whole = replace(source, rank=0, world=1, seed=run.seed, kept={})
    plan = {"data": run.data, "library": run.library, "seed": run.seed, "skip_bad": run.skip_bad}

    def look(fed: Fed) -> Look:
        fed = fed.to(device)
        if stage.aim == "name":
            return Gallery.look(model, fed.batch.pixels, fed.named)
        return Instances.look(model, fed.batch)

    with torch.autocast(device.type, torch.bfloat16, enabled=model.backbone.dtype == torch.bfloat16):
        there = [{k: v.to(device) for k, v in each.items()} for each in _there(folder, plan)][: len(whole)]
        if there and not _alike(look(checked(replace(whole, kept={})[0])), there[0]):
            there = []
        if not there and writes:
            _begun(folder, plan)
        kept = f", {len(there) * stage.batch} of them kept in {folder}" if there else ""
        say(f"Looking once at {stage.keep} pictures{kept}")
        looked: list[Look] = list(there)
        for fed in feed(whole, len(there), run.workers):  # which draws from torch's generator with nothing left, too
            looked.append(look(fed))
            end, start = len(looked), len(there)
            if (end - start) % TOGETHER == 0 or end == len(whole):
                first = start + (end - start - 1) // TOGETHER * TOGETHER
                if writes:
                    _write(folder / f"{first:06}-{end:06}.safetensors", looked[first:])
            if 10 * end // len(whole) > 10 * (end - 1) // len(whole) and end < len(whole):
                say(f"Looked at {end * stage.batch}")
        if stage.aim == "name":
            return Gallery.of(model, looked)
        return (Outlines if stage.aim == Outlines.part else Instances).of(looked)


def forget(out: Path, writes: bool = True) -> None:
    """Remove what was kept: nothing needs it."""
    if writes:
        shutil.rmtree(out / FOLDER, ignore_errors=True)


def picks(
    made: Gallery | Instances, stage: Stage, first: int, seed: int, rank: int = 0, world: int = 1
) -> Iterator[Picked]:
    """The pictures of each step, a function of (seed, step), of which a process takes its share."""
    for step in range(first * stage.accumulate, stage.steps * stage.accumulate):
        count = len(made)
        rows = np.random.default_rng((seed, 9, step)).choice(count, min(stage.batch, count), replace=False)
        yield Picked(made, torch.from_numpy(np.sort(rows)[rank::world]))


def _there(folder: Path, plan: Mapping[str, Any]) -> list[Look]:
    """What is kept of a plan, from its first batch on, as far as it can be read."""
    found: list[Look] = []
    try:
        if json.loads((folder / NOTE).read_text(encoding="utf-8")) != json.loads(json.dumps(plan)):
            return []
        for path in sorted(folder.glob("*-*.safetensors")):
            first, end = map(int, path.stem.split("-"))
            if first != len(found) or end - first > TOGETHER:
                continue  # of an earlier try, cut otherwise, or after what is missing
            stored = load_file(path)
            looks: list[dict[str, Tensor]] = [{} for _ in range(end - first)]
            for key, value in stored.items():
                number, _, name = key.partition("|")
                looks[int(number)][name] = value
            if len({frozenset(look) for look in (*found, *looks) if look}) > 1:
                break
            found += looks
    except (OSError, ValueError, IndexError, SafetensorError):
        pass  # what can't be read is looked at again
    return found


def _begun(folder: Path, plan: Mapping[str, Any]) -> None:
    forget(folder.parent)
    with written(folder):
        folder.mkdir()
        write_text(folder / NOTE, json.dumps(plan, indent=1) + "\n")


def _write(path: Path, looks: list[Look]) -> None:
    """Whole, or not at all."""
    part = path.with_name(f".{path.name}")
    with written(path):
        try:
            stored = {f"{i}|{k}": v.cpu().contiguous() for i, look in enumerate(looks) for k, v in look.items()}
            save_file(stored, part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def _alike(now: Look, then: Look) -> bool:
    """Whether two looks are at the same pictures, by the same eyes."""
    if {k: (v.shape, v.dtype) for k, v in now.items()} != {k: (v.shape, v.dtype) for k, v in then.items()}:
        return False
    return all(
        float((v.float() - then[k].float()).norm()) <= ALIKE * float(then[k].float().norm())
        if v.is_floating_point()
        else torch.equal(v, then[k])
        for k, v in now.items()
    )

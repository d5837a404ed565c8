"""The training loop: batch -> output -> loss parts -> step; says aloud what trains; goes on where a kill left it.

Batch k of a run is a function of (seed, k) alone, so a resumed run continues the same losses.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft.helpers import disable_input_dtype_casting
from safetensors.torch import load_file, save_file
from torch import Tensor

from perceptiongpt.config import Rates, Run, Stage
from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import Batch
from perceptiongpt.core.objective import parts
from perceptiongpt.data.collate import collate
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.render import Renderer
from perceptiongpt.data.sample import Sample
from perceptiongpt.model.adapt import choose_trainable, host_module, is_vision, trainable_report
from perceptiongpt.model.align import Gallery, NamedMask, Naming, named_masks, naming_loss
from perceptiongpt.model.perception import PerceptionModel
from perceptiongpt.model.store import replace_folder, save

POOL = 8  # batches that are sorted by length together
# Vectors of new tokens and the gate want more than a network.
ROWS = ("vis_row", "asker.ask", "asker.base", "asker.row", "asker.gate")


class TrainError(ValueError):
    """A run that cannot start or go on, with the reason and what to do."""


@dataclass(frozen=True, eq=False)
class Batches(torch.utils.data.Dataset):
    """Batch k of a run, made from nothing but (seed, k)."""

    samples: Mix
    renderer: Renderer
    eye: Any
    size: int
    seed: int
    count: int
    kept: dict[str, Any] = field(default_factory=dict)  # the pool that is being dealt out

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> tuple[Batch, list[list[NamedMask]]]:
        rng = np.random.default_rng((self.seed, 7, k))
        chosen = self._pool(k // POOL)[k % POOL :: POOL]
        named = [named_masks(named_regions(s), self.eye.canvas) for s in chosen if s.image is not None]
        return collate(chosen, self.renderer, self.eye, rng), named

    def _pool(self, p: int) -> list[Sample]:
        """The samples of POOL batches, longest first, so that a batch holds samples of about one length."""
        if self.kept.get("p") != p:
            found = [self.samples[p * self.size * POOL + i] for i in range(self.size * POOL)]
            order = np.argsort([-sum(len(t.text) for t in s.turns) for s in found], kind="stable")
            batches = np.random.default_rng((self.seed, 8, p)).permutation(POOL)
            ranks = np.empty(len(found), int)
            for rank, i in enumerate(order):
                ranks[i] = batches[rank // self.size] + POOL * (rank % self.size)
            pool: list[Sample] = [found[i] for i in np.argsort(ranks, kind="stable")]
            self.kept.update(p=p, pool=pool)
        return self.kept["pool"]


def named_regions(sample: Sample) -> list[Region]:
    """What is known by name in a sample's picture: all its objects where the source tells, else what is spoken of."""
    if "objects" in sample.meta:
        return list(sample.meta["objects"])
    return [r for turn in sample.turns for r in turn.regions if r.label]


def train(
    run: Run, model: PerceptionModel, samples: Mix, say: Callable[[str], None] = print, resume: bool = False
) -> Path:
    """Train `model` as `run` says; returns the folder of the trained plug-in.

    Writes `run.out`/model (the plug-in), checkpoint (to resume), log.jsonl (loss parts by step) and run.json.
    Raises TrainError for a folder in use, and when a loss is not finite.
    """
    out, checkpoint = Path(run.out), Path(run.out) / "checkpoint"
    if (out / "run.json").exists() and not resume:
        raise TrainError(f"{out} already holds a run; give another out=…, remove it, or add --resume")
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").write_text(json.dumps(asdict(run), indent=1) + "\n", encoding="utf-8")
    if run.threads:
        torch.set_num_threads(run.threads)
    torch.manual_seed(run.seed)
    for name in model.settings.trained_host_modules:
        host_module(model.host, name).float()  # what trains is kept in float32
    done = _progress(checkpoint) if resume else {"stage": 0, "step": 0}
    _forget(out / "log.jsonl", done)
    for number, stage in enumerate(run.stages[done["stage"] :], start=done["stage"]):
        first = done["step"] if number == done["stage"] else 0
        choose_trainable(model, stage.aim)
        size = stage.batch * stage.accumulate
        spelling = model.spelling()
        if stage.aim == "align":
            spelling["request"] = ()  # the static mapping learns by itself: nothing asks yet
        renderer = Renderer(model.backbone.processor, **spelling)
        say(f"Stage {number + 1} of {len(run.stages)}: {stage.aim}, {stage.steps} steps of {size}")
        say(trainable_report(model))
        optimiser = _optimiser(model, stage.rates, run.decay)
        if number == done["stage"] and checkpoint.exists() and resume:
            _restore(checkpoint, model, optimiser if first else None)
        source = Batches(
            samples, renderer, model.backbone, stage.batch, run.seed + number, stage.steps * stage.accumulate
        )
        feed: Iterator[Any]
        if stage.aim == "name":
            gallery = _gallery(model, samples, renderer, stage, run, say)
            feed = _picks(gallery, stage, first, run.seed)
        else:
            feed = _feed(source, first * stage.accumulate, run.workers)
        started = time.monotonic()
        with (out / "log.jsonl").open("a", encoding="utf-8", buffering=1) as log:  # a row a step, come what may
            for step in range(first, stage.steps):
                with disable_input_dtype_casting(model):  # autocast sees to it, and once is enough
                    values = _step(model, optimiser, feed, stage, step, run)
                if not all(math.isfinite(v) for v in values.values()):
                    raise TrainError(
                        f"step {step} of stage {number} gave {values}; lower the rates or look at its samples"
                    )
                row = {"stage": number, "step": step, **{k: round(v, 6) for k, v in values.items()}}
                log.write(json.dumps(row) + "\n")
                last = step == stage.steps - 1
                if step % run.log_every == 0 or last:
                    speed = (step + 1 - first) * size / (time.monotonic() - started)
                    shown = "  ".join(f"{k} {v:.3f}" for k, v in values.items())
                    say(f"{stage.aim} {step + 1}/{stage.steps}  {shown}  {speed:.1f} samples/s")
                if (step + 1) % run.save_every == 0 or last:
                    at = (number + 1, 0) if last else (number, step + 1)
                    save(model, out / "model", run.host)  # first, so that a run that is done has its model
                    _checkpoint(checkpoint, model, optimiser, *at)
    return out / "model"


def _progress(checkpoint: Path) -> dict[str, int]:
    """Where a run stands: the stage and the step to go on with."""
    state = checkpoint / "state.json"
    return json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {"stage": 0, "step": 0}


def _forget(log: Path, done: dict[str, int]) -> None:
    """Drop the rows of steps that will be taken again, and a row that a kill cut off."""
    if not log.exists():
        return
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if (row["stage"], row["step"]) < (done["stage"], done["step"]):
            kept.append(line)
    log.write_text("".join(kept), encoding="utf-8")


def _step(
    model: PerceptionModel, optimiser: torch.optim.Optimizer, feed: Iterator[Any], stage: Stage, step: int, run: Run
) -> dict[str, float]:
    """One optimiser step over `stage.accumulate` batches; the loss parts, averaged, and the gradient's norm."""
    device = model.backbone.device
    narrow = model.backbone.dtype == torch.bfloat16
    values: dict[str, float] = {}
    weights = asdict(run.weights)
    for _ in range(stage.accumulate):
        batch, named = next(feed)
        with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
            if isinstance(batch, Gallery):
                loss = batch.loss(model, named)
                loss_parts: dict[str, Tensor] = {"name": loss}
            else:
                moved = batch.to(device)
                output = model(moved, language=stage.aim != "words")
                loss_parts = parts(output, moved)
                if weights["name"] and output.cells is not None:
                    naming = Naming.of(model, named, (output.cells.shape[-2], output.cells.shape[-1]))
                    loss_parts["name"] = naming_loss(output.cells, naming, model.backbone.row_norm)
                loss = sum((weights[k] * v for k, v in loss_parts.items()), start=torch.zeros((), device=device))
        (loss / stage.accumulate).backward()
        for k, v in loss_parts.items():
            values[k] = values.get(k, 0.0) + float(v.detach()) / stage.accumulate
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * _schedule(step, stage.steps, stage.warmup)
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    values["norm"] = float(torch.nn.utils.clip_grad_norm_(trained, run.clip))
    if math.isfinite(values["norm"]):
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return values


def _gallery(
    model: PerceptionModel, samples: Mix, renderer: Renderer, stage: Stage, run: Run, say: Callable[[str], None]
) -> Gallery:
    """The pictures that the aim "name" learns from, seen once."""
    say(f"Looking once at {stage.keep} pictures")
    count = max(1, stage.keep // stage.batch)
    source = Batches(samples, renderer, model.backbone, stage.batch, run.seed, count)
    device = model.backbone.device
    with torch.autocast(device.type, torch.bfloat16, enabled=model.backbone.dtype == torch.bfloat16):
        return Gallery.fill(model, ((b.pixels, named) for b, named in _feed(source, 0, run.workers) if b.pixels))


def _picks(gallery: Gallery, stage: Stage, first: int, seed: int) -> Iterator[tuple[Gallery, Tensor]]:
    """The gallery and the pictures of each step, a function of (seed, step)."""
    for step in range(first * stage.accumulate, stage.steps * stage.accumulate):
        count = len(gallery.features)
        rows = np.random.default_rng((seed, 9, step)).choice(count, min(stage.batch, count), replace=False)
        yield gallery, torch.from_numpy(np.sort(rows))


def _feed(source: Batches, first: int, workers: int) -> Iterator[Any]:
    rest = torch.utils.data.Subset(source, range(first, len(source)))
    loader: Any = torch.utils.data.DataLoader(
        rest, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
    )
    return iter(loader)


def _schedule(step: int, steps: int, warmup: int) -> float:
    """Share of the peak rate: linear warm-up, then a cosine to a twentieth."""
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share))


def _optimiser(model: PerceptionModel, rates: Rates, decay: float) -> torch.optim.Optimizer:
    groups: dict[str, list[torch.nn.Parameter]] = {"heads": [], "rows": [], "adapter": [], "vision": [], "host": []}
    for name, p in model.named_parameters():
        if p.requires_grad:
            kind = "host" if name.startswith("host.") else "rows" if name in ROWS else "heads"
            groups[("vision" if is_vision(name) else "adapter") if ".lora_" in name else kind].append(p)
    peaks = asdict(rates)
    return torch.optim.AdamW(
        [{"params": ps, "lr": peaks[k], "peak": peaks[k], "weight_decay": decay} for k, ps in groups.items() if ps],
        betas=(0.9, 0.98),
    )


def _trainable(model: PerceptionModel) -> dict[str, torch.nn.Parameter]:
    """Everything that any stage trains, by name."""
    trained = tuple(f"host.{t}." for t in model.settings.trained_host_modules)
    return {
        n: p for n, p in model.named_parameters() if not n.startswith("host.") or ".lora_" in n or n.startswith(trained)
    }


def _checkpoint(folder: Path, model: PerceptionModel, optimiser: torch.optim.Optimizer, stage: int, step: int) -> None:
    """All that a resumed run needs, as safetensors; replaced as a whole."""
    work = Path(tempfile.mkdtemp(prefix=".checkpoint-", dir=folder.parent))
    try:
        trainable = _trainable(model)
        save_file({n: p.detach().contiguous() for n, p in trainable.items()}, work / "parameters.safetensors")
        moments = {
            f"{n}|{k}": v.contiguous()
            for n, p in trainable.items()
            for k, v in optimiser.state.get(p, {}).items()
            if isinstance(v, Tensor)
        }
        save_file(moments, work / "optimiser.safetensors")
        (work / "state.json").write_text(json.dumps({"stage": stage, "step": step}))
        replace_folder(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _restore(folder: Path, model: PerceptionModel, optimiser: torch.optim.Optimizer | None) -> None:
    parameters = load_file(folder / "parameters.safetensors")
    moments = load_file(folder / "optimiser.safetensors")
    trainable = _trainable(model)
    if set(parameters) != set(trainable):
        odd = sorted(set(parameters) ^ set(trainable))[0]
        raise TrainError(f"{folder} does not fit this run ({odd} differs); resume with the settings it was made with")
    with torch.no_grad():
        for name, p in trainable.items():
            p.copy_(parameters[name])
    if optimiser is None:
        return
    for key, value in moments.items():
        name, _, part = key.rpartition("|")
        optimiser.state[trainable[name]][part] = value

"""The training loop: batch -> output -> loss parts -> step; says aloud what trains; goes on where a kill left it.

Batch k of a stage is a function of the plan and k alone (feed.py), so a resumed run continues the same losses; and a
batch is shared out among processes by its rows, each mean of the loss by its true count over all of them, so several
processes continue those of one. How processes speak, and who shards what, is accelerate's affair.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, gather_object
from peft.helpers import disable_input_dtype_casting

from perceptiongpt import checkpoint as kept
from perceptiongpt.checkpoint import Standing, gathered, standing, written
from perceptiongpt.config import KEPT, Run, Stage
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.render import Renderer
from perceptiongpt.feed import Batches, Fed, TrainError, begin, feed
from perceptiongpt.gallery import Picked, forget, gallery, picks
from perceptiongpt.lesson import Lesson
from perceptiongpt.model.adapt import choose_trainable, host_module, recompute, trainable_report
from perceptiongpt.model.attention import plain_attention
from perceptiongpt.model.folders import recover
from perceptiongpt.model.perception import PerceptionModel
from perceptiongpt.model.store import save
from perceptiongpt.model_card import card
from perceptiongpt.progress import Progress
from perceptiongpt.rates import freeze, optimiser_of, schedule
from perceptiongpt.validate import Exchange, means, validate


def train(
    run: Run,
    model: PerceptionModel,
    samples: Mix,
    say: Callable[[str], None] = print,
    resume: bool = False,
    questions: Sequence[Exchange] = (),
) -> Path:
    """Train `model` as `run` says; returns the folder of the trained plug-in: the best by validation, or the last.

    Writes into `run.out`: model (the plug-in as it last was), best (as it was when it answered `questions` best),
    checkpoint (to resume), gallery (while a stage needs it), log.jsonl (loss parts by step), tensorboard, run.json.
    Every process calls it; one writes.
    Raises TrainError for a folder in use, for bad data, when a loss is not finite and when the disk is full.
    """
    out, engine = Path(run.out), _engine(model)
    say = say if engine.is_main_process else _silent
    for part, setting in (("look", "region_features"), ("match", "learns_match")):
        if getattr(run.weights, part) and not getattr(model.settings, setting):
            raise TrainError(f"weights.{part} teaches what {setting} adds: set settings.{setting}=true or {part}=0")
    for name in (name for stage in run.stages for name in stage.frozen):
        if not any(n.startswith(name) for n, _ in model.named_parameters()):
            raise TrainError(f"no parameter's name begins with {name!r}, which a stage's frozen names; leave it out")
    _fitting(run, engine, bool(questions))
    with engine.main_process_first():
        start = _begun(run, out, say, resume) if engine.is_main_process else standing(out / "checkpoint")
    if run.threads:
        torch.set_num_threads(run.threads)
    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(run.seed)
    for name in model.settings.trained_host_modules:
        host_module(model.host, name).float()  # what trains is kept in float32
    progress = Progress(run, say, start) if engine.is_main_process else None
    now = start
    try:
        with plain_attention(model.host):
            while now.stage < len(run.stages):
                now = _stage(run, now, model, samples, say, questions, engine, progress)
        forget(out, engine.is_main_process)
    finally:
        if progress is not None:
            progress.close()
    if now.bad:
        say(f"{len(now.bad)} bad samples were passed over: {'; '.join(now.bad[:5])}{' …' if now.bad[5:] else ''}")
    return out / ("best" if now.best is not None else "model")


def _stage(
    run: Run,
    now: Standing,
    model: PerceptionModel,
    samples: Mix,
    say: Callable[[str], None],
    questions: Sequence[Exchange],
    engine: Accelerator,
    progress: Progress | None,
) -> Standing:
    """The rest of the stage in which the run stands; where it stands after it."""
    number, first, out = now.stage, now.step, Path(run.out)
    stage = run.stages[number]
    checkpoint = out / "checkpoint"
    choose_trainable(model, stage.aim)
    freeze(model, stage.rates, stage.frozen)
    if run.recompute:
        recompute(model)
    plan = f"{stage.aim}, {stage.steps} steps of {stage.batch * stage.accumulate}"
    say(f"Stage {number + 1} of {len(run.stages)}: {plan}\n{trainable_report(model)}")
    again = checkpoint.exists()  # of an earlier process, or of the stage before: then it holds what the model does
    if again:
        kept.restore_parameters(checkpoint, model)
        if not first:
            kept.restore_generators(checkpoint, engine.process_index)
    lesson: Any = Lesson(model, stage, asdict(run.weights), samples.names)
    engine.gradient_accumulation_steps, engine.step = stage.accumulate, 0
    if engine.is_fsdp2:
        kept.lengthen(model)
    if kept.deepspeed(engine):
        rows = stage.batch // engine.num_processes
        engine.state.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = rows
    lesson, optimiser = engine.prepare(lesson, optimiser_of(model, stage.rates, run.decay))
    if again and first:
        kept.restore_moments(checkpoint, model, optimiser, engine)
    spelling = model.spelling()
    if stage.aim == "align":
        spelling["request"] = ()  # the static mapping learns by itself: nothing asks yet
    renderer = Renderer(model.backbone.processor, **spelling)
    source = Batches(
        samples,
        renderer,
        model.backbone,
        stage.batch,
        run.seed + number,
        stage.batches,
        engine.process_index,
        engine.num_processes,
        run.skip_bad,
        stage.aim == "name" or max(run.weights.name, run.weights.look, run.weights.match) > 0,
        run.weights.look > 0,
        begin=begin(run.stages, number),
    )
    fed: Iterator[Fed | Picked]
    if stage.aim in KEPT:
        seen = gallery(model, source, stage, run, say, engine.is_main_process)
        fed = picks(seen, stage, first, run.seed, source.rank, source.world)
    else:
        forget(out, engine.is_main_process)
        fed = feed(source, first * stage.accumulate, run.workers)
    if again and first:
        kept.restore_generators(checkpoint, engine.process_index)
    if progress is not None:
        progress.stage(number, stage, first)
    for step in range(first, stage.steps):
        some: list[Any] = [next(fed) for _ in range(stage.accumulate)]
        now = replace(now, bad=(*now.bad, *dict.fromkeys(b for f in some for b in f.bad if b not in now.bad)))
        with disable_input_dtype_casting(model):  # autocast sees to it, and once is enough
            values = _step(lesson, optimiser, some, stage, step, run, engine)
        if not all(math.isfinite(v) for v in values.values()):
            ids = gather_object([i for f in some for i in f.ids])
            raise TrainError(
                f"step {step} of stage {number} gave {values} on the samples {', '.join(ids) or '(a gallery)'}; lower "
                "the rates or look at these samples"
            )
        last, better = step == stage.steps - 1, False
        if questions and stage.aim not in KEPT and ((step + 1) % run.val_every == 0 or last):
            found = gather_object([validate(model, questions[engine.process_index :: engine.num_processes])])
            values = {**values, **means(found)}
            better = now.best is None or values["val_score"] > now.best
            now = replace(now, best=values["val_score"], since=0) if better else replace(now, since=now.since + 1)
        if progress is not None:
            progress.step(step, values)
        stop = bool(run.patience) and now.since >= run.patience
        if stop:
            say(f"{now.since} validations in a row were no better than {now.best:.4f}: the run stops here")
        if better:
            _save(model, out / "best", run, engine)
        if (step + 1) % run.save_every == 0 or last or stop:
            at = (len(run.stages), 0) if stop else (number + 1, 0) if last else (number, step + 1)
            now = replace(now, stage=at[0], step=at[1])
            if progress is not None:
                progress.safe()
            _save(model, out / "model", run, engine)  # first, so that a run that is done has its model
            kept.write(checkpoint, model, optimiser, engine, now)
        if stop:
            break
    del lesson, optimiser  # or its hooks would see the next stage's gradients, too
    engine.free_memory()
    return now


def _step(
    lesson: Any, optimiser: Any, some: Sequence[Fed | Picked], stage: Stage, step: int, run: Run, engine: Accelerator
) -> dict[str, float]:
    """One optimiser step over the batches of all processes; the loss parts, and the gradient's norm."""
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    weights, device = asdict(run.weights), trained[0].device
    if stage.aim in KEPT:
        weights[stage.aim] = 1.0  # there it is all that is learnt
    counts = [f.counts(stage.aim != "words") for f in some]
    totals = {k: sum(c[k] for c in counts) for k in counts[0]}
    if engine.num_processes > 1:
        summed = engine.reduce(torch.tensor(list(totals.values()), device=device))
        totals = dict(zip(totals, summed.tolist(), strict=True))
    values: dict[str, float] = {}
    norm = 0.0
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * schedule(step, stage.steps, stage.warmup)
    for fed, count in zip(some, counts, strict=True):
        # Engines take the mean over processes, so that each process's share is that many times as large.
        share = {k: count[k] * engine.num_processes / totals[k] if totals[k] else 1.0 for k in count}
        with engine.accumulate(lesson):
            loss_parts = lesson(fed.to(device), share)
            loss = sum((weights[k] * v for k, v in loss_parts.items()), start=torch.zeros((), device=device))
            engine.backward(loss * stage.accumulate)  # which divides by as much
            for k, v in loss_parts.items():
                values[k] = values.get(k, 0.0) + float(v.detach())
            if engine.sync_gradients:
                norm = _number(engine.clip_grad_norm_(trained, run.clip))
            if math.isfinite(norm):
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
    if engine.num_processes > 1:
        told = [[values.get(k, 0.0) for k in weights], [float(k in values) for k in weights]]
        mean, known = engine.reduce(torch.tensor(told, dtype=torch.float64, device=device), "mean").tolist()
        values = {k: v for k, v, there in zip(weights, mean, known, strict=True) if there}
    return {**values, "norm": norm}


def _engine(model: PerceptionModel) -> Accelerator:
    """How processes speak with each other, as the launcher set it; one process where none did."""
    # A process whose rows hold no region leaves the decoders out of its graph.
    parallel = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=model.backbone.device.type == "cpu", kwargs_handlers=[parallel])


def _begun(run: Run, out: Path, say: Callable[[str], None], resume: bool) -> Standing:
    """Make the run's folder, or find it as it was left; where to begin."""
    note = out / "run.json"
    told = json.loads(json.dumps(asdict(run)))
    if not resume and (note.exists() or (out / "checkpoint").exists()):
        raise TrainError(f"{out} already holds a run; give another out=…, remove it, or add --resume")
    with written(note):
        out.mkdir(parents=True, exist_ok=True)
        for name in ("model", "best"):
            recover(out / name)
        if resume and note.exists():
            for line in kept.changes(json.loads(note.read_text(encoding="utf-8")), told):
                say(f"Changed since this run began: {line}")
        kept.write_text(note, json.dumps(told, indent=1) + "\n")
    return standing(out / "checkpoint")


def _fitting(run: Run, engine: Accelerator, validates: bool) -> None:
    """Refuse what the engine can't do."""
    small = min(stage.batch for stage in run.stages)
    if small < engine.num_processes:
        raise TrainError(f"a batch of {small} for {engine.num_processes} processes; give at least one sample to each")
    kind = str(engine.distributed_type).rpartition(".")[2]
    if kind in ("FSDP", "DEEPSPEED") and (len(run.stages) > 1 or validates):
        raise TrainError(f"{kind} shards a model once, so a run has one stage and no validation; give it one, val=[]")


def _save(model: PerceptionModel, folder: Path, run: Run, engine: Accelerator) -> None:
    """The plug-in with its card, replaced as a whole."""
    with gathered(model):
        if engine.is_main_process:
            with written(folder):
                save(model, folder, run.host, card=card(run, model, folder.parent))
    engine.wait_for_everyone()


def _number(norm: Any) -> float:
    """A gradient's norm as a number, whatever an engine gives."""
    return 0.0 if norm is None else float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)


def _silent(_: str) -> None:
    """Only the main process speaks."""

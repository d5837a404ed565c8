"""What `train`, `push` and `pull` do: flags become a Run with what is right for most people's own data, and it is run.

Knows the flags and the defaults behind them. Heavy imports stand inside; what can be refused is refused before a model
is loaded.
"""

from __future__ import annotations

import importlib.util
import math
import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceptiongpt.config import Run, Weights, with_changes
from perceptiongpt.data.mix import Source
from perceptiongpt.data.stream import Stream
from perceptiongpt.presets import preset
from perceptiongpt.recipe import ANY, Held, stages
from perceptiongpt.sources import open_source, parts_of

# For a host that reads pictures already: its language model adapted, decoders of a middling size.
FRESH: dict[str, Any] = {
    "decoder_depth": 3,
    "read_window": 12,
    "lora_targets": "all",
    "lora_rank": 16,
    "lora_alpha": 32,
}


def train(told: Namespace) -> None:
    """train: a preset, or own data; equip or go on with a model, mix the sources, run, sum up."""
    run = run_of(told)
    check_qlora(told.qlora)
    main = os.environ.get("RANK", "0") == "0"  # of processes that a launcher started, one speaks

    def say(line: str) -> None:
        if main:
            print(line, flush=True)

    from perceptiongpt.data.mix import Mix
    from perceptiongpt.hosts import open_host
    from perceptiongpt.model import store
    from perceptiongpt.model.perception import equip
    from perceptiongpt.predict import PACKAGED
    from perceptiongpt.progress import summary
    from perceptiongpt.train import train as go
    from perceptiongpt.validate import exchanges

    start = None if run.start is None else PACKAGED if run.start == "default" else store.model_folder(run.start)
    known = None if start is None else store.read_config(start)
    run, sources, val = opened(run, say, divide=bool(told.data) and not sharded())
    samples = Mix(sources, run.seed)
    if told.preset is None:
        planned = run_of(told, Held.of(samples.sources), known)
        run = replace(planned, data=run.data, val=run.val)
        say(_beginning(run))
    questions = exchanges(val, run.val_questions, run.seed) if val else ()
    device = told.device
    if device == "auto" and "LOCAL_RANK" in os.environ:
        import torch

        device = f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"
    host, processor = open_host(run.host, told.dtype, device, bits=4 if told.qlora else None)
    if start is not None:
        model = store.load(start, host, processor, run.settings)
        if told.preset is None and model.backbone.dynamic:  # of such a host no picture's features can be kept
            run = replace(run, stages=tuple(s for s in run.stages if s.aim != "name"))
    else:
        if told.tune == "full":
            run = replace(run, settings={**run.settings, "trained_host_modules": whole_modules(host)})
        model = equip(host, processor, seed=run.seed, **run.settings)
    folder = go(run, model, samples, say, told.resume, questions)
    if main:
        say(summary(Path(run.out)))
    say(f"The trained model is in {folder}; use it as --model {run.out}")


def push(told: Namespace) -> None:
    """push FOLDER REPO: a model folder to a hub."""
    from perceptiongpt.hub import push as send

    print(send(told.folder, told.repo, told.private))


def pull(told: Namespace) -> None:
    """pull REPO FOLDER: a model folder from a hub."""
    from perceptiongpt.hub import pull as get

    print(get(told.repo, told.folder, told.revision))


def run_of(told: Namespace, held: Held = ANY, known: Mapping[str, Any] | None = None) -> Run:
    """The run that a command line means, on data that hold so much, from the model whose settings are `known`.

    Raises ValueError for flags that don't go together.
    """
    if told.preset is not None and (told.data or told.model):
        raise ValueError("a preset and --data or --model were given; give the one or the other")
    own = [n for n in ("tune", "steps", "batch", "accumulate", "rate") if getattr(told, n) is not None]
    if told.preset is not None and own:
        raise ValueError(f"--{own[0]} goes with --data; a preset is changed by --set, such as --set stages.0.steps=50")
    if told.preset is None and not told.data:
        raise ValueError("neither data nor a preset was given; give --data PATH, or a preset such as tiny")
    run = preset(told.preset) if told.preset else _own(told, held, known)
    changed = {"host": told.host, "out": told.out, "wandb": told.wandb} | {"recompute": told.recompute or None}
    changed |= {"skip_bad": told.skip_bad or None, "patience": told.patience, "val": tuple(told.val) or None}
    run = replace(run, **{k: v for k, v in changed.items() if v is not None})
    run = with_changes(run, told.set)
    bare = told.preset is None and run.start is None
    if bare and run.settings.get("points", True) and run.settings.get("answer_format", "vis") == "vis":
        return replace(run, settings={"follows_edges": True, **run.settings})
    return run


def _own(told: Namespace, held: Held, known: Mapping[str, Any] | None) -> Run:
    """A run on somebody's own data, from a trained model (the packaged one) or from a bare host."""
    tune = told.tune or "lora"
    fresh = told.model is None and told.host is not None and (told.host != "default" or tune == "full")
    if tune == "full" and not fresh:
        raise ValueError("--tune full begins with a host, and a trained model was given; give --host and no --model")
    settings = dict(FRESH) if fresh else {}
    if fresh and tune != "lora":
        settings["lora_targets"] = "none"
    had = settings if known is None else known["settings"]
    made = stages(held, had, fresh, tune, told.steps, told.batch, told.accumulate, told.rate, sharded())
    steps = sum(stage.steps for stage in made if stage.aim != "name")
    return Run(
        name=Path(told.out or "mine").name,
        host="default" if known is None else known["host"],
        start=None if fresh else (told.model or "default"),
        out="runs/mine",
        data=tuple(weighed(text) for text in told.data),
        stages=made,
        settings=settings,
        weights=Weights() if fresh else Weights(name=0.2, cycle=0.1),
        save_every=max(1, min(100, steps // 4)),
        val_every=max(1, min(200, steps // 3)),
        workers=1,
    )


def _beginning(run: Run) -> str:
    if run.start is None:
        return f"Training begins with the bare host {run.host} (--model FOLDER goes on from a trained model)"
    if run.start == "default":
        return "Training goes on from the packaged model (--model FOLDER from yours, --host FOLDER with another host)"
    return f"Training goes on from {run.start}"


def weighed(text: str) -> tuple[str, float]:
    """A source's name and its weight: "NAME" or "NAME,WEIGHT"."""
    name, comma, last = text.rpartition(",")
    try:
        weight = float(last) if comma else math.nan
    except ValueError:
        weight = math.nan
    if math.isnan(weight):
        return text, 1.0  # the comma is part of a path
    if not name or not 0 < weight < math.inf:
        raise ValueError(f"{last!r} in --data {text} is no weight; write NAME,WEIGHT with a positive number")
    return name, weight


def whole_modules(host: Any) -> tuple[str, ...]:
    """Names of the host's modules that `--tune full` trains: its language model, and a head with rows of its own."""
    tied = host.get_output_embeddings().weight is host.get_input_embeddings().weight
    wanted = [host.get_decoder(), *([] if tied else [host.get_output_embeddings()])]
    found = {id(m): n for n, m in host.named_modules()}
    return tuple(found[id(m)] for m in wanted)


def sharded() -> bool:
    """Whether the launcher set an engine that shards a model, once: such a run has one stage and no validation."""
    return "true" in (os.environ.get("ACCELERATE_USE_FSDP"), os.environ.get("ACCELERATE_USE_DEEPSPEED"))


def check_qlora(asked: bool) -> None:
    """Refuse 4-bit hosts where bitsandbytes is missing. Raises ValueError."""
    if asked and importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(
            "--qlora needs bitsandbytes, which is not installed; pip install bitsandbytes, or leave it out"
        )


Opened = tuple[Run, list[tuple[Source | Stream, float]], list[Source | Stream]]


def opened(run: Run, say: Callable[[str], None], divide: bool) -> Opened:
    """The sources to train on and to validate on, and the run with their names.

    `divide`: where nothing was named to validate on, data that has parts is divided into them. With `skip_bad`,
    entries that can't be read are left out and said. Raises ValueError or FileNotFoundError for data of no use.
    """
    bad: list[str] = []
    heard: set[str] = set()

    def once(line: str) -> None:  # both parts of a source say how it is read
        if line not in heard:
            heard.add(line)
            say(line)

    def open_one(name: str) -> Source | Stream:
        return open_source(name, run.seed, once, bad.append if run.skip_bad else None, run.library)

    data, val = list(run.data), list(run.val)
    train, asked = [], [open_one(name) for name in val]
    for i, (name, weight) in enumerate(data):
        halves = None if run.val or not divide else parts_of(name)
        why = ""
        if halves is not None:
            try:
                asked.append(open_one(halves[1]))
                val.append(halves[1])
                data[i] = (halves[0], weight)
            except (ValueError, OSError) as error:
                why = str(error)
        train.append((open_one(data[i][0]), weight))  # first of all: what is wrong with both parts is an error
        if why:
            say(f"Nothing of {name} is kept to validate on ({why})")
    if bad:
        told = list(dict.fromkeys(bad))
        say(f"{len(told)} entries that cannot be read are left out: {'; '.join(told[:5])}{' …' if told[5:] else ''}")
    return replace(run, data=tuple(data), val=tuple(val)), train, asked

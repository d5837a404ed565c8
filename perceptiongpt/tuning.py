"""`train --data … --host …` as a Run: what is right for most people's own data, and which part of the host may change.

Knows the flags of the command line and the defaults behind them. Knows nothing of tensors.
"""

from __future__ import annotations

import importlib.util
import math
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceptiongpt.config import Rates, Run, Stage, preset, with_changes
from perceptiongpt.data.mix import Source

TUNES = ("lora", "full", "frozen")
# For a host that reads pictures already: its language model adapted, decoders of a middling size.
FRESH: dict[str, Any] = {"decoder_depth": 3, "read_window": 12, "lora_targets": "all", "lora_rank": 16, "lora_alpha": 32}
STEPS, BATCH = 600, 8


def run_of(told: Namespace) -> Run:
    """The run that a command line means. Raises ValueError for flags that don't go together."""
    if told.preset is not None and (told.data or told.model):
        raise ValueError("a preset and --data or --model were given; give the one or the other")
    if told.preset is None and not told.data:
        raise ValueError("neither data nor a preset was given; give --data PATH, or a preset such as tiny")
    run = preset(told.preset) if told.preset else _own(told)
    changed = {"host": told.host, "out": told.out, "wandb": told.wandb} | {"recompute": told.recompute or None}
    changed |= {"skip_bad": told.skip_bad or None, "patience": told.patience, "val": tuple(told.val) or None}
    run = replace(run, **{k: v for k, v in changed.items() if v is not None})
    return with_changes(run, told.set)


def _own(told: Namespace) -> Run:
    """A run of one stage on somebody's own data, from a trained model (the packaged one) or from a bare host."""
    fresh = told.host is not None and told.model is None
    tune = told.tune or "lora"
    if tune == "full" and not fresh:
        raise ValueError("--tune full begins with a host, and a trained model was given; give --host and no --model")
    steps, batch = told.steps or STEPS, told.batch or BATCH
    # What is trained already wants gentle steps; what is new must learn all.
    rates = Rates() if fresh else Rates(heads=3e-4, rows=5e-4, adapter=3e-4, vision=1e-4, host=5e-5)
    if tune == "full":
        rates = replace(rates, host=2e-5, adapter=0.0, vision=0.0)
    if tune == "frozen":
        rates = replace(rates, host=0.0, adapter=0.0, vision=0.0)
    if told.rate is not None:
        rates = replace(rates, **{k: v * told.rate for k, v in vars(rates).items()})
    stage = Stage(
        steps=steps, batch=batch, accumulate=told.accumulate or 1, warmup=max(1, min(50, steps // 10)), rates=rates
    )
    settings = dict(FRESH) if fresh else {}
    if fresh and tune != "lora":
        settings["lora_targets"] = "none"
    return Run(
        name=Path(told.out or "mine").name,
        start=None if fresh else (told.model or "default"),
        out="runs/mine",
        data=tuple(weighed(text) for text in told.data),
        stages=(stage,),
        settings=settings,
        save_every=max(1, min(100, steps // 4)),
        val_every=max(1, min(200, steps // 4)),
        workers=1,
    )


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
    """Names of the host's modules that `--tune full` trains: its language model and its head, if that has its own rows."""
    tied = host.get_output_embeddings().weight is host.get_input_embeddings().weight
    wanted = [host.get_decoder(), *([] if tied else [host.get_output_embeddings()])]
    found = {id(m): n for n, m in host.named_modules()}
    return tuple(found[id(m)] for m in wanted)


def check_qlora(asked: bool) -> None:
    """Refuse 4-bit hosts where bitsandbytes is missing. Raises ValueError."""
    if asked and importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError("--qlora needs bitsandbytes, which is not installed; pip install bitsandbytes, or leave it out")


def opened(run: Run, open_source: Any, say: Any) -> tuple[Run, list[tuple[Source, float]], list[Source]]:
    """The run's sources to train on and to validate on.

    Data that names no split and can be divided by picture gives its own part to validate on, where none was named.
    """
    if run.val or run.start is None and not run.settings:
        return run, [(open_source(n, run.seed), w) for n, w in run.data], [open_source(n, run.seed) for n in run.val]
    train, val = [], []
    raise NotImplementedError

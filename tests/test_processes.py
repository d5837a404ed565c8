"""Several processes train as one: the same losses at the same global batch, whoever holds the regions or the shards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from a_process import PLANS, go
from accelerate import Accelerator
from safetensors.torch import load_file
from test_train import fresh, log

from perceptiongpt.config import Run, Stage
from perceptiongpt.core.answer import Region
from perceptiongpt.data.collate import collate
from perceptiongpt.data.sample import Sample
from perceptiongpt.data.shapes import shapes
from perceptiongpt.feed import Fed, TrainError
from perceptiongpt.lesson import Lesson
from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.rates import optimiser_of
from perceptiongpt.train import _fitting, _step

HERE = Path(__file__).parent


def processes(count: int, *words: object) -> None:
    """Start processes as a launcher does, and wait for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    told |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE.parent}:{HERE}"}
    script = [sys.executable, str(HERE / "a_process.py"), *map(str, words)]
    started = [
        subprocess.Popen(
            script,
            env={**os.environ, **told, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]
    for process in started:
        out = process.communicate(timeout=300)[0]
        assert process.returncode == 0, out[-3000:]


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_two_processes_have_the_losses_of_one_at_each_step(plan: str, tmp_path: Path) -> None:
    go(tmp_path / "one", plan)
    processes(2, tmp_path / "two", plan)
    one, two = log(tmp_path / "one"), log(tmp_path / "two")
    assert len(one) == len(two) == sum(stage.steps for stage in PLANS[plan])
    assert one[-1]["box_l1"] > 0
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        assert all(abs(a[k] - b[k]) <= 1e-4 for k in a)
    ours, theirs = (load_file(tmp_path / name / "model/perception.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(ours[k], theirs[k], atol=1e-4) for k in ours)


@pytest.mark.parametrize("name", ["fsdp2", "deepspeed"])
def test_the_configurations_in_the_docs_are_what_accelerate_reads(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    told = load_config_from_file(str(HERE.parent / f"docs/accelerate/{name}.yaml"))
    kinds = {"fsdp2": ("FSDP", told.fsdp_config.get("fsdp_version")), "deepspeed": ("DEEPSPEED", None)}
    assert (told.distributed_type.value, told.fsdp_config.get("fsdp_version")) == kinds[name]
    assert told.num_processes == 4


class Engine:
    """What an engine says of itself."""

    def __init__(self, kind: str, count: int) -> None:
        self.distributed_type, self.num_processes = kind, count


@pytest.mark.parametrize(
    ("kind", "count", "stages", "validates", "why"),
    [
        ("MULTI_CPU", 9, 1, False, "batch of 8 for 9 processes"),
        ("FSDP", 2, 2, False, "one stage"),
        ("DistributedType.DEEPSPEED", 2, 1, True, "no validation"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(kind: str, count: int, stages: int, validates: bool, why: str) -> None:
    run = Run(name="x", stages=(Stage(batch=8),) * stages)
    with pytest.raises(TrainError, match=why):
        _fitting(run, Engine(kind, count), validates)
    _fitting(Run(name="x"), Engine("MULTI_GPU", 8), True)


def test_batches_of_one_step_count_as_one_batch(renderer: Callable[..., Any]) -> None:
    samples = [
        replace(s, turns=tuple(replace(t, regions=[Region(box=r.box) for r in t.regions]) for t in s.turns))
        for s in shapes(4, seed=0)
    ]
    assert len({sum(len(t.regions) for t in s.turns) for s in samples}) > 1  # a mean of means would differ

    def values(groups: list[list[Sample]]) -> dict[str, float]:
        model = fresh()
        stage, run = Stage(steps=1, batch=len(groups[0]), accumulate=len(groups)), Run(name="x", clip=1e9)
        choose_trainable(model)
        engine = Accelerator(cpu=True, gradient_accumulation_steps=len(groups))
        optimiser = engine.prepare(optimiser_of(model, stage.rates, 0.0))
        rng = np.random.default_rng(0)
        fed = [Fed(collate(g, renderer(model), model.backbone, rng), [[]] * len(g), (), ()) for g in groups]
        return _step(Lesson(model, stage, asdict(run.weights)), optimiser, fed, stage, 0, run, engine)

    whole, parted = values([samples]), values([[s] for s in samples])
    assert whole == pytest.approx(parted, abs=1e-4)
    assert whole["box_l1"] > 0

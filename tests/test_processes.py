"""Several processes train as one: the same losses at the same global batch, whoever holds the regions or the shards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from a_process import PLANS, SETTINGS, go
from safetensors.torch import load_file
from test_train import drawn, fresh, log, silent

from perceptiongpt.config import Run, Stage
from perceptiongpt.feed import TrainError
from perceptiongpt.train import _fitting

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


def test_batches_of_one_step_count_as_one_batch(tmp_path: Path) -> None:
    def first(batch: int, accumulate: int) -> dict[str, float]:
        out = tmp_path / f"{batch}"
        run = Run(
            name="x",
            host="tiny:aya_vision",
            out=str(out),
            stages=(Stage(steps=1, batch=batch, accumulate=accumulate),),
            settings=SETTINGS,
        )
        train_from_one_pool(run)
        return log(out)[0]

    whole, parted = first(8, 1), first(1, 8)
    # Which part of a region is written back is drawn anew in each batch, so that only what is before it is the same.
    assert whole["text"] == pytest.approx(parted["text"], abs=0.05)
    assert whole.keys() == parted.keys()


def train_from_one_pool(run: Run) -> None:
    from perceptiongpt.train import train

    train(run, fresh(), drawn(), silent)

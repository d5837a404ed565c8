"""What our training loop and loader cost over bare forward + backward + step on tensors that are ready: their ratio.

The loop runs as users run it (loader in one process beside it, log, TensorBoard, accelerate); checkpoints are left out.
A bare step follows each of the loop's, on the same batch, so that whatever else runs on the machine meets both: the
ratio is the median over these pairs. Processor time of the same steps stands beside it, since another job disturbs it
less. Knows the target that it prints beside the ratio.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perceptiongpt.config import Rates, Run, Stage
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.render import Renderer
from perceptiongpt.feed import Batches
from perceptiongpt.hosts import open_host
from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.perception import equip
from perceptiongpt.presets import preset
from perceptiongpt.rates import optimiser_of
from perceptiongpt.sources import open_source
from perceptiongpt.train import Lesson, train

sys.path.insert(0, str(Path(__file__).parent))
from telling import options, target, told

AT_MOST = 1.10
Seconds = np.ndarray
WARM_UPS = 2  # steps of each turn that don't count: the loader's start, the first allocation


def plan(host: str, steps: int, out: Path) -> Run:
    """A run of one stage on that host, with the settings and the data of its preset."""
    made = preset("tiny") if host.startswith("tiny:") else preset("first_light")
    batch = made.stages[-1].batch
    stage = Stage(steps=steps, batch=batch, rates=Rates(heads=1e-4, adapter=1e-4, host=1e-5, vision=1e-5, rows=1e-4))
    return replace(made, host=host, out=str(out), stages=(stage,), workers=1, threads=1, log_every=1, save_every=10**9)


class Bare:
    """Forward, backward and step on batches that are ready, one at a time."""

    def __init__(self, run: Run, model: Any, samples: Mix) -> None:
        stage, self.clip, self.weights = run.stages[0], run.clip, asdict(run.weights)
        renderer = Renderer(
            model.backbone.processor, model.vis_id, model.backbone.image_token_id, model.settings.vis_tokens
        )
        ready = Batches(samples, renderer, model.backbone, stage.batch, run.seed, stage.steps)
        started = time.perf_counter()
        self.batches = [ready[k] for k in range(stage.steps)]
        self.making = (time.perf_counter() - started) / stage.steps
        choose_trainable(model, stage.aim)
        self.lesson, self.optimiser = Lesson(model, stage, self.weights), optimiser_of(model, stage.rates, run.decay)
        self.trained = [p for group in self.optimiser.param_groups for p in group["params"]]

    def step(self, k: int) -> None:
        """Learn from batch k, the very batch that the loop's step k learns from."""
        loss_parts = self.lesson(self.batches[k], {})
        sum(self.weights[name] * v for name, v in loss_parts.items()).backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def measured(host: str, steps: int) -> dict[str, Any]:
    """Seconds of a step of the loop and of the bare step after it, step by step; the median of their ratios."""
    torch.set_num_threads(1)
    loop: list[Seconds] = []
    ready: list[Seconds] = []
    with tempfile.TemporaryDirectory() as folder:
        run = plan(host, steps, Path(folder) / "run")
        samples = Mix([(open_source(name, 0, lambda line: None), weight) for name, weight in run.data], 0)
        one, other = (equip(*open_host(host, "float32", "cpu"), **run.settings) for _ in range(2))
        bare = Bare(run, other, samples)
        last = [clocks()]

        def between(line: str) -> None:
            if line.startswith("all "):
                loop.append(clocks() - last[0])
                started = clocks()
                bare.step(len(loop) - 1)
                ready.append(clocks() - started)
            last[0] = clocks()

        train(run, one, samples, between)
    pairs = np.array([loop[WARM_UPS:], ready[WARM_UPS:]])  # [loop and bare, steps, clocks]
    ratio, of_processor = np.median(pairs[0] / pairs[1], axis=0).tolist()
    (ours, _), (theirs, _) = np.median(pairs, axis=1).tolist()
    return {
        "host": host,
        "ratio": ratio,
        "ratio_processor": of_processor,
        "loop_seconds": ours,
        "bare_seconds": theirs,
        "making_seconds": bare.making,
        "steps": steps,
        "batch": run.stages[0].batch,
    }


def clocks() -> Seconds:
    """Seconds on the wall and of this process's processor time: [2]."""
    return np.array([time.perf_counter(), time.process_time()])


def run(given: argparse.Namespace) -> dict[str, Any]:
    """The figures of one run."""
    steps = 5 if given.quick else given.steps
    if steps <= WARM_UPS:
        raise ValueError(f"--steps {steps} came; give more than the {WARM_UPS} that warm up")
    return {**measured(given.host, steps), "at_most": AT_MOST, "machine": {"threads": 1}}


def table(result: dict[str, Any]) -> str:
    """The figures as lines to read, the ratio beside its target."""
    return (
        f"{result['host']}, batch {result['batch']}, {result['steps']} steps of each, in turns; medians\n"
        f"a step of the loop {result['loop_seconds']:.4f} s, a bare step {result['bare_seconds']:.4f} s\n"
        f"making a batch, in the process beside: {result['making_seconds']:.4f} s\n"
        f"ratio of processor time {result['ratio_processor']:.3f}\n"
        f"ratio {result['ratio']:.3f} {target(result['ratio'], '<=', AT_MOST)}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when it ran, 2 for what was refused."""
    read = options("train_overhead", __doc__, "five steps")
    read.add_argument("--host", default="tiny:aya_vision", help="tiny:FAMILY or default (default: %(default)s)")
    read.add_argument("--steps", type=int, default=60, help="(default: %(default)s)")
    return told(read, run, table, argv)


if __name__ == "__main__":
    sys.exit(main())

"""What a run says and writes down while it goes: lines, a bar, log.jsonl, TensorBoard, W&B, and at its end a summary.

Knows the names of files in a run's folder. Knows nothing of models.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from perceptiongpt.checkpoint import Standing, write_text
from perceptiongpt.config import Run, Stage

LOG, BOARD, PLOT = "log.jsonl", "tensorboard", "plot.png"
TRAIN = "pip install 'perceptiongpt[train]'"


class Progress:
    """Where the numbers of each step go. `say` gets lines; the bar is drawn only on a terminal."""

    def __init__(self, run: Run, say: Callable[[str], None], start: Standing) -> None:
        out = Path(run.out)
        self.run, self.say = run, say
        _forget(out / LOG, start)
        self.log = (out / LOG).open("a", encoding="utf-8")
        self.board = _board(out / BOARD, say, self._step(start.stage, start.step))
        self.wandb = _wandb(run) if run.wandb else None
        self.bar = tqdm(disable=True)

    def stage(self, number: int, stage: Stage, first: int) -> None:
        """A stage begins, at its step `first`."""
        self.number, self.of, self.first = number, stage, first
        self.started = time.monotonic()
        self.bar = tqdm(
            total=stage.steps, initial=first, desc=stage.aim, unit="step", leave=False, disable=not sys.stderr.isatty()
        )

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """The numbers of one step: written down at once, said every `log_every` steps and at the stage's end."""
        row = {"stage": self.number, "step": step, **{k: round(v, 6) for k, v in values.items()}}
        self.log.write(json.dumps(row) + "\n")
        self.log.flush()
        for name, value in values.items() if self.board is not None else ():
            self.board.add_scalar(name.replace("val_", "val/"), value, self._step(self.number, step))
        if self.wandb is not None:
            self.wandb.log(dict(values), step=self._step(self.number, step))
        self.bar.update()
        last = step == self.of.steps - 1
        if step % self.run.log_every and not last and "val_score" not in values:
            return
        spent = time.monotonic() - self.started
        speed = (step + 1 - self.first) / spent
        shown = "  ".join(f"{k} {v:.3f}" for k, v in values.items())
        size = self.of.batch * self.of.accumulate
        left = "" if last else f"  {_time((self.of.steps - step - 1) / speed)} left"
        self.tell(f"{self.of.aim} {step + 1}/{self.of.steps}  {shown}  {speed * size:.1f} samples/s{left}")

    def tell(self, line: str) -> None:
        """A line that doesn't run into the bar."""
        with tqdm.external_write_mode():
            self.say(line)

    def safe(self) -> None:
        """What was written down is on the disk itself."""
        os.fsync(self.log.fileno())

    def close(self) -> None:
        self.bar.close()
        self.log.close()
        if self.board is not None:
            self.board.close()
        if self.wandb is not None:
            self.wandb.finish()

    def _step(self, stage: int, step: int) -> int:
        return sum(s.steps for s in self.run.stages[:stage]) + step


def summary(out: Path) -> str:
    """First and last losses of each stage, the validations, and where the plot of them lies."""
    rows = [json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()]
    lines = ["part              first     last   (means over a tenth of a stage)"]
    for number in sorted({r["stage"] for r in rows}):
        part = [r for r in rows if r["stage"] == number]
        tenth = max(1, len(part) // 10)
        for name in names(part):
            ends = [[r[name] for r in some if name in r] for some in (part[:tenth], part[-tenth:])]
            if all(ends):
                first, last = map(statistics.fmean, ends)
                lines.append(f"{number + 1} {name:<12} {first:9.4f} {last:9.4f}")
    for r in (r for r in rows if "val_score" in r):
        told = "  ".join(f"{k.removeprefix('val_')} {r[k]:.4f}" for k in r if k.startswith("val_"))
        lines.append(f"validation after step {r['step'] + 1} of stage {r['stage'] + 1}: {told}")
    return "\n".join([*lines, _plotted(rows, out / PLOT)])


def names(rows: list[dict[str, Any]]) -> list[str]:
    """Names of the numbers in rows of the log, validations aside."""
    found = dict.fromkeys(k for r in rows for k in r)
    return [k for k in found if k not in ("stage", "step") and not k.startswith("val_")]


def _plotted(rows: list[dict[str, Any]], path: Path) -> str:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return f"No plot was drawn: matplotlib is not installed; {TRAIN}"
    shown = [*names(rows), *(["val_score"] if any("val_score" in r for r in rows) else [])]
    high = -(-len(shown) // 3)
    figure = Figure(figsize=(12, 2.6 * high), layout="constrained")
    for place, name in enumerate(shown, 1):
        axes = figure.add_subplot(high, 3, place)
        found = [(i, r[name]) for i, r in enumerate(rows) if name in r]
        axes.plot(*zip(*found, strict=True), marker="o" if name == "val_score" else None, linewidth=0.8)
        axes.set_title(name, fontsize=9)
        axes.grid(alpha=0.3)
    part = path.with_name(f".{path.name}")
    figure.savefig(part, format="png", dpi=80)
    part.replace(path)
    return f"Plot: {path}"


def _board(folder: Path, say: Callable[[str], None], step: int) -> Any:
    """A TensorBoard writer that goes on at `step`, or where there is none, nothing."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        say(f"No TensorBoard files are written: tensorboardX is not installed; {TRAIN}")
        return None
    return SummaryWriter(str(folder), purge_step=step or None)


def _wandb(run: Run) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise ValueError("W&B was asked for, but wandb is not installed; pip install wandb, or leave it out") from error
    return wandb.init(project=run.wandb, name=run.name, config=asdict(run), dir=run.out, resume="allow")


def _forget(log: Path, done: Standing) -> None:
    """Drop the rows of steps that will be taken again, and a row that a kill cut off."""
    if not log.exists():
        return
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if (row["stage"], row["step"]) < (done.stage, done.step):
            kept.append(line)
    write_text(log, "".join(kept))


def _time(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"

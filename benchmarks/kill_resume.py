"""Kill -9 at random moments of training, then resume: bit for bit the weights of a run that nothing disturbed.

Knows how to kill its own children. Knows nothing of how a run saves itself.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from perceptiongpt import checkpoint, progress, train, validate  # noqa: F401  # children inherit what is imported
from perceptiongpt.config import Rates, Run, Stage
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.shapes import shapes
from perceptiongpt.model.perception import equip
from perceptiongpt.model.tiny import FAMILIES

sys.path.insert(0, str(Path(__file__).parent))
from telling import options, told

SETTINGS: dict[str, Any] = {
    "decoder_width": 16,
    "decoder_depth": 1,
    "trained_host_modules": ("model.multi_modal_projector",),
}


def run(given: argparse.Namespace) -> dict[str, Any]:
    """The trials in a folder of their own."""
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp(prefix="kill-"))
    try:
        result = trials(root, 2 if given.quick else given.kills, given.steps, random.Random(given.seed))
    finally:
        shutil.rmtree(root)
    return {**result, "failed": result["identical"] != result["kills"], "machine": {"threads": 1}}


def table(result: dict[str, Any]) -> str:
    """How many runs ended as the undisturbed one, and when they were killed."""
    moments = ", ".join(f"{s:.2f} s" for s in result["killed_at"])
    return (
        f"{result['identical']} of {result['kills']} killed runs ended with the weights of the undisturbed one "
        f"(wanted {result['kills']})\nkilled after {moments} of {result['seconds']:.2f} s"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when all is identical, 1 when not, 2 for what was refused."""
    read = options("kill_resume", __doc__, "two kills")
    read.add_argument("--kills", type=int, default=20, help="(default: %(default)s)")
    read.add_argument("--steps", type=int, default=12, help="of the run (default: %(default)s)")
    read.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    return told(read, run, table, argv)


def trials(root: Path, kills: int, steps: int, rng: random.Random) -> dict[str, Any]:
    """`kills` runs, each killed at a random moment and resumed to its end."""
    whole = root / "whole"
    started = time.monotonic()
    ended(begun(whole, steps, resume=False))
    seconds = time.monotonic() - started
    result: dict[str, Any] = {"kills": kills, "seconds": seconds, "identical": 0, "killed_at": []}
    for number in range(kills):
        out, after = root / str(number), rng.uniform(0.0, seconds)
        child = begun(out, steps, resume=False)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        ended(begun(out, steps, resume=True))
        same = weights(out) == weights(whole) and (out / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
        result["identical"] += same
        result["killed_at"].append(after)
        shutil.rmtree(out)
    return result


def begun(out: Path, steps: int, resume: bool) -> int:
    """A process of its own that trains into `out`; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        stages = (Stage(steps=steps, batch=2, rates=Rates(heads=1e-3, adapter=1e-3)),)
        run = Run(name="kill", host="tiny:aya_vision", out=str(out), stages=stages, settings=SETTINGS, save_every=1)
        model = equip(*FAMILIES["aya_vision"](), **SETTINGS)
        train.train(replace(run, seed=3), model, Mix([(shapes(12, seed=0), 1.0)], 0), lambda line: None, resume)
        code = 0
    finally:
        os._exit(code)


def ended(child: int) -> None:
    """Wait for a child that must succeed."""
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"a run that nothing disturbed ended with status {status}")


def weights(out: Path) -> dict[str, bytes]:
    """The bytes of every file of weights of the trained model."""
    return {p.name: p.read_bytes() for p in sorted((out / "model").rglob("*.safetensors"))}


if __name__ == "__main__":
    sys.exit(main())

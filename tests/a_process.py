"""One of the processes that train together, as a launcher would start it: `python a_process.py OUT PLAN`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from perceptiongpt import train as engine
from perceptiongpt.checkpoint import lengthen
from perceptiongpt.config import Rates, Run, Stage, Weights
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.data.shapes import shapes
from perceptiongpt.model.perception import PerceptionModel, equip
from perceptiongpt.model.tiny import FAMILIES

SETTINGS: dict[str, Any] = {
    "decoder_width": 16,
    "decoder_depth": 1,
    "read_window": 6,
    "trained_host_modules": ("model.multi_modal_projector",),
    "tells_apart": True,
}
RATES = Rates(heads=1e-3, adapter=1e-3)
PLANS: dict[str, tuple[Stage, ...]] = {
    "stages": (
        Stage(aim="name", steps=4, batch=4, keep=8),
        Stage(aim="apart", steps=4, batch=4, keep=8),
        Stage(aim="words", steps=6, batch=4),
        Stage(aim="all", steps=10, batch=2, accumulate=2, rates=RATES),
    ),
    "sharded": (Stage(aim="all", steps=8, batch=4, rates=RATES),),
}


def mixed() -> Mix:
    """Pictures and dialogues without one, so that some processes have rows without a region."""
    words = [Sample(None, (Turn("user", "what is red?"), Turn("assistant", f"a square {i}"))) for i in range(8)]
    return Mix([([*shapes(8, seed=0), *words], 1.0)], seed=0)


def go(out: Path, plan: str, resume: bool = False) -> PerceptionModel:
    """Train on the plan; the model, as this process holds it."""
    torch.set_num_threads(1)
    run = Run(
        name=plan,
        host="tiny:aya_vision",
        out=str(out),
        stages=PLANS[plan],
        settings=SETTINGS,
        weights=Weights(name=0.2),
        save_every=4,
    )
    model = equip(*FAMILIES["aya_vision"](), **SETTINGS)
    engine.train(run, model, mixed(), lambda line: None, resume)
    return model


def sharding(self: Accelerator, lesson: Any, optimiser: Any) -> tuple[Any, Any]:
    """What `Accelerator.prepare` does with FSDP2, which accelerate itself does on GPUs only."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    lengthen(lesson.model)
    mesh = init_device_mesh("cpu", (self.num_processes,))
    before = {id(p): n for n, p in lesson.named_parameters()}
    for layer in lesson.model.host.get_decoder().layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(lesson, mesh=mesh)
    after = dict(lesson.named_parameters())
    for group in optimiser.param_groups:
        group["params"] = [after[before[id(p)]] for p in group["params"]]
    return lesson, self.prepare_optimizer(optimiser, device_placement=False)


if __name__ == "__main__":
    if sys.argv[2] == "sharded" and "WORLD_SIZE" in os.environ:
        Accelerator.prepare = sharding
    go(Path(sys.argv[1]), sys.argv[2], "resume" in sys.argv[3:])

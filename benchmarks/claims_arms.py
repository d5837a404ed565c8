"""What `claims.py` compares: formats and ablations as arms, each trained, scored and counted alike.

Two worlds: "shapes", drawn ones with a small random host that every arm learns whole; and "scenes" with a real host of
which the first few language layers are kept and learnt. Both are small, so that rivals of `vis` may learn, too.
Knows plans and samples; nothing of files of results or claims.
"""

from __future__ import annotations

import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
from claims_hosts import small_host

TOKENS = {"vis": 48, "numerals": 176, "integers": 128, "bins": 48, "polygon": 224}  # an answer's most, in `evaluate`
PROJECTOR = "model.multi_modal_projector"
LANGUAGE = "model.language_model"
WHOLE = (LANGUAGE, "model.vision_tower", PROJECTOR)  # what is learnt of the small host
SMALL = "small"
TOUCHED = ("decoder", "encoder", "fusion", "state_fusion", "place")  # heads; the rest: rows of tokens


@dataclass(frozen=True)
class Arm:
    """What is trained: settings of the plug-in, weights of the loss, and what is done to it by hand."""

    settings: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    one_layer: bool = False  # vision features of the host's own layer alone
    separate: bool = False  # the first of two states for the box, the second for the mask
    every_layer: bool = False  # of the language model is learnt, on scenes, where `vis` learns the upper half


FORMATS = {  # on scenes `vis` learns half of the others' layers: what that costs is the ablation "vis, every layer"
    "vis": Arm(),
    "vis-4": Arm({"vis_tokens": 4}),
    **{name: Arm({"answer_format": name}, every_layer=True) for name in ("numerals", "integers", "bins", "polygon")},
}
ABLATIONS = {
    "vis, every layer": Arm(every_layer=True),
    "vis-2": Arm({"vis_tokens": 2}),
    "vis, one layer": Arm(one_layer=True),
    "vis, no cycle": Arm(weights={"cycle": 0.0}),
    "vis, separate states": Arm({"vis_tokens": 2}, separate=True),
    "vis, state alone": Arm({"read_window": 0}),
    "vis, words read": Arm({"read_window": 12}),
}
# On shapes all is learnt; and the other world's `vis` is what the last two are.
ONLY = {"vis, every layer": "scenes", "vis, state alone": "scenes", "vis, words read": "shapes"}
ARMS = {**FORMATS, **ABLATIONS}
MOST_DRAWN = 32_000  # pictures held in memory; a longer training sees them again
FED = {"box and mask": (True, True), "box": (True, False), "mask": (False, True), "none": None}


@dataclass(frozen=True)
class Plan:
    """How large an experiment is."""

    world: str  # "scenes" or "shapes"
    host: str
    layers: int  # of its language model, the first ones, for a light host; 0: as it is
    talk_steps: int  # of a light host's common start
    steps: int
    search_steps: int
    batch: int
    n: int  # questions of the test
    points: int  # of the curves
    rates: tuple[float, ...]  # tried for each format, times the rates of `run_of`
    seed: int
    width: int


def opened(plan: Plan, arm: Arm, start: dict[str, Any] | None) -> Any:
    """A fresh plug-in on a fresh host, of which `start` replaces some weights, the same for every arm."""
    from perceptiongpt.hosts import open_host
    from perceptiongpt.model.perception import equip

    host, processor = small_host(plan.seed) if plan.host == SMALL else open_host(plan.host)
    if start is not None:
        host.load_state_dict(start, strict=False)
    common: dict[str, Any] = {"decoder_width": plan.width, "lora_targets": "none"}
    if plan.world == "shapes":
        common |= {"trained_host_modules": WHOLE, "read_window": 0}
    else:
        layers = host.config.get_text_config().num_hidden_layers
        learnt = range(0 if arm.every_layer else layers // 2, layers)
        common |= {"trained_host_modules": (*(f"{LANGUAGE}.layers.{i}" for i in learnt), f"{LANGUAGE}.norm")}
        common |= {"read_window": 12}
    model = equip(host, processor, seed=plan.seed, **common | arm.settings)
    if arm.one_layer:
        with torch.no_grad():
            model.fusion.weights.fill_(0.0)
            model.fusion.weights[:, model.backbone.native_layer] = 200.0  # so that no gradient is left
    if arm.separate:
        model.decoder.forward = MethodType(_separately, model.decoder)  # type: ignore[method-assign]
    return model


def _separately(decoder: Any, states: Any, prepared: Any, owner: Any, words: Any = None, earlier: Any = None) -> Any:
    """Two states of a region [N, 2, D] decoded apart: the first's box, the second's mask."""
    whole = type(decoder).forward
    first = whole(decoder, states[:, :1], prepared, owner, words, earlier)
    if states.shape[1] == 1:
        return first
    return replace(first, masks=whole(decoder, states[:, 1:], prepared, owner, words, earlier).masks)


def run_of(plan: Plan, arm: Arm, steps: int, rate: float, out: Path) -> Any:
    """The run of one arm; every arm has the same, but for its rate and what it leaves out."""
    from perceptiongpt.config import Rates, Run, Stage, Weights

    rates = Rates(heads=1e-3 * rate, rows=2e-3 * rate, vision=0.0, host=1e-3 * rate)
    halves = 2 - plan.batch % 2  # of a step: spelled regions are long, and memory grows with a dialogue's square
    stage = Stage(steps=steps, batch=plan.batch // halves, accumulate=halves, warmup=max(1, steps // 10), rates=rates)
    shutil.rmtree(out, ignore_errors=True)
    every = max(1, -(-steps // plan.points))
    weights = Weights(**{"cycle": 0.1, **arm.weights})
    return Run(
        name="claims",
        host=plan.host,
        out=str(out),
        seed=plan.seed,
        stages=(stage,),
        weights=weights,
        val_every=every,
        save_every=10**6,
        log_every=max(1, steps // 4),
        threads=torch.get_num_threads(),
    )


@contextmanager
def watched(look: Callable[[Any], dict[str, float]], curve: list[dict[str, float]], samples: int) -> Iterator[None]:
    """While training validates, `look` at the model instead; what looking takes is no training time."""
    from perceptiongpt import train as loop

    kept, started, away = loop.validate, time.process_time(), 0.0  # of the processor: other work doesn't count

    def validate(model: Any, questions: Any) -> dict[str, list[float]]:
        nonlocal away
        spent, asked = time.process_time() - started - away, time.process_time()
        modes = {m: m.training for m in model.modules()}
        found = look(model)
        for module, training in modes.items():
            module.training = training
        curve.append({"samples": samples * (len(curve) + 1), "seconds": spent, **found})
        away += time.process_time() - asked
        return {"score": [found.get("miou", 0.0)]}

    setattr(loop, "validate", validate)  # noqa: B010
    try:
        yield
    finally:
        setattr(loop, "validate", kept)  # noqa: B010


def learn(plan: Plan, arm: Arm, pool: list[Any], start: Any, steps: int, rate: float, work: Path, look: Any) -> Any:
    """A trained model of an arm and its curve; `look` is asked at every point of it."""
    from perceptiongpt.data.mix import Mix
    from perceptiongpt.train import train

    model, curve = opened(plan, arm, start), list[dict[str, float]]()
    run = run_of(plan, arm, steps, rate, work)
    with watched(look, curve, run.val_every * plan.batch):
        train(run, model, Mix([(pool, 1.0)], plan.seed), say=say, questions=(None,))  # type: ignore[arg-type]
    curve[-1]["samples"] = steps * plan.batch
    shutil.rmtree(work, ignore_errors=True)
    return model, curve


def talking(plan: Plan, pool: list[Any], projector: dict[str, Any], work: Path) -> dict[str, Any]:
    """A common start: the projector, and language layers that learnt the pool's dialogues without pictures and regions.

    A few layers of a language model have to learn to talk again, which has nothing to do with how regions are said.
    """
    start = {f"{PROJECTOR}.{name}": weight for name, weight in projector.items()}
    words = [replace(s, image=None, turns=tuple(_in_words(turn) for turn in s.turns)) for s in pool]
    arm = Arm({"answer_format": "numerals"}, every_layer=True)
    model, _ = learn(plan, arm, words, start, plan.talk_steps, 1.0, work, lambda m: {})
    kept = (f"{LANGUAGE}.layers.", f"{LANGUAGE}.norm.")
    return start | {k: v.to(torch.bfloat16) for k, v in model.host.state_dict().items() if k.startswith(kept)}


def _in_words(turn: Any) -> Any:
    return replace(turn, text=re.sub(r" ?\{\d+\}", "", turn.text), regions=())


def samples_of(plan: Plan) -> tuple[list[Any], list[Any]]:
    """What is learnt from, the same for every arm, and what chooses a rate."""
    if plan.world == "shapes":
        from perceptiongpt.data.shapes import shapes

        drawn = shapes(min(plan.steps * plan.batch, MOST_DRAWN), plan.seed, together=True)
        return drawn, shapes(4 * plan.batch, plan.seed + 7, together=True)
    learnt, held = _scenes("train", plan.seed, plan.steps * plan.batch), _scenes("val", plan.seed + 7, 4 * plan.batch)
    return list(learnt), list(held)  # made once for all arms


def _scenes(split: Any, seed: int, count: int) -> Any:
    from perceptiongpt.data.objects import ObjectLibrary
    from perceptiongpt.data.scenes import SceneStream

    return SceneStream(split, seed, count, ObjectLibrary.open(), turns=(2, 5))


@cache
def test_of(world: str, n: int) -> tuple[Any, ...]:
    """Pictures that hold the test's n questions, the same for every seed."""
    from perceptiongpt.questions import questions_of

    found: list[Any] = []
    for one in questions_of("scenes:val")[0] if world == "scenes" else _drawn():
        found.append(one)
        if sum(len(a.questions) for a in found) >= n:
            break
    return tuple(found)


def _drawn() -> Iterator[Any]:
    """Shapes nobody has learnt from, as `evaluate` asks."""
    from perceptiongpt.core.packed import pack
    from perceptiongpt.data.picture import open_picture
    from perceptiongpt.data.shapes import shapes
    from perceptiongpt.questions import Asked, Question

    for sample in shapes(1000, 10_001, together=True):
        picture = open_picture(sample.image)  # type: ignore[arg-type]  # drawn, so never None
        asked = []
        for k, regions in enumerate(turn.regions for turn in sample.turns if turn.regions):
            phrase, kind = (f"the {regions[0].label}", "name") if len(regions) == 1 else ("all the shapes", "group")
            asked.append(Question(f"{sample.id}-{k}", phrase, kind, tuple(pack(r) for r in regions), picture.size))
        yield Asked(picture, tuple(asked))


def scored(plan: Plan, model: Any) -> dict[str, float]:
    """Free answers of the public predictor to the test's questions, judged as `evaluate` judges them."""
    from perceptiongpt.evaluate import evaluate
    from perceptiongpt.judging import judged, measure
    from perceptiongpt.predict import Eye

    most = TOKENS[model.settings.answer_format]
    pairs = evaluate(Eye(model), test_of(plan.world, plan.n), plan.n, batch=32, max_new_tokens=most)
    told = judged([measure(p) for p in pairs])
    rec, res = told["rec"] or {}, told["res"] or {}
    masks = model.settings.answer_format in ("vis", "polygon")
    return {
        "acc50": rec.get("acc50", 0.0),
        "acc90": rec.get("acc90", 0.0),
        "miou": rec.get("miou", 0.0),
        "res": res.get("miou", 0.0) if masks else 0.0,
        "group_f1": told["group"]["f1"] or 0.0,
        "unreadable": told["unreadable"] / plan.n,
    }


def loss_of(plan: Plan, arm: Arm, model: Any, held: list[Any]) -> float:
    """The weighted loss on samples that were not trained on: what chooses a format's rate."""
    from perceptiongpt.core.objective import parts
    from perceptiongpt.data.collate import collate
    from perceptiongpt.data.render import Renderer

    model.eval()
    weights = asdict(run_of(plan, arm, 1, 1.0, Path("no-such-folder")).weights)
    renderer, found = Renderer(model.backbone.processor, **model.spelling()), []
    device = model.backbone.device
    for at in range(0, len(held), plan.batch):
        batch = collate(held[at : at + plan.batch], renderer, model.backbone, np.random.default_rng(at)).to(device)
        with (
            torch.no_grad(),
            torch.autocast(device.type, torch.bfloat16, enabled=model.backbone.dtype == torch.bfloat16),
        ):
            found.append(sum(weights[k] * float(v) for k, v in parts(model(batch), batch).items()))
    return statistics.fmean(found)


def extras(plan: Plan, model: Any, held: list[Any]) -> dict[str, Any]:
    """What only the chief arm is asked: boxes reconstructed from their own encoding, and feedback of parts."""
    from perceptiongpt.core.boxes import cxcywh_to_xyxy, iou_xyxy
    from perceptiongpt.data.collate import collate
    from perceptiongpt.data.render import Renderer

    renderer = Renderer(model.backbone.processor, **model.spelling())
    batch = collate(held[:8], renderer, model.backbone, np.random.default_rng(0)).to(model.backbone.device)
    with torch.no_grad():
        again = model(batch).again
    kept, ious = batch.has_box, iou_xyxy(cxcywh_to_xyxy(again.boxes), cxcywh_to_xyxy(batch.boxes))
    found: dict[str, Any] = {"again_iou": float(ious[kept].mean()), "feedback": {}}
    for name, has in FED.items():
        model.respell = MethodType(_fed(has), model)
        found["feedback"][name] = scored(plan, model)
        del model.respell
    return found


def _fed(has: tuple[bool, bool] | None) -> Callable[..., Any]:
    def respell(model: Any, regions: Any, *_: Any) -> Any:
        count = len(regions.boxes)
        if has is None:
            return regions.boxes.new_zeros(count, model.backbone.width)
        use = torch.tensor([[*has, False]], device=regions.boxes.device).expand(count, -1)
        return model.encoder(regions.boxes, regions.masks.sigmoid(), regions.boxes[:, :2], use)

    return respell


def counted(model: Any) -> dict[str, int]:
    """Trainable parameters: heads and positions, rows of new tokens, and what is learnt of the host."""
    named = tuple(f"host.{module}." for module in model.settings.trained_host_modules)
    added = {n: p.numel() for n, p in model.named_parameters() if not n.startswith("host.")}
    heads = sum(v for n, v in added.items() if n.startswith(TOUCHED))
    learnt = sum(p.numel() for n, p in model.named_parameters() if n.startswith(named))
    total = sum(p.numel() for p in model.parameters())
    return {"heads": heads, "rows": sum(added.values()) - heads, "host": learnt, "total": total}


def trained(
    plan: Plan, name: str, pool: Any, held: Any, start: Any, others: dict[str, Any], work: Path
) -> dict[str, Any]:
    """One arm: its rate searched (an ablation takes that of `vis`), trained, looked at, counted."""
    arm, search = ARMS[name], {}
    if name in FORMATS and len(plan.rates) > 1:
        for rate in plan.rates:
            model, _ = learn(plan, arm, pool, start, plan.search_steps, rate, work, lambda m: {})
            search[rate] = loss_of(plan, arm, model, held)
            say(f"{name}: rate {rate:g} gives {search[rate]:.4f} on held samples")
    best = min(search, key=lambda r: search[r]) if search else others.get("vis", {}).get("rate", plan.rates[0])
    model, curve = learn(plan, arm, pool, start, plan.steps, best, work, lambda m: scored(plan, m))
    found = {
        "rate": best,
        "search": {f"{r:g}": v for r, v in search.items()},
        "curve": curve,
        "trained": counted(model),
    }
    return found | (extras(plan, model.eval(), held) if name == "vis" else {})


def say(line: str) -> None:
    """Progress, for whoever waits."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)

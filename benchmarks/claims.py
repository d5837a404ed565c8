"""One token against the alternatives: each answer format trained on the same scenes from the same start, then timed.

Arms are formats (`vis` with K = 1 and 4, numerals, integers, bins, polygon) and ablations of `vis`; they share host,
projector, samples, loop, predictor and judges. What is done is kept in --out: say it again to go on. Knows no targets:
whatever comes out is printed (claims_page.py writes the page).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from claims_page import write_page
from forced import saying

OBJECTS = (1, 4, 8, 16)
TOKENS = {"vis": 48, "numerals": 176, "integers": 128, "bins": 48, "polygon": 160}  # an answer's most, in `evaluate`
Key = tuple[str, int, int]  # format, objects a picture, pictures
RANK_16 = {"lora_rank": 16, "lora_alpha": 32}
TOUCHED = ("decoder", "encoder", "fusion", "state_fusion", "place")  # heads; the rest: adapter and rows of tokens


@dataclass(frozen=True)
class Arm:
    """What is trained: settings of the plug-in, weights of the loss, and what is done to it by hand."""

    settings: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    one_layer: bool = False  # vision features of the host's own layer alone
    separate: bool = False  # the first of two states for the box, the second for the mask


FORMATS = {  # the adapter of `vis` has half the rank: what it costs is the ablation "vis, rank 16"
    "vis": Arm(),
    "vis-4": Arm({"vis_tokens": 4}),
    **{name: Arm({"answer_format": name, **RANK_16}) for name in ("numerals", "integers", "bins", "polygon")},
}
ABLATIONS = {
    "vis, rank 16": Arm(RANK_16),
    "vis-2": Arm({"vis_tokens": 2}),
    "vis, one layer": Arm(one_layer=True),
    "vis, no cycle": Arm(weights={"cycle": 0.0}),
    "vis, separate states": Arm({"vis_tokens": 2}, separate=True),
    "vis, state alone": Arm({"read_window": 0}),
}
ARMS = {**FORMATS, **ABLATIONS}
FED = {"box and mask": (True, True), "box": (True, False), "mask": (False, True), "none": None}


@dataclass(frozen=True)
class Plan:
    """How large the experiment is."""

    host: str
    name_steps: int  # of the common start: the projector learns to name image tokens
    steps: int
    search_steps: int
    batch: int
    n: int  # questions of the test
    points: int  # of the curves
    rates: tuple[float, ...]  # tried for each format, times the rates of `rates_of`
    seed: int
    width: int


def opened(plan: Plan, arm: Arm, start: dict[str, Any] | None) -> Any:
    """A fresh plug-in on a fresh host, whose projector is the common start's."""
    from perceptiongpt.hosts import open_host
    from perceptiongpt.model.perception import equip

    host, processor = open_host(plan.host)
    if start is not None:
        host.get_submodule("model.multi_modal_projector").load_state_dict(start)
    common = {"decoder_width": plan.width, "read_window": 12, "lora_rank": 8, "lora_alpha": 16}
    spelled = arm.settings.get("answer_format", "vis") != "vis"
    model = equip(
        host, processor, seed=plan.seed, **{**common, "read_layers": "last" if spelled else "fused"} | arm.settings
    )
    if arm.one_layer:
        with torch.no_grad():
            model.fusion.weights.fill_(0.0)
            model.fusion.weights[:, model.backbone.native_layer] = 200.0  # so that no gradient is left
    if arm.separate:
        model.decoder.forward = MethodType(_separately, model.decoder)  # type: ignore[method-assign]
    return model


def _separately(decoder: Any, states: Any, prepared: Any, owner: Any, words: Any = None) -> Any:
    """Two states of a region [N, 2, D] decoded apart: the first's box, the second's mask."""
    from dataclasses import replace

    whole = type(decoder).forward
    first = whole(decoder, states[:, :1], prepared, owner, words)
    if states.shape[1] == 1:
        return first
    return replace(first, masks=whole(decoder, states[:, 1:], prepared, owner, words).masks)


def run_of(plan: Plan, arm: Arm, steps: int, rate: float, out: Path) -> Any:
    """The run of one arm; every arm has the same, but for its rate and what it leaves out."""
    from perceptiongpt.config import Rates, Run, Stage, Weights

    rates = Rates(heads=1e-3 * rate, rows=2e-3 * rate, adapter=1e-3 * rate, vision=0.0, host=0.0)
    stage = Stage(steps=steps, batch=plan.batch, warmup=max(1, steps // 10), rates=rates)
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

    kept, started, away = loop.validate, time.monotonic(), 0.0

    def validate(model: Any, questions: Any) -> dict[str, list[float]]:
        nonlocal away
        spent, asked = time.monotonic() - started - away, time.monotonic()
        modes = {m: m.training for m in model.modules()}
        found = look(model)
        for module, training in modes.items():
            module.training = training
        curve.append({"samples": samples * (len(curve) + 1), "seconds": spent, **found})
        away += time.monotonic() - asked
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
        train(run, model, Mix([(pool, 1.0)], plan.seed), say=_say, questions=(None,))  # type: ignore[arg-type]
    curve[-1]["samples"] = steps * plan.batch
    shutil.rmtree(work, ignore_errors=True)
    return model, curve


def common_start(plan: Plan, pool: list[Any], work: Path) -> Any:
    """The projector after naming image tokens: no arm's, and the same for all."""
    from perceptiongpt.config import Rates, Run, Stage
    from perceptiongpt.data.mix import Mix
    from perceptiongpt.train import train

    model = opened(plan, Arm({"trained_host_modules": ("model.multi_modal_projector",)}), None)
    stage = Stage(aim="name", steps=plan.name_steps, batch=32, warmup=20, keep=len(pool), rates=Rates(host=2e-3))
    shutil.rmtree(work, ignore_errors=True)
    run = Run(
        name="start", host=plan.host, out=str(work), seed=plan.seed, stages=(stage,), log_every=100, save_every=10**6
    )
    train(run, model, Mix([(pool, 1.0)], plan.seed), say=_say)
    shutil.rmtree(work, ignore_errors=True)
    return model.host.get_submodule("model.multi_modal_projector").state_dict()


@cache
def test_of(n: int) -> tuple[Any, ...]:
    """Pictures that hold the test's n questions."""
    from perceptiongpt.questions import questions_of

    found: list[Any] = []
    for one in questions_of("scenes:val")[0]:
        found.append(one)
        if sum(len(a.questions) for a in found) >= n:
            return tuple(found)
    raise ValueError("the scenes ran out; ask fewer questions")


def scored(plan: Plan, model: Any) -> dict[str, float]:
    """Free answers of the public predictor to the test's questions, judged as `evaluate` judges them."""
    from perceptiongpt.evaluate import evaluate
    from perceptiongpt.judging import judged, measure
    from perceptiongpt.predict import Eye

    most = TOKENS[model.settings.answer_format]
    pairs = evaluate(Eye(model), test_of(plan.n), plan.n, batch=32, max_new_tokens=most)
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
    feedback = {}
    for name, has in FED.items():
        model.respell = MethodType(_fed(has), model)
        feedback[name] = scored(plan, model)
        del model.respell
    return {"again_iou": float(ious[kept].mean()), "feedback": feedback}


def _fed(has: tuple[bool, bool] | None) -> Callable[[Any, Any], Any]:
    def respell(model: Any, regions: Any) -> Any:
        count = len(regions.boxes)
        if has is None:
            return regions.boxes.new_zeros(count, model.backbone.width)
        use = torch.tensor([[*has, False]], device=regions.boxes.device).expand(count, -1)
        return model.encoder(regions.boxes, regions.masks.sigmoid(), regions.boxes[:, :2], use)

    return respell


def counted(model: Any) -> dict[str, int]:
    """Trainable parameters: heads and positions, and all else (adapter, rows of new tokens)."""
    trained = {n: p.numel() for n, p in model.named_parameters() if not n.startswith("host.") or ".lora_" in n}
    heads = sum(v for n, v in trained.items() if n.startswith(TOUCHED))
    total = sum(p.numel() for p in model.parameters())
    return {"heads": heads, "beside": sum(trained.values()) - heads, "total": total}


def speeds(plan: Plan, quick: bool) -> dict[str, Any]:
    """Forced answers of each format about n objects: tokens, steps, seconds of a call; alone and in batches.

    What the chief ratio is made of is called in three interleaved rounds, the rest once.
    """
    from PIL import Image

    from perceptiongpt.core.answer import Region
    from perceptiongpt.data import phrases
    from perceptiongpt.data.sample import Sample, Turn
    from perceptiongpt.predict import Eye

    drawn, most = np.random.default_rng(0), max(OBJECTS)
    side = 256
    photo = Image.fromarray(drawn.integers(0, 255, (side, side, 3)).astype(np.uint8))
    y, x = np.mgrid[:side, :side]
    ellipses = drawn.uniform(20, 230, (most, 4))
    things = [Region(mask=((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1) for cx, cy, rx, ry in ellipses]
    calls: dict[Key, Callable[[], Any]] = {}
    facts: dict[Key, tuple[float, int]] = {}
    for name, arm in FORMATS.items():
        eye = Eye(opened(plan, Arm({**arm.settings, "lora_targets": "none"}), None), name)
        held = eye.model.backbone
        canvas = held.canvas(photo.size)
        words = len(eye.renderer.words("All the mugs")) + 1
        for n, size in [(8, 1), (8, 8), *((n, 1) for n in OBJECTS if n != 8)][: 1 if quick else None]:
            answer = phrases.answer_region("all the mugs", n)
            talk = (Turn("user", "all the mugs"), Turn("assistant", answer, tuple(things[:n])))
            rendered = eye.renderer.training(Sample(photo, talk), held.spelled(canvas), (canvas,))
            ids = [i for i in rendered.labels if i != -100][:-1]  # without the end
            facts[name, n, size] = (len(ids) - words) / n, len(ids)
            calls[name, n, size] = _call(eye, photo, ids, size, n)
    rounds = 1 if quick else 3
    chief = [("vis", 8, 1), ("numerals", 8, 1)]
    spent: dict[Key, list[float]] = {key: [] for key in calls}
    calls["vis", 8, 1]()  # the first call of all warms up
    for key in [*chief * rounds, *(k for k in calls if k not in chief)]:
        started = time.perf_counter()
        calls[key]()
        spent[key].append(time.perf_counter() - started)
        _say(f"forced answers: {key[0]}, {key[1]} objects in each of {key[2]} pictures took {spent[key][-1]:.2f} s")
    rows = []
    for (name, n, size), times in sorted(
        spent.items(), key=lambda item: (list(FORMATS).index(item[0][0]), item[0][1:])
    ):
        tokens, steps = facts[name, n, size]
        told = {"format": name, "objects": n, "batch": size, "tokens": tokens, "steps": steps}
        rows.append({**told, "seconds": (s := statistics.median(times)), "objects_a_second": n * size / s})
    vis, numerals = (statistics.median(spent[key]) for key in chief)
    return {"rows": rows, "vis_over_numerals": numerals / vis, "rounds": rounds}


def _call(eye: Any, photo: Any, ids: list[int], size: int, objects: int) -> Callable[[], Any]:
    def call() -> None:
        with saying(eye.model, [ids] * size):
            answers = eye.look([photo] * size).segment("all the mugs", max_new_tokens=len(ids))
        found = {len(a) for a in answers}
        assert found == {objects}, f"{found} regions were said, wanted {objects}"

    return call


def kept(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `file` holds, or what is made now and put there."""
    if not file.exists():
        made = json.dumps(make(), indent=1)
        part = file.with_suffix(".part")
        part.write_text(made + "\n", encoding="utf-8")
        part.replace(file)
        _say(f"{file.name} is done")
    return json.loads(file.read_text(encoding="utf-8"))


def experiment(plan: Plan, out: Path, quick: bool, only: Sequence[str], speed_only: bool) -> dict[str, Any]:
    """Everything, resumed from the files in `out`."""
    from safetensors.torch import load_file, save_file

    from perceptiongpt.data.objects import ObjectLibrary
    from perceptiongpt.data.scenes import SceneStream

    out.mkdir(parents=True, exist_ok=True)
    told, mine = out / "plan.json", json.loads(json.dumps(asdict(plan)))
    if told.exists() and json.loads(told.read_text(encoding="utf-8")) != mine:
        raise ValueError(f"{out} holds another experiment; name another --out or repeat its options")
    told.write_text(json.dumps(mine, indent=1) + "\n", encoding="utf-8")
    speed = kept(out / "speed.json", lambda: speeds(plan, quick))
    if speed_only:
        return {"plan": mine, "speed": speed, "arms": {}}
    library = ObjectLibrary.open()
    files = {n: out / f"arm-{re.sub('[^a-z0-9]+', '-', n)}.json" for n in only}
    todo = [n for n in only if not files[n].exists()]
    pool, held = list[Any](), list[Any]()
    if todo:
        _say(f"making {plan.steps * plan.batch} pictures")
        pool = list(SceneStream("train", plan.seed, plan.steps * plan.batch, library, turns=(2, 5)))
        held = list(SceneStream("val", plan.seed + 7, 4 * plan.batch, library, turns=(2, 5)))
        if not (out / "start.safetensors").exists():
            named = list(SceneStream("train", plan.seed + 3, 8 * plan.name_steps // 5 or 1, library, turns=(2, 5)))
            save_file(common_start(plan, named, out / "work"), out / "start.safetensors")
    start = load_file(out / "start.safetensors") if todo else None
    arms: dict[str, Any] = {}
    for name in only:
        arms[name] = kept(files[name], partial(_arm, plan, name, pool, held, start, arms, out))
    return {"plan": mine, "speed": speed, "arms": arms}


def _arm(plan: Plan, name: str, pool: Any, held: Any, start: Any, arms: dict[str, Any], out: Path) -> dict[str, Any]:
    """One arm: its rate searched (an ablation takes that of `vis`), trained, looked at, counted."""
    arm, search = ARMS[name], {}
    if name in FORMATS and len(plan.rates) > 1:
        for rate in plan.rates:
            model, _ = learn(plan, arm, pool, start, plan.search_steps, rate, out / "work", lambda m: {})
            search[rate] = loss_of(plan, arm, model, held)
            _say(f"{name}: rate {rate:g} gives {search[rate]:.4f} on held samples")
    best = min(search, key=lambda r: search[r]) if search else arms.get("vis", {}).get("rate", plan.rates[0])
    model, curve = learn(plan, arm, pool, start, plan.steps, best, out / "work", lambda m: scored(plan, m))
    found = {
        "rate": best,
        "search": {f"{r:g}": v for r, v in search.items()},
        "curve": curve,
        "trained": counted(model),
    }
    return found | (extras(plan, model.eval(), held) if name == "vis" else {})


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Run what is missing, print the page and write it where it is wanted; 2 when it could not."""
    top = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    top.add_argument("--out", type=Path, default=Path("runs/claims"), help="where what is done is kept")
    top.add_argument("--page", type=Path, metavar="FILE", help="write the page, its plots beside it")
    top.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    top.add_argument("--host", default="default", help="default, tiny:FAMILY, or a folder (default: %(default)s)")
    top.add_argument("--steps", type=int, default=120, help="steps of an arm (default: %(default)s)")
    top.add_argument("--search-steps", type=int, default=10, help="steps of each rate that is tried")
    top.add_argument("--name-steps", type=int, default=2000, help="steps of the common start")
    top.add_argument("--batch", type=int, default=4, help="dialogues a step (default: %(default)s)")
    top.add_argument("--n", type=int, default=100, help="questions of the test (default: %(default)s)")
    top.add_argument("--seed", type=int, default=0)
    top.add_argument("--threads", type=int, default=1)
    top.add_argument("--arms", default="all", help=f"all, formats, or some of: {'; '.join(ARMS)} (joined by ;)")
    top.add_argument("--speed-only", action="store_true", help="the forced answers alone: nothing is trained")
    top.add_argument("--quick", action="store_true", help="a tiny host and few steps: does it run at all?")
    told = top.parse_args(words)
    try:
        named = {"all": list(ARMS), "formats": list(FORMATS)}
        only = named.get(told.arms) or [a.strip() for a in told.arms.split(";")]
        if unknown := [a for a in only if a not in ARMS]:
            raise ValueError(f"there is no arm {unknown[0]!r}; choose of {'; '.join(ARMS)}")
        if min(told.steps, told.search_steps, told.name_steps, told.batch, told.n, told.threads) < 1:
            raise ValueError("steps, batch, n and threads must be at least 1; give larger numbers")
        torch.set_num_threads(told.threads)
        sizes = (told.name_steps, told.steps, told.search_steps, told.batch, told.n)
        small = Plan("tiny:aya_vision", 4, 4, 2, 2, 6, 2, (1.0, 3.0), told.seed, 32)
        plan = small if told.quick else Plan(told.host, *sizes, 3, (1.0, 3.0), told.seed, 192)
        result = experiment(plan, told.out, told.quick, only, told.speed_only)
    except (ValueError, OSError) as error:
        print(f"claims: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    result["machine"] = {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "threads": told.threads,
        "torch": torch.__version__,
    }
    if told.json:
        told.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(write_page(result, told.page))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One token against the alternatives: each answer format trained on the same samples from the same start, then timed.

Arms are formats (`vis` with K = 1 and 4, numerals, integers, bins, polygon) and ablations of `vis`; they share host,
samples, loop, predictor and judges (claims_arms.py). What is done is kept in --out: say it again to go on. Knows no
targets: whatever comes out is printed (claims_page.py writes the page).
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from claims_arms import ARMS, FORMATS, ONLY, SMALL, Arm, Plan, opened, samples_of, say, talking, trained
from claims_hosts import light_host
from claims_page import write_page
from forced import saying
from telling import machine, refuse

OBJECTS = (1, 4, 8, 16)
WORLDS = ("shapes", "scenes")
Key = tuple[str, int, int]  # format, objects a picture, pictures


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
        say(f"forced answers: {key[0]}, {key[1]} objects in each of {key[2]} pictures took {spent[key][-1]:.2f} s")
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
            # Asked as for one thing: what is alike is dropped from answers about several, and untrained all is alike.
            answers = eye.look([photo] * size).segment("the red mug", max_new_tokens=len(ids))
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
        say(f"{file.name} is done")
    return json.loads(file.read_text(encoding="utf-8"))


def experiment(plan: Plan, out: Path, only: Sequence[str]) -> dict[str, Any]:
    """Every arm of one world and seed, resumed from the files in `out`."""
    from safetensors.torch import load_file, save_file

    from perceptiongpt.predict import PACKAGED

    out.mkdir(parents=True, exist_ok=True)
    told, mine = out / "plan.json", json.loads(json.dumps(asdict(plan)))
    if told.exists() and json.loads(told.read_text(encoding="utf-8")) != mine:
        raise ValueError(f"{out} holds another experiment; name another --out or repeat its options")
    told.write_text(json.dumps(mine, indent=1) + "\n", encoding="utf-8")
    files = {n: out / f"arm-{re.sub('[^a-z0-9]+', '-', n)}.json" for n in only}
    pool, held, start = list[Any](), list[Any](), None
    if any(not files[n].exists() for n in only):
        say(f"making {plan.steps * plan.batch} pictures")
        pool, held = samples_of(plan)
        if plan.layers:
            light, first = out / "host", out / "start.safetensors"
            if not first.exists():
                texts = (turn.text for s in pool for turn in s.turns)
                eyes = PACKAGED if plan.host == "default" else None
                projector = light_host(plan.host, plan.layers, texts, light, eyes)
                save_file(talking(replace(plan, host=str(light)), pool, projector, out / "work"), first)
            plan, start = replace(plan, host=str(light)), load_file(first)
    arms: dict[str, Any] = {}
    for name in only:
        arms[name] = kept(files[name], partial(trained, plan, name, pool, held, start, arms, out / "work"))
    return {"plan": mine, "arms": arms}


def plans(told: argparse.Namespace) -> dict[str, Plan]:
    """The two experiments: drawn shapes and a small random host; composed scenes and layers of the default host."""
    if told.quick:
        small = Plan("shapes", "tiny:aya_vision", 0, 0, 4, 2, 2, 6, 2, (1.0, 3.0), told.seed, 32)
        return {"shapes": small, "scenes": replace(small, world="scenes", layers=2, talk_steps=2)}
    sizes = (told.talk_steps, told.steps, told.search_steps, told.batch, told.n)
    return {
        "shapes": Plan("shapes", SMALL, 0, 0, told.shape_steps, 60, 32, 400, 6, (0.7, 1.5, 3.0), told.seed, 64),
        "scenes": Plan("scenes", told.host, told.layers, *sizes, 4, (0.3, 1.0), told.seed, 192),
    }


def main(words: Sequence[str] | None = None) -> int:
    """Run what is missing, print the page and write it where it is wanted; 2 when it could not."""
    top = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    top.add_argument("--out", type=Path, default=Path("runs/claims"), help="where what is done is kept")
    top.add_argument("--page", type=Path, metavar="FILE", help="write the page, its plots beside it")
    top.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    top.add_argument("--world", choices=(*WORLDS, "both"), default="both", help="what to train on")
    top.add_argument("--host", default="default", help="of scenes: default, tiny:FAMILY, or a folder")
    top.add_argument("--layers", type=int, default=4, help="its first language layers, kept (default: %(default)s)")
    top.add_argument(
        "--talk-steps", type=int, default=300, help="steps in which it learns to talk (default: %(default)s)"
    )
    top.add_argument("--shape-steps", type=int, default=800, help="steps of an arm on shapes (default: %(default)s)")
    top.add_argument("--seeds", type=int, default=1, help="seeds of the shapes (default: %(default)s)")
    top.add_argument("--steps", type=int, default=250, help="steps of an arm on scenes (default: %(default)s)")
    top.add_argument("--search-steps", type=int, default=15, help="steps of each rate that is tried there")
    top.add_argument("--batch", type=int, default=16, help="dialogues a step there (default: %(default)s)")
    top.add_argument("--n", type=int, default=100, help="questions of the test there (default: %(default)s)")
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
        refuse(told, told.page)
        torch.set_num_threads(told.threads)
        told.out.mkdir(parents=True, exist_ok=True)
        made = plans(told)
        speed = kept(told.out / "speed.json", lambda: speeds(made["scenes"], told.quick))
        found: dict[str, list[Any]] = {}
        for world in () if told.speed_only else WORLDS if told.world == "both" else (told.world,):
            for seed in range(told.seed, told.seed + (told.seeds if world == "shapes" else 1)):
                plan = replace(made[world], seed=seed)
                arms = [a for a in only if ONLY.get(a, world) == world]
                found.setdefault(world, []).append(experiment(plan, told.out / f"{world}-{seed}", arms))
    except (ValueError, OSError) as error:
        print(f"claims: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    result = {
        "speed": speed,
        "worlds": found,
        "machine": machine(told.threads),
    }
    if told.json:
        told.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(write_page(result, told.page))
    return 0


if __name__ == "__main__":
    sys.exit(main())

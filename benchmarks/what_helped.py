"""What helps a model like the packaged one: short trainings from one start that differ in one thing, judged on val.

Every arm begins with the bare host, names image tokens, then teaches decoders words and picture; the language model is
never run, so that an arm takes minutes. Judged are the decoders that are told the phrase, on `scenes:val`. Cycle loss,
fusion at the end of training, K and shared states are compared by `claims.py`, with the language model.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from telling import options, told

SIDE, FINE = 224, 336  # pixels
TOWER = "model.vision_tower.encoder.layer"
MARKS = ("<!-- what_helped: begin -->", "<!-- what_helped: end -->")
BASE: dict[str, Any] = {
    "decoder_depth": 3,
    "read_window": 12,
    "lora_targets": "attention",
    "lora_rank": 16,
    "lora_alpha": 32,
    "lora_vision_layers": 5,
}


@dataclass(frozen=True)
class Arm:
    """One training: what is other than in the first."""

    settings: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    data: tuple[tuple[str, float], ...] = (("scenes", 1.0),)
    side: int = SIDE
    naming: bool = True  # whether image tokens are named first
    whole: int = 0  # so many of the tower's last layers that are read learn whole
    one_layer: bool = False  # the decoders see the layer that the host reads, no mean of several
    without: str = ""  # things of the library that are not shown: "drawings", "models" in three dimensions
    varied: bool = True  # whether things are turned, leant and tinted


ARMS = {
    "as first_light": Arm(),
    "336 pixels instead of 224": Arm(side=FINE),
    "image tokens not named first": Arm(naming=False),
    "image tokens not named at all": Arm(naming=False, weights={"name": 0.0}),
    "vision tower frozen": Arm({"lora_vision_layers": 0}),
    "its last five layers whole, not by low rank": Arm({"lora_vision_layers": 0}, whole=5),
    "rank 4 instead of 16": Arm({"lora_rank": 4, "lora_alpha": 8}),
    "one vision layer instead of means of all": Arm(one_layer=True),
    "one decoder block instead of three": Arm({"decoder_depth": 1}),
    "no loss of the place": Arm(weights={"cell": 0.0}),
    "no loss of the mask": Arm(weights={"mask_bce": 0.0, "mask_dice": 0.0}),
    "no loss of the looks, but region features": Arm({"region_features": True}),
    "region features with their loss": Arm({"region_features": True}, {"look": 0.3}),
    "a learnt match beside the cosine": Arm({"learns_match": True}, {"match": 0.3}),
    "things not varied": Arm(varied=False),
    "no drawings of other artists": Arm(without="drawings"),
    "nothing in three dimensions": Arm(without="models"),
    "half of it others of one kind and what isn't there": Arm(
        data=(("scenes", 0.5), ("alike", 0.25), ("missing", 0.25))
    ),
}


def opened(name: str, arm: Arm, seed: int) -> Any:
    """A fresh plug-in on the bare host, which sees pictures of the arm's side."""
    from perceptiongpt.hosts import open_host
    from perceptiongpt.model.perception import equip

    host, processor = open_host(name)
    side = {"height": arm.side, "width": arm.side}
    if name == "default":
        processor.image_processor.size = processor.image_processor.crop_size = side
    count = host.config.vision_config.num_hidden_layers
    top = host.config.vision_feature_layer % (count + 1)
    # Those above what is read learn nothing, but what learns is float32, and a layer of half precision can't follow it.
    last = [f"{TOWER}.{i}" for i in range(max(0, top - arm.whole), count)] if arm.whole else []
    last += ["model.vision_tower.layernorm"] * bool(last)
    modules = ("model.multi_modal_projector", *last)
    model = equip(host, processor, seed=seed, trained_host_modules=modules, **{**BASE, **arm.settings})
    if arm.one_layer:
        with torch.no_grad():
            model.fusion.weights.fill_(0.0)
            model.fusion.weights[:, model.backbone.native_layer] = 200.0  # so that no gradient is left
    return model


def mixed(arm: Arm, seed: int, work: Path) -> Any:
    """What an arm learns from."""
    from perceptiongpt.data.mix import Mix
    from perceptiongpt.data.objects import ObjectLibrary, read_index, write_index
    from perceptiongpt.data.scenes import SceneStream

    library = ObjectLibrary.open()
    if arm.without:
        odd = {o.id for o in library.objects("train") if (o.drawing if arm.without == "drawings" else o.three_d)}
        listing = read_index(library.folder)
        listing["objects"] = [row for row in listing["objects"] if row["id"] not in odd]
        work.mkdir(parents=True)
        write_index(listing, work)
        (work / "objects.zip").symlink_to(library.folder / "objects.zip")
        library = ObjectLibrary.open(work)
    return Mix([(SceneStream("train", seed, 200_000, library, (2, 5), kind), w) for kind, w in arm.data], seed)


@contextmanager
def varying(wanted: bool) -> Iterator[None]:
    """While pictures are made, things are varied, or not."""
    from perceptiongpt.data import scene_compose

    kept = scene_compose._varied
    if not wanted:
        setattr(scene_compose, "_varied", lambda cut, grounded, rng: cut)  # noqa: B010
    try:
        yield
    finally:
        setattr(scene_compose, "_varied", kept)  # noqa: B010


def trained(given: argparse.Namespace, arm: Arm, work: Path) -> dict[str, Any]:
    """The figures of one arm: what its decoders find of val's phrases, told the words."""
    from perceptiongpt.config import Rates, Run, Stage, Weights
    from perceptiongpt.train import train

    shutil.rmtree(work, ignore_errors=True)
    model = opened(given.host, arm, given.seed)
    name = Stage(aim="name", steps=given.name_steps, batch=32, keep=given.keep, warmup=20, rates=Rates(host=2e-3))
    rates = Rates(heads=1e-3, host=3e-4, vision=5e-4)
    words = Stage(aim="words", steps=given.steps, batch=8, warmup=max(1, given.steps // 10), rates=rates)
    run = Run(
        name="what_helped",
        host=given.host,
        out=str(work / "run"),
        stages=(name, words) if arm.naming else (words,),
        weights=Weights(**{"name": 0.2, **arm.weights}),
        decay=0.03,
        seed=given.seed,
        save_every=10**6,
        threads=given.threads,
    )
    started = time.process_time()
    with varying(arm.varied):
        train(run, model, mixed(arm, given.seed, work / "library"), say=lambda line: None)
    return {"seconds": time.process_time() - started, "arm": asdict(arm), **scored(model, given.n)}


def scored(model: Any, n: int) -> dict[str, Any]:
    """What decoders that are told the words find of things that are there, one a phrase."""
    from perceptiongpt.answers import Said
    from perceptiongpt.judging import Judged, judged, measure
    from perceptiongpt.predict import Eye
    from perceptiongpt.questions import questions_of
    from perceptiongpt.teacher import told_regions

    eye, rows = Eye(model), list[Any]()
    half = model.backbone.dtype == torch.bfloat16  # what was trained is float32, also in such a host
    for one in questions_of("scenes:val")[0]:
        with torch.autocast(model.backbone.device.type, torch.bfloat16, enabled=half):
            found = told_regions(eye, one, language=False)
        single = [q for q in one.questions if len(q.targets) == 1]
        rows += [measure(Judged(q, Said("", found[q.id]))) for q in single]
        if len(rows) >= n:
            break
    numbers = judged(rows)
    figures = {"acc50": numbers["rec"]["acc50"], "acc75": numbers["rec"]["acc75"], "miou": numbers["res"]["miou"]}
    return {**figures, "interval": numbers["intervals"]["rec.acc50"], "n": len(rows)}


def experiment(given: argparse.Namespace) -> dict[str, Any]:
    """Every arm, resumed from the files in --out."""
    if given.quick:
        sizes = {"host": "tiny:aya_vision", "steps": 2, "name_steps": 2, "keep": 32, "n": 4}
        given = argparse.Namespace(**{**vars(given), **sizes})
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    plan = {k: getattr(given, k) for k in ("host", "steps", "name_steps", "keep", "n", "seed")}
    note = given.out / "plan.json"
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) != plan:
        raise ValueError(f"{given.out} holds another experiment; name another --out or repeat its options")
    note.write_text(json.dumps(plan) + "\n", encoding="utf-8")
    found = {}
    for arm in named(given.arms):
        file = given.out / f"{re.sub('[^a-z0-9]+', '-', arm)}.json"
        if not file.exists():
            made = trained(given, ARMS[arm], given.out / "work")
            file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
            print(f"{arm}: Acc@0.5 {made['acc50']:.3f}", file=sys.stderr, flush=True)
        found[arm] = json.loads(file.read_text(encoding="utf-8"))
    shutil.rmtree(given.out / "work", ignore_errors=True)
    result = {"plan": plan, "arms": found}
    if given.page:
        begin, end = MARKS
        page = given.page.read_text(encoding="utf-8")
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"{given.page} lacks the lines {begin} and {end}; write both where the table belongs")
        head, _, rest = page.partition(begin)
        text = f"{head}{begin}\n\n{table(result)}\n\n{end}{rest.partition(end)[2]}"
        given.page.write_text(text, encoding="utf-8")
    return result


def named(arms: str) -> list[str]:
    """The arms of a command line; ValueError for one that is not there."""
    chosen = list(ARMS) if arms == "all" else [a.strip() for a in arms.split(";")]
    if unknown := [a for a in chosen if a not in ARMS]:
        raise ValueError(f"there is no arm {unknown[0]!r}; choose of {'; '.join(ARMS)}")
    return chosen


def table(result: dict[str, Any]) -> str:
    """The arms as Markdown, each beside the first."""
    plan, arms = result["plan"], result["arms"]
    first = next(iter(arms.values()))
    lines = [
        "| arm | Acc@0.5 (95 %) | against the first | Acc@0.75 | mask mIoU | processor minutes |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in arms.items():
        low, high = row["interval"]
        gain = "" if row is first else f"{row['acc50'] - first['acc50']:+.3f}"
        cells = (f"{row['acc50']:.3f} ({low:.3f} to {high:.3f})", gain, f"{row['acc75']:.3f}", f"{row['miou']:.3f}")
        lines.append(f"| {name} | {' | '.join(cells)} | {row['seconds'] / 60:.0f} |")
    told = (
        f"{first['n']} phrases of scenes:val for one thing, the decoders told the words; naming {plan['name_steps']} "
        f"steps of 32, then {plan['steps']} of 8; one seed ({plan['seed']}): differences within intervals mean nothing."
    )
    return "\n".join([*lines, "", told])


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, print the table and write it where it is wanted; 2 when it could not."""
    read = options("what_helped", __doc__, "a tiny host and two steps")
    read.add_argument("--out", type=Path, default=Path("runs/what_helped"), help="where what is done is kept")
    read.add_argument("--page", type=Path, metavar="FILE", help="write the table between its marks in FILE")
    read.add_argument("--arms", default="all", help=f"all, or some of: {'; '.join(ARMS)} (joined by ;)")
    read.add_argument("--host", default="default", help="default or tiny:FAMILY")
    read.add_argument("--steps", type=int, default=300, help="of words (default: %(default)s)")
    read.add_argument("--name-steps", type=int, default=200, help="of naming (default: %(default)s)")
    read.add_argument("--keep", type=int, default=1600, help="pictures that are named (default: %(default)s)")
    read.add_argument("--n", type=int, default=500, help="phrases of val (default: %(default)s)")
    read.add_argument("--seed", type=int, default=0)
    read.add_argument("--threads", type=int, default=1)
    return told(read, experiment, table, argv)


if __name__ == "__main__":
    raise SystemExit(main())

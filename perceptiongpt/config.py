"""Every default of a run, and the presets: functions that say what they scored. Imports nothing of ours."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weight of each named part of the loss; 0 leaves a part out of the sum (it is still printed)."""

    text: float = 1.0
    box_l1: float = 2.0
    box_giou: float = 1.0
    mask_bce: float = 2.0
    mask_dice: float = 1.0
    cell: float = 1.0
    score: float = 0.2
    cycle: float = 0.2
    name: float = 0.0  # naming image tokens (model/align.py); for hosts whose projector is still to be taught


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Peak learning rate of each group of parameters; a group of rate 0 is frozen."""

    heads: float = 5e-4
    rows: float = 1e-3  # rows of new tokens want more than an adapter
    adapter: float = 5e-4
    vision: float = 3e-4  # the adapter of the vision tower
    host: float = 2e-4


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of a run with one aim.

    `aim`: "name" teaches the projector to name image tokens; "words" trains projector and decoders on words and
    picture without running the language model, many times faster; "align" trains the static mapping of an asking
    plug-in, "ask" its interactive network (LMEye's two stages); "all" trains everything that was added.
    """

    aim: str = "all"
    steps: int = 1000
    batch: int = 8  # of all processes together
    accumulate: int = 1
    warmup: int = 50
    keep: int = 3000  # pictures whose vision features are kept, for the aim "name"
    rates: Rates = Rates()

    def __post_init__(self) -> None:
        if self.aim not in ("name", "words", "align", "ask", "all"):
            raise ValueError(f"a stage's aim is {self.aim!r}; wanted 'name', 'words', 'align', 'ask' or 'all'")
        if min(self.steps, self.batch, self.accumulate) < 1:
            raise ValueError(
                f"a stage of {self.steps} steps of {self.batch} x {self.accumulate}; wanted at least 1 of each"
            )


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run, whole: what is trained, on what, how long, how fast."""

    name: str
    host: str = "default"  # "default", a folder, a hub id, or "tiny:FAMILY"
    start: str | None = None  # a plug-in folder to go on from
    out: str = "runs/new"
    data: tuple[tuple[str, float], ...] = (("scenes:train", 1.0),)
    stages: tuple[Stage, ...] = (Stage(),)
    clip: float = 1.0
    decay: float = 0.01
    seed: int = 0
    threads: int = 0  # 0: as many as torch takes by itself
    workers: int = 0
    log_every: int = 20
    save_every: int = 500
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the plug-in: model.perception.Settings
    weights: Weights = Weights()
    val: tuple[str, ...] = ()  # sources to validate on
    val_every: int = 200  # steps
    val_questions: int = 64
    patience: int = 0  # validations without a better one after which a run stops; 0: never
    skip_bad: bool = False  # samples that can't be read are passed over and counted
    recompute: bool = False  # gradient checkpointing: less memory, more time
    wandb: str = ""  # a project of W&B

    def __post_init__(self) -> None:
        if not self.stages or not self.data:
            raise ValueError(
                f"run {self.name!r} has no {'data' if self.stages else 'stages'}; give at least one of each"
            )
        for name in ("log_every", "save_every", "val_every", "val_questions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; wanted at least 1")
        if self.patience < 0:
            raise ValueError(f"patience is {self.patience}; wanted 0 for never, or a number of validations")


def tiny() -> Run:
    """A random two-layer host on drawn shapes: proof that the method learns, in under a minute of one CPU thread.

    Scored on 40 unseen pictures, answers generated: mean box IoU 0.62, box IoU over 0.5 in 0.84 of 76 questions.
    """
    return Run(
        name="tiny",
        host="tiny:aya_vision",
        out="runs/tiny",
        data=(("shapes", 1.0),),
        stages=(Stage(steps=250, batch=8, warmup=20, rates=Rates(heads=4e-3, adapter=4e-3, host=4e-3, rows=5e-3)),),
        settings={
            "decoder_width": 64,
            "lora_targets": "all",
            "trained_host_modules": ("model.multi_modal_projector",),
        },
    )


def first_light() -> Run:
    """The default model: SmolLM2-135M and a DINOv2-small that learn to point on composed scenes.

    Scored on 500 expressions of scenes:test, answers generated: Acc@0.5 0.62, mask mIoU 0.51, after an hour and a half
    of one CPU thread and a loading process; docs/model_card.md tells how that run went.
    """
    return Run(
        name="first_light",
        host="default",
        out="runs/first_light",
        data=(("scenes:train", 1.0),),
        stages=(
            Stage(aim="name", steps=2000, batch=32, warmup=20, keep=6400, rates=Rates(host=2e-3)),
            Stage(aim="words", steps=2100, batch=8, warmup=50, rates=Rates(heads=1e-3, host=3e-4, vision=5e-4)),
            Stage(
                aim="all", steps=450, batch=4, warmup=30, rates=Rates(heads=4e-4, adapter=1e-3, host=2e-5, vision=2e-5)
            ),
        ),
        decay=0.03,
        threads=1,
        workers=1,
        save_every=100,
        settings={
            "decoder_depth": 3,
            "read_layers": "fused",
            "read_window": 12,
            "lora_targets": "attention",
            "lora_rank": 16,
            "lora_alpha": 32,
            "lora_vision_layers": 5,
            "trained_host_modules": ("model.multi_modal_projector",),
        },
        weights=Weights(name=0.2, cycle=0.1),
    )


def second_light() -> Run:
    """`first_light` taught on, from its folder: several of a kind, things that aren't there, questions in words.

    The score counts in full; `perceptiongpt calibrate` afterwards. Scored on 1,000 expressions of scenes:test, answers
    generated: Acc@0.5 0.69, mask mIoU 0.55; docs/model_card.md tells how the packaged weights went through it.
    """
    return Run(
        name="second_light",
        start="runs/first_light",
        out="runs/second_light",
        data=(("scenes:train", 0.40), ("missing:train", 0.25), ("alike:train", 0.22), ("questions:train", 0.13)),
        stages=(
            Stage(aim="words", steps=2200, batch=8, warmup=60, rates=Rates(heads=7e-4, host=1.5e-4, vision=3e-4)),
            Stage(
                aim="all", steps=280, batch=4, warmup=30, rates=Rates(heads=3e-4, adapter=6e-4, host=2e-5, vision=2e-5)
            ),
        ),
        decay=0.03,
        threads=1,
        workers=1,
        save_every=100,
        weights=Weights(name=0.2, cycle=0.1, score=1.0),
    )


def third_light() -> Run:
    """`second_light` taught on with finer pictures: the default host sees 336 pixels since, and saw 224 before.

    At last all but the eyes learns, mostly from several of a kind and questions in words. Scored on 1,000 expressions
    of scenes:test, answers generated: SCORED; docs/model_card.md tells how the packaged weights went
    through it.
    """
    return Run(
        name="third_light",
        start="runs/second_light",
        out="runs/third_light",
        data=(("scenes:train", 0.36), ("alike:train", 0.32), ("missing:train", 0.22), ("questions:train", 0.10)),
        stages=(
            Stage(aim="words", steps=900, batch=8, warmup=60, rates=Rates(heads=7e-4, host=1.5e-4, vision=3e-4)),
            Stage(steps=360, batch=4, warmup=20, rates=Rates(heads=3e-4, adapter=8e-4, host=0.0, vision=0.0)),
        ),
        decay=0.03,
        threads=1,
        workers=1,
        save_every=50,
        weights=Weights(name=0.2, cycle=0.1, score=1.0),
    )


# A narrow static path: where all is told in advance, there is nothing left to ask for.
ASK = {"network": "rvii", "reads": "grid", "static_tokens": 4, "replies": 5, "width": 256, "depth": 3}


def lmeye_align() -> Run:
    """LMEye's first stage: a frozen language model learns nothing, a static mapping of 4 tokens learns captions."""
    return Run(
        name="lmeye_align",
        out="runs/lmeye_align",
        data=(("captions:train", 1.0),),
        stages=(Stage(aim="align", steps=1500, batch=16, rates=Rates(heads=2e-3)),),
        settings={"points": False, "lora_targets": "none", "ask": ASK},
        workers=1,
    )


def lmeye_instruct() -> Run:
    """LMEye's second stage: the request, the interaction and the replies learn from questions; all else is frozen."""
    return Run(
        name="lmeye_instruct",
        start="runs/lmeye_align/model",
        out="runs/lmeye_instruct",
        data=(("questions:train", 1.0),),
        stages=(Stage(aim="ask", steps=3000, batch=8, rates=Rates(heads=1e-3, rows=3e-3)),),
        settings={"points": False, "lora_targets": "none", "ask": ASK},
        workers=1,
    )


PRESETS: dict[str, Callable[[], Run]] = {
    "tiny": tiny,
    "first_light": first_light,
    "second_light": second_light,
    "third_light": third_light,
    "lmeye_align": lmeye_align,
    "lmeye_instruct": lmeye_instruct,
}


def preset(name: str) -> Run:
    """The preset of that name; an unknown one raises ValueError that lists them."""
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]()


def with_changes(run: Run, changes: list[str]) -> Run:
    """A run with `key=value` changes; a dot reaches into a part (`weights.cell=2`), values are JSON or plain words.

    Raises ValueError naming the key that does not exist, or the change that is not `key=value`.
    """
    for change in changes:
        key, found, text = change.partition("=")
        if not found:
            raise ValueError(f"{change!r} is not a change; write key=value, for example steps=200")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        run = _changed(run, key.split("."), value, key)
    return run


def _changed(part: Any, path: list[str], value: Any, whole: str) -> Any:
    if isinstance(part, Mapping):
        new = value if len(path) == 1 else _changed(part.get(path[0], {}), path[1:], value, whole)
        return {**part, path[0]: new}
    if isinstance(part, tuple):
        if not path[0].isdigit() or int(path[0]) >= len(part):
            raise ValueError(f"{path[0]!r} in {whole!r} is no place in a row of {len(part)}; count from 0")
        at = int(path[0])
        new = _fitting(part[at], value, whole) if len(path) == 1 else _changed(part[at], path[1:], value, whole)
        return (*part[:at], new, *part[at + 1 :])
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        raise ValueError(
            f"what {path[0]!r} in {whole!r} should be a part of is {part!r}, which has no parts; set it whole"
        )
    known = [f.name for f in dataclasses.fields(part)]
    if path[0] not in known:
        raise ValueError(f"there is no setting {whole!r}; this part has {', '.join(known)}")
    old = getattr(part, path[0])
    new = _fitting(old, value, whole) if len(path) == 1 else _changed(old, path[1:], value, whole)
    return replace(part, **{path[0]: new})


def _fitting(old: Any, value: Any, whole: str) -> Any:
    """`value` as the kind of thing that `old` is; ValueError where it is another."""
    if (
        isinstance(old, tuple) and old and isinstance(value, list)
    ):  # a row is like the old one; what is more, like its last
        return tuple(_fitting(old[min(i, len(old) - 1)], v, whole) for i, v in enumerate(value))
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if old == () and isinstance(value, list) and all(isinstance(v, str) for v in value):
        value = tuple(value)
    if old is not None and type(value) is not type(old):
        raise ValueError(f"{whole}={value!r} is a {type(value).__name__}; wanted a {type(old).__name__}, like {old!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{whole}={value} is no finite number; give one")
    return value

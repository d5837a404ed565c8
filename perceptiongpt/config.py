"""Every default of a run, and how one is changed by name. Imports nothing of ours; the presets are in presets.py."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
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
    apart: float = 0.2  # the boxes that places say (tasks/instances.py); for `tells_apart`
    look: float = 0.0  # naming things and colours by their looks (model/align.py); for `region_features`
    match: float = 0.0  # naming and finding things by the learnt match (model/align.py); for `learns_match`
    name: float = 0.0  # naming image tokens (model/align.py); for hosts whose projector is still to be taught


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Peak learning rate of each group of parameters; a group of rate 0 is frozen."""

    heads: float = 5e-4
    rows: float = 1e-3  # rows of new tokens want more than an adapter
    adapter: float = 5e-4
    vision: float = 3e-4  # the adapter of the vision tower
    host: float = 2e-4


AIMS = ("name", "apart", "outline", "words", "talk", "align", "ask", "all")
# Aims that learn, each its own part of the loss, from pictures that are looked at once, and by what.
KEPT = {"name": "tower", "apart": "decoders", "outline": "decoders"}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of a run with one aim.

    `aim`: "name" teaches the projector to name image tokens; "apart" teaches what the setting `tells_apart` adds, and
    nothing else; "outline" what `refines` adds; "words" trains projector and decoders on words and picture without
    running the language model, many times faster; "talk" trains what the language model reads of regions and says,
    without running the decoders; "align" trains the static mapping of an asking plug-in, "ask" its interactive network
    (LMEye's two stages); "all" trains everything that was added but what "outline" does. `frozen`: what keeps still all
    the same, by the first letters of parameters' names, such as "encoder.".
    """

    aim: str = "all"
    steps: int = 1000
    batch: int = 8  # of all processes together
    accumulate: int = 1
    warmup: int = 50
    keep: int = 3000  # pictures whose vision features are kept, for the aims that `KEPT` names
    rates: Rates = Rates()
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.aim not in AIMS:
            raise ValueError(f"a stage's aim is {self.aim!r}; wanted one of {', '.join(AIMS)}")
        if self.aim in KEPT and self.keep < 1:
            raise ValueError(f"a stage of aim {self.aim!r} keeps {self.keep} pictures; wanted at least 1")
        if min(self.steps, self.batch, self.accumulate) < 1:
            raise ValueError(
                f"a stage of {self.steps} steps of {self.batch} x {self.accumulate}; wanted at least 1 of each"
            )

    @property
    def sees(self) -> str:
        """What looks once at the pictures that an aim of `KEPT` learns from; "" for the others."""
        return KEPT.get(self.aim, "")

    @property
    def batches(self) -> int:
        """How many batches of the data it is fed: what aims of `KEPT` look at once, or those of its steps."""
        return max(1, self.keep // self.batch) if self.aim in KEPT else self.steps * self.accumulate


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run, whole: what is trained, on what, how long, how fast."""

    name: str
    host: str = "default"  # "default", a folder, a hub id, or "tiny:FAMILY"
    start: str | None = None  # a plug-in folder to go on from
    out: str = "runs/new"
    data: tuple[tuple[str, float], ...] = (("scenes:train", 1.0),)
    library: str = ""  # a folder of objects that scenes are composed of; "": the package's
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

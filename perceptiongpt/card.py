"""The protocol card: everything that a number depends on, written beside it.

Knows versions, hashes and the state of the checkout. Judges nothing.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from perceptiongpt.data import phrases
from perceptiongpt.judging import Judged
from perceptiongpt.metrics.bootstrap import LEVEL, RESAMPLES

PACKAGES = ("torch", "transformers", "peft", "numpy", "pillow", "pycocotools")
SCORING = {
    "answers_scored": "top-1: the first region where one thing is meant, all regions where several or none are",
    "resolution": "original pixels of the picture",
    "thresholds": "IoU at or above; an answer without a region, or unreadable, counts as wrong",
    "intervals": f"{LEVEL:.0%}, {RESAMPLES} bootstrap resamples of whole pictures",
}
IN_WORDS = {
    "answers_scored": "the words that were said, whole",
    "words": "normalised as VQA does; of a choice a letter that stands alone, else the only option it names",
}


def run_card(eye: Any, data: str, max_new_tokens: int, batch: int, words: bool = False) -> dict[str, Any]:
    """What answers depend on, known before the first is asked; `words`: the questions want words, not regions."""
    backbone = eye.model.backbone
    return {
        "answers": "generated freely, greedy",
        "model": eye.name,
        "model_sha256": model_hash(eye.model),
        "operating_point": asdict(eye.operating),
        "data": data,
        "template": "the question as it stands" if words else phrases.ask_region("PHRASE"),
        "max_new_tokens": max_new_tokens,
        "batch": batch,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "device": str(backbone.device.type),
        **({"without": sorted(eye.without)} if eye.without else {}),
        **({} if eye.min_score is None else {"min_score": eye.min_score}),
    }


def protocol(run: dict[str, Any], pairs: Iterable[Judged], seed: int) -> dict[str, Any]:
    """The whole card: how the answers came about, how they were scored, of what, with which programs."""
    pairs = list(pairs)
    return {
        **run,
        **SCORING,
        **(IN_WORDS if pairs and not pairs[0].question.points else {}),
        "n": len(pairs),
        "seed": seed,
        "data_sha256": data_hash(pairs),
        "versions": {"perceptiongpt": _version("perceptiongpt"), "python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
        "git": git_state(),
    }


def model_hash(model: Any) -> str:
    """Of every weight, the host's included, by name, and of settings without weights: the same model gives the same."""
    import torch

    told = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        told.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        told.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    for name in model.settings.weightless:
        told.update(name.encode())
    return told.hexdigest()


def data_hash(pairs: Iterable[Judged]) -> str:
    """Of every question and its truth, in order."""
    told = hashlib.sha256()
    for question in (pair.question for pair in pairs):
        truth = [[t.box, t.rle] for t in question.targets]
        told.update(json.dumps([question.id, question.phrase, question.kind, truth]).encode())
    return told.hexdigest()


def git_state() -> str | None:
    """The checkout's commit, and whether files were changed since; None where this isn't a checkout."""
    at = Path(__file__).parents[1]
    if not (at / ".git").exists():
        return None
    try:
        commit = _git(at, "rev-parse", "--short=12", "HEAD")
        changed = _git(at, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}{', changed since' if changed else ''}"


def _git(at: Path, *words: str) -> str:
    run = subprocess.run(["git", "-C", str(at), *words], capture_output=True, text=True, check=True, timeout=10)
    return run.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

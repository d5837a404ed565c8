"""The model card that a run fills in: README.md in a model's folder, as hubs show it.

Knows a run and its log. Claims no more than was measured: the validation of the run, with its protocol.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from perceptiongpt.config import Run
from perceptiongpt.model.adapt import trainable_report

_HOSTS = {"default": "HuggingFaceTB/SmolLM2-135M-Instruct"}


def card(run: Run, model: Any, out: Path) -> str:
    """The card of the plug-in that `run` trains, as far as its log in `out` has come."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    hub = "/" in run.host and not Path(run.host).expanduser().exists()
    host = run.host if hub or run.host in _HOSTS else Path(run.host).name  # a folder's path is nobody else's affair
    base = run.host if hub else _HOSTS.get(run.host)
    front = ["---", "library_name: perceptiongpt", *([f"base_model: {base}"] if base else [])]
    front += ["pipeline_tag: image-text-to-text", "tags: [perceptiongpt, grounding, segmentation, lora]", "---"]
    data = [f"- `{named(name)}`, weight {weight:g}" for name, weight in run.data]
    stages = [
        f"- {s.aim}: {s.steps} steps of {s.batch * s.accumulate} samples, peak rates "
        + ", ".join(f"{k} {v:g}" for k, v in vars(s.rates).items())
        for s in run.stages
    ]
    how = f"Seed {run.seed}, AdamW, weight decay {run.decay:g}, gradients clipped at {run.clip:g}."
    parts = [
        "\n".join(front),
        f"# {run.name}",
        "Boxes, masks, points and words: a plug-in for a language model with eyes, made by `perceptiongpt train`.\n"
        f"The host (`{host}`) is not in this folder; it is unchanged and found by its name.",
        "```python\nfrom perceptiongpt import load\n\n"
        'answer = load("this/folder").segment("photo.jpg", "the red mug")\n```',
        "## Data\n\n" + "\n".join(data),
        "## Training\n\n" + "\n".join(stages) + f"\n\n{how}\n\n```\n{trainable_report(model)}\n```",
        _losses(rows),
        _validation(rows, run),
        "## Limits\n\nNothing but the numbers above was measured. It may name a region for what is not there, and\n"
        "what its data lacks it has not learnt. The licences of the host and of the data apply.",
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def named(source: str) -> str:
    """A source without the folders of this machine."""
    kind, colon, rest = source.partition(":")
    return Path(source).name if not colon or "/" in kind else f"{kind}:{Path(rest).name}"


def _losses(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    last = {k: v for k, v in rows[-1].items() if k not in ("stage", "step") and not k.startswith("val_")}
    told = ", ".join(f"{k} {v:.3f}" for k, v in last.items())
    return f"After {len(rows)} steps the parts of the loss stood at: {told}."


def _validation(rows: list[dict[str, Any]], run: Run) -> str:
    found = [(i, r) for i, r in enumerate(rows, 1) if "val_score" in r]
    if not found:
        return "## Validation\n\nNone was made while it was trained."
    names = [k for k in found[-1][1] if k.startswith("val_")]
    lines = [
        f"| after step | {' | '.join(n.removeprefix('val_') for n in names)} |",
        "|---|" + "---|" * len(names),
        *(f"| {i} | {' | '.join(f'{r[n]:.4f}' if n in r else '' for n in names)} |" for i, r in found),
    ]
    best = max(found, key=lambda pair: pair[1]["val_score"])[0]
    return (
        f"## Validation\n\nAt most {run.val_questions} questions of `{', '.join(map(named, run.val))}`, each time the\n"
        "same, answered freely and greedily; boxes in pixels of the original pictures, matched with the true ones, a\n"
        "missing one has IoU 0. `words`: answers without a region, right to the word.\n\n"
        + "\n".join(lines)
        + f"\n\nBest after step {best}."
    )

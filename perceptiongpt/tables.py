"""The numbers of an evaluation as lines to read and as JSON. Knows their keys; computes none of them."""

from __future__ import annotations

import json
from typing import Any

LINES = {  # what stands in the table, by the part's name there and in the JSON
    "REC": ("rec", "acc50", "acc75", "acc90", "miou", "invalid"),
    "RES": ("res", "miou", "ciou", "p50", "invalid"),
    "same": ("same_kind", "acc50", "miou"),
    "none": ("rejection", "n_acc", "t_acc", "best_n_acc_at_t_acc_95"),
    "all": ("group", "f1"),
    "det": ("detection", "ap", "ap50", "f1_miou"),
    "sure": ("calibration", "ece", "ece_by_chance", "aurc"),
    "R@k": ("phrases", "any_r1", "any_r5", "any_r10", "merged_r1", "merged_r5", "merged_r10"),
    "VQA": ("vqa", "accuracy", "exact", "wups90", "wups0", "majority", "invalid"),
    "POPE": ("pope", "f1", "accuracy", "precision", "recall", "yes_ratio", "invalid"),
    "pick": ("choice", "accuracy", "circular", "invalid"),
    "text": ("captions", "cider", "meteor"),
}


def table(result: dict[str, Any]) -> str:
    """The numbers as lines to read, the protocol last."""
    lines = []
    for title, (part, *names) in LINES.items():
        values = result[part]
        n = 0 if values is None else values["n_none"] + values["n_some"] if part == "rejection" else values["n"]
        if not n:
            continue
        lines.append(f"{title:<4} {_told(values, *names)}   n {n}")
        bounds = result["intervals"].get(f"{part}.{names[0]}")
        lines += [f"     {names[0]} between {bounds[0]:.3f} and {bounds[1]:.3f} (95 %)"] if bounds else []
        kinds = (values.get("by_kind") or values.get("by_count") or {}).items()
        lines += [f"  {kind:<10} {_told(v, *(k for k in v if k != 'n'))}   n {v['n']}" for kind, v in kinds]
    for kind, value in result["by_kind"].items():
        lines.append(f"  {kind:<10} {_told(value, 'acc50', 'miou')}   n {value['n']}")
    if "teacher_forced" in result:
        lines.append("told its own answers' words and regions beforehand (teacher-forced), which no user does:")
        told = [(title, LINES[title], result["teacher_forced"]) for title in ("REC", "RES")]
        lines += [f"{t:<4} {_told(forced[part], *names)}" for t, (part, *names), forced in told if forced[part]]
    if "protocol" in result:
        lines.append("protocol: " + "; ".join(f"{k} {v}" for k, v in result["protocol"].items()))
    return "\n".join(lines)


def to_json(result: dict[str, Any]) -> str:
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def _told(values: dict[str, Any], *names: str) -> str:
    shown = ((name, values[name]) for name in names)
    return "  ".join(f"{name} {'   -  ' if value is None else f'{value:.4f}'}" for name, value in shown)

"""The numbers of an evaluation as lines to read and as JSON. Knows their keys; computes none of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def table(result: dict[str, Any]) -> str:
    """The numbers as lines to read, the protocol last."""
    rec, res, rejection, group = (result[k] for k in ("rec", "res", "rejection", "group"))
    sure = result["intervals"]
    lines = []
    if rec is not None:
        lines += [f"REC  {_told(rec, 'acc50', 'acc75', 'acc90', 'miou', 'invalid')}   n {rec['n']}"]
        lines += [f"     acc50 between {_between(sure['rec.acc50'])}, miou between {_between(sure['rec.miou'])} (95 %)"]
    if res is not None:
        lines += [f"RES  {_told(res, 'miou', 'ciou', 'p50', 'invalid')}   n {res['n']}"]
    lines += [
        f"none {_told(rejection, 'n_acc', 't_acc')}   n {rejection['n_none']} of {result['counts']['expressions']}"
    ]
    lines += [f"all  {_told(group, 'f1')}   n {group['n']}"]
    if result["detection"] is not None:
        lines += [f"det  {_told(result['detection'], 'ap', 'ap50', 'f1_miou')}   n {result['detection']['n']}"]
    lines += [f"sure {_told(result['calibration'], 'ece', 'aurc')}   n {result['calibration']['n']}"]
    for kind, value in result["by_kind"].items():
        lines.append(f"  {kind:<10} {_told(value, 'acc50', 'miou')}   n {value['n']}")
    if "teacher_forced" in result:
        lines.append("told its own answers' words and regions beforehand (teacher-forced), which no user does:")
        forced = result["teacher_forced"]
        lines += [f"REC  {_told(forced['rec'], 'acc50', 'acc75', 'acc90', 'miou')}"] if forced["rec"] else []
        lines += [f"RES  {_told(forced['res'], 'miou', 'ciou', 'p50')}"] if forced["res"] else []
    if "protocol" in result:
        lines.append("protocol: " + "; ".join(f"{k} {v}" for k, v in result["protocol"].items()))
    return "\n".join(lines)


def to_json(result: dict[str, Any]) -> str:
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def _told(values: dict[str, Any], *names: str) -> str:
    shown = ((name, values[name]) for name in names)
    return "  ".join(f"{name} {'   -  ' if value is None else f'{value:.4f}'}" for name, value in shown)


def _between(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.3f} and {bounds[1]:.3f}"

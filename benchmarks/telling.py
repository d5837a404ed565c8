"""How a benchmark says what it found: its options, its refusals in a sentence, its machine, its JSON.

Knows nothing of what is measured, nor of models.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")


def options(name: str, doc: str | None, quick: str = "") -> argparse.ArgumentParser:
    """The options that all benchmarks have, for more to be added; `quick` says what --quick does."""
    read = argparse.ArgumentParser(prog=name, description=(doc or "").splitlines()[0])
    read.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    if quick:
        read.add_argument("--quick", action="store_true", help=f"{quick}: does it run at all?")
    return read


def told(
    read: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
    argv: Sequence[str] | None,
) -> int:
    """Measure, write the JSON, print the table; 0, 1 where the result is `failed`, 2 for what was refused.

    What can be refused is refused before anything is measured: a count below 1, a folder that is not there.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    given = read.parse_args(words)
    try:
        refuse(given)
        result: dict[str, Any] = {
            "benchmark": read.prog,
            "machine": machine(getattr(given, "threads", None)),
            "command": shlex.join(["python", f"benchmarks/{read.prog}.py", *words]),
        }
        measured = measure(given)
        result = {**result, **measured, "machine": {**result["machine"], **measured.get("machine", {})}}
        if given.json:
            given.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except (ValueError, OSError) as error:
        print(f"{read.prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(table(result))
    print(", ".join(f"{k} {v}" for k, v in result["machine"].items()))
    print(result["command"])
    return int(result.get("failed", False))


def refuse(given: argparse.Namespace, *files: Path | None) -> None:
    """Raises ValueError for a count below 1, FileNotFoundError where --json or one of `files` has no folder to lie in.

    To be called before anything is measured.
    """
    for name, value in vars(given).items():
        if type(value) is int and name != "seed" and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} {value} came; give at least 1")
    for file in (given.json, *files):
        if file and not file.absolute().parent.is_dir():
            raise FileNotFoundError(f"the folder {file.parent} is not there; make it first")


def machine(threads: int | None) -> dict[str, Any]:
    """What the figures were taken on."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in ("torch", "transformers")}
    known = {"threads": threads} if threads else {}
    return {"cores": os.cpu_count(), "architecture": platform.machine(), **known, **versions}


def model_facts(model: Any) -> dict[str, str]:
    """Where an equipped model computes, and in what."""
    return {"device": str(model.backbone.device), "dtype": str(model.backbone.dtype).removeprefix("torch.")}


def target(value: float, sign: str, limit: float, unit: str = "") -> str:
    """What stands beside a figure: what was wanted (`sign` is <= or >=), and whether it was missed."""
    met = value <= limit if sign == "<=" else value >= limit
    return f"  wanted {sign} {limit:g} {unit}".rstrip() + ("" if met else "  MISSED")


def peak_megabytes() -> float:
    """The most memory (1e6 bytes) that this process has held so far, its libraries included.

    On Linux of this program alone: `ru_maxrss` there begins with what the process that started it had held.
    """
    if STATUS.exists():
        (line,) = (row for row in STATUS.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6  # macOS counts bytes, others KiB

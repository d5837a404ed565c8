"""What one `segment` call costs, model loaded and picture not: seconds and their parts, memory, tokens, what trains.

Knows the targets that it prints beside each figure. Knows nothing of how well the answer fits (`perceptiongpt evaluate`
does): a model that finds nothing is quick, so the number of regions in the answer is stated, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import perceptiongpt

sys.path.insert(0, str(Path(__file__).parent))
from telling import model_facts, options, peak_megabytes, target, told

DEMO = Path(perceptiongpt.__file__).parent / "demo"
PICTURE = "scene.jpg"
SCENES, ASKED = "scenes:val:7", 200  # whose things are asked about for calls that look closer, and how often at most
PARTS = ("vision", "prefill", "decode", "heads", "mirror")
CALLS, WARM_UPS, HELPS = 15, 2, 5

# name, unit, digits, the most that is wanted (None: no target), what it is
ROWS: tuple[tuple[str, str, int, float | None, str], ...] = (
    ("seconds", "s", 3, 1.5, "one call, median"),
    *((part, "s", 3, None, f"  {part}") for part in PARTS),
    ("rest", "s", 3, None, "  rest: prompt, words, masks in the picture's pixels"),
    ("seconds_closer", "s", 3, 1.5, "one call that looks closer, median"),
    ("closer", "s", 3, None, "  the closer look"),
    ("heads_share", "%", 1, 10.0, "heads' share of a call"),
    ("tokens_a_region", "", 0, 1.0, "tokens an object"),
    ("regions", "", 0, None, "regions in the answer"),
    ("peak_memory", "GB", 2, 2.0, "peak memory of the process"),
    ("trained_share_without_host_modules", "%", 2, 4.0, "trained share, the host's projector aside"),
    ("trained_share", "%", 2, None, "trained share, all of it"),
    ("help", "s", 3, 0.5, "perceptiongpt --help, median"),
)


def calls(eye: Any, count: int, warm_ups: int) -> dict[str, float]:
    """Medians over `count` calls after `warm_ups`: seconds of the whole, of its parts, and of the heads in per cent."""
    picture = DEMO / PICTURE
    phrase = json.loads((DEMO / "truth.json").read_text(encoding="utf-8"))[PICTURE]["phrase"]
    rows = []
    for number in range(warm_ups + count):
        started = time.perf_counter()
        answer = eye.segment(picture, phrase)
        spent = time.perf_counter() - started
        if number >= warm_ups:
            parts = {part: answer.timings.get(part, 0.0) for part in PARTS}
            rest = spent - sum(parts.values())
            share = 100 * parts["heads"] / spent
            rows.append({"seconds": spent, **parts, "rest": rest, "heads_share": share, "regions": len(answer)})
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def closer_calls(eye: Any, count: int, warm_ups: int) -> dict[str, float | None]:
    """Medians over `count` calls that took a closer look, about things of composed pictures; None where none did."""
    from perceptiongpt.questions import questions_of

    rows: list[tuple[float, float]] = []
    asked = questions_of(SCENES)[0] if eye.model.settings.looks_closer else ()
    for number, scene in zip(range(ASKED), asked, strict=False):
        phrases = [q.phrase for q in scene.questions if len(q.targets) == 1]
        started = time.perf_counter()
        timings = eye.segment(scene.picture, phrases[0]).timings if phrases else {}
        spent = time.perf_counter() - started
        if number >= warm_ups and timings.get("closer"):
            rows.append((spent, timings["closer"]))
        if len(rows) == count:
            break
    medians = map(statistics.median, zip(*rows, strict=True)) if rows else (None, None)
    return dict(zip(("seconds_closer", "closer"), medians, strict=True))


def trained_shares(model: Any) -> dict[str, float]:
    """Per cent of host and plug-in, frozen networks of its own among it, that training changes; with and without the
    host's modules (a projector)."""
    from perceptiongpt.model.adapt import choose_trainable

    learnt = set[str]()
    for aim in ("all", *(["outline"] if model.settings.refines else [])):  # which "all" leaves out
        choose_trainable(model, aim)
        learnt |= {name for name, p in model.named_parameters() if p.requires_grad}
    every = [(name, p.numel(), name in learnt) for name, p in model.named_parameters()]
    total = sum(n for _, n, _ in every) + model.backbone.own_parameters
    trained = sum(n for _, n, trains in every if trains)
    hosts = sum(n for name, n, trains in every if trains and name.startswith("host.") and ".lora_" not in name)
    return {
        "trained_share": 100 * trained / total,
        "trained_share_without_host_modules": 100 * (trained - hosts) / total,
        "trained": trained,
        "trained_host_modules": hosts,
        "parameters": total,
    }


def help_seconds(count: int) -> float:
    """Median seconds of the command's --help, each in a process of its own."""
    spent = []
    for _ in range(count):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "perceptiongpt", "--help"], check=True, stdout=subprocess.DEVNULL)
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def table(result: dict[str, Any]) -> str:
    """The figures as lines to read, each beside its target."""
    lines = []
    for name, unit, digits, most, what in ROWS:
        value = result["figures"][name]
        line = f"{what:<54} " + (f"{'none':>9}" if value is None else f"{value:>9.{digits}f} {unit:<2}")
        if most is not None and value is not None:
            line += target(value, "<=", most, unit)
        lines.append(line.rstrip())
    return "\n".join([*lines, f"model {result['model']}, {result['calls']} calls after {result['warm_ups']} more"])


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """All figures of a model folder, with targets."""
    import torch

    from perceptiongpt import heap, load

    torch.set_num_threads(given.threads)
    heap.keep_pages()  # as the commands do
    eye = load(given.model, device="cpu")
    count, warm_ups = (2, 1) if given.quick else (CALLS, WARM_UPS)
    figures: dict[str, float | None] = {**calls(eye, count, warm_ups), **closer_calls(eye, count, warm_ups)}
    figures["peak_memory"] = peak_megabytes() / 1e3  # before training is prepared: that is no part of a call
    figures["tokens_a_region"] = eye.model.settings.vis_tokens
    figures |= trained_shares(eye.model)
    figures["help"] = help_seconds(1 if given.quick else HELPS)
    return {
        "model": eye.name,
        "calls": count,
        "warm_ups": warm_ups,
        "figures": {name: value and round(value, 6) for name, value in figures.items()},
        "at_most": {n: most for n, _, _, most, _ in ROWS if most is not None and figures[n] is not None},
        "machine": model_facts(eye.model),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when it ran, 2 for what was refused."""
    read = options("segment_call", __doc__, "two calls")
    read.add_argument("--model", metavar="FOLDER", help="a trained model (default: the one that ships)")
    read.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    return told(read, measure, table, argv)


if __name__ == "__main__":
    sys.exit(main())

"""What a look in slices finds in large pictures, and what it costs: the same expressions, asked with and without.

    python benchmarks/large_pictures.py --json out.json
    python benchmarks/large_pictures.py --long 0.2 0.64     # things as large as training draws them

Composed pictures of `scenes:val`, so many times as large as it makes them. Knows how such pictures are made. Scores
answers to expressions for one thing as `evaluate` does (IoU of boxes at or above, after the least score).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parent))
from telling import model_facts, options, told

PICTURES, SEED, TIMES = 60, 6, 3
LONG = (0.04, 0.14)  # of the picture's height
TINY = 0.01  # of the picture, under which a thing counts as small
AT = (0.5, 0.75)


def large_pictures(count: int, seed: int, long: Sequence[float]) -> Iterator[Any]:
    """The first pictures of `scenes:val` of that seed, TIMES as large, whose things are so long."""
    from perceptiongpt.data import scene_compose
    from perceptiongpt.questions import questions_of

    how: dict[str, Any] = {
        "SIZES_WH": tuple((TIMES * w, TIMES * h) for w, h in scene_compose.SIZES_WH),
        "SIDE_SHARE": tuple(long),
        "LEAST_AREA": min(scene_compose.LEAST_AREA, long[0] ** 2 / 4),
    }
    with patch.multiple(scene_compose, **how):
        yield from islice(questions_of(f"scenes:val:{seed}")[0], count)


def figures(eye: Any, pictures: Iterator[Any]) -> dict[str, float | None]:
    """Shares of answers that are right without ("whole") and with slices, and seconds of those that looked at some."""
    import torch

    from perceptiongpt.core.boxes import area_xyxy, iou_xyxy

    there: list[tuple[float, float, float]] = []  # the target's share of the picture, IoU without and with
    none: list[tuple[bool, bool]] = []  # whether nothing was said where nothing is
    spent: list[tuple[float, float]] = []
    for asked in pictures:
        for q in asked.questions:
            if len(q.targets) > 1:
                continue
            found = []
            for without in (["looks_sliced"], []):
                eye.without = frozenset(without)
                started = time.perf_counter()
                answer = eye.segment(asked.picture, q.phrase)
                found.append((answer, time.perf_counter() - started))
            (plain, before), (sliced, after) = found
            if "slices" in sliced.timings:
                spent.append((before, after))
            if not q.targets:
                none.append((not len(plain), not len(sliced)))
                continue
            true, (w, h) = torch.tensor(q.targets[0].box), asked.picture.size
            ious = [float(iou_xyxy(true, torch.tensor(a[0].box))) if len(a) else 0.0 for a in (plain, sliced)]
            there.append((float(area_xyxy(true)) / (w * h), ious[0], ious[1]))
    small = [row for row in there if row[0] < TINY]
    made: dict[str, float | None] = {"expressions": len(there), "small": len(small), "absent": len(none)}
    for name, i in (("whole", 1), ("slices", 2)):
        for at in AT:
            made[f"acc{100 * at:.0f}_{name}"] = _share([row[i] >= at for row in there])
        made[f"acc50_small_{name}"] = _share([row[i] >= AT[0] for row in small])
        made[f"kept_out_{name}"] = _share([row[i - 1] for row in none])
    made["better"] = sum(row[2] >= AT[0] > row[1] for row in there)
    made["worse"] = sum(row[1] >= AT[0] > row[2] for row in there)
    made["looked"] = len(spent) / max(1, len(there) + len(none))
    for name, seconds in zip(("seconds_whole", "seconds_slices"), zip(*spent, strict=True), strict=False):
        made[name] = statistics.median(seconds)
    return made


def _share(right: list[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def table(result: dict[str, Any]) -> str:
    """The figures as lines to read."""
    values = {k: "none" if v is None else f"{v:.3f}".rstrip("0").rstrip(".") for k, v in result["figures"].items()}
    rows = (f"{name:<20} {value}" for name, value in values.items())
    return "\n".join([*rows, f"model {result['model']}, {result['pictures']} pictures, seed {result['seed']}"])


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """All figures of a model folder that looks at slices."""
    import torch

    from perceptiongpt import heap, load

    torch.set_num_threads(given.threads)
    heap.keep_pages()  # as the commands do
    eye = load(given.model, device="cpu")
    if not eye.does("looks_sliced"):
        raise ValueError(f"{eye.name} looks at no slices; give a model whose settings.looks_sliced is true")
    count = 2 if given.quick else given.pictures
    found = figures(eye, large_pictures(count, given.seed, given.long))
    made = {name: value if value is None else round(value, 4) for name, value in found.items()}
    return {
        "model": eye.name,
        "pictures": count,
        "seed": given.seed,
        "long": list(given.long),
        "figures": made,
        "machine": model_facts(eye.model),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when it ran, 2 for what was refused."""
    read = options("large_pictures", __doc__, "two pictures")
    read.add_argument("--model", metavar="FOLDER", help="a trained model (default: the one that ships)")
    read.add_argument("--pictures", type=int, default=PICTURES, help="how many (default: %(default)s)")
    read.add_argument("--seed", type=int, default=SEED, help="of the pictures (default: %(default)s)")
    read.add_argument("--long", type=float, nargs=2, default=LONG, metavar="SHARE", help="of the height, of things")
    read.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    return told(read, measure, table, argv)


if __name__ == "__main__":
    sys.exit(main())

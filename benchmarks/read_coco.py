"""What it costs to open a COCO instances file: seconds and peak memory, each beside its target.

Makes a file of the official shape with random outlines, as long as COCO's own are (some 500 bytes an annotation), and
opens it in a process of its own as `train` would. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from telling import options, target, told

ANNOTATIONS, QUICK = 100_000, 1_000
A_PICTURE = 6  # annotations
ROWS = (("seconds", "s", 10.0, "opening the file"), ("peak_mb", "MB", 500.0, "peak memory of the process"))

# Runs in the child: opens the source, takes one sample, prints what it cost.
CHILD = """
import json, sys, time
sys.path.insert(0, sys.argv[2])
from telling import peak_megabytes
started = time.perf_counter()
from perceptiongpt.sources import open_source
source = open_source(sys.argv[1], 0)
spent = time.perf_counter() - started
things = sum(len(r.things) for r in source.records)
asked = len(source[0].turns)
print(json.dumps({"seconds": spent, "peak_mb": peak_megabytes(), "things": things, "turns": asked}))
"""


def make(path: Path, count: int, seed: int = 0) -> int:
    """Writes a file of `count` annotations on random pictures of 640 x 480; gives its size in bytes."""
    draw = random.Random(seed)
    pictures = max(1, count // A_PICTURE)
    images = [{"id": i, "file_name": f"{i:012}.jpg", "width": 640, "height": 480} for i in range(pictures)]
    categories = [{"id": i, "name": f"kind {i}", "supercategory": "thing"} for i in range(1, 81)]
    with path.open("w", encoding="utf-8") as out:
        out.write(f'{{"images": {json.dumps(images)}, "categories": {json.dumps(categories)}, "annotations": [')
        for number in range(count):
            x, y, w, h = draw.uniform(0, 500), draw.uniform(0, 380), draw.uniform(20, 140), draw.uniform(20, 100)
            points = draw.randint(8, 64)
            outline = [round(v, 2) for _ in range(points) for v in (x + draw.random() * w, y + draw.random() * h)]
            row = {
                "id": number,
                "image_id": number % pictures,
                "category_id": draw.randint(1, 80),
                "bbox": [round(v, 2) for v in (x, y, w, h)],
                "area": round(w * h, 2),
                "iscrowd": 0,
                "segmentation": [outline],
            }
            out.write(("," if number else "") + json.dumps(row))
        out.write("]}")
    return path.stat().st_size


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """The figures of one reading."""
    count = QUICK if given.quick else ANNOTATIONS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        size = make(path, count)
        words = [sys.executable, "-c", CHILD, f"coco:{path}", str(Path(__file__).parent)]
        run = subprocess.run(words, check=True, capture_output=True, text=True)
    figures = json.loads(run.stdout.splitlines()[-1])
    if figures["things"] != count:
        raise ValueError(f"{figures['things']} of {count} annotations were read; the reader is broken")
    return {
        "annotations": count,
        "file_mb": size / 1e6,
        "figures": figures,
        "at_most": {name: most for name, _, most, _ in ROWS},
    }


def table(result: dict[str, Any]) -> str:
    """The figures as lines to read, each beside its target."""
    lines = [f"{result['annotations']} annotations, {result['file_mb']:.1f} MB"]
    for name, unit, most, what in ROWS:
        value = result["figures"][name]
        lines.append(f"{what:<40} {value:>8.2f} {unit:<2}{target(value, '<=', most, unit)}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when it ran, 2 for what was refused."""
    return told(options("read_coco", __doc__, f"{QUICK} annotations"), measure, table, argv)


if __name__ == "__main__":
    sys.exit(main())

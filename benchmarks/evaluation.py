"""What measuring costs: questions a second in batches against one at a time, and a million boxes judged.

    python benchmarks/evaluation.py --json figures.json

Two parts, in one process each: `asking` (needs the model) and `judging` (needs none; its predictions are made up).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from telling import options, peak_megabytes, target, told

BOXES, MASKS = 1_000_000, 50_000
SIDES = (480, 640)  # of a mask's picture, h and w
ROWS: tuple[tuple[str, str, float | None, str], ...] = (
    ("alone", "/s", None, "questions a second, one at a time, the picture encoded for each"),
    ("batched", "/s", None, "questions a second as `evaluate` asks them"),
    ("ratio", "x", 3.0, "throughput against one at a time"),
    ("cpu_ratio", "x", None, "the same by processor time, which others on the machine disturb less"),
    ("boxes_seconds", "s", -60.0, "boxes read from a COCO results file and judged: AP"),
    ("masks_seconds", "s", -60.0, "masks read from answers.jsonl and judged: every metric"),
    ("seconds", "s", -60.0, "both together"),
    ("peak_memory", "GB", -4.0, "peak memory of the judging process"),
)


def asking(model: str | None, n: int, alone: int, threads: int) -> dict[str, float]:
    """Throughput both ways over scenes:test; the one-at-a-time part is spread over the same questions."""
    import torch

    from perceptiongpt import load
    from perceptiongpt.evaluate import MAX_NEW_TOKENS, evaluate
    from perceptiongpt.questions import Asked, questions_of

    torch.set_num_threads(threads)
    eye = load(model, device="cpu")
    asked: list[Asked] = []
    for one in questions_of("scenes:test")[0]:
        asked.append(one)
        if sum(len(a.questions) for a in asked) >= n:
            break
    pairs = [(a.picture, q.phrase) for a in asked for q in a.questions][:n]
    for picture, phrase in pairs[:2]:
        eye.segment(picture, phrase)  # warm
    spread = pairs[:: max(1, n // alone)][:alone]
    halves = [spread[: len(spread) // 2], spread[len(spread) // 2 :]]

    def now() -> np.ndarray:
        return np.asarray([time.perf_counter(), time.process_time()])

    def one_at_a_time(part: Sequence[Any]) -> np.ndarray:
        started = now()
        for picture, phrase in part:
            eye.segment(picture, phrase, max_new_tokens=MAX_NEW_TOKENS)
        return now() - started

    before = one_at_a_time(halves[0])  # half before, half after: a machine that others use changes under the run
    started = now()
    evaluate(eye, asked, n, show=False)
    together = now() - started
    alone_speed = len(spread) / (before + one_at_a_time(halves[1]))
    speed = len(pairs) / together
    ratio, cpu_ratio = (speed / alone_speed).tolist()
    return {"alone": alone_speed[0], "batched": speed[0], "ratio": ratio, "cpu_ratio": cpu_ratio}


def write_boxes(file: Path, count: int, rng: np.random.Generator) -> Any:
    """A COCO results file of 100 boxes a picture over 80 classes, 1 in 4 near a true one; and the truth."""
    from perceptiongpt.metrics.detection import Things

    pictures = max(1, count // 100)
    many = pictures * 8
    image, category = rng.integers(0, pictures, many), rng.integers(1, 81, many)
    corner, wide = rng.uniform(0, 400, (many, 2)), rng.uniform(10, 200, (many, 2))
    true = np.concatenate([corner, corner + wide], axis=1)
    near = rng.integers(0, many, count)
    is_near = rng.random(count) < 0.25
    invented = np.concatenate([rng.uniform(0, 400, (count, 2)), rng.uniform(10, 200, (count, 2))], axis=1)
    xywh = np.where(is_near[:, None], np.concatenate([corner, wide], 1)[near] + rng.normal(0, 6, (count, 4)), invented)
    xywh = np.clip(xywh, 1, 600).round(1)
    images = np.where(is_near, image[near], rng.integers(0, pictures, count)).tolist()
    classes = np.where(is_near, category[near], rng.integers(1, 81, count)).tolist()
    scores = rng.random(count).round(3).tolist()
    with file.open("w") as out:
        out.write("[")
        for i, (m, c, s, b) in enumerate(zip(images, classes, scores, xywh.tolist(), strict=True)):
            out.write(f'{"," if i else ""}{{"image_id":{m},"category_id":{c},"score":{s},"bbox":{b}}}')
        out.write("]")
    return Things(image, category, true)


def write_masks(file: Path, count: int, rng: np.random.Generator) -> list[Any]:
    """Answers with a mask each, near the true one, of 640 x 480 pictures; and their questions."""
    from perceptiongpt.core.masks import encode_rle, mask_to_box
    from perceptiongpt.core.packed import Packed
    from perceptiongpt.questions import Question

    shapes = []
    rows, columns = np.ogrid[: SIDES[0], : SIDES[1]]
    for _ in range(200):
        y, x, a, b = rng.uniform(150, 330), rng.uniform(150, 490), rng.uniform(20, 130), rng.uniform(20, 140)
        wave = 1 + 0.2 * np.sin(np.arctan2(rows - y, columns - x) * 7)
        mask = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < wave
        shapes.append((encode_rle(mask), mask_to_box(mask)))
    questions = []
    with file.open("w") as out:
        for i in range(count):
            (rle, box), (said, said_box) = shapes[i % 200], shapes[(i + i % 3) % 200]
            targets = (Packed(box, rle, label=f"class {i % 80}"),)
            id = f"{i // 5:07d}-{i % 5}"
            questions.append(Question(id, "the thing", "name", targets, SIDES[::-1], f"class {i % 80}", i % 4))
            region = {"label": None, "box": said_box, "mask": said, "point": None, "score": 0.5, "span": None}
            row = {"id": id, "phrase": "the thing", "text": "The thing.", "regions": [region]}
            out.write(json.dumps(row) + "\n")
    return questions


def judging(boxes: int, masks: int, folder: Path) -> dict[str, float]:
    """Seconds of reading and judging, and the process's peak memory (it makes the files, too)."""
    from perceptiongpt.foreign import coco_columns, read_predictions
    from perceptiongpt.judging import judged, measure
    from perceptiongpt.metrics.detection import average_precision

    rng = np.random.default_rng(0)
    truth = write_boxes(folder / "boxes.json", boxes, rng)
    started = time.perf_counter()
    found = average_precision(coco_columns(folder / "boxes.json"), truth)
    on_boxes = time.perf_counter() - started
    questions = write_masks(folder / "answers.jsonl", masks, rng)
    started = time.perf_counter()
    pairs, _ = read_predictions(folder / "answers.jsonl", questions)
    result = judged([measure(pair) for pair in pairs])
    on_masks = time.perf_counter() - started
    peak = peak_megabytes() / 1e3
    return {
        "boxes": boxes,
        "masks": masks,
        "boxes_seconds": on_boxes,
        "masks_seconds": on_masks,
        "seconds": on_boxes + on_masks,
        "peak_memory": peak,
        "ap": found["ap"] or 0.0,
        "miou": result["res"]["miou"],
    }


def table(result: dict[str, Any]) -> str:
    """The figures as lines to read, each beside its target (a negative one is the most that is wanted)."""
    lines = []
    for name, unit, wanted, what in ROWS:
        if name in result["figures"]:
            value = result["figures"][name]
            sign = "" if wanted is None else target(value, ">=" if wanted > 0 else "<=", abs(wanted))
            lines.append(f"{what:<66} {value:>8.2f} {unit}{sign}")
    return "\n".join(lines)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """The figures of the parts that are wanted."""
    n, alone, boxes, masks = (8, 2, 2000, 50) if given.quick else (given.n, given.alone, given.boxes, given.masks)
    figures: dict[str, float] = {}
    if given.part != "asking":
        # A process of its own: the peak is of judging alone.
        spawn = multiprocessing.get_context("spawn")
        with tempfile.TemporaryDirectory() as folder, spawn.Pool(1) as pool:
            figures |= pool.apply(judging, (boxes, masks, Path(folder)))
    if given.part != "judging":
        figures |= asking(given.model, n, alone, given.threads)
    return {
        "figures": {name: round(value, 6) for name, value in figures.items()},
        "wanted": {name: wanted for name, _, wanted, _ in ROWS if wanted is not None},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when it ran, 2 for what was refused."""
    read = options("evaluation", __doc__, "8 questions, 2,000 boxes, 50 masks")
    read.add_argument("--part", choices=("asking", "judging", "both"), default="both")
    read.add_argument("--model", metavar="FOLDER", help="a trained model (default: the one that ships)")
    read.add_argument("--n", type=int, default=500, help="questions asked in batches (default: %(default)s)")
    read.add_argument("--alone", type=int, default=60, help="of those asked one at a time too (default: %(default)s)")
    read.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    read.add_argument("--boxes", type=int, default=BOXES)
    read.add_argument("--masks", type=int, default=MASKS)
    return told(read, run, table, argv)


if __name__ == "__main__":
    sys.exit(main())

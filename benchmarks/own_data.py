"""Your own data in one command: how much better the packaged model points after training on 200 pictures of new names.

Composed pictures are exported as anybody's COCO file, each kind of thing under an invented product name; the val part
(by picture) is asked before and after one `perceptiongpt train --data FOLDER`. Objects are of the library's test part,
which the packaged model never saw. Knows the target that it prints beside the gain.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perceptiongpt.data.scenes import write_scenes

sys.path.insert(0, str(Path(__file__).parent))
from telling import options, target, told

AT_LEAST, AT_MOST = 0.20, 20.0  # of Acc@0.5; minutes
MOST = 100_000  # questions
HEADS, TAILS = (
    ["b", "br", "d", "dr", "f", "g", "k", "kl", "l", "m", "n", "p", "pl", "s", "t", "tr", "v", "z"],
    ["bo", "dax", "fen", "gim", "lo", "mar", "nix", "ro", "sut", "tal", "vi", "zon"],
)


def invented(count: int, rng: random.Random) -> list[str]:
    """Names of products that nobody sells, each another."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[f"{rng.choice(HEADS)}{rng.choice('aeiou')}{rng.choice(TAILS)}{rng.choice(('', 'o', 'ex', 'ia'))}"] = None
    return list(found)


def export(folder: Path, pictures: int, seed: int) -> None:
    """Composed pictures as a COCO file with new names, one for each kind; nothing else tells of the library."""
    made = write_scenes(folder, "test", pictures, seed)
    for name in ("samples.jsonl", "expressions.jsonl"):
        (made / name).unlink()
    coco = json.loads((made / "annotations.json").read_text(encoding="utf-8"))
    for category, name in zip(coco["categories"], invented(len(coco["categories"]), random.Random(seed)), strict=True):
        category["name"] = name
    for row in coco["annotations"]:
        for key in ("name", "colour", "object_id", "visible_share"):
            del row[key]
    (made / "annotations.json").write_text(json.dumps(coco), encoding="utf-8")


def command(*words: str) -> None:
    """One `perceptiongpt` command, as a user gives it; ValueError where it fails."""
    print("$ perceptiongpt", *words, flush=True)
    status = subprocess.run([sys.executable, "-m", "perceptiongpt", *words]).returncode
    if status:
        raise ValueError(f"`perceptiongpt {words[0]}` ended with status {status}; its last words above say why")


def asked(model: str, data: Path, work: Path, n: int) -> dict[str, Any]:
    """The figures of a model on at most n questions of the val part: every class of which a picture holds one."""
    file = work / f"answers-{Path(model).name}.json"
    where = ["--data", f"coco:{data / 'annotations.json'}:val", "--out", str(file.with_suffix(""))]
    command("evaluate", model, *where, "--n", str(n), "--json", str(file))
    return json.loads(file.read_text(encoding="utf-8"))


def measured(work: Path, pictures: int, n: int, seed: int, more: Sequence[str]) -> dict[str, Any]:
    """Acc@0.5 before and after, and the minutes of the training between."""
    data, run = work / "mine", work / "tuned"
    export(data, pictures, seed)
    before = asked("default", data, work, n)
    started = time.perf_counter()
    command("train", "--data", str(data), "--out", str(run), *more)
    minutes = (time.perf_counter() - started) / 60
    after = asked(str(run), data, work, n)
    first, last = before["rec"]["acc50"], after["rec"]["acc50"]
    figures = {"before": first, "after": last, "gain": last - first, "minutes": minutes, "n": after["rec"]["n"]}
    return {**figures, "seed": seed, "mask_miou": [before["res"]["miou"], after["res"]["miou"]]}


def run(given: argparse.Namespace) -> dict[str, Any]:
    """The figures of one run, in a folder that is kept or not."""
    quick = ["--steps", "2", "--batch", "2", "--set", "val_questions=2", "--set", "stages.0.keep=8"]
    more = [*(quick if given.quick else ()), *given.more]
    work = Path(given.out or tempfile.mkdtemp(prefix="own-data-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        pictures, n = (20, 8) if given.quick else (given.pictures, MOST)
        figures = measured(work, pictures, n, given.seed, more)
    finally:
        if not given.out:
            shutil.rmtree(work)
    return {**figures, "at_least": AT_LEAST, "at_most": AT_MOST}


def table(result: dict[str, Any]) -> str:
    """The figures as lines to read, each beside its target."""
    gain, minutes = result["gain"], result["minutes"]
    return (
        f"Acc@0.5 on {result['n']} questions: {result['before']:.3f} before, {result['after']:.3f} after\n"
        f"gain {gain:+.3f} {target(gain, '>=', AT_LEAST)}\n"
        f"training {minutes:.1f} min {target(minutes, '<=', AT_MOST, 'min')}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0 when it ran, 2 for what was refused."""
    read = options("own_data", __doc__, "20 pictures, 8 questions, two steps")
    read.add_argument("--pictures", type=int, default=200, help="(default: %(default)s)")
    read.add_argument("--seed", type=int, default=1, help="of pictures and names (default: %(default)s)")
    read.add_argument("--out", metavar="FOLDER", help="keep data and run in this new folder (default: nowhere)")
    read.add_argument("more", nargs="*", metavar="-- MORE", help="words for `perceptiongpt train`")
    return told(read, run, table, argv)


if __name__ == "__main__":
    sys.exit(main())

"""Your own data in one command: how much better the packaged model points after training on 200 pictures of new names.

Composed pictures are exported as anybody's COCO file, each kind of thing under an invented product name; the val part
(by picture) is asked before and after one `perceptiongpt train --data FOLDER`. Objects are of the library's test part,
which the packaged model never saw. Knows the target that it prints beside the gain.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
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

AT_LEAST, AT_MOST = 0.20, 20.0  # of Acc@0.5; minutes
HEADS, TAILS = ("b br d dr f g k kl l m n p pl s t tr v z".split(), "bo dax fen gim lo mar nix ro sut tal vi zon".split())


def invented(count: int, rng: random.Random) -> list[str]:
    """Names of products that nobody sells, each another."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[f"{rng.choice(HEADS)}{rng.choice('aeiou')}{rng.choice(TAILS)}{rng.choice(('', 'o', 'ex', 'ia'))}"] = None
    return list(found)


def export(folder: Path, pictures: int, seed: int) -> None:
    """Composed pictures as a COCO file with new names, one for each kind, and nothing else that tells of the library."""
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
    """One `perceptiongpt` command, as a user gives it."""
    print("$ perceptiongpt", *words, flush=True)
    subprocess.run([sys.executable, "-m", "perceptiongpt", *words], check=True)


def asked(model: str, data: Path, work: Path) -> dict[str, Any]:
    """The figures of a model on the val part: every class of which a picture holds one."""
    file = work / f"{Path(model).name}.json"
    where = ["--data", f"coco:{data / 'annotations.json'}:val", "--out", str(file.with_suffix(""))]
    command("evaluate", model, *where, "--n", "100000", "--json", str(file))
    return json.loads(file.read_text(encoding="utf-8"))


def measured(work: Path, pictures: int, seed: int, more: Sequence[str]) -> dict[str, Any]:
    """Before, after, and the minutes of the training between."""
    data, run = work / "mine", work / "tuned"
    export(data, pictures, seed)
    before = asked("default", data, work)
    started = time.perf_counter()
    command("train", "--data", str(data), "--out", str(run), *more)
    minutes = (time.perf_counter() - started) / 60
    after = asked(str(run), data, work)
    return {"seed": seed, "minutes": minutes, "before": before, "after": after}


def main(argv: Sequence[str] | None = None) -> int:
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("--pictures", type=int, default=200, help="(default: %(default)s)")
    told.add_argument("--seed", type=int, default=1, help="of pictures and names (default: %(default)s)")
    told.add_argument("--out", metavar="FOLDER", help="keep data and run there (default: nowhere)")
    told.add_argument("--json", metavar="FILE")
    told.add_argument("more", nargs="*", metavar="-- MORE", help="words for `perceptiongpt train`")
    given = told.parse_args(argv)
    work = Path(given.out or tempfile.mkdtemp(prefix="own-data-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        result = measured(work, given.pictures, given.seed, given.more)
    finally:
        if not given.out:
            shutil.rmtree(work)
    print(result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

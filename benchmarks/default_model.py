"""Every number that the default model is judged by, beside its target: what a user's `perceptiongpt evaluate` gives.

    python benchmarks/default_model.py --page docs/model_card.md --json out.json

Knows the rows and their targets. Knows no metric: each part is a run of the command, kept in --out, and goes on there.
Targets are for `--split test`, which is asked once, at the end; `val` (unless told) is for finding out.
"""

from __future__ import annotations

import argparse
import io
import json
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import perceptiongpt
from perceptiongpt import cli
from perceptiongpt.core.packed import Packed
from perceptiongpt.ends import write_whole
from perceptiongpt.questions import questions_of

PACKAGE = Path(perceptiongpt.__file__).parent
MARK = ("<!-- default_model: begin -->", "<!-- default_model: end -->")
N, QUICK_N = 1000, 8
MANY = {"scenes": 2.5, "seen": 2.5}  # times as many: of 1,000 answers, exact scores show an ECE of 0.04 by chance
UNSEEN = 9001  # the seed of pictures that nothing was trained on
# Novel to the object library, but COCO, of which photographs may be trained on, names them.
NAMED_BY_COCO = (
    "backpack",
    "broccoli",
    "giraffe",
    "motorcycle",
    "skateboard",
    "toothbrush",
    "umbrella",
    "zebra",
)
# Those that the 1,000 classes name, or kinds of them ("fiddler crab"): the network of a pyramid was taught these.
NAMED_BY_IMAGENET = (
    "backpack",
    "balloon",
    "bathtub",
    "bee",
    "broccoli",
    "broom",
    "camel",
    "candle",
    "crab",
    "fox",
    "frog",
    "hammer",
    "kangaroo",
    "ladybug",
    "mirror",
    "mushroom",
    "owl",
    "penguin",
    "saxophone",
    "screwdriver",
    "shark",
    "shovel",
    "snail",
    "sock",
    "strawberry",
    "swan",
    "teapot",
    "tent",
    "turtle",
    "umbrella",
    "violin",
    "zebra",
)
# part, key in metrics.json, where its n is, what it is, target (a negative one is the most that is wanted)
Row = tuple[str, str, str, str, float | None]
ROWS: tuple[Row, ...] = (
    ("scenes", "rec.acc50", "rec.n", "composed pictures: REC Acc@0.5", 0.88),
    ("scenes", "rec.acc75", "rec.n", "… Acc@0.75", 0.75),
    ("scenes", "res.miou", "res.n", "… RES mIoU", 0.78),
    ("seen", "rec.acc50", "rec.n", "things that training saw, in new pictures: REC Acc@0.5", None),
    ("seen", "rec.acc75", "rec.n", "… Acc@0.75", None),
    ("seen", "res.miou", "res.n", "… RES mIoU", None),
    ("seen", "rejection.best_n_acc_at_t_acc_95", "rejection.n_none", "… best possible N-acc at T-acc 0.95", None),
    ("novel", "rec.acc50", "rec.n", "kinds that no cut-out of training shows: Acc@0.5", None),
    ("novel", "unnamed.acc50", "unnamed.n", "… without those that COCO names: not trained on here", 0.45),
    ("novel", "unclassed.acc50", "unclassed.n", "… nor ImageNet's classes, which one frozen network knows", 0.45),
    ("scenes", "same_kind.acc50", "same_kind.n", "beside others of the kind (colour, place, relation, ordinal)", 0.70),
    ("scenes", "rejection.n_acc", "rejection.n_none", "none said where nothing is (N-acc), as answered", 0.85),
    ("scenes", "rejection.t_acc", "rejection.n_some", "… something said where something is (T-acc)", 0.95),
    ("scenes", "rejection.best_n_acc_at_t_acc_95", "rejection.n_none", "… best possible N-acc at T-acc 0.95", None),
    ("scenes", "calibration.ece", "calibration.n", "calibration: ECE", -0.03),
    ("scenes", "calibration.ece_by_chance", "calibration.n", "… by chance, were every score exact", None),
    ("scenes", "calibration.aurc", "calibration.n", "… area under risk and coverage", None),
    ("groups", "group.f1", "group.n", "all of a kind, 1 to 8: F1@0.5", 0.80),
    ("photos-all", "acc50", "n", "whole photographs that training never saw: Acc@0.5", 0.75),
    ("photos", "rec.acc50", "rec.n", "… kinds trained on: Acc@0.5", 0.75),
    ("photos-novel", "rec.acc50", "rec.n", "… kinds never trained on: Acc@0.5", 0.75),
    ("questions", "vqa.exact", "vqa.n", "counting and colour, exact", 0.75),
    ("cost", "download", "", "download, MB", -40.0),
    ("cost", "seconds", "calls", "one answer, median seconds", -1.0),
    ("cost", "peak_memory", "", "peak memory, GB", -1.5),
)
DETAILS = {  # the breakdown that belongs to a row, by part and key, and what it gives
    ("scenes", "same_kind.acc50"): ("same_kind.by_kind", "acc50"),
    ("scenes", "rec.acc50"): ("by_kind", "acc50"),
    ("seen", "rec.acc50"): ("by_kind", "acc50"),
    ("groups", "group.f1"): ("group.by_count", "f1"),
    ("questions", "vqa.exact"): ("vqa.by_kind", "accuracy"),
}


def sources(split: str) -> dict[str, str]:
    """The data of each part. Novel things have one split: val asks about the same ones in other pictures. Things that
    training saw are shown in pictures that it didn't: no run has that seed."""
    return {
        "scenes": f"scenes:{split}:1",
        "seen": f"scenes:train:{UNSEEN}",
        "novel": f"scenes:novel:{1 if split == 'test' else 2}",
        "groups": f"groups:{split}:1",
        "photos": f"photos:{split}",
        "photos-novel": "photos:novel",
        "questions": f"questions:{split}:1:count+colour",
    }


def asked(model: str, data: str, n: int, out: Path, threads: int) -> tuple[dict[str, Any], str]:
    """The numbers of one run of `perceptiongpt evaluate`, kept in `out`, and its command; ValueError for a refusal."""
    words = ["evaluate", model, "--data", data, "--n", str(n)]
    with redirect_stdout(io.StringIO()):
        code = cli.main([*words, "--out", str(out), "--threads", str(threads)])
    if code:
        raise ValueError(f"perceptiongpt {shlex.join(words)} was refused; it said why above")
    return json.loads((out / "metrics.json").read_text(encoding="utf-8")), f"perceptiongpt {shlex.join(words)}"


def without(named: Sequence[str], by_category: dict[str, Any]) -> dict[str, Any]:
    """Acc@0.5 over the categories that are not `named`."""
    kept = [v for name, v in by_category.items() if name not in named and v["acc50"] is not None]
    n = sum(v["n"] for v in kept)
    return {"acc50": sum(v["acc50"] * v["n"] for v in kept) / n if n else None, "n": n}


def pooled(*values: dict[str, Any]) -> dict[str, Any]:
    """Acc@0.5 over the questions of several parts; None where one has none."""
    n = sum(v["rec"]["n"] for v in values)
    each = [v["rec"]["acc50"] for v in values]
    if None in each:
        return {"acc50": None, "n": n}
    return {"acc50": sum(a * v["rec"]["n"] for a, v in zip(each, values, strict=True)) / n, "n": n}


def floor(data: str) -> float:
    """Acc@0.5 of the whole picture as the answer to everything: what a photograph of one thing gives for nothing."""
    asked = [q for one in questions_of(data)[0] for q in one.questions]
    shares = [Packed(box=q.targets[0].box).area / (q.size_wh[0] * q.size_wh[1]) for q in asked]
    return sum(s >= 0.5 for s in shares) / len(shares)


def download(folder: Path = PACKAGE) -> float:
    """Megabytes (1e6 bytes) of the package zipped, as a wheel is."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as whole:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                whole.write(file, file.relative_to(folder))
    return packed.tell() / 1e6


def cost(model: str, out: Path, threads: int, quick: bool) -> tuple[dict[str, Any], str]:
    """What `segment_call.py` finds in a process of its own, and the package's size."""
    file = out / "cost.json"
    words = ["--threads", str(threads), *(["--model", model] if model != "default" else []), *["--quick"] * quick]
    if not file.is_file():
        program = Path(__file__).with_name("segment_call.py")
        made = file.with_suffix(".part")
        subprocess.run(
            [sys.executable, str(program), *words, "--json", str(made)], check=True, stdout=subprocess.DEVNULL
        )
        made.replace(file)
    told = json.loads(file.read_text(encoding="utf-8"))
    return {**told["figures"], "calls": told["calls"], "download": download()}, shlex.join(
        ["python", "benchmarks/segment_call.py", *words]
    )


def at(values: dict[str, Any], key: str) -> Any:
    """What stands under a dotted key; None where a part of it is missing or null."""
    found: Any = values
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def rows_of(parts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row's value beside its target; a negative target is the most that is wanted."""
    found = []
    for part, key, many, what, target in ROWS:
        values = parts[part]["values"]
        value = at(values, key)
        met = None if target is None else value is not None and (value >= target if target > 0 else value <= -target)
        row = {"what": what, "key": f"{part}: {key}", "value": value, "target": target, "met": met}
        row |= {"interval": values.get("intervals", {}).get(key), "n": at(values, many) if many else None}
        place, name = DETAILS.get((part, key), ("", ""))
        row["detail"] = {k: {"value": v[name], "n": v["n"]} for k, v in (at(values, place) or {}).items() if place}
        found.append(row | {"data": parts[part]["data"]})
    return found


def measure(model: str, split: str, n: int, out: Path, threads: int, quick: bool, command: str) -> dict[str, Any]:
    """Every part asked, and the table."""
    out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, dict[str, Any]] = {}
    for part, data in sources(split).items():
        print(f"asking {data}", file=sys.stderr)
        values, said = asked(model, data, round(n * MANY.get(part, 1)), out / data.replace(":", "-"), threads)
        parts[part] = {"values": values, "data": data, "command": said}
    novel = parts["novel"]["values"]
    novel["unnamed"] = without(NAMED_BY_COCO, novel["by_category"])
    novel["unclassed"] = without(NAMED_BY_COCO + NAMED_BY_IMAGENET, novel["by_category"])
    both = parts["photos"], parts["photos-novel"]
    data = ", ".join(part["data"] for part in both)
    parts["photos-all"] = {"values": pooled(*(part["values"] for part in both)), "data": data}
    values, said = cost(model, out, threads, quick)
    parts["cost"] = {"values": values, "data": "", "command": said}
    card = parts["scenes"]["values"]["protocol"]
    return {
        "benchmark": "default_model",
        "model": model,
        "model_sha256": card["model_sha256"],
        "split": split,
        "n": n,
        "rows": rows_of(parts),
        "whole_picture_as_answer": {data: floor(data) for part, data in sources(split).items() if "photos" in part},
        "commands": [part["command"] for part in parts.values() if "command" in part],
        "protocol": {k: card[k] for k in ("answers", "answers_scored", "resolution", "intervals", "dtype", "git")},
        "command": command,
    }


def table(result: dict[str, Any]) -> str:
    """The rows as Markdown, the protocol under them."""
    lines = ["| what | number | 95 % | wanted | n | data |", "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        bounds = row["interval"]
        between = "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
        target = row["target"]
        wanted = "" if target is None else (f"≥ {target:g}" if target > 0 else f"≤ {-target:g}")
        told = "–" if row["value"] is None else f"{row['value']:.3f}"
        number = f"**{told}**{'' if row['met'] else ' missed'}" if target is not None else told
        cells = (row["what"], number, between, wanted, str(row["n"] or ""), row["data"])
        lines.append(f"| {' | '.join(cells)} |")
    for row in result["rows"]:
        if row["detail"]:
            each = ", ".join(f"{k} {v['value']:.2f} ({v['n']})" for k, v in row["detail"].items())
            lines += ["", f"{row['key']} by part: {each}."]
    floors = ", ".join(f"{data} {value:.2f}" for data, value in result["whole_picture_as_answer"].items())
    protocol = "; ".join(f"{k} {v}" for k, v in result["protocol"].items())
    return "\n".join(
        [
            *lines,
            "",
            f"The whole picture as the answer would score on photographs: {floors}.",
            "“Best possible”: its threshold is chosen on these very answers.",
            "",
            f"Model {result['model']} ({result['model_sha256'][:12]}), at most {result['n']} questions a part"
            f" ({', '.join(f'{times:g} times as many of {part}' for part, times in MANY.items())}), seeds",
            f"in the data's names; {protocol}.",
            f"`{result['command']}`",
        ]
    )


def write_into(page: Path, text: str) -> None:
    """Put the table between its marks in a page, at the end where there are none; the rest stays as it is."""
    old = page.read_text(encoding="utf-8")
    head, found, rest = old.partition(MARK[0])
    tail = rest.partition(MARK[1])[2] if found else "\n"
    head = head if found else old.rstrip("\n") + "\n\n"
    new = f"{head}{MARK[0]}\n\n{text}\n\n{MARK[1]}{tail}"
    write_whole(page, lambda file: file.write(new.encode()))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write JSON and page; 2 for what was refused."""
    words = list(sys.argv[1:] if argv is None else argv)
    read = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    read.add_argument(
        "--model", default="default", metavar="FOLDER", help="a trained model (default: the one that ships)"
    )
    read.add_argument("--split", default="val", choices=("val", "test"), help="(default: %(default)s)")
    read.add_argument("--n", type=int, default=N, help="questions a part, at most (default: %(default)s)")
    read.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where parts are kept (default: runs/default_model-SPLIT)"
    )
    read.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    read.add_argument("--json", type=Path, metavar="FILE", help="write rows and protocol to FILE")
    read.add_argument("--page", type=Path, metavar="FILE", help="put the table between its marks there")
    read.add_argument("--quick", action="store_true", help=f"{QUICK_N} questions a part: does it run at all?")
    told = read.parse_args(words)
    try:
        if told.n < 1 or told.threads < 1:
            raise ValueError(f"n {told.n} and {told.threads} threads came; give at least 1 of each")
        for file in filter(None, (told.json, told.page)):
            if not file.parent.is_dir():
                raise FileNotFoundError(f"the folder {file.parent} is not there; make it first")
        if told.page and not told.page.is_file():
            raise FileNotFoundError(f"the page {told.page} is not there; name one that is")
        out = told.out or Path("runs") / f"default_model-{told.split}"
        command = shlex.join(["python", "benchmarks/default_model.py", *words])
        n = QUICK_N if told.quick else told.n
        result = measure(told.model, told.split, n, out, told.threads, told.quick, command)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        print(f"default_model: {error}", file=sys.stderr)
        return 2
    if told.json:
        text = json.dumps(result, indent=1, allow_nan=False) + "\n"
        write_whole(told.json, lambda file: file.write(text.encode()))
    if told.page:
        write_into(told.page, table(result))
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

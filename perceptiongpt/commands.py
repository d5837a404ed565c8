"""What each command does. Heavy imports stand inside; what can be refused is refused before a model is loaded.

Knows what goes to stdout, to stderr and to files. Knows nothing of the command line's grammar (cli.py).
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

PAINTED = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def look(told: Namespace) -> None:
    """detect, segment, point, ask, caption, describe: one picture, one answer."""
    from perceptiongpt.data.picture import open_picture

    output = painted_path(told.output) if told.output else None
    picture = open_picture(told.picture)
    words = getattr(told, "phrase", None) or getattr(told, "question", None)
    with redirect_stdout(sys.stderr):  # whatever a library has to say is not the answer
        from perceptiongpt.asking import checked_words

        if hasattr(told, "phrase") or hasattr(told, "question"):
            checked_words(words or "", "phrase" if hasattr(told, "phrase") else "question")
        region = _shown(told, picture.size)
        eye = _eye(told.model, told)
        seen = eye.look(picture)
        if told.verb == "caption":
            answer = seen.caption(places=not told.plain)
        elif told.verb == "describe":
            answer = seen.describe(region)
        elif told.verb == "ask":
            answer = seen.ask(words, region)
        else:
            answer = getattr(seen, told.verb)(words)
    if told.min_score > 0:
        answer = answer[answer.score >= told.min_score]
    if output is not None:
        from perceptiongpt.draw import paint

        painted = paint(picture, answer)
        write_whole(output, lambda file: painted.save(file, PAINTED[output.suffix.lower()]))
    print(answer.to_json() if told.json else readable(answer))


def train(told: Namespace) -> None:
    """train PRESET: equip or go on with a model, mix the sources, run."""
    from perceptiongpt.config import preset, with_changes

    run = with_changes(preset(told.preset), told.set)
    from perceptiongpt.data.mix import Mix
    from perceptiongpt.hosts import open_host
    from perceptiongpt.model import store
    from perceptiongpt.model.perception import equip
    from perceptiongpt.sources import open_source
    from perceptiongpt.train import train as go

    samples = Mix([(open_source(name, run.seed), weight) for name, weight in run.data], run.seed)
    host, processor = open_host(run.host, told.dtype, told.device)
    if run.start is not None:
        model = store.load(run.start, host, processor)
    else:
        model = equip(host, processor, seed=run.seed, **run.settings)
    folder = go(run, model, samples, say=lambda line: print(line, flush=True), resume=told.resume)
    print(f"The trained model is in {folder}.")


def evaluate(told: Namespace) -> None:
    """evaluate MODEL: ask, keep the answers, judge, write numbers, protocol and report, print the table."""
    from perceptiongpt import evaluate as verb
    from perceptiongpt.answers import AnswerFile
    from perceptiongpt.card import run_card
    from perceptiongpt.judging import measure
    from perceptiongpt.questions import questions_of

    target = _writable(told.json) if told.json else None
    asked, data = questions_of(told.data)
    model, n = (None if told.model == "default" else told.model), 24 if told.quick else told.n
    with redirect_stdout(sys.stderr):
        eye = _eye(model, told)
        run = run_card(eye, data, told.max_new_tokens, told.batch)
        folder = _run_folder(told.out, run)
        ask = None
        if told.workers > 1:
            import torch

            threads = max(1, torch.get_num_threads() // told.workers)
            ask = verb.Workers(told.workers, (model, told.host, told.dtype, told.device), threads)
        kept = AnswerFile(folder / "answers.jsonl")
        pairs = verb.evaluate(eye, asked, n, told.batch, kept, None, told.max_new_tokens, ask)
        forced = verb.teacher_forced(eye, questions_of(told.data)[0], n) if told.teacher_forced else None
    _judge(pairs, run, told.data, folder, target, f"{eye.name} on {data}", forced and [measure(p) for p in forced])


def score(told: Namespace) -> None:
    """score PREDICTIONS: judge answers that some program gave, ours or another's."""
    from itertools import islice

    from perceptiongpt.foreign import read_predictions
    from perceptiongpt.questions import questions_of

    target = _writable(told.json) if told.json else None
    asked, data = questions_of(told.data)
    questions = list(islice((q for one in asked for q in one.questions), told.n))
    pairs, reading = read_predictions(told.predictions, questions, told.format, told.coordinates)
    run = {"answers": f"read from {Path(told.predictions).name}", "data": data, "model": "not ours to say", **reading}
    folder = Path(told.out).expanduser() if told.out else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    _judge(pairs, run, told.data, folder, target, f"{Path(told.predictions).name} on {data}", None)


def compare(told: Namespace) -> None:
    """compare A B: the second's numbers minus the first's over the questions that both answered."""
    from itertools import islice

    from perceptiongpt.compare import compared, comparison_page, comparison_table
    from perceptiongpt.foreign import read_predictions
    from perceptiongpt.judging import measure, to_json
    from perceptiongpt.questions import questions_of

    target = _writable(told.json) if told.json else None
    page = _writable(told.output) if told.output else None
    questions = list(islice((q for one in questions_of(told.data)[0] for q in one.questions), told.n))
    sides = [
        [measure(p) for p in read_predictions(file, questions, told.format, told.coordinates)[0]]
        for file in (told.first, told.second)
    ]
    result = compared(*sides)
    if target is not None:
        write_whole(target, lambda file: file.write(to_json(result).encode()))
    if page is not None:
        html = comparison_page(result, *sides, questions_of(told.data)[0], (told.first, told.second))
        write_whole(page, lambda file: file.write(html.encode()))
    print(comparison_table(result, (told.first, told.second)))


def _run_folder(out: str | None, run: dict[str, Any]) -> Path:
    """Where a run's answers are kept; refused where another run's are."""
    import json

    name = re.sub(r"[^\w.-]+", "-", f"{run['model']}-{run['model_sha256'][:8]}-{run['data']}")
    folder = Path(out).expanduser() if out else Path("runs/evaluate") / name
    folder.mkdir(parents=True, exist_ok=True)
    card = folder / "run.json"
    same = {k: v for k, v in run.items() if k not in ("batch", "device", "model")}
    if card.is_file():
        before = json.loads(card.read_text(encoding="utf-8"))
        other = [k for k in same if not isinstance(before, dict) or before.get(k) != same[k]]
        if other:
            raise ValueError(f"{folder} holds answers of a run with another {other[0]}; name another with --out")
    elif (folder / "answers.jsonl").exists():
        raise ValueError(f"{folder} holds answers of an unknown run; name another with --out")
    write_whole(card, lambda file: file.write((json.dumps(run, indent=1) + "\n").encode()))
    return folder


def _judge(
    pairs: Any, run: dict[str, Any], data: str, folder: Path | None, target: Path | None, title: str, forced: Any
) -> None:
    """Numbers, protocol card and report of answered questions: to files, and a table to stdout."""
    from perceptiongpt.card import protocol
    from perceptiongpt.judging import judged, measure, table, to_json
    from perceptiongpt.questions import questions_of
    from perceptiongpt.report import report

    rows = [measure(pair) for pair in pairs]
    result = judged(rows)
    if forced is not None:
        result["teacher_forced"] = {k: v for k, v in judged(forced).items() if k in ("rec", "res")}
    result["protocol"] = protocol(run, pairs, seed=0)
    for path in filter(None, (target, folder and folder / "metrics.json")):
        write_whole(path, lambda file: file.write(to_json(result).encode()))
    if folder is not None:
        write_whole(folder / "protocol.json", lambda file: file.write(to_json(result["protocol"]).encode()))
        page = report(result, rows, questions_of(data)[0], title)
        write_whole(folder / "report.html", lambda file: file.write(page.encode()))
    print(table(result))
    if folder is not None:
        print(f"answers, numbers, protocol and report are in {folder}")


def data_scenes(told: Namespace) -> None:
    """data scenes OUT: composed pictures on disk."""
    from perceptiongpt.data.objects import ObjectLibrary
    from perceptiongpt.data.scenes import write_scenes

    library = ObjectLibrary.open(told.library)
    print(write_scenes(told.out, told.split, told.n, told.seed, library, told.workers))


def data_show(told: Namespace) -> None:
    """data show FILE.jsonl -o FILE: the first samples painted."""
    from itertools import islice

    from perceptiongpt.data.jsonl import read_jsonl
    from perceptiongpt.draw import contact_sheet

    output = painted_path(told.output)
    sheet = contact_sheet(list(islice(read_jsonl(told.file), told.n)))
    write_whole(output, lambda file: sheet.save(file, PAINTED[output.suffix.lower()]))
    print(output)


def fetch(told: Namespace) -> None:
    """fetch: the default host in the user's cache."""
    from perceptiongpt.fetch import fetch as get

    print(get(source="hub" if told.from_hub else "packages"))


def readable(answer: Any) -> str:
    """An answer for people: the sentence, then a line for each region."""
    lines = [_printable(answer.text) or "(no words)"]
    names = [_printable(r.label or "") for r in answer]
    wide = min(max(map(len, names), default=0), 40)
    for number, (region, name) in enumerate(zip(answer, names, strict=True), 1):
        parts = [f"{number:>3}  {name[:40]:<{wide}}  score {region.score or 0.0:.2f}"]
        if region.box is not None:
            parts.append("box " + ",".join(f"{v:.1f}" for v in region.box))
        if region.mask is not None:
            parts.append(f"mask {int(region.mask.sum())} px")
        if region.point is not None:
            parts.append("point " + ",".join(f"{v:.1f}" for v in region.point))
        lines.append("  ".join(parts))
    spent = answer.timings.get("total")
    lines.append(f"     {len(answer)} region{'' if len(answer) == 1 else 's'}" + (f", {spent:.2f} s" if spent else ""))
    return "\n".join(lines)


def _printable(text: str) -> str:
    """Words on one line, without what would steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def painted_path(text: str) -> Path:
    """Where a picture may be written; refused early for a suffix that is none or a folder that isn't there."""
    path = _writable(text)
    if path.suffix.lower() not in PAINTED:
        raise ValueError(f"{text} does not end in {', '.join(PAINTED)}; give a picture's name")
    return path


def write_whole(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file under another name and rename it: what stands at `path` is always whole."""
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(part, 0o666 & ~umask)  # a temporary file is its owner's alone
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def _writable(text: str) -> Path:
    path = Path(text).expanduser()
    if path.is_dir():
        raise ValueError(f"{text} is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} is not there; make it first")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"the folder {path.parent} cannot be written to; name another")
    return path


def _eye(model: str | None, told: Namespace) -> Any:
    import torch

    from perceptiongpt.predict import load

    if told.threads:
        torch.set_num_threads(told.threads)
    return load(model, told.host, told.dtype, told.device)


def _shown(told: Namespace, size_wh: tuple[int, int]) -> Any:
    """The region that the command line shows, checked against the picture; None where it shows none."""
    from perceptiongpt.asking import checked_region
    from perceptiongpt.core.answer import Region
    from perceptiongpt.data.maskfile import read_mask

    box, mask, point = (getattr(told, name, None) for name in ("box", "mask", "point"))
    if box is not None:
        return checked_region(Region(box=box), size_wh)
    if mask is not None:
        return checked_region(Region(mask=read_mask(mask, size_wh)), size_wh)
    if point is not None:
        return checked_region(Region(point=point), size_wh)
    return None

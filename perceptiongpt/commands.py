"""What each command does. Heavy imports stand inside; what can be refused is refused before a model is loaded.

Knows what goes to stdout, to stderr and to files. Knows nothing of the command line's grammar (cli.py).
"""

from __future__ import annotations

import os
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
    """evaluate MODEL: ask, keep the answers, judge, print the table, write the JSON."""
    from perceptiongpt import evaluate as verb
    from perceptiongpt.answers import AnswerFile
    from perceptiongpt.judging import judged, table, to_json
    from perceptiongpt.questions import questions_of

    target = _writable(told.json) if told.json else None
    asked, data = questions_of(told.data)
    folder = Path(told.out).expanduser() if told.out else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with redirect_stdout(sys.stderr):
        eye = _eye(None if told.model == "default" else told.model, told)
        kept = AnswerFile(folder and folder / "answers.jsonl")
        pairs = verb.evaluate(eye, asked, 24 if told.quick else told.n, told.batch, kept)
        result = judged(pairs)
    result = {**result, "protocol": {"data": data, "model": eye.name}}
    for path in filter(None, (target, folder and folder / "metrics.json")):
        write_whole(path, lambda file: file.write(to_json(result).encode()))
    print(table(result))


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

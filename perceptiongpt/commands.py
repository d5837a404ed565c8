"""What each command does. Heavy imports stand inside; what can be refused is refused before a model is loaded.

Knows what goes to stdout, to stderr and to files. Knows nothing of the command line's grammar (cli.py).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from perceptiongpt.ends import open_eye, writable, write_whole
from perceptiongpt.measuring import compare, evaluate, score

__all__ = ["compare", "evaluate", "score"]
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
        eye = open_eye(told.model, told)
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
    path = writable(text)
    if path.suffix.lower() not in PAINTED:
        raise ValueError(f"{text} does not end in {', '.join(PAINTED)}; give a picture's name")
    return path


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

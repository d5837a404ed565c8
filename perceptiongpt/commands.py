"""What each command does. Heavy imports stand inside; what can be refused is refused before a model is loaded.

Knows what goes to stdout, to stderr and to files. Knows nothing of the command line's grammar (cli.py).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from perceptiongpt.ends import open_eye, writable, write_whole
from perceptiongpt.measuring import calibrate, compare, evaluate, score
from perceptiongpt.training import pull, push, train

__all__ = ["calibrate", "compare", "evaluate", "pull", "push", "score", "train"]
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
    if output is not None:
        from perceptiongpt.draw import paint

        painted = paint(picture, answer)
        write_whole(output, lambda file: painted.save(file, PAINTED[output.suffix.lower()]))
    print(answer.to_json() if told.json else readable(answer))


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


def data_check(told: Namespace) -> int:
    """data check PATH: findings with their places, a summary, samples as the model sees them; 1 if any is wrong."""
    import numpy as np

    from perceptiongpt.data.check import check
    from perceptiongpt.data.dialogues import Dialogues
    from perceptiongpt.data.record import Record
    from perceptiongpt.sheet import sheet
    from perceptiongpt.sources import open_records

    output = painted_path(told.output)
    records, part = open_records(told.source)
    renderer, eye, host = _drawing(told.host)
    sound: list[Record] = []

    def kept() -> Iterator[Any]:
        for row in records:
            if isinstance(row, Record):
                sound.append(row)
            yield row

    report = check(kept(), print, renderer.tokenizer.all_special_tokens)
    print(report.summary())
    samples = _some(Dialogues(sound, 0, part), told.n, np.random.default_rng(0)) if sound else []  # type: ignore[arg-type]
    if samples:
        painted = sheet(samples, renderer, eye)
        write_whole(output, lambda file: painted.save(file, PAINTED[output.suffix.lower()]))
        print(f"{output}: {len(samples)} samples as {host} sees them")
    return int(report.wrong)


def data_leakcheck(told: Namespace) -> int:
    """data leakcheck TRAIN TEST: a line for each picture that is in both; 1 if there is any."""
    from perceptiongpt.data.leak import shared
    from perceptiongpt.sources import sound_records

    count = 0
    for ours, theirs, why in shared(sound_records(told.train), sound_records(told.test)):
        print(f"{ours}  {theirs}  {why}")
        count += 1
    print(f"{count} pictures are in both" if count else "no picture is in both")
    return int(count > 0)


def data_convert(told: Namespace) -> None:
    """data convert PATH OUT --to FORMAT: a new folder with pictures and annotations."""
    from perceptiongpt.data.export import convert
    from perceptiongpt.data.record import strict
    from perceptiongpt.sources import open_records, sound_records

    bad: list[Any] = []
    if told.skip_bad:
        records = sound_records(told.source, bad.append)
    else:
        records = strict(open_records(told.source)[0])
    print(convert(records, Path(told.out).expanduser(), told.to))
    for fault in bad:
        print(f"left out {fault.where}: {fault.what}", file=sys.stderr)


def _drawing(name: str | None) -> tuple[Any, Any, str]:
    """(renderer, eye, name) of a host: the one named, else the default one where it is fetched, else a tiny one."""
    from perceptiongpt.data.render import Renderer
    from perceptiongpt.hosts import HostMissingError, open_host
    from perceptiongpt.model.backbone import Backbone

    chosen = name or "default"
    try:
        host, processor = open_host(chosen, "float32", "cpu")
    except HostMissingError:
        if name is not None:
            raise
        chosen = "tiny:aya_vision"
        host, processor = open_host(chosen, "float32", "cpu")
    eye = Backbone(host, processor)
    return Renderer(processor, eye.vocab_size, eye.image_token_id), eye, chosen


def _some(samples: Any, n: int, rng: Any) -> list[Any]:
    """Up to n samples spread over the data, one a picture; those whose picture cannot be opened are passed over."""
    from perceptiongpt.data.picture import open_picture

    found: list[Any] = []
    for i in rng.permutation(len(samples.records)) if len(samples) else []:
        try:
            sample = samples[int(i)]
            if sample.image is not None:
                open_picture(sample.image)
        except (ValueError, OSError):
            continue
        found.append(sample)
        if len(found) == n:
            break
    return found


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

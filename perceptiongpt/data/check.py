"""What is wrong with a data set, each finding with its place, and what there is to learn from it.

Judges Records of any format; pictures are opened and masks decoded one by one. Knows nothing of models beyond the
spellings of control tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from perceptiongpt.core.masks import mask_to_box
from perceptiongpt.data.picture import PictureError, open_picture, picture_size
from perceptiongpt.data.record import Fault, Four, Record, Thing, clipped

SLACK = 1.0  # pixels that a box may reach over the rim: files round
TINY = 2.0  # pixels: a side below it is no thing that can be seen
CONTROL = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|</?s>|<(?:image|video|bbox|vis|ask|pad|unk|bos|eos|boxes|ref-object)>|\[/?INST\]"
)


@dataclass(frozen=True)
class Finding:
    """Something wrong: where (file and place), its kind, and a clause that says what."""

    where: str
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}: {self.what}"


@dataclass
class Report:
    """What a check found and counted; `wrong` says whether there is any finding."""

    findings: list[Finding] = field(default_factory=list)
    tasks: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    things: int = 0

    @property
    def wrong(self) -> bool:
        return bool(self.findings)

    def summary(self) -> str:
        """Counts by task and by kind of finding, a line each."""
        lines = [f"{self.pictures} pictures, {self.things} things, {len(self.names)} names"]
        lines += [f"  {count:>8}  {task}" for task, count in sorted(self.tasks.items())]
        kinds = Counter(f.kind for f in self.findings)
        lines.append(f"{len(self.findings)} found wrong" if kinds else "nothing wrong was found")
        return "\n".join([*lines, *(f"  {count:>8}  {kind}" for kind, count in kinds.most_common())])


def check(
    rows: Iterable[Record | Fault],
    found: Callable[[Finding], None] = lambda finding: None,
    control: Sequence[str] = (),
) -> Report:
    """Every record judged. `found` hears each finding at once; `control` spells a host's own control tokens."""
    report = Report()
    ids: dict[str, str] = {}
    pictures: set[object] = set()
    first: dict[str, str] = {}
    closed = False

    def add(where: str, kind: str, what: str) -> None:
        finding = Finding(where, kind, what)
        report.findings.append(finding)
        found(finding)

    for row in rows:
        if isinstance(row, Fault):
            add(row.where, "unreadable entry", row.what)
            continue
        image = row.image if not callable(row.image) else row.key
        for kind, what in [] if image in pictures or image is None else _picture(row):
            add(row.where, kind, what)
        pictures.add(image)
        for name in [row.id, *(t.id for t in row.things if t.id.startswith("annotation "))]:
            if name and ids.setdefault(name, row.where) is not row.where:
                add(row.where, "duplicate id", f"{name} is already in {ids[name]}")
            elif name in ids and [t.id for t in row.things].count(name) > 1:
                add(row.where, "duplicate id", f"{name} comes twice")
        for thing in row.things:
            where = thing.id if ":" in thing.id else f"{row.where}, {thing.id}"
            for kind, what in _thing(row, thing):
                add(where, kind, what)
            if thing.name and not thing.crowd:
                report.names[thing.name] += 1
                first.setdefault(thing.name, where)
        for text in _texts(row):
            if spelling := next((m[0] for m in CONTROL.finditer(text)), next((c for c in control if c in text), None)):
                add(row.where, "control token", f"{spelling!r} in {text[:60]!r}")
        report.things += len(row.things)
        report.tasks.update(_tasks(row))
        closed = closed or bool(row.known)
    report.pictures = len(pictures - {None})
    # Free words of dialogues are no classes; a few names for many things are.
    if closed or 3 * len(report.names) <= sum(report.names.values()):
        for name in [n for n, count in report.names.items() if count == 1]:
            add(first[name], "one example", f"category {name!r} has no other")
    return report


def _picture(record: Record) -> Iterator[tuple[str, str]]:
    assert record.image is not None
    try:
        real = open_picture(record.image).size
    except (PictureError, OSError) as error:
        gone = "does not exist" in str(error)
        yield ("missing picture" if gone else "unreadable picture"), str(error)
        return
    if record.size_wh and record.size_wh != real:
        turned = ", turned by its EXIF" if record.size_wh == real[::-1] else ""
        yield (
            "wrong size",
            f"the file says {record.size_wh[0]} x {record.size_wh[1]}, the picture{turned} is {real[0]} x {real[1]}",
        )


def _thing(record: Record, thing: Thing) -> Iterator[tuple[str, str]]:
    """What is wrong with one thing, as (kind, clause)."""
    try:
        size = record.size_wh or picture_size(record.image)
    except (PictureError, OSError):
        return  # said of the picture already
    width, height = size
    box = thing.box
    if box is None and thing.shape is None and thing.point is None:
        yield "no region", "it has neither box nor mask nor point"
    if box is not None:
        said = f"box {[round(v, 2) for v in box]}"
        if box[2] < box[0] or box[3] < box[1]:
            yield "inverted box", f"{said}; wanted x0 <= x1 and y0 <= y1"
        elif min(box[:2]) < -SLACK or box[2] > width + SLACK or box[3] > height + SLACK:
            yield "box outside", f"{said} in a picture {width} wide and {height} high"
        elif min(box[2] - box[0], box[3] - box[1]) < TINY - 1e-3:  # numbers that were shares of a side come rounded
            yield "tiny box", f"{said} has a side below {TINY:g} pixels"
    if thing.point is not None and not (0 <= thing.point[0] <= width and 0 <= thing.point[1] <= height):
        yield "point outside", f"point {list(thing.point)} in a picture {width} wide and {height} high"
    try:
        mask = thing.mask(size)
    except ValueError as error:
        yield "broken mask", str(error)
        return
    if mask is None:
        return
    tight = mask_to_box(mask)
    if tight is None:
        yield "empty mask", "no pixel is inside"
    elif box is not None and not thing.crowd and box[0] <= box[2] and box[1] <= box[3] and _apart(box, tight, size):
        yield "mask and box disagree", f"box {[round(v, 1) for v in box]}, the mask's {list(tight)}"


def _apart(box: Four, tight: Four, size_wh: tuple[int, int]) -> bool:
    """Whether an edge of the box is farther from the mask's than rounding and drawing explain."""
    seen = clipped(box, size_wh) or box
    slack = [max(3.0, 0.05 * (tight[2 + axis] - tight[axis])) for axis in (0, 1, 0, 1)]
    return any(abs(a - b) > s for a, b, s in zip(seen, tight, slack, strict=True))


def _texts(record: Record) -> Iterator[str]:
    yield from (text for text, _ in (*record.phrases, *record.captions))
    yield from (text for _, text in record.told)
    yield from (text for _, text, _ in record.talk)
    yield from {t.name for t in record.things if t.name}


def _tasks(record: Record) -> Iterator[str]:
    if record.talk:
        for (_, _, shown), (_, _, said) in zip(record.talk[::2], record.talk[1::2], strict=False):
            yield (
                "turns that answer with regions" if said else "turns about shown regions" if shown else "turns of words"
            )
        return
    if record.known:
        names = {t.name for t in record.things if t.name}
        yield from ["a class to find"] * len(names)
        yield from ["a class that is absent"] * (not names.issuperset(record.known))
    yield from (
        "an expression to find" if places else "an expression that means nothing here" for _, places in record.phrases
    )
    yield from ["a region to describe"] * len(record.told)
    yield from ("a caption with regions" if places else "a caption" for _, places in record.captions)

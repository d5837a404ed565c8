"""Training sources by name, as runs and commands write them: drawn shapes, composed scenes, and files of many formats.

Knows which name means which source, and what kind of data lies at a path. Knows nothing of mixing (data.mix) nor of
models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceptiongpt.data import coco, dialects, flickr, genome, hub, lvis, refcoco, shards, yolo
from perceptiongpt.data.dialogues import Dialogues, is_val
from perceptiongpt.data.mix import Source
from perceptiongpt.data.record import Fault, Record, Say, strict
from perceptiongpt.data.stream import EmptyStreamError, Stream

if TYPE_CHECKING:
    from perceptiongpt.data.objects import ObjectLibrary

SHAPES = 4096  # pictures of 64 px: a few megabytes, and some seconds to draw
SCENES = 200_000  # made one by one when asked for
PARTS = ("train", "val", "all")


@dataclass(frozen=True)
class Format:
    """How files of a kind are read: `read(path, part, say)`. `splits`: they have splits of their own, by these names;
    without, pictures are divided by a hash of their key. `stream`: how they are read one after the other, where that
    is another way."""

    read: Callable[[Any, str, Say], Iterator[Record | Fault]]
    splits: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # other words that may stand after the path
    stream: Callable[[Any, str, Say], Iterator[Record | Fault]] | None = None


FORMATS = {
    "coco": Format(coco.read),
    "lvis": Format(lvis.read),
    "refcoco": Format(refcoco.read, refcoco.SPLITS),
    "flickr30k": Format(flickr.read, ("train", "val", "test")),
    "genome": Format(genome.read),
    "yolo": Format(yolo.read, ("train", "val", "test")),
    "jsonl": Format(dialects.read, options=tuple(dialects.READINGS)),
    "shards": Format(shards.read, options=tuple(dialects.READINGS)),
    "hf": Format(hub.read, ("train", "validation", "val", "test"), stream=hub.stream),
}


def open_source(name: str, seed: int, say: Say = print, bad: Say | None = None, library: str = "") -> Source | Stream:
    """The source called `name`: "shapes"; "scenes:SPLIT", "missing:SPLIT", "alike:SPLIT" and "closer:SPLIT", flavours
    of `SceneStream`; "questions:SPLIT" and "captions:SPLIT", words alone about scenes; "pointed:SPLIT", those
    questions answered by pointing first; "photos:train", the photographs that ship; "vqa:FORMAT:FILE[:PART]"
    (data.vqa); "FORMAT:PATH[:SPLIT]", or a path whose format can be told; "stream:NAME" reads those one after the other
    and holds few, and so are addresses read.

    "shapes:N" and "scenes:SPLIT:N" say how many samples there are; formats are the keys of FORMATS. Raises ValueError
    (FileNotFoundError for a path) that lists what there is. An entry that can't be read is an error, unless `bad` is
    given: it hears of it, and the entry is left out. `library`: a folder of objects that scenes are composed of.
    """
    kind, _, rest = name.partition(":")
    if kind == "shapes":
        from perceptiongpt.data.shapes import shapes

        return shapes(_count(rest, SHAPES, name), seed)
    if kind in ("scenes", "missing", "alike", "closer"):
        from perceptiongpt.data.scenes import SceneStream

        split, _, count = rest.partition(":")
        objects = _objects(library, split)
        return SceneStream(split, seed, _count(count, SCENES, name), objects, (2, 5), kind)  # type: ignore[arg-type]
    if kind in ("questions", "captions", "pointed"):
        from perceptiongpt.data.scene_questions import KINDS, QuestionStream

        split, _, count = rest.partition(":")
        objects = _objects(library, split)
        n = _count(count, SCENES, name)
        how: dict[str, Any] = {"captions": kind == "captions", "pointing": kind == "pointed"}
        if kind == "pointed":  # a picture's tokens cost most of what is learnt: much is asked of each
            how |= {"most": 6, "kinds": tuple(k for k in KINDS if k != "presence")}
        return QuestionStream(split, seed, n, objects, **how)  # type: ignore[arg-type]
    if kind == "photos":
        from perceptiongpt.data.photographed import PHOTOGRAPHS, Photographs

        if rest != "train":
            raise ValueError(f"{name!r} is not to be trained on: the other photographs are asked; write photos:train")
        return Photographs(PHOTOGRAPHS / "train.jsonl", seed)
    if kind == "vqa":
        from perceptiongpt.data.vqa import read_vqa

        form, _, rest = rest.partition(":")
        file, _, part = rest.rpartition(":") if rest.endswith((":train", ":val", ":all")) else (rest, "", "all")
        return _filled([s for s in read_vqa(form, file, part) if s.turns[-1].text], name)
    if kind == "stream" or "://" in name:
        return _stream(name.removeprefix("stream:"), seed, say)
    path = Path(name).expanduser()
    if kind not in FORMATS and path.is_dir() and (path / "samples.jsonl").is_file():
        from perceptiongpt.data.scenes import Scenes

        return _filled(list(Scenes(path).samples()), name)
    if kind not in FORMATS and path.suffix == ".jsonl" and recognised(path) == "ours":
        from perceptiongpt.data.jsonl import read_jsonl

        return _filled(list(read_jsonl(path, bad=bad)), name)
    rows, part = open_records(name, say)
    records = list(strict(rows) if bad is None else _sound(rows, lambda fault: bad(f"{fault.where}: {fault.what}")))
    return _filled(Dialogues(records, seed, part), name)  # type: ignore[arg-type]


def _objects(library: str, split: str) -> ObjectLibrary:
    """The objects of a library, the package's own where none is named; refuses a split that does not exist."""
    from perceptiongpt.data.objects import ObjectLibrary

    objects = ObjectLibrary.open(library or None)
    objects.objects(split)  # type: ignore[arg-type]
    return objects


def _stream(name: str, seed: int, say: Say) -> Stream:
    """A source that reads on as it is asked; its first record is read at once, so that a dead address is told early."""
    rows, part = open_records(name, say, streaming=True)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"source {name} holds no samples; give data with at least one")
    if isinstance(first, Fault):
        raise ValueError(f"{first.where}: {first.what}")
    made = Stream(partial(_rows, name), seed, part)
    try:
        made[0]
    except EmptyStreamError as error:
        raise ValueError(f"source {name}: {error}") from error
    except ValueError:
        pass  # a bad entry is an error, or passed over, when its turn comes
    return made


def _rows(name: str) -> Iterator[Record | Fault]:
    return open_records(name, lambda line: None, streaming=True)[0]


def parts_of(name: str) -> tuple[str, str] | None:
    """The names of a source's parts to train and to validate on; None where it names one already, or has none."""
    path = Path(name).expanduser()
    if name.partition(":")[0] in ("shapes", "scenes") or (path / "samples.jsonl").is_file():
        return None
    kind, _, part = parted(name.removeprefix("stream:"))
    splits = FORMATS[kind].splits or PARTS
    val = next((v for v in ("val", "validation") if v in splits), None)
    return None if part or val is None or kind == "hf" else (f"{name}:train", f"{name}:{val}")


def open_records(name: str, say: Say = print, streaming: bool = False) -> tuple[Iterator[Record | Fault], str]:
    """(records, part) of "[stream:]FORMAT:PATH[:SPLIT]" or a path: what a file says, faults among it.

    `part` ("train", "val", "all") is still to be divided by picture: "all" where the format has splits of its own.
    """
    kind, path, part = parted(name.removeprefix("stream:"))
    form = FORMATS[kind]
    if kind != "hf" and isinstance(path, Path) and "{" not in path.name and not path.exists():
        raise FileNotFoundError(f"{path} is not there; give the path of {kind} data")
    if isinstance(path, str) and kind != "shards":
        raise ValueError(
            f"{path} is an address, and {kind} data is read from disk; fetch it first, or give .tar shards"
        )
    read = form.stream or form.read if streaming or name.startswith("stream:") else form.read
    if form.splits:
        return read(path, part or form.splits[0], say), "all"
    if part in PARTS:
        return read(path, "", say), part
    return read(path, part, say), "all"


def sound_records(name: str, fault: Callable[[Fault], object] = lambda fault: None) -> Iterator[Record]:
    """The records of a source's part; `fault` hears of each entry that can't be read."""
    rows, part = open_records(name)
    return (row for row in _sound(rows, fault) if part == "all" or (part == "val") == is_val(row.key))


def named_records(name: str) -> tuple[Iterator[Record], str]:
    """The records of the part that "FORMAT:PATH:PART" names, and that name in short; the first fault is an error."""
    kind, path, part = parted(name)
    if not part:
        parts = ", ".join(FORMATS[kind].splits or PARTS)
        raise ValueError(f"{name!r} names no part; write {kind}:{path}:PART with one of {parts}")
    rows, left = open_records(name, lambda line: None)
    kept = (row for row in strict(rows) if left == "all" or (left == "val") == is_val(row.key))
    return kept, f"{kind}:{Path(path).name}:{part}"


def _sound(rows: Iterable[Record | Fault], fault: Callable[[Fault], object]) -> Iterator[Record]:
    for row in rows:
        if isinstance(row, Fault):
            fault(row)
        else:
            yield row


def parted(name: str) -> tuple[str, Path | str, str]:
    """(format, path or address, split or reading) of a source's name."""
    kind, _, rest = name.partition(":")
    if kind not in FORMATS:
        kind, rest = "", name
    part = ""
    head, _, last = rest.rpartition(":")
    if head and last in {*PARTS, *(w for f in FORMATS.values() for w in (*f.splits, *f.options))}:
        rest, part = head, last
    path = rest if "://" in rest else Path(rest).expanduser()
    if not kind:
        kind = recognised(path).replace("ours", "jsonl")
        if part and part not in (*(FORMATS[kind].splits or PARTS), *FORMATS[kind].options):
            raise ValueError(f"{kind} data has no split {part!r}; choose {', '.join(FORMATS[kind].splits or PARTS)}")
    return kind, path, part


def recognised(path: Path | str) -> str:
    """Which format lies at a path, told by names and by the first words of a file; "ours" for our own JSON lines."""
    if isinstance(path, str):
        return "shards"
    if path.is_dir():
        marks = {
            "data.yaml": "yolo",
            "region_descriptions.json": "genome",
            "Sentences": "flickr30k",
            "dataset_info.json": "hf",
            "dataset_dict.json": "hf",
            **dict.fromkeys(refcoco.PREFERRED, "refcoco"),
        }
        found = next((kind for mark, kind in marks.items() if (path / mark).exists()), None)
        if found is None and any(path.glob("*.tar")):
            found = "shards"
        if found is None and coco.files_in(path):
            found = "coco"
        if found is not None:
            return found
    elif path.is_file():
        with path.open("rb") as file:
            head = file.read(1 << 16)
        if path.suffix in (".yaml", ".yml"):
            return "yolo"
        if path.suffix == ".tar":
            return "shards"
        if path.suffix == ".p" or path.name in refcoco.PREFERRED:
            return "refcoco"
        if path.suffix == ".jsonl":
            return "ours" if b'"turns"' in head else "jsonl"
        if path.suffix == ".json":
            if path.name == "region_descriptions.json":
                return "genome"
            if head.lstrip().startswith(b"["):
                return "jsonl"
            return "lvis" if path.name.startswith("lvis") else "coco"
    elif not path.exists() and "{" not in path.name:
        raise ValueError(f"there is no source {str(path)!r}; {_WAYS}")
    if "{" in path.name and path.suffix == ".tar":
        return "shards"
    raise ValueError(f"{path} is of no format that can be told; {_WAYS}")


_WAYS = (
    "give shapes, scenes:SPLIT (or missing:, alike:), questions:SPLIT (or pointed:), captions:SPLIT, photos:train, "
    f"vqa:FORMAT:FILE, a path or FORMAT:PATH[:SPLIT] with a format of {', '.join(FORMATS)}"
)


def _count(text: str, default: int, name: str) -> int:
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} in source {name!r} is no number of samples; write 1 or more")
    return int(text)


def _filled(samples: Source, name: str) -> Source:
    if not len(samples):
        raise ValueError(f"source {name} holds no samples; give a file with at least one line")
    return samples

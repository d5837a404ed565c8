"""Questions about pictures in the official files of other data sets, each by a small reader (`READERS`).

vqav2 and okvqa (a questions file beside its annotations), aokvqa, gqa, llava, mmbench, seedbench, pope, daquar.
Pictures are looked for in the folder `images`, by default the file's own, and in `FOLDERS` below it. Knows fields;
nothing of scoring.
"""

from __future__ import annotations

import base64
import binascii
import csv
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perceptiongpt.data.files import FILE_LIMIT, read_json, reading, words
from perceptiongpt.data.jsonl import read_rows
from perceptiongpt.data.sample import Sample, Turn

PICTURE_LIMIT = 64_000_000  # characters of one picture in a TSV
LETTERS = "ABCDEFGH"
PARTS = ("train", "val", "all")
FOLDERS = ("images", "train2014", "val2014", "train2017", "val2017", "test2015", "SEED-Bench-image")
VAL_PERCENT = 20


def read_vqa(kind: str, path: str | Path, part: str = "all", images: str | Path | None = None) -> list[Sample]:
    """The samples of a file of format `kind`; `part` "train" or "val" by a hash of the picture, or "all".

    `meta` holds "answers" (all that people gave), "kind" (the question's type) and, where there are some, "choices".
    Raises ValueError naming the file and what is wrong.
    """
    path = Path(path).expanduser()
    if kind not in READERS:
        raise ValueError(f"there is no format {kind!r} of questions; choose one of {', '.join(sorted(READERS))}")
    if part not in PARTS:
        raise ValueError(f"part {part!r} of {path} came; wanted train, val or all")
    root = Path(images).expanduser() if images is not None else path.parent
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; give the questions file of {kind}")
    with reading(path, f"a file in {kind}'s official format"):
        samples = list(READERS[kind](path, root))
    kept = [s for s in samples if part == "all" or (part == "val") == _is_val(s.meta["picture"])]
    if not kept:
        raise ValueError(f"{path} holds no questions of part {part!r}; give a file with at least one")
    return kept


def _is_val(picture: str) -> bool:
    """Whether a picture belongs to the val part: the same for everyone; no picture is in both."""
    return zlib.crc32(picture.encode()) % 100 < VAL_PERCENT


def _sample(
    image: Path | bytes, picture: str, name: str, question: str, answers: Sequence[str], kind: str = "", **meta: Any
) -> Sample:
    """A question whose taught answer is the one that most people gave."""
    best = Counter(answers).most_common(1)[0][0] if answers else ""
    turns = (Turn("user", words(question)), Turn("assistant", words(best)))
    return Sample(image, turns, name, {"picture": picture, "answers": list(answers), "kind": kind, **meta})


def _choice(
    image: Path | bytes, picture: str, name: str, question: str, choices: Sequence[str], right: str, kind: str
) -> Sample:
    """A question with choices, answered by a letter."""
    if not 1 < len(choices) <= len(LETTERS) or right not in ("", *LETTERS[: len(choices)]):
        raise ValueError(f"question {name} has {len(choices)} choices and the answer {right[:20]!r}; wanted its letter")
    more = {"choices": list(choices), "stem": question}
    return _sample(image, picture, name, listed(question, choices), [right] if right else [], kind, **more)


def listed(question: str, choices: Sequence[str]) -> str:
    """A question with its choices under letters, as it is asked."""
    told = " ".join(f"{letter}. {c}" for letter, c in zip(LETTERS, choices, strict=False))
    return words(f"{question} {told} Answer with a letter.")


def _vqav2(path: Path, root: Path) -> Iterator[Sample]:
    """VQAv2 and OK-VQA: `…questions.json` with `…annotations.json` beside it (test files have none)."""
    data = read_json(path, "the official file")
    truth: dict[int, dict[str, Any]] = {}
    beside = path.with_name(path.name.replace("OpenEnded_", "").replace("questions", "annotations"))
    if beside != path and beside.is_file():
        truth = {int(a["question_id"]): a for a in read_json(beside, "the official annotations")["annotations"]}
    subset = str(data.get("data_subtype", "val2014"))
    for row in data["questions"]:
        told = truth.get(int(row["question_id"]), {})
        answers = [str(a["answer"]) for a in told.get("answers", ())]
        file = f"COCO_{subset}_{int(row['image_id']):012d}.jpg"
        kind = str(told.get("answer_type", ""))
        yield _sample(_inside(root, file, path), file, str(row["question_id"]), row["question"], answers, kind)


def _aokvqa(path: Path, root: Path) -> Iterator[Sample]:
    for row in read_json(path, "the official file"):
        file = f"{int(row['image_id']):012d}.jpg"
        answers = [str(a) for a in row.get("direct_answers", ())]
        right = row.get("correct_choice_idx")
        more: dict[str, Any] = {"choices": list(row["choices"]), "right": None if right is None else int(right)}
        yield _sample(_inside(root, file, path), file, str(row["question_id"]), row["question"], answers, "", **more)


def _gqa(path: Path, root: Path) -> Iterator[Sample]:
    for name, row in read_json(path, "the official file").items():
        file = f"{row['imageId']}.jpg"
        kind = str(row.get("types", {}).get("semantic", ""))
        answers = [str(row["answer"])] if "answer" in row else []
        yield _sample(_inside(root, file, path), file, str(name), row["question"], answers, kind)


def _llava(path: Path, root: Path) -> Iterator[Sample]:
    """Dialogues; the mark of the picture's place is left out, since the template puts the picture first."""
    roles: dict[str, Any] = {"human": "user", "gpt": "assistant"}
    for row in read_json(path, "the official file"):
        said = row["conversations"]
        turns = tuple(Turn(roles[t["from"]], words(t["value"].replace("<image>", ""))) for t in said)
        file = row.get("image")
        image = None if file is None else _inside(root, str(file), path)
        answers = [t.text for t in turns if t.role == "assistant"][:1]
        yield Sample(image, turns, str(row.get("id", "")), {"picture": str(file), "answers": answers, "kind": ""})


def _mmbench(path: Path, root: Path) -> Iterator[Sample]:
    """A TSV whose pictures are base64; a short value names the row that holds the picture."""
    if path.stat().st_size > FILE_LIMIT:
        raise ValueError(f"{path} is larger than {FILE_LIMIT} bytes; split it")
    csv.field_size_limit(PICTURE_LIMIT)
    held: dict[str, bytes] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            index, packed = str(row["index"]), str(row["image"])
            if len(packed) < 64:
                if packed not in held:
                    raise ValueError(f"{path}: row {index} takes the picture of row {packed!r}, which is not before it")
                image = held[packed]
            else:
                try:
                    image = base64.b64decode(packed, validate=True)
                except binascii.Error as error:
                    raise ValueError(f"{path}: the picture of row {index} is no base64; get the file again") from error
                held[index] = image
            choices = [row[c] for c in "ABCD" if row.get(c) not in (None, "", "nan")]
            hint = "" if row.get("hint") in (None, "", "nan") else f"{row['hint']} "
            right = str(row.get("answer") or "")
            yield _choice(image, index, index, hint + row["question"], choices, right, str(row.get("category") or ""))


def _seedbench(path: Path, root: Path) -> Iterator[Sample]:
    """The questions about single pictures; those about films are left out."""
    data = read_json(path, "the official file")
    kinds = {int(v): str(k) for k, v in data.get("question_type", {}).items()}
    for row in data["questions"]:
        if row["data_type"] == "image":
            file = str(row["data_id"])
            choices = [str(row[f"choice_{c}"]) for c in "abcd" if f"choice_{c}" in row]
            kind = kinds.get(int(row["question_type_id"]), "")
            name, right = str(row["question_id"]), str(row["answer"])
            yield _choice(_inside(root, file, path), file, name, row["question"], choices, right, kind)


def _pope(path: Path, root: Path) -> Iterator[Sample]:
    """POPE's lines {"question_id", "image", "text", "label"}; the kind is the setting that the file's name tells."""
    kind = next((k for k in ("random", "popular", "adversarial") if k in path.name), "")
    for where, row in read_rows(path):
        right = str(row["label"]).strip().lower()
        if right not in ("yes", "no"):
            raise ValueError(f"{where}: the label is {right[:20]!r}; wanted yes or no")
        file = str(row["image"])
        yield _sample(_inside(root, file, path), file, str(row["question_id"]), row["text"], [right], kind)


def _daquar(path: Path, root: Path) -> Iterator[Sample]:
    """DAQUAR as a list of {"image", "question", "answers"}; several answers are a set that is all true at once."""
    for number, row in enumerate(read_json(path, "the official file")):
        file = str(row["image"])
        answers = [", ".join(str(a) for a in row["answers"])]
        yield _sample(_inside(root, file, path), file, str(number), row["question"], answers, _first_words(row))


def _first_words(row: Mapping[str, Any]) -> str:
    words = str(row["question"]).lower().split()
    return "count" if words[:2] == ["how", "many"] else "colour" if {"color", "colour"} & set(words) else "thing"


READERS: dict[str, Callable[[Path, Path], Iterator[Sample]]] = {
    "vqav2": _vqav2,
    "okvqa": _vqav2,
    "aokvqa": _aokvqa,
    "gqa": _gqa,
    "llava": _llava,
    "mmbench": _mmbench,
    "seedbench": _seedbench,
    "pope": _pope,
    "daquar": _daquar,
}


def _inside(root: Path, name: str, file: Path) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"{file}: picture {name!r} lies outside {root}; use names relative to the pictures' folder")
    return next((p for p in (path, *(root / folder / name for folder in FOLDERS)) if p.is_file()), path)

"""Prediction files of any origin as answers: how each notation is read, and what its coordinates are.

What cannot be read is an answer that counts as wrong, never an error: the model said it. A file that breaks its own
form is an error. Notations: docs/evaluation.md. Knows no models and judges nothing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perceptiongpt.answers import Said, said_of
from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import checked_rle
from perceptiongpt.core.packed import Packed
from perceptiongpt.data.files import read_json
from perceptiongpt.data.jsonl import read_rows
from perceptiongpt.judging import Judged
from perceptiongpt.metrics.detection import Things
from perceptiongpt.questions import Question

FILE_LIMIT = 4_000_000_000  # bytes
TEXT_LIMIT = 100_000  # characters of one answer that are read
MOST_REGIONS = 1000  # of one answer
FORMATS = ("ours", "coco", "qwen", "florence", "paligemma", "shikra", "words")
# What a notation's numbers are: pixels of the picture; pixels of the picture as the model was shown it (`input_size`,
# [width, height], in each line); a share of width and height in so many steps; the same of the square that the picture
# was padded to, in its middle.
SHARES = {"0-1": (1.0, 0.0), "0-1000": (1000.0, 0.0), "0-999": (999.0, 0.0), "1000-bins": (1000.0, 0.5)} | {
    "1024-bins": (1024.0, 0.0)
}
COORDINATES = ("pixels", "resized", "square", *SHARES)
# Qwen2-VL and Qwen3-VL say thousandths, Qwen2.5-VL pixels of the resized picture; Florence-2 says the middle of a bin.
USUAL = {"qwen": "0-1000", "florence": "1000-bins", "paligemma": "1024-bins", "shikra": "square"}

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_FOUR = rf"\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*"
_BBOX_2D = re.compile(rf'"bbox_2d"\s*:\s*\[{_FOUR}\]')
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")
_LOC = {name: re.compile(rf"((?:<{tag}\d{{1,4}}>){{4}})") for name, tag in (("florence", "loc_"), ("paligemma", "loc"))}


def read_predictions(
    path: str | Path, questions: Sequence[Question], form: str | None = None, coordinates: str | None = None
) -> tuple[list[Judged], dict[str, Any]]:
    """The answers in a file to `questions`, and the protocol's words on how it was read.

    A folder of `data scenes` answers with its own truth. `form` is guessed from the file unless told; `coordinates`
    are those that the notation usually has unless told. A question without an answer was answered with nothing.
    Raises ValueError or FileNotFoundError for what is no such file.
    """
    path = Path(path).expanduser()
    found, form, named = _found(path, form, coordinates, questions)
    silent = Said("", ())
    pairs = [Judged(q, found.get(q.id, silent)) for q in questions]
    answered = sum(q.id in found for q in questions)
    if not answered:
        example = questions[0].id if questions else ""
        raise ValueError(f"{path} answers none of the questions; wanted ids such as {example!r}; is --data another's?")
    return pairs, {
        "form": form,
        "coordinates": named,
        "answered": f"{answered} of {len(questions)}; the rest count as answered with nothing",
    }


def truth(questions: Sequence[Question]) -> tuple[list[Judged], dict[str, Any]]:
    """The truth as the answers: all regions that are meant, or the answer that most people gave."""
    said = [Said(Counter(q.answers).most_common(1)[0][0] if q.answers else "", q.targets) for q in questions]
    return [Judged(q, s) for q, s in zip(questions, said, strict=True)], {"form": "truth"}


def _found(
    path: Path, form: str | None, coordinates: str | None, questions: Sequence[Question]
) -> tuple[Mapping[str, Said], str, str]:
    if form not in (None, *FORMATS):
        raise ValueError(f"format {form!r} came; wanted one of {', '.join(FORMATS)}")
    if coordinates not in (None, *COORDINATES):
        raise ValueError(f"coordinates {coordinates!r} came; wanted one of {', '.join(COORDINATES)}")
    if path.is_dir():
        from perceptiongpt.data.scenes import Scenes
        from perceptiongpt.questions import expression_questions

        own = (q for one in expression_questions(Scenes(path).asked) for q in one.questions)
        return {q.id: Said("", q.targets) for q in own}, "truth", "pixels"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; give a file of predictions or a folder of data")
    if path.stat().st_size > FILE_LIMIT:
        raise ValueError(f"{path} is larger than {FILE_LIMIT} bytes; split it")
    if questions and not questions[0].points:
        if form not in (None, "ours", "words"):
            raise ValueError(f"format {form} came for questions whose answers are words; leave --format out")
        return _in_words(path), "words", "none"
    form = form or _guessed(path)
    if form == "words":
        raise ValueError("format words came for questions that want regions; wanted one that holds boxes or masks")
    if form == "coco":
        return _coco(path, questions), form, "pixels, x y width height"
    rows = dict(_rows(path))
    if form == "ours":
        return {key: _ours(row, key, path) for key, row in rows.items()}, "ours", "pixels"
    unit = coordinates or USUAL[form]
    read = {"qwen": _qwen, "florence": _tokens, "paligemma": _tokens, "shikra": _shikra}[form]
    sizes = {q.id: q.size_wh for q in questions}
    found = {key: _told(row, form, unit, read, sizes[key]) for key, row in rows.items() if key in sizes}
    return found, form, f"{unit}{', y first' if form == 'paligemma' else ', x first'}"


def _guessed(path: Path) -> str:
    """The notation of a file by its first bytes."""
    with path.open("rb") as file:
        head = file.read(65536).decode("utf-8", "replace").lstrip()
    if head.startswith("["):
        return "coco"
    line = head.splitlines()[0] if head else ""
    if '"regions"' in line:
        return "ours"
    for form, sign in (("qwen", "bbox_2d"), ("florence", "<loc_"), ("paligemma", "<loc")):
        if sign in head:
            return form
    if re.search(r"\[\s*[01]?\.\d+\s*,", head):
        return "shikra"
    raise ValueError(f"{path} is of no notation that its first lines show; say which with --format")


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for where, row in read_rows(path):
        key = row.get("id") if isinstance(row, dict) else None
        if not isinstance(key, (str, int)):
            raise ValueError(f"{where}: the line has no id; wanted the question's id in each; add it")
        yield str(key), row


def _ours(row: Mapping[str, Any], key: str, path: Path) -> Said:
    try:
        return said_of(row)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}: the answer to {key} is none ({error}); wanted lines as `evaluate` writes") from error


def _coco(path: Path, questions: Sequence[Question]) -> dict[str, Said]:
    """COCO results: rows belong to questions by `image_id` and `category_id`, or by `id`, or by the picture alone.

    A question's id is PICTURE-CATEGORY or PICTURE-NUMBER; the best scores come first.
    """
    rows = _list_of(path)
    known = {q.id for q in questions}
    sizes = {q.id: q.size_wh for q in questions}
    by_question: dict[str, list[Packed]] = defaultdict(list)
    for number, row in enumerate(rows):
        try:
            names = (str(row.get("id")), f"{row['image_id']}-{row.get('category_id')}", str(row["image_id"]))
            key = next((name for name in names if name in known), None)
            if key is not None:
                by_question[key].append(_coco_region(row, sizes[key]))
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path}: row {number} is no COCO result ({error}); mend it") from error
    return {key: Said("", tuple(sorted(found, key=lambda r: -(r.score or 0.0)))) for key, found in by_question.items()}


def _list_of(path: Path) -> list[Any]:
    rows = read_json(path, "a results file, a list of objects")
    if not isinstance(rows, list):
        raise ValueError(f"{path} is no list; give a results file, a list of objects")
    return rows


def _in_words(path: Path) -> dict[str, Said]:
    """Answers in words: a line each, or VQA's results, one list; `id` or `question_id`, `text` or `answer`."""
    with path.open("rb") as file:
        listed = file.read(1024).lstrip().startswith(b"[")
    rows = ((f"{path.name}: row {i}", r) for i, r in enumerate(_list_of(path))) if listed else read_rows(path)
    found = {}
    for where, row in rows:
        key = row.get("id", row.get("question_id")) if isinstance(row, dict) else None
        if not isinstance(key, (str, int)):
            raise ValueError(f"{where} has no id; wanted the question's id, or question_id, in each; add it")
        text = next((row[k] for k in ("text", "answer", "response") if k in row), None)
        sound = isinstance(text, str) and len(text) <= TEXT_LIMIT
        found[str(key)] = Said(str(text) if sound else "", (), readable=sound)
    return found


def coco_columns(path: str | Path) -> Things:
    """A COCO results file of boxes as columns, for `average_precision`. Raises ValueError for another form."""
    path = Path(path)
    rows = _list_of(path)
    try:
        xywh = np.asarray([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
        image, category = (np.asarray([row[k] for row in rows]) for k in ("image_id", "category_id"))
        scores = np.asarray([row["score"] for row in rows], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: not every row has image_id, category_id, bbox and score ({error})") from error
    return Things(image, category, np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), scores=scores)


def _coco_region(row: Mapping[str, Any], size_wh: tuple[int, int]) -> Packed:
    box = None
    if row.get("bbox") is not None:
        x, y, w, h = (float(v) for v in row["bbox"])
        box = Region(box=(x, y, x + w, y + h)).box
    rle = None if row.get("segmentation") is None else checked_rle(row["segmentation"])
    if rle is not None and tuple(rle["size"]) != size_wh[::-1]:
        raise ValueError(f"a mask of size {rle['size']} in a picture of width and height {list(size_wh)}")
    if box is None and rle is None:
        raise ValueError("neither bbox nor segmentation")
    score = float(row["score"]) if row.get("score") is not None else None
    if score is not None and not 0 <= score <= 1:
        raise ValueError(f"score {score} is outside 0..1")
    return Packed(box, rle, None, score)


def _told(
    row: Mapping[str, Any],
    form: str,
    unit: str,
    read: Callable[[str, str], list[tuple[float, ...]] | None],
    size_wh: tuple[int, int],
) -> Said:
    """An answer in words: its boxes in pixels of the picture; unreadable if it has none and doesn't say so."""
    text = row.get("text", row.get("response", ""))
    if not isinstance(text, str) or len(text) > TEXT_LIMIT:
        return Said("", (), readable=False)
    boxes = read(text, form)
    if boxes is None or len(boxes) > MOST_REGIONS:
        return Said(text, (), readable=False)
    mapping = _mapping(unit, size_wh, row.get("input_size"))
    if mapping is None:
        return Said(text, (), readable=False)
    scale, shift = mapping
    try:
        regions = [Region(box=tuple(np.asarray(b) * scale + shift)) for b in boxes]
    except ValueError:  # corners the wrong way round
        return Said(text, (), readable=False)
    return Said(text, tuple(Packed(r.box) for r in regions))


def _mapping(unit: str, size_wh: tuple[int, int], shown: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """x0, y0, x1, y1 times the first, plus the second, are pixels; None where a row lacks the size that was shown."""
    wide = np.asarray([*size_wh, *size_wh], np.float64)
    if unit == "pixels":
        return np.ones(4), np.zeros(4)
    if unit == "resized":
        if not isinstance(shown, list) or len(shown) != 2 or not all(isinstance(v, int) and v > 0 for v in shown):
            return None
        return wide / np.asarray([*shown, *shown]), np.zeros(4)
    if unit == "square":
        side = float(max(size_wh))
        return np.full(4, side), (wide - side) / 2
    steps, middle = SHARES[unit]
    return wide / steps, middle * wide / steps


def _qwen(text: str, form: str) -> list[tuple[float, ...]] | None:
    """`{"bbox_2d": [x0, y0, x1, y1], "label": …}`, alone, in a list or in prose; an empty list says none."""
    boxes: list[tuple[float, ...]] = [tuple(float(v) for v in found) for found in _BBOX_2D.findall(text)]
    stripped = re.sub(r"```(?:json)?", "", text).strip()
    return boxes if boxes or stripped == "[]" else None


def _tokens(text: str, form: str) -> list[tuple[float, ...]] | None:
    """Four place tokens a box: Florence-2 `<loc_12>` x first, of 1000; PaliGemma `<loc0012>` y first, of 1024."""
    boxes: list[tuple[float, ...]] = []
    for run in _LOC[form].findall(text):
        a, b, c, d = (float(v) for v in re.findall(r"\d+", run))
        boxes.append((b, a, d, c) if form == "paligemma" else (a, b, c, d))
    return boxes or None


def _shikra(text: str, form: str) -> list[tuple[float, ...]] | None:
    """`[0.1,0.2,0.5,0.6]`, several joined by `;`: shares of the picture padded to a square."""
    boxes: list[tuple[float, ...]] = []
    for inside in _BRACKETS.findall(text):
        for part in inside.split(";"):
            if found := re.fullmatch(_FOUR, part):
                boxes.append(tuple(float(v) for v in found.groups()))
    return boxes or None

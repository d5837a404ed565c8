"""What a user would get: the public predictor is asked in its own words and its answers are kept.

The protocol is free generation, top-1, pixels of the original picture. Pictures are looked at once for all their
questions; questions of like length are asked together. Knows nothing inside a model and judges nothing (judging.py).
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from perceptiongpt.answers import AnswerFile, answer_row
from perceptiongpt.judging import Judged
from perceptiongpt.questions import Asked, Question

WINDOW = 16  # pictures that are held, encoded, at a time
# An answer repeats its phrase and costs a token an object: 48 say eleven words and over thirty objects.
MAX_NEW_TOKENS = 48
LONGEST = 20_000  # characters of a question in a data set; a person's are fewer

Open = list[Asked]  # a window of pictures with the questions that aren't answered yet
Rows = list[dict[str, Any]]
Asker = Callable[[Iterable[Open], int, int], Iterator[Rows]]  # windows, batch, max_new_tokens -> answers


def evaluate(
    eye: Any,
    asked: Iterable[Asked],
    n: int,
    batch: int = 32,
    kept: AnswerFile | None = None,
    show: bool | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    ask: Asker | None = None,
) -> list[Judged]:
    """The first `n` questions with their answers, in the order of the questions.

    `eye` is what `predict.load` gives; answers that `kept` holds are not computed again, new ones are appended to it.
    `batch` questions are asked at a time. `show`: a progress bar on stderr (default: where that is a terminal). `ask`:
    who answers the questions of windows of pictures, a batch at a time (default: `eye`, here). Raises
    ValueError where there is nothing to ask.
    """
    if n < 1 or batch < 1 or max_new_tokens < 1:
        raise ValueError(f"n is {n}, batch {batch}, max_new_tokens {max_new_tokens}; wanted at least 1 of each")
    from tqdm import tqdm

    kept = kept or AnswerFile(None)
    ask = ask or partial(here, eye)
    questions: list[Question] = []
    with tqdm(
        total=n,
        unit="expression",
        disable=not (sys.stderr.isatty() if show is None else show),
        file=sys.stderr,
        smoothing=0.05,
    ) as bar:

        def open_windows() -> Iterator[Open]:
            for window in _windows(asked, n):
                questions.extend(q for one in window for q in one.questions)
                todo = _open(window, kept)
                bar.update(sum(len(one.questions) for one in window) - sum(len(one.questions) for one in todo))
                if todo:
                    yield todo

        for rows in ask(open_windows(), batch, max_new_tokens):
            kept.append(rows)
            bar.update(len(rows))
    if not questions:
        raise ValueError("there was nothing to ask; give data with at least one expression")
    return [Judged(q, kept.said[q.id]) for q in questions]


def _windows(asked: Iterable[Asked], n: int) -> Iterator[list[Asked]]:
    """Pictures by the window, as many as hold the first n questions."""
    window: list[Asked] = []
    for one in asked:
        questions = one.questions[:n]
        n -= len(questions)
        if questions:
            window.append(replace(one, questions=questions))
        if window and (len(window) == WINDOW or not n):
            yield window
            window = []
        if not n:
            return
    if window:
        yield window


def _open(window: Sequence[Asked], kept: AnswerFile) -> Open:
    """What of a window isn't answered yet."""
    left = [replace(one, questions=tuple(q for q in one.questions if not kept.has(q.id, q.phrase))) for one in window]
    return [one for one in left if one.questions]


def here(eye: Any, windows: Iterable[Open], batch: int, max_new_tokens: int) -> Iterator[Rows]:
    """Answers, a batch of questions of like length at a time; each picture is encoded once."""
    for window in windows:
        seen = eye.look([one.picture for one in window])
        todo = [(row, q) for row, one in enumerate(window) for q in one.questions]
        for points in (True, False):
            alike = [pair for pair in todo if pair[1].points is points]
            alike.sort(key=lambda pair: len(pair[1].phrase))  # stable: the same batches every time
            for start in range(0, len(alike), batch):
                part = alike[start : start + batch]
                answers = _answers(seen.pick([row for row, _ in part]), [q for _, q in part], points, max_new_tokens)
                yield [answer_row(q.id, q.phrase, a) for (_, q), a in zip(part, answers, strict=True)]


def _answers(asking: Any, questions: Sequence[Question], points: bool, max_new_tokens: int) -> Any:
    words = [q.phrase for q in questions]
    if points:
        return asking.segment(words, max_new_tokens=max_new_tokens)
    shown = [q.shown and q.shown.region() for q in questions]
    return asking.ask(words, shown, LONGEST, max_new_tokens=max_new_tokens)


class Workers:
    """Processes that answer in parallel, each with `load(**how)` and so many threads."""

    def __init__(self, count: int, how: dict[str, Any], threads: int) -> None:
        self.count, self.how, self.threads = count, how, threads

    def __call__(self, windows: Iterable[Open], batch: int, max_new_tokens: int) -> Iterator[Rows]:
        """As `here`; what a window gives comes when it is whole, windows in their order."""
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.count, spawn, _start_worker, (self.how, self.threads)) as pool:
            under_way: deque[Future[list[Rows]]] = deque()
            for window in windows:
                under_way.append(pool.submit(_in_worker, window, batch, max_new_tokens))
                if len(under_way) > self.count:  # pictures are composed no faster than they are asked about
                    yield from under_way.popleft().result()
            for left in under_way:
                yield from left.result()


_EYE: list[Any] = []  # a worker's own model


def _start_worker(how: dict[str, Any], threads: int) -> None:
    import torch

    from perceptiongpt.predict import load

    torch.set_num_threads(threads)
    _EYE.append(load(**how))


def _in_worker(window: Open, batch: int, max_new_tokens: int) -> list[Rows]:
    return list(here(_EYE[0], [window], batch, max_new_tokens))


def teacher_forced(eye: Any, asked: Iterable[Asked], n: int) -> list[Judged]:
    """The same questions, those with targets, with the regions that the model gives when it is told the answer."""
    from perceptiongpt.answers import Said
    from perceptiongpt.teacher import told_regions

    found = []
    for window in _windows(asked, n):
        for one in window:
            told = told_regions(eye, one)
            found += [Judged(q, Said("", told[q.id])) for q in one.questions if q.id in told]
    return found

"""What a user would get: the public predictor is asked in its own words and its answers are kept.

The protocol is free generation, top-1, pixels of the original picture. Pictures are looked at once for all their
questions; questions of like length are asked together. Knows nothing inside a model and judges nothing (judging.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceptiongpt.answers import AnswerFile, answer_row
from perceptiongpt.judging import Judged
from perceptiongpt.questions import Asked, Question

WINDOW = 16  # pictures that are held, encoded, at a time
# An answer repeats its phrase and costs a token an object: 48 say eleven words and over thirty objects.
MAX_NEW_TOKENS = 48


def evaluate(
    eye: Any,
    asked: Iterable[Asked],
    n: int,
    batch: int = 32,
    kept: AnswerFile | None = None,
    show: bool | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[Judged]:
    """The first `n` questions with their answers, in the order of the questions.

    `eye` is what `predict.load` gives; answers that `kept` holds are not computed again, new ones are appended to it.
    `batch` questions are asked at a time. `show`: a progress bar on stderr (default: where that is a terminal).
    Raises ValueError where there is nothing to ask.
    """
    if n < 1 or batch < 1 or max_new_tokens < 1:
        raise ValueError(f"n is {n}, batch {batch}, max_new_tokens {max_new_tokens}; wanted at least 1 of each")
    from tqdm import tqdm

    kept = kept or AnswerFile(None)
    questions: list[Question] = []
    with tqdm(
        total=n,
        unit="expression",
        disable=not (sys.stderr.isatty() if show is None else show),
        file=sys.stderr,
        smoothing=0.05,
    ) as bar:
        for window in _windows(asked, n):
            questions += [q for one in window for q in one.questions]
            known = sum(kept.has(q.id, q.phrase) for one in window for q in one.questions)
            bar.update(known)
            for rows in _answered(eye, window, batch, kept, max_new_tokens):
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


def _answered(
    eye: Any, window: Sequence[Asked], batch: int, kept: AnswerFile, max_new_tokens: int
) -> Iterator[list[dict[str, Any]]]:
    """Answers to what isn't answered yet, a batch of like lengths at a time; only pictures still asked of are seen."""
    open_ = [(one, [q for q in one.questions if not kept.has(q.id, q.phrase)]) for one in window]
    open_ = [(one, questions) for one, questions in open_ if questions]
    if not open_:
        return
    seen = eye.look([one.picture for one, _ in open_])
    todo = [(row, q) for row, (_, questions) in enumerate(open_) for q in questions]
    todo.sort(key=lambda pair: len(pair[1].phrase))  # stable: the same batches every time
    for start in range(0, len(todo), batch):
        part = todo[start : start + batch]
        answers = seen.pick([row for row, _ in part]).segment(
            [q.phrase for _, q in part], max_new_tokens=max_new_tokens
        )
        yield [answer_row(q.id, q.phrase, a) for (_, q), a in zip(part, answers, strict=True)]

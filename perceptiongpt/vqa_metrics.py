"""Judges of short answers: exact match, VQA accuracy, WUPS, multiple choice, and the majority answer beside them.

Every judge takes what was said and what people said; an empty answer is wrong. Knows no models; WordNet's similarity
comes in as a function (wordnet.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_DIGITS = {word: str(n) for n, word in enumerate(_NUMBERS)} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}

Similarity = Callable[[str, str], float]


def normalised(answer: str) -> str:
    """An answer as VQA compares it: lower case, no articles or punctuation, number words as digits."""
    text = answer.lower().replace("\n", " ").replace("'", "").replace("’", "")
    text = re.sub(r"(?<=\d),(?=\d)", "", text)  # 1,000
    text = re.sub(r"(?<!\d)\.|\.(?!\d)", " ", text)  # 2.5 keeps its point
    text = re.sub(r"[;/\[\]\"{}()=+\\_\-><@`,?!:]", " ", text)
    return " ".join(_DIGITS.get(w, w) for w in text.split() if w not in _ARTICLES)


def exact(said: str, answers: Sequence[str]) -> float:
    """1 where the answer is one of those given, after `normalised`; else 0."""
    return float(bool(normalised(said)) and normalised(said) in {normalised(a) for a in answers})


def vqa_accuracy(said: str, answers: Sequence[str]) -> float:
    """VQA's accuracy: the mean over all subsets that leave one person out of min(people who agree / 3, 1).

    With a single answer it is `exact`. Source: the evaluation of VQA (Antol et al. 2015; Goyal et al. 2017).
    """
    if len(answers) < 2:
        return exact(said, answers)
    agree = [normalised(a) == normalised(said) for a in answers]
    total = sum(agree)
    return sum(min((total - one) / 3, 1.0) for one in agree) / len(agree)


def choice(said: str, choices: Sequence[str], right: int) -> float:
    """1 where the answer names the right choice, by its letter or its words; else 0."""
    words = normalised(said)
    letter = re.match(r"\s*\(?([A-Ha-h])(?:[).:\s]|$)", said)
    if letter and "abcdefgh".index(letter[1].lower()) < len(choices):
        return float("abcdefgh".index(letter[1].lower()) == right)
    fitting = [i for i, c in enumerate(choices) if normalised(c) == words]
    return float(fitting == [right])


def wups(said: str, answer: str, similarity: Similarity, threshold: float = 0.9) -> float:
    """WUPS at a threshold for answers that are sets of words, separated by commas (Malinowski and Fritz 2014).

    min over both directions of the product of the best similarities; what is below the threshold counts a tenth.
    `similarity` is Wu and Palmer's, 0..1.
    """
    a, t = _set(said), _set(answer)
    if not a or not t:
        return 0.0
    near = {(x, y): _weighed(similarity(x, y), threshold) for x in a for y in t}
    forth = math.prod(max(near[x, y] for y in t) for x in a)
    back = math.prod(max(near[x, y] for x in a) for y in t)
    return min(forth, back)


def _set(answer: str) -> list[str]:
    return sorted({w for part in answer.split(",") if (w := normalised(part))})


def _weighed(likeness: float, threshold: float) -> float:
    return likeness if likeness >= threshold else 0.1 * likeness


def judged(
    rows: Sequence[tuple[str, Sequence[str], str]],
    seen: Sequence[str] = (),
    similarity: Similarity | None = None,
) -> dict[str, Any]:
    """Numbers of rows (said, answers, kind): accuracy with its 95 % interval, VQA accuracy, WUPS@0.9, and by kind.

    `majority` is the accuracy of the most frequent answer among `seen` (training answers; without them, of the rows
    themselves), the same one for all. Raises ValueError for no rows.
    """
    if not rows:
        raise ValueError("there were no answers to judge; ask at least one question")
    hits = [exact(said, answers) for said, answers, _ in rows]
    common = Counter(normalised(a) for a in seen or [answers[0] for _, answers, _ in rows if answers])
    best = common.most_common(1)[0][0] if common else ""
    kinds: dict[str, list[float]] = defaultdict(list)
    for hit, (_, _, kind) in zip(hits, rows, strict=True):
        kinds[kind].append(hit)
    said_wups = None
    if similarity is not None:
        said_wups = sum(max((wups(s, a, similarity) for a in answers), default=0.0) for s, answers, _ in rows) / len(
            rows
        )
    return {
        "accuracy": sum(hits) / len(hits),
        "interval": list(wilson(sum(hits), len(hits))),
        "vqa_accuracy": sum(vqa_accuracy(s, a) for s, a, _ in rows) / len(rows),
        "wups90": said_wups,
        "majority": sum(exact(best, answers) for _, answers, _ in rows) / len(rows),
        "majority_answer": best,
        "by_kind": {k: {"accuracy": sum(v) / len(v), "n": len(v)} for k, v in sorted(kinds.items())},
        "n": len(rows),
    }


def wilson(hits: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share of n: lower and upper bound (z 1.96 is 95 %)."""
    share, spread = hits / n, z * z / n
    middle, half = share + spread / 2, z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)

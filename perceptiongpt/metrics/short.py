"""Short answers to questions: exact match, WUPS, and a share's interval beside the majority answer.

WordNet's similarity comes in as a function (wordnet.py).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from perceptiongpt.metrics.answers import normalised, vqa_accuracy

Similarity = Callable[[str, str], float]


def exact(said: str, answers: Sequence[str]) -> float:
    """1 where the answer is one of those given, else 0; what stands between commas is a set (DAQUAR), after VQA's
    normalisation."""
    return float(bool(_set(said)) and _set(said) in [_set(a) for a in answers])


def wups(said: str, answer: str, similarity: Similarity, threshold: float = 0.9) -> float:
    """WUPS at a threshold for answers that are sets of words, separated by commas (Malinowski and Fritz, 2014).

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


def majority(truths: Sequence[Sequence[str]], seen: Sequence[str] = ()) -> tuple[str, float]:
    """The most frequent answer among `seen` (default: the first true ones), and its accuracy if it is always given."""
    common = Counter(normalised(a) for a in seen or [answers[0] for answers in truths if answers])
    best = common.most_common(1)[0][0] if common else ""
    return best, sum(exact(best, answers) for answers in truths) / len(truths)


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
    best, share = majority([answers for _, answers, _ in rows], seen)
    kinds: dict[str, list[float]] = defaultdict(list)
    for hit, (_, _, kind) in zip(hits, rows, strict=True):
        kinds[kind].append(hit)
    like = similarity
    near = None if like is None else [max((wups(s, a, like) for a in answers), default=0.0) for s, answers, _ in rows]
    return {
        "accuracy": sum(hits) / len(hits),
        "interval": list(wilson(sum(hits), len(hits))),
        "vqa_accuracy": vqa_accuracy([s for s, _, _ in rows], [a for _, a, _ in rows])["accuracy"],
        "wups90": None if near is None else sum(near) / len(near),
        "majority": share,
        "majority_answer": best,
        "by_kind": {k: {"accuracy": sum(v) / len(v), "n": len(v)} for k, v in sorted(kinds.items())},
        "n": len(rows),
    }


def wilson(hits: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share of n: lower and upper bound (z 1.96 is 95 %)."""
    share, spread = hits / n, z * z / n
    middle, half = share + spread / 2, z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)

"""Captions against people's: CIDEr-D, and METEOR by NLTK where that is installed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

LENGTHS = (1, 2, 3, 4)
SIGMA = 6.0


def cider(said: Sequence[str], people: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D (Vedantam et al., 2015) of each caption: the tf-idf likeness of their 1- to 4-grams, times 10.

    `people[i]` are the captions that are true of i; how rare an n-gram is, is counted on them. Words are what is left
    without marks, lower case. A corpus of one has no rare words and scores 0.
    """
    references = [[_grams(text) for text in texts] for texts in people]
    seen: Counter[tuple[str, ...]] = Counter()
    for captions in references:
        seen.update({gram for caption in captions for gram in caption})
    log_many = math.log(max(1, len(references)))
    scores = []
    for text, captions in zip(said, references, strict=True):
        own = _weighed(_grams(text), seen, log_many)
        likeness = [_alike(own, _weighed(caption, seen, log_many)) for caption in captions]
        scores.append(10.0 * sum(likeness) / len(likeness) if likeness else 0.0)
    return scores


def meteor(said: Sequence[str], people: Sequence[Sequence[str]]) -> list[float] | None:
    """METEOR (Lavie and Agarwal, 2007) of each caption, the best over people's, 0..1; None where NLTK isn't installed.

    Equal words and Porter's stems match, synonyms don't. METEOR 1.5, the Java program that papers on captions use, has
    other weights and word lists: not comparable.
    """
    try:
        from nltk.translate.meteor_score import meteor_score
    except ModuleNotFoundError:
        return None
    return [
        float(meteor_score([_words(t) for t in texts], _words(text), wordnet=_NoSynonyms())) if texts else 0.0
        for text, texts in zip(said, people, strict=True)
    ]


class _NoSynonyms:
    """Stands where NLTK asks WordNet, which it would fetch from elsewhere."""

    def synsets(self, word: str) -> list[object]:
        return []


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'’-]+", text.lower())


Weighed = tuple[list[dict[tuple[str, ...], float]], list[float], int]


def _grams(text: str) -> Counter[tuple[str, ...]]:
    words = _words(text)
    return Counter(tuple(words[i : i + n]) for n in LENGTHS for i in range(len(words) - n + 1))


def _weighed(grams: Counter[tuple[str, ...]], seen: Counter[tuple[str, ...]], log_many: float) -> Weighed:
    """tf-idf of each length, their norms, and the caption's length as CIDEr-D counts it: in pairs of words."""
    vectors: list[dict[tuple[str, ...], float]] = [{} for _ in LENGTHS]
    for gram, count in grams.items():
        vectors[len(gram) - 1][gram] = count * (log_many - math.log(max(1, seen[gram])))
    norms = [math.sqrt(sum(v * v for v in vector.values())) for vector in vectors]
    return vectors, norms, sum(count for gram, count in grams.items() if len(gram) == 2)


def _alike(a: Weighed, b: Weighed) -> float:
    """Cosine of each length, what was said clipped to what is true, falling with the difference in length; the mean."""
    total = 0.0
    for own, true, a_norm, b_norm in zip(a[0], b[0], a[1], b[1], strict=True):
        if a_norm and b_norm:
            total += sum(min(v, true.get(g, 0.0)) * true.get(g, 0.0) for g, v in own.items()) / (a_norm * b_norm)
    return total / len(LENGTHS) * math.exp(-((a[2] - b[2]) ** 2) / (2 * SIGMA**2))

"""What one answer earns where the answer is words, or boxes in order of rank: shares whose means are the metrics.

Knows which definition (metrics/) belongs to which question and what the numbers are called. Knows no files and nothing
of regions' overlap with one true region (judging.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from perceptiongpt.answers import Said
from perceptiongpt.data.vqa import LETTERS
from perceptiongpt.metrics.answers import chosen_option, circular, pope, vqa_accuracy, yes_or_no
from perceptiongpt.metrics.captions import cider, meteor
from perceptiongpt.metrics.phrases import phrase_recall
from perceptiongpt.metrics.short import Similarity, exact, majority, wups
from perceptiongpt.questions import Question

PARTS = ("phrases", "vqa", "pope", "choice", "captions")
Credits = dict[str, float]
Pair = tuple[Question, Said]
Ratio = tuple[list[Any], list[float], list[float] | None]


def earned(question: Question, said: Said, similarity: Similarity | None = None) -> Credits:
    """The credits of one answer by the names of their metrics, the chief one first; captions earn theirs together.

    `similarity`: of two nouns, for WUPS (wordnet.py).
    """
    if question.judge == "phrases":
        boxes = np.asarray([r.box for r in said.regions if r.box is not None])
        true = np.asarray([t.box for t in question.targets])
        return {
            f"phrases.{protocol}_r{k}": phrase_recall([boxes], [true], protocol)[f"r{k}"]
            for protocol in ("any", "merged")
            for k in (1, 5, 10)
        }
    text, answers = said.text, question.answers
    if question.judge == "vqa":
        found = {"accuracy": vqa_accuracy([text], [answers])["accuracy"], "exact": exact(text, answers)}
        if similarity is not None:
            for name, threshold in (("wups90", 0.9), ("wups0", 0.0)):
                found[name] = max(wups(text, answer, similarity, threshold) for answer in answers)
        return _named("vqa", {**found, "invalid": float(not text.strip())})
    if question.judge == "pope":
        read = yes_or_no(text)
        right = read is not None and read == (answers[0] == "yes")
        return _named("pope", {"accuracy": right, "yes_ratio": read is True, "invalid": read is None})
    if question.judge == "choice":
        letter = chosen_option(text, dict(zip(LETTERS, question.choices, strict=False)))
        return _named("choice", {"accuracy": letter == answers[0], "invalid": letter is None})
    return {}


def captions_earned(pairs: Sequence[Pair]) -> list[Credits]:
    """The credits of captions, which depend on what people said of all of them; CIDEr's reach to 10."""
    if not pairs:
        return []
    said, people = [s.text for _, s in pairs], [q.answers for q, _ in pairs]
    found = {"captions.cider": cider(said, people), "captions.meteor": meteor(said, people)}
    return [{k: v[i] for k, v in found.items() if v is not None} for i in range(len(pairs))]


def parts(rows: Sequence[Any]) -> dict[str, Any]:
    """The numbers of each part, None where no question belongs to it; rows are `judging.Measure`s."""
    told: dict[str, Any] = dict.fromkeys(PARTS)
    means = ratios(rows)
    for part in PARTS:
        kept = [r for r in rows if r.part == part]
        if not kept:
            continue
        chief = next(iter(kept[0].credits))
        kinds = sorted({r.question.kind for r in kept if r.question.kind})
        told[part] = {k.partition(".")[2]: _ratio(v) for k, v in means.items() if k.startswith(f"{part}.")}
        told[part]["n"] = len(kept)
        told[part]["by_kind"] = {
            kind: {
                chief.partition(".")[2]: _mean([r.credits[chief] for r in kept if r.question.kind == kind]),
                "n": sum(r.question.kind == kind for r in kept),
            }
            for kind in kinds
        }
    if told["vqa"]:
        truths = [r.question.answers for r in rows if r.part == "vqa"]
        told["vqa"] |= {"majority": majority(truths)[1]}
        told["vqa"] = {"wups90": None, "wups0": None, **told["vqa"]}
    if told["pope"]:
        asked = [r for r in rows if r.part == "pope"]
        whole = pope([r.pair.said.text for r in asked], [r.question.answers[0] == "yes" for r in asked])
        told["pope"] |= {k: whole[k] for k in ("precision", "recall")}
    if told["choice"]:
        told["choice"] = {"circular": None, **told["choice"]}
    if told["captions"]:
        told["captions"] = {"meteor": None, **told["captions"]}
    return told


def ratios(rows: Sequence[Any]) -> dict[str, Ratio]:
    """Each number as sums over sums, as `judging.ratios`: rows it is about, what stands above and below the line."""
    found: dict[str, Ratio] = {}
    for key in dict.fromkeys(k for r in rows for k in r.credits):
        kept = [r for r in rows if key in r.credits]
        found[key] = (kept, [float(r.credits[key]) for r in kept], None)
    if "pope.accuracy" in found:
        kept, right, _ = found["pope.accuracy"]
        wanted = [r.question.answers[0] == "yes" for r in kept]
        hits = [2.0 * bool(ok and w) for ok, w in zip(right, wanted, strict=True)]
        found["pope.f1"] = (kept, hits, [r.credits["pope.yes_ratio"] + w for r, w in zip(kept, wanted, strict=True)])
    rotated: dict[str, list[Any]] = {}
    for row in rows:
        if row.part == "choice" and row.question.whole:
            rotated.setdefault(row.question.whole, []).append(row)
    whole = [group for group in rotated.values() if len(group) == len(group[0].question.choices)]  # --n may cut one off
    if whole:
        all_right = [float(circular([r.credits["choice.accuracy"] == 1 for r in group])) for group in whole]
        found["choice.circular"] = ([group[0] for group in whole], all_right, None)
    return found


def _named(part: str, values: dict[str, Any]) -> Credits:
    return {f"{part}.{name}": float(value) for name, value in values.items()}


def _ratio(told: Ratio) -> float:
    _, above, below = told
    under = float(len(above)) if below is None else sum(below)
    return sum(above) / under if under else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

"""Answers in words: VQAv2, POPE, MMBench's CircularEval, SEED-Bench. Exact match and WUPS: short.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = ("none", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {word: str(max(0, i - 1)) for i, word in enumerate(_NUMBERS)}
_CONTRACTED = (
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's "
    "i'd've i'm i've isn't it'd it'll let's ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't "
    "shan't she'd've should've shouldn't somebody'd somebody'll somebody's someone'd someone'll someone's something'd "
    "something'll that'd that's there'd there're there's they'd they'll they're they've 'twas wasn't we'd've we've "
    "weren't what'll what're what's what've when's where'd where's where've who'd who'll who's who've why'll why're "
    "why's won't would've wouldn't y'all you'd you'll you're you've"
)
_WITH_APOSTROPHE = {word.replace("'", ""): word for word in _CONTRACTED.split()}
_OPTION = re.compile(r"(?:^|[^A-Za-z'’])\(?([A-Z])\)?(?=$|[^A-Za-z'’])")


def normalised(answer: str) -> str:
    """An answer as VQA's evaluation compares it: no articles and marks, digits for number words, apostrophes back."""
    text = answer.replace("\n", " ").replace("\t", " ").strip()
    spelled = text
    comma_in_number = re.search(r"\d,\d", text) is not None
    for mark in _MARKS:
        alone = f"{mark} " in text or f" {mark}" in text
        spelled = spelled.replace(mark, "" if alone or comma_in_number else " ")
    spelled = re.sub(r"\.(?!\d)", "", spelled)
    words = [_DIGITS.get(w, w) for w in spelled.lower().split()]
    return " ".join(_WITH_APOSTROPHE.get(w, w) for w in words if w not in ("a", "an", "the"))


def vqa_accuracy(said: Sequence[str], people: Sequence[Sequence[str]]) -> dict[str, float]:
    """VQAv2 accuracy (Antol et al., 2015; Goyal et al., 2017): `accuracy`, and `n`.

    For each of the people's answers (ten, as a rule): min(1, how many *others* say the same / 3); the mean of those.
    Normalised as `normalised` does where the people don't agree, as the official evaluation does. Where one answer is
    all there is (GQA, DAQUAR): 1 if it is said, else 0.
    """
    rows = []
    for answer, given in zip(said, people, strict=True):
        if len(given) == 1:
            rows.append(float(bool(answer.strip()) and normalised(answer) == normalised(given[0])))
            continue
        alike = len(set(given)) == 1
        answers = [g.strip() if alike else normalised(g) for g in given]
        own = answer.strip() if alike else normalised(answer)
        match = [a == own for a in answers]
        rows.append(sum(min(1.0, (sum(match) - m) / 3) for m in match) / len(match) if match else 0.0)
    return {"accuracy": _mean(rows), "n": len(rows)}


def yes_or_no(answer: str) -> bool | None:
    """What an answer says first of yes and no; None for neither."""
    found = re.search(r"\b(yes|no|not)\b", answer.lower())
    return None if found is None else found[1] == "yes"


def pope(said: Sequence[str], true: Sequence[bool]) -> dict[str, float]:
    """POPE (Li et al., 2023): `accuracy`, `precision`, `recall`, `f1`, `yes_ratio` of "is there a …?", `invalid`.

    One call for each setting (random, popular, adversarial). An answer that says neither yes nor no is wrong; as in
    the original a missing "no" would be a yes, `invalid` tells how many there were.
    """
    read = [yes_or_no(answer) for answer in said]
    tp = sum(r is True and t for r, t in zip(read, true, strict=True))
    fp = sum(r is True and not t for r, t in zip(read, true, strict=True))
    tn = sum(r is False and not t for r, t in zip(read, true, strict=True))
    wanted = sum(true)
    precision, recall = tp / (tp + fp) if tp + fp else 0.0, tp / wanted if wanted else 0.0
    return {
        "accuracy": (tp + tn) / len(read) if read else 0.0,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        "yes_ratio": _mean([r is True for r in read]),
        "invalid": _mean([r is None for r in read]),
        "n": len(read),
    }


def chosen_option(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that an answer means: a letter that stands alone, else the only option it names.

    MMBench, and SEED-Bench (Li et al., 2023) by what was said; not by the likelihood of each option.
    """
    letters = [m for m in _OPTION.findall(answer) if m in options]
    # "A" is an article too: it is a letter only where it stands first or before a mark.
    if letters and (letters[0] != "A" or re.match(r"\W*A(\W*$|[).:,])", answer) or re.search(r"\(A\)|is A\b", answer)):
        return letters[0]
    lowered = answer.lower()
    named = [k for k, text in options.items() if re.search(rf"\b{re.escape(text.lower())}(?!\w)", lowered)]
    return named[0] if len(named) == 1 else None


def circular(right: Sequence[bool]) -> bool:
    """MMBench's CircularEval (Liu et al., 2023): right is what is right under every rotation of the options."""
    return all(right)


def _mean(values: Sequence[float]) -> float:
    return float(sum(values) / len(values)) if len(values) else 0.0

"""Parts of an evaluation on rows worked by hand: same-kind distractors, how sure an answer is, groups by count."""

from __future__ import annotations

import numpy as np
import pytest

from perceptiongpt.answers import Said
from perceptiongpt.core.packed import Packed
from perceptiongpt.judging import Judged, Measure, judged, measure
from perceptiongpt.questions import Question

HERE, THERE = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 60.0, 60.0)
ROW = [(12.0 * i, 0.0, 12.0 * i + 10, 10.0) for i in range(9)]


def row(id: str, kind: str, true: int, *said: tuple[float, ...], distractors: int | None = None) -> Measure:
    """A question for the first `true` boxes of ROW, and boxes that were said."""
    targets = tuple(Packed(b) for b in ROW[:true])
    question = Question(id, f"phrase {id}", kind, targets, (200, 100), "cup", distractors)
    return measure(Judged(question, Said("", tuple(Packed(b) for b in said))))


def test_same_kind_distractors_count_only_what_is_told_apart() -> None:
    rows = [
        row("a-0", "colour", 1, HERE, distractors=1),
        row("a-1", "colour", 1, THERE, distractors=2),
        row("b-0", "relation", 1, HERE, distractors=1),
        row("b-1", "ordinal", 1, distractors=3),
        row("b-2", "place", 1, HERE, distractors=0),  # alone of its kind
        row("c-0", "name", 1, HERE, distractors=1),  # told by its name, which nobody shares
        row("c-1", "place", 1, HERE),  # of company nothing is known
        row("c-2", "group", 2, HERE, distractors=1),
    ]
    found = judged(rows)
    told = found["same_kind"]
    assert (told["acc50"], told["n"]) == (0.5, 4)
    assert {k: (v["acc50"], v["n"]) for k, v in told["by_kind"].items()} == {
        "colour": (0.5, 2),
        "relation": (1.0, 1),
        "ordinal": (0.0, 1),
    }
    low, high = found["intervals"]["same_kind.acc50"]
    assert low <= 0.5 <= high
    assert judged(rows[4:])["same_kind"] is None


def test_groups_are_broken_down_by_how_many_are_meant() -> None:
    rows = [
        row("a-0", "group", 1, HERE),
        row("a-1", "group", 1),
        row("b-0", "group", 2, ROW[0]),  # one of two found: 2 * 1 / (1 + 2)
        row("b-1", "class", 2, *ROW[:2]),
        row("c-0", "group", 8, *ROW[:8]),
        row("c-1", "group", 9, *ROW[:3], THERE),  # 2 * 3 / (4 + 9); what is said beside counts against it
        row("c-2", "name", 1, HERE),  # one thing that is no group
    ]
    found = judged(rows)
    by = found["group"]["by_count"]
    assert list(by) == ["1", "2", "8", "9+"]
    assert {k: v["n"] for k, v in by.items()} == {"1": 2, "2": 2, "8": 1, "9+": 1}
    assert [by[k]["f1"] for k in by] == pytest.approx([0.5, (2 / 3 + 1) / 2, 1.0, 6 / 13], abs=1e-6)
    assert found["group"]["f1"] == pytest.approx((1 + 0 + 2 / 3 + 1 + 1 + 6 / 13) / 6, abs=1e-6)
    assert found["intervals"]["group.f1"][0] < found["group"]["f1"] < found["intervals"]["group.f1"][1]


def test_an_answer_is_as_sure_as_the_surest_thing_it_found() -> None:
    def sure(*regions: Packed, readable: bool = True) -> float:
        return measure(Judged(Question("a-0", "it", "none", (), (200, 100)), Said("", regions, readable))).sure

    assert sure(Packed(HERE, score=0.2), Packed(THERE, score=0.7)) == 0.7
    assert sure(Packed(HERE)) == 1.0  # no score
    assert sure() == -np.inf
    assert sure(readable=False) == 1.0  # what can't be read is no rejection

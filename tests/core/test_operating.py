"""Laws of the operating point: as it is born it changes no bit, it never changes an order, and odd ones are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perceptiongpt.core.operating import OperatingPoint, read_operating_point

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=40)


@given(LOGITS)
def test_as_it_is_born_it_changes_no_bit(logits: list[float]) -> None:
    z = torch.tensor(logits)
    assert torch.equal(OperatingPoint().scores(z), z.sigmoid())


@given(LOGITS, st.floats(0.01, 100), st.floats(-100, 100))
def test_scores_stay_in_the_order_of_their_logits(logits: list[float], temperature: float, bias: float) -> None:
    z = torch.tensor(logits).sort().values
    scores = OperatingPoint(temperature=temperature, bias=bias).scores(z)
    assert bool(((scores >= 0) & (scores <= 1)).all())
    assert bool((scores.diff() >= -1e-6).all())  # a vector's tail may be rounded another way


@given(LOGITS, st.floats(0.01, 100), st.floats(0.01, 100), st.floats(-100, 100))
def test_another_temperature_below_zero_keeps_the_order_too(
    logits: list[float], temperature: float, below: float, bias: float
) -> None:
    z = torch.tensor(logits).sort().values
    scores = OperatingPoint(temperature=temperature, below=below, bias=bias).scores(z)
    assert bool(((scores >= 0) & (scores <= 1)).all()) and bool((scores.diff() >= -1e-6).all())
    plain = OperatingPoint(temperature=temperature, bias=bias).scores(z)
    assert torch.allclose(scores[z >= 0], plain[z >= 0], atol=1e-6)
    assert torch.allclose(OperatingPoint(temperature=temperature, below=temperature, bias=bias).scores(z), plain)


def test_the_formula_is_platts_on_a_row_worked_by_hand() -> None:
    assert OperatingPoint(temperature=2, bias=-1).scores(torch.tensor([2.0, 4.0])).tolist() == pytest.approx(
        [0.5, 0.7310586]
    )


@pytest.mark.parametrize(
    "value",
    [
        {"temperature": float("nan")},
        {"temperature": 0},
        {"temperature": -1.0},
        {"temperature": 1e-300},
        {"temperature": 10**400},
        {"temperature": "1"},
        {"temperature": True},
        {"temperature": None},
        {"bias": float("inf")},
        {"bias": [1]},
        {"min_score": 2},
        {"min_score": -0.1},
        {"min_score": float("nan")},
        {"agree": 1.5},
        {"agree": None},
        {"more": -1},
        {"counted": 1.5},
        {"below": 1e-300},
        {"below": -1},
        {"below": True},
        {"below": float("nan")},
        {"alike": -1},
        {"alike": 1e300},
        {"tinted": -1},
        {"threshold": 0.5},
        [],
        None,
        "x" * 100_000,
    ],
    ids=lambda v: str(v)[:40],
)
def test_what_is_no_operating_point_is_refused_in_a_sentence(value: Any) -> None:
    with pytest.raises(ValueError, match="wanted") as told:
        read_operating_point(value)
    assert len(str(told.value)) < 200 and "\n" not in str(told.value)


@given(st.floats(0.01, 100), st.just(0.0) | st.floats(0.01, 100), st.floats(-50, 50), st.floats(0.001, 0.999))
def test_the_least_logit_has_the_score_that_more_things_need(
    temperature: float, below: float, bias: float, more: float
) -> None:
    point = OperatingPoint(temperature=temperature, below=below, bias=bias, more=more)
    assert float(point.scores(torch.tensor([point.least_logit()], dtype=torch.float64))) == pytest.approx(
        more, abs=1e-4
    )
    never, always = (OperatingPoint(more=m).least_logit() for m in (1.0, 0.0))
    assert never == -always == float("inf")


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_is_asked_in_words_needs_the_greater_of_both(more: float, counted: float) -> None:
    point = OperatingPoint(more=more, counted=counted)
    assert point.least_logit() == OperatingPoint(more=more).least_logit()
    assert point.least_logit(words=True) == OperatingPoint(more=max(more, counted)).least_logit()


def test_what_things_look_like_is_weighed_in_words_alone() -> None:
    point = OperatingPoint(more=0.2, counted=0.6, alike=8.0)
    assert point.further() == {"more": point.least_logit(), "alike": 0.0}
    assert point.further(words=True) == {"more": point.least_logit(words=True), "alike": 8.0}

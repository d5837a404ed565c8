"""Laws of mixtures: item i is a function of the seed and i; weights and epochs hold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from perceptiongpt.data import mix
from perceptiongpt.data.mix import Mix


class Numbers:
    """A source whose samples are their own names."""

    def __init__(self, name: str, n: int) -> None:
        self.name, self.n = name, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int, /) -> Any:
        if not 0 <= i < self.n:
            raise IndexError(i)
        return self.name, i


def test_item_i_is_the_same_whoever_asks_in_whatever_order() -> None:
    one, other = (Mix([(Numbers("a", 7), 1.0), (Numbers("b", 50), 2.0)], seed=3) for _ in range(2))
    forwards = [one[i] for i in range(300)]
    assert [other[i] for i in reversed(range(300))] == forwards[::-1]
    different = Mix([(Numbers("a", 7), 1.0), (Numbers("b", 50), 2.0)], seed=4)
    assert [different[i] for i in range(300)] != forwards


def test_sources_are_drawn_by_weight() -> None:
    mix = Mix([(Numbers("a", 30), 1.0), (Numbers("b", 30), 3.0)], seed=0)
    count = Counter(mix[i][0] for i in range(4000))
    assert abs(count["b"] / 4000 - 0.75) < 0.03  # four standard deviations


def test_an_epoch_takes_every_sample_of_a_single_source_once_and_each_epoch_another_way() -> None:
    mix = Mix([(Numbers("a", 40), 0.2)], seed=0)
    first, second = ([mix[i][1] for i in range(start, start + 40)] for start in (0, 40))
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second and first != sorted(first)


def test_within_a_pass_no_sample_of_a_mixed_source_comes_twice() -> None:
    mix = Mix([(Numbers("a", 60), 1.0), (Numbers("b", 1000), 1.0)], seed=0)
    taken = [mix[i][1] for i in range(60) if mix[i][0] == "a"]
    assert 10 < len(taken) == len(set(taken))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_share_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="positive weights"):
        Mix([(Numbers("a", 3), 1.0), (Numbers("b", 3), weight)], seed=0)


def test_what_is_empty_is_refused() -> None:
    with pytest.raises(ValueError, match="0 sources"):
        Mix([], seed=0)
    with pytest.raises(ValueError, match="empty"):
        Mix([(Numbers("a", 3), 1.0), (Numbers("b", 0), 1.0)], seed=0)


def test_a_mix_knows_what_its_sources_call_things_or_some_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    some, other = Numbers("a", 7), Numbers("b", 7)
    some.names = ["mug", "apple"]  # type: ignore[attr-defined]
    assert Mix([(some, 1.0), (other, 1.0)], seed=0).names == ("apple", "mug")
    assert Mix([(other, 1.0)], seed=0).names == ()
    monkeypatch.setattr(mix, "MOST_NAMES", 4)
    some.names = [f"{i:02}" for i in range(9)]  # type: ignore[attr-defined]
    assert Mix([(some, 1.0)], seed=0).names == ("00", "03", "06")

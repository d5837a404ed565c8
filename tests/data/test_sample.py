"""Laws of samples: a place for each region, in order; user and assistant take turns."""

from __future__ import annotations

import pytest

from perceptiongpt.core.answer import Region
from perceptiongpt.data.sample import Sample, Turn

BOX = Region(box=(0, 0, 4, 4))


@pytest.mark.parametrize(
    ("text", "n"),
    [("It is {0}.", 0), ("It is.", 1), ("{1}{0}", 2), ("{0}{0}", 2), ("{0}{2}", 2), ("{0}", 2)],
)
def test_places_that_do_not_fit_the_regions_are_refused_with_both_numbers(text: str, n: int) -> None:
    with pytest.raises(ValueError, match=rf"{n} regions but places"):
        Turn("assistant", text, (BOX,) * n)


@pytest.mark.parametrize(("text", "n"), [("None.", 0), ("{0}", 1), ("A dog{0} and cats{1}{2}.", 3)])
def test_places_in_reading_order_are_kept(text: str, n: int) -> None:
    assert len(Turn("assistant", text, [BOX] * n).regions) == n


@pytest.mark.parametrize(
    "roles", [(), ("user",), ("assistant", "user"), ("user", "user"), ("user", "assistant", "user")]
)
def test_turns_out_of_turn_are_refused(roles: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="wanted user, assistant"):
        Sample(None, tuple(Turn(role, "Hello.") for role in roles))


def test_a_dialogue_of_several_questions_is_one_sample() -> None:
    turns = [Turn("user", "Where?"), Turn("assistant", "Here{0}.", (BOX,))] * 3
    sample = Sample(None, turns, "a", {"n": 3})
    assert len(sample.turns) == 6 and isinstance(sample.turns, tuple)

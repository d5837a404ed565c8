"""What is learnt in which stages, by what the data holds and where training begins."""

from __future__ import annotations

from typing import Any

from perceptiongpt.core.answer import Region
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.data.shapes import shapes
from perceptiongpt.recipe import ANY, LEAST, MOST, Held, stages

PACKAGED: dict[str, Any] = {"points": True, "read_window": 12, "trained_host_modules": ["model.multi_modal_projector"]}


def aims(held: Held = ANY, settings: dict[str, Any] = PACKAGED, **how: Any) -> list[str]:
    return [s.aim for s in stages(held, settings, **{"fresh": False, **how})]


def test_new_names_come_before_the_whole_where_they_can() -> None:
    assert aims() == ["name", "words", "all"]
    assert aims(Held(named=False)) == ["words", "all"]
    assert aims(Held(named=False, pointed=False)) == ["all"]
    assert aims(settings={**PACKAGED, "trained_host_modules": ()}) == ["words", "all"]
    assert aims(settings={**PACKAGED, "points": False}) == ["all"]
    assert aims(tune="frozen") == ["words", "all"]
    assert aims(fresh=True) == aims(at_once=True) == ["all"]


def test_steps_follow_the_number_of_pictures_or_what_was_told() -> None:
    def steps(pictures: float, **how: Any) -> int:
        return sum(s.steps for s in stages(Held(pictures), PACKAGED, fresh=False, **how) if s.aim != "name")

    assert [steps(n) for n in (3, 200, float("inf"))] == [LEAST, 200, MOST]
    assert [steps(200, steps=n) for n in (1, 4, 77)] == [1, 4, 77]


def test_every_flag_reaches_every_stage() -> None:
    one, two = (stages(ANY, PACKAGED, fresh=False, times=t, batch=2, accumulate=3) for t in (1.0, 2.0))
    assert [s.batch for s in one] == [8, 2, 2]
    assert all(s.accumulate == 3 for s in one)
    for a, b in zip(one, two, strict=True):
        assert {k: 2 * v for k, v in vars(a.rates).items()} == vars(b.rates)
    for s in stages(ANY, PACKAGED, fresh=False, tune="frozen"):
        assert (s.rates.host, s.rates.adapter, s.rates.vision) == (0, 0, 0)


def test_what_data_holds_is_told_from_samples() -> None:
    drawn = Held.of([shapes(5, 0)])
    assert drawn == Held(5, True, True)
    talk = [Sample(None, (Turn("user", "a"), Turn("assistant", "b")))]
    assert Held.of([talk]) == Held(1, False, False)
    unnamed = [Sample(None, (Turn("user", "a"), Turn("assistant", "b{0}", (Region(box=(0, 0, 1, 1)),))))]
    assert Held.of([talk, unnamed]) == Held(2, False, True)

"""Laws of learning to refine outlines: spoilt masks are of one thing, and nothing else learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.outlines import Outlines, spoilt

Make = Callable[..., Any]
SIDE = 16


def kept(model: Any, sample: Make, batch: Make) -> Outlines:
    said = [sample(said=["box+mask", "mask"]), sample(seed=3, said=["mask"], shown=["mask"])]
    made = Outlines.of([Outlines.look(model, batch(model, said))])
    assert isinstance(made, Outlines)
    return made


def two_things(x: int, y: int, wide: int, high: int) -> torch.Tensor:
    """Whose each place is: thing 4 a rectangle, thing 9 what lies right of it, nobody's else."""
    owner = torch.full((SIDE, SIDE), -1)
    owner[y : y + high, x + wide :] = 9
    owner[y : y + high, x : x + wide] = 4
    return owner


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(1, 8), st.integers(1, 8), st.integers(0, 10_000))
def test_spoilt_masks_are_shares_and_keep_something_of_the_thing(
    x: int, y: int, wide: int, high: int, seed: int
) -> None:
    torch.manual_seed(seed)
    owner = two_things(x, y, wide, high)
    made = spoilt(owner == 4, owner, torch.randn(6, SIDE // 2, SIDE // 2))
    assert made.shape == (SIDE, SIDE) and float(made.min()) > 0 and float(made.max()) < 1


def test_masks_are_spoilt_in_many_ways_and_the_same_seed_gives_the_same() -> None:
    owner = two_things(3, 3, 5, 6)
    true, cells = owner == 4, torch.randn(6, SIDE // 2, SIDE // 2)

    def some() -> list[torch.Tensor]:
        torch.manual_seed(0)
        return [spoilt(true, owner, cells) > 0.5 for _ in range(80)]

    made = some()
    assert all(torch.equal(a, b) for a, b in zip(made, some(), strict=True))
    assert any(torch.equal(m, true) for m in made)  # left alone
    lost = [m for m in made if (true & ~m).sum() > 5 and not (m & ~true).any()]
    neighbours = [m for m in made if (m & (owner == 9)).sum() > 5 and not (m & (owner == -1)).any()]
    around = [m for m in made if (m & (owner == -1)).any()]
    assert min(map(len, (lost, neighbours, around))) >= 3


def test_two_looks_are_spoilt_alike_or_each_by_itself(
    equipped: Make, sample: Make, batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = equipped(tells_apart=True, looks_closer=True, refines=True, read_window=4)
    pictures, given = kept(model, sample, batch), list[bool]()
    refine = model.decoder.outline.forward

    def telling(masks: torch.Tensor, others: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        given.extend(torch.equal(a, b) for a, b in zip(masks, others, strict=True))
        return refine(masks, others, *rest)

    monkeypatch.setattr(model.decoder.outline, "forward", telling)
    torch.manual_seed(0)
    for _ in range(30):
        pictures.loss(model, torch.tensor([0, 1]))
    assert len(given) == 60 and 5 < sum(given) < 40


def test_it_learns_and_nothing_else_does(equipped: Make, sample: Make, batch: Make) -> None:
    model = equipped(tells_apart=True, looks_closer=True, refines=True, read_window=4)
    choose_trainable(model, "outline")
    pictures = kept(model, sample, batch)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert trained and all(n.startswith("decoder.outline.") for n in trained)
    optimiser = torch.optim.Adam(trained.values(), 1e-2)
    costs = []
    torch.manual_seed(0)
    for _ in range(120):
        optimiser.zero_grad()
        loss = pictures.loss(model, torch.tensor([0, 1]))
        loss.backward()
        optimiser.step()
        costs.append(float(loss.detach()))
    assert {n for n, p in model.named_parameters() if p.grad is not None} == set(trained)
    assert sum(costs[-40:]) < 0.8 * sum(costs[:40])
    for aim in ("words", "talk", "all"):
        choose_trainable(model, aim)
        assert not any(p.requires_grad for n, p in model.named_parameters() if n in trained)


def test_a_share_of_the_pictures_costs_that_share_and_pictures_without_a_thing_nothing(
    equipped: Make, sample: Make, batch: Make
) -> None:
    model = equipped(tells_apart=True, looks_closer=True, refines=True, read_window=4)
    pictures = kept(model, sample, batch)
    costs = []
    for share in (None, {"pictures": 0.5}):
        torch.manual_seed(1)
        costs.append(float(pictures.loss(model, torch.tensor([0, 1]), share).detach()))
    assert costs[1] == pytest.approx(costs[0] / 2) and costs[0] > 0
    pictures.owner[0] = -1
    nothing = pictures.loss(model, torch.tensor([0]))
    nothing.backward()
    assert float(nothing.detach()) == 0
    pictures.loss(model, torch.tensor([0, 1])).backward()  # the other's alone


def test_without_what_refines_there_is_nothing_to_teach(equipped: Make) -> None:
    with pytest.raises(ValueError, match="outline: refines"):
        choose_trainable(equipped(tells_apart=True), "outline")


@pytest.mark.parametrize("alone", ["tells_apart", "looks_closer"])
def test_outlines_are_refined_only_where_things_are_told_apart_and_looked_at_closer(alone: str, equipped: Make) -> None:
    with pytest.raises(ValueError, match=r"refines is true, .*wanted all three"):
        equipped(refines=True, **{alone: True})

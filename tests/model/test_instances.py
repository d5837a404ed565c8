"""Laws of learning to tell things apart: kept pictures cost what looking again would, and nothing else learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from perceptiongpt.core.objective import parts
from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.instances import Instances

Make = Callable[..., Any]


def given(model: Any, sample: Make, batch: Make) -> Any:
    return batch(model, [sample(said=["box+mask", "mask"]), sample(seed=3, said=["mask"], shown=["mask"])])


def test_kept_pictures_cost_what_looking_again_would(equipped: Make, sample: Make, batch: Make) -> None:
    model = equipped(tells_apart=True).eval()
    one = given(model, sample, batch)
    looks = [Instances.look(model, one) for _ in range(2)]
    kept = Instances.of(looks)
    assert looks == [{}, {}]  # so that little is held twice
    assert len(kept) == 4 and kept.inside(torch.tensor([1, 3])).sum() == 4
    again = parts(model(one, language=False), one)["apart"]
    assert again > 0 and torch.allclose(kept.loss(model, torch.tensor([2, 3])), again, rtol=1e-2)  # kept in bfloat16
    assert kept.loss(model, torch.tensor([2, 3]), {"named": 0.5}) == kept.loss(model, torch.tensor([0, 1])) / 2


def test_it_learns_and_nothing_else_does(equipped: Make, sample: Make, batch: Make) -> None:
    model = equipped(tells_apart=True, read_window=4)
    choose_trainable(model, "apart")
    kept = Instances.of([Instances.look(model, given(model, sample, batch))])
    assert model.training and not model.host.training  # as it was found
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert trained and all(n.startswith("decoder.apart.") for n in trained)
    optimiser = torch.optim.Adam(trained.values(), 5e-3)
    costs = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = kept.loss(model, torch.tensor([0, 1]))
        loss.backward()
        optimiser.step()
        costs.append(float(loss.detach()))
    assert {n for n, p in model.named_parameters() if p.grad is not None} == set(trained)
    assert costs[-1] < costs[0] / 2
    for aim in ("words", "all"):  # and along with the rest
        choose_trainable(model, aim)
        assert all(p.requires_grad for n, p in model.named_parameters() if n in trained)


def test_without_what_tells_apart_there_is_nothing_to_teach(equipped: Make) -> None:
    with pytest.raises(ValueError, match="tells_apart"):
        choose_trainable(equipped(), "apart")


def test_pictures_without_things_or_of_many_sizes_are_refused(equipped: Make, sample: Make, batch: Make) -> None:
    model = equipped(tells_apart=True)
    with pytest.raises(ValueError, match="none of the pictures has a region with a mask"):
        Instances.of([Instances.look(model, batch(model, [sample(said=["box"])]))])
    many = equipped("qwen2_5_vl", tells_apart=True)
    with pytest.raises(ValueError, match="differ in size"):
        Instances.look(many, batch(many, [sample(said=["mask"])]))

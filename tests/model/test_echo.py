"""The laws of the echo: silent at birth, heard in a region's place and nowhere else, and told by region vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from perceptiongpt.core.slots import places

Make = Callable[..., Any]


def test_only_the_word_after_a_region_is_told_and_at_birth_none(
    family: str, equipped: Make, stir: Make, sample: Make, batch: Make
) -> None:
    model = stir(equipped(family, echoes=True, vis_tokens=2))
    given = batch(model, [sample(said=["box+mask", "box"], shown=["box"]), sample(said=["mask"])])
    after = places(given.input_ids, model.vis_id)[:, :-1][given.labels[:, 1:] != -100]
    assert after.any() and not after.all()
    with torch.no_grad():
        told = model(given).logits
        model.echo.tell.weight.zero_()
        silent = model(given)
        bare = stir(equipped(family, vis_tokens=2))
        bare.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("echo.")})
        assert torch.equal(silent.logits, bare(given).logits)
    moved = (told != silent.logits).any(-1)
    assert torch.equal(moved, after)


def test_a_fresh_one_is_silent(equipped: Make) -> None:
    model = equipped(echoes=True)
    assert not model.echo.tell.weight.any()
    assert equipped().echo is None


def test_it_hears_what_is_written_of_a_region(equipped: Make, stir: Make, sample: Make, batch: Make) -> None:
    model = stir(equipped(echoes=True, region_features=True, lora_targets="none"))
    given = batch(model, [sample(said=["box+mask"])])
    loss = model(given, regions=False).logits.square().mean()
    loss.backward()
    felt = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {"echo.tell.weight", "encoder.look.1.weight"} <= felt

"""Laws of reading ahead: whatever is expected, the answer is what it would have been; only calls are saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from perceptiongpt.model.generate import generate
from perceptiongpt.model.perception import PerceptionModel

Make = Callable[..., Any]
FIELDS = ("boxes", "masks", "points", "scores")


def drawn(model: PerceptionModel, asked: Any, picture: list[int], **how: Any) -> list[Any]:
    """The answers under the first drawn `<vis>` row with which the first says words, a region and words again."""
    for seed in range(300):
        with torch.no_grad():
            model.vis_row.copy_(torch.randn(model.vis_row.shape, generator=torch.Generator().manual_seed(seed)))
        said = generate(model, asked, model.see(asked.pixels), picture, max_new_tokens=10, **how)
        at = said[0].places
        if at and at[0] > 1 and at[-1] < len(said[0].ids) - 2:
            return said
    raise AssertionError("no drawn row makes the host talkative")


@pytest.mark.parametrize("grown", [{}, {"echoes": True, "read_layers": "fused", "vis_tokens": 2}])
def test_no_draft_changes_an_answer_and_a_right_one_saves_calls(
    family: str, grown: dict[str, Any], equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped(family, lora_targets="all", read_window=4, **grown))
    asked = prompts(model, [sample()])
    (plain,) = drawn(model, asked, [0])
    calls: list[int] = []
    model.call_counter = calls.append
    right, vis = plain.ids, model.vis_id
    other = [(i + 1) % 50 + 3 for i in right]
    drafts = [[], right, right[:1], right[:2] + other[2:], other, right + other, [vis, *right], [*right[:1], vis, vis]]
    spent = []
    for draft in drafts:
        calls.clear()
        (said,) = generate(model, asked, model.see(asked.pixels), [0], max_new_tokens=10, draft=draft)
        spent.append(len(calls))
        assert said.ids == plain.ids and said.places == plain.places
        for field in FIELDS:
            assert torch.allclose(getattr(said.regions, field), getattr(plain.regions, field), atol=1e-4), field
    assert max(spent) == spent[0], "a wrong draft costs no call more"
    if able(model, asked):
        assert spent[1] <= 1 + len(plain.places) * model.settings.vis_tokens < spent[0]
    else:
        assert set(spent) == {spent[0]}


def able(model: PerceptionModel, asked: Any) -> bool:
    """Whether this host takes back what it has read, and is told nothing beside embeddings."""
    looked = model.see(asked.pixels)
    seen = looked.read([0])
    with torch.inference_mode():
        beside = model.beside(asked, seen, model.embed(asked.input_ids, seen))
    return model.backbone.sliding_window is None and beside is None


def test_several_rows_and_models_that_ask_are_answered_without(
    equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped("llava", lora_targets="all"))
    asked = prompts(model, [sample(), sample(seed=1)])
    plain = drawn(model, asked, [0, 1])
    said = generate(model, asked, model.see(asked.pixels), [0, 1], max_new_tokens=10, draft=plain[0].ids)
    assert [s.ids for s in said] == [s.ids for s in plain]
    asking = stir(equipped("llava", ask={"network": "rvii", "replies": 2, "width": 16, "depth": 1}))
    asked = prompts(asking, [sample()])
    plain = generate(asking, asked, asking.see(asked.pixels), [0], max_new_tokens=6)
    said = generate(asking, asked, asking.see(asked.pixels), [0], max_new_tokens=6, draft=plain[0].ids)
    assert said[0].ids == plain[0].ids


def test_what_is_sampled_is_sampled_alike(equipped: Make, stir: Make, sample: Make, prompts: Make) -> None:
    model = stir(equipped("llava", lora_targets="all"))
    asked = prompts(model, [sample()])
    how = {"temperature": 0.7, "seed": 3, "max_new_tokens": 10}
    (plain,) = generate(model, asked, model.see(asked.pixels), [0], **how)
    (said,) = generate(model, asked, model.see(asked.pixels), [0], draft=plain.ids, **how)
    assert said.ids == plain.ids

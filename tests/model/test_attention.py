"""Laws of attention as products: it says what the fused kernel says, up to bfloat16's rounding, or steps aside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import AttentionInterface

from perceptiongpt.model import attention
from perceptiongpt.model.attention import PRODUCTS, attend_by_products, plain_attention, products
from perceptiongpt.predict import load

Make = Callable[..., Any]


def drawn(seed: int, rows: int, keys: int, group: int, places: int, seen: int, width: int) -> tuple[Tensor, ...]:
    """Query, key and value as hosts lay them out."""
    fresh = torch.Generator().manual_seed(seed)
    shapes = ((places, keys * group), (seen, keys), (seen, keys))
    return tuple(torch.randn(rows, *s, width, generator=fresh).bfloat16().transpose(1, 2) for s in shapes)


def exact(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, scaling: float) -> Tensor:
    q, k, v = (x.double() for x in (query, key, value))
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    return (q @ k.mT * scaling).masked_fill(~allowed, -torch.inf).softmax(-1).matmul(v).transpose(1, 2)


@torch.no_grad()
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.integers(1, 9), st.integers(0, 4)),
    st.sampled_from([4, 6]),
    st.sampled_from(["all", "causal", "mask", "row's mask"]),
    st.sampled_from([1, 50, 1 << 22]),
    st.integers(0, 99),
)
def test_products_of_any_shape_and_mask_are_attention(
    sizes: tuple[int, ...], width: int, may: str, at_once: int, seed: int
) -> None:
    rows, keys, group, places, before = sizes
    seen = places + (before if may != "causal" else 0)
    query, key, value = drawn(seed, rows, keys, group, places, seen, width)
    allowed = torch.ones(places, seen, dtype=torch.bool)
    if may == "causal":
        allowed = allowed.tril()
    if "mask" in may:
        allowed = torch.rand(1 if may == "mask" else rows, 1, places, seen) > 0.4
        allowed[..., 0] = True
    mask = allowed if "mask" in may else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "AT_ONCE", at_once)
        patch.setattr(attention, "FEW", 1)  # these are few places, too
        module = SimpleNamespace(is_causal=may == "causal", num_key_value_groups=group)
        said, none = products(module, query, key, value, mask, scaling=0.3)
    assert none is None and said.is_contiguous() and said.dtype == torch.bfloat16
    wanted = exact(query, key, value, allowed.expand(rows, 1, places, seen), 0.3)
    assert torch.allclose(said.double(), wanted, atol=0.05)


CASES = {
    "float32": lambda q, k, v: ((q.float(), k.float(), v.float(), None), {}),
    "an additive mask": lambda q, k, v: ((q, k, v, torch.rand(2, 1, 7, 7).bfloat16()), {}),
    "a mask for each head": lambda q, k, v: ((q, k, v, torch.rand(2, 6, 7, 7) < 0.9), {}),
    "a position's bias": lambda q, k, v: ((q, k, v, None), {"position_bias": torch.rand(2, 6, 7, 7).bfloat16()}),
    "a step": lambda q, k, v: ((q[:, :, :1], k, v, torch.rand(2, 1, 1, 7) < 0.9), {}),
    "more keys than causal places": lambda q, k, v: ((q[:, :, :4], k, v, None), {"is_causal": True}),
}


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_what_products_are_not_for_goes_to_the_fused_kernel(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "FEW", 1)  # so that it isn't for its few places
    given, how = CASES[case](*drawn(0, 2, 3, 2, 7, 7, 8))
    module = SimpleNamespace(is_causal=False, num_key_value_groups=2)
    said, fused = (f(module, *given, scaling=0.3, **how)[0] for f in (products, AttentionInterface()["sdpa"]))
    assert torch.equal(said, fused)


@torch.no_grad()
@pytest.mark.parametrize(("places", "few"), [(2, True), (attention.FEW, True), (attention.FEW + 1, False)])
def test_a_step_of_a_few_places_goes_to_the_fused_kernel_and_a_prompt_does_not(places: int, few: bool) -> None:
    query, key, value = drawn(0, 2, 3, 2, places, 40, 8)
    mask = torch.ones(2, 1, places, 40, dtype=torch.bool)
    module = SimpleNamespace(is_causal=False, num_key_value_groups=2)
    said, fused = (f(module, query, key, value, mask)[0] for f in (products, AttentionInterface()["sdpa"]))
    assert torch.equal(said, fused) == few and torch.allclose(said, fused, atol=0.05)


def test_where_a_gradient_is_wanted_and_where_rows_are_long_the_fused_kernel_answers() -> None:
    query, key, value = drawn(0, 1, 1, 1, 5, 5, 8)
    module = SimpleNamespace(is_causal=True)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        fused = AttentionInterface()["sdpa"](module, query, key, value, None)[0]
        patch.setattr(attention, "FEW", 1)
        patch.setattr(attention, "AT_MOST", 24)
        assert torch.equal(products(module, query, key, value, None)[0], fused)
    wanted = query.requires_grad_()
    products(module, wanted, key, value, None)[0].sum().backward()
    assert wanted.grad is not None and bool(wanted.grad.any())


@torch.no_grad()
def test_a_host_of_each_family_says_by_products_what_it_says_fused(
    family: str, equipped: Make, sample: Make, batch: Make
) -> None:
    model = equipped(family)
    given = batch(model, [sample(said=["box+mask"]), sample(seed=3, words="what")])
    whole = model(given).logits
    model.host.bfloat16()
    fused = model(given).logits.float()
    attend_by_products(model.host)
    assert model.host.config.get_text_config()._attn_implementation == PRODUCTS
    said = model(given).logits.float()
    assert not torch.equal(said, fused) and (said - fused).norm() < 0.02 * fused.norm()
    assert (said - whole).norm() < 1.5 * (fused - whole).norm()


def test_a_loaded_model_answers_by_products_unless_another_attention_is_named(model_folder: Path) -> None:
    ways = {None: PRODUCTS, "sdpa": "sdpa", "eager": "eager"}
    for asked, told in ways.items():
        host = load(model_folder, device="cpu", attention=asked).model.host
        assert {host.config._attn_implementation, host.config.vision_config._attn_implementation} == {told}


def test_plain_attention_is_the_fused_one_up_to_rounding_and_is_given_back(
    family: str, equipped: Make, sample: Make, batch: Make
) -> None:
    model = equipped(family)
    given = batch(model, [sample(said=["box+mask"]), sample(seed=3, words="what")])
    fused = model(given).logits
    with plain_attention(model.host):
        assert model.host.config.get_text_config()._attn_implementation == "eager"
        assert torch.allclose(model(given).logits, fused, atol=1e-5)
    assert model.host.config.get_text_config()._attn_implementation == "sdpa"
    assert torch.equal(model(given).logits, fused)

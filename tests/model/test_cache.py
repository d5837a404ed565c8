"""Laws of the cache: it is handed over by the word that the installed transformers takes, and so is filled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
import torch
from PIL import Image

from perceptiongpt.model.cache import cache_word
from perceptiongpt.model.perception import equip
from perceptiongpt.model.zoo import HOSTS
from perceptiongpt.predict import Eye


def older(inputs_embeds: Any, past_key_values: Any = None, **kwargs: Any) -> None: ...


def newer(inputs_embeds: Any, cache: Any = None, **kwargs: Any) -> None: ...


@wraps(newer)
def renamed(*args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("call", "word"), [(older, "past_key_values"), (newer, "cache"), (renamed, "cache")], ids=["5.23", "later", "5.24"]
)
def test_the_word_for_a_cache_is_the_one_that_a_call_takes(call: Callable[..., Any], word: str) -> None:
    assert cache_word(call) == word


# Plain attention, attention that looks ahead twice over, deep levels, rotary positions of three axes.
@pytest.mark.parametrize("host", ["llava", "gemma3", "paligemma", "qwen3_vl", "qwen2_5_vl"])
def test_answers_use_no_word_that_transformers_is_to_forget(host: str) -> None:
    model = equip(*HOSTS[host](), decoder_width=32, decoder_depth=1).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        Eye(model).look(Image.new("RGB", (40, 30), "teal")).ask("where is the red", max_new_tokens=3)


@torch.no_grad()
def test_a_cache_that_is_handed_over_is_filled() -> None:
    eye = equip(*HOSTS["llava"](), decoder_width=32, decoder_depth=1).eval().backbone
    cache, embeds = eye.cache(), eye.embed(torch.tensor([[3, 4, 5]]))
    eye.states(embeds, None, torch.arange(3)[None], cache)
    assert cache.get_seq_length() == 3

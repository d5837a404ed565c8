"""The language model's memory while it answers: keys and values with room to grow, so that a step copies nothing.

`transformers`' own cache lays out everything anew for each token. Knows caches only; for answering, not for training,
since what is written in place has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64  # tokens that are laid out in advance


class RoomyLayer(DynamicLayer):
    """One layer's keys and values [B, heads, T, d]: views of tensors that are longer than T."""

    keys: Tensor
    values: Tensor
    room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        room = self.room
        # What replaced the views (rows that left) is laid out anew.
        if room is None or end > room[0].shape[-2] or self.keys.data_ptr() != room[0].data_ptr():
            room = self.room = _roomy(self.keys, key_states, start), _roomy(self.values, value_states, start)
        for held, new in zip(room, (key_states, value_states), strict=True):
            held[..., start:end, :] = new
        self.keys, self.values = room[0][..., :end, :], room[1][..., :end, :]
        return self.keys, self.values


def _roomy(held: Tensor, new: Tensor, start: int) -> Tensor:
    """A tensor for `start` places that are held already, for new ones and for those to come."""
    made = new.new_empty(*new.shape[:2], start + new.shape[-2] + ROOM, new.shape[-1])
    if start:
        made[..., :start, :] = held
    return made


def empty_cache(config: Any) -> DynamicCache:
    """An empty cache for a language model of that configuration; with room to grow where no gradient is wanted."""
    cache = DynamicCache(config=config)
    if not torch.is_grad_enabled():
        cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def cache_word(call: Callable[..., Any]) -> str:
    """The argument by which `call` takes a cache: `cache` since transformers 5.24, `past_key_values` before.

    5.24 still takes the older word and warns, until 5.40 as it says; after that a call with `**kwargs` may pass it by.
    """
    return "cache" if "cache" in signature(call).parameters else "past_key_values"

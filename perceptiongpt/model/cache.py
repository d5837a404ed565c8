"""The language model's memory while it answers: keys and values with room to grow, so that a step copies nothing.

`transformers`' own cache lays out everything anew for each token. Knows caches only; for answering, not for training,
since what is written in place has no gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64  # tokens that are laid out in advance


class RoomyLayer(DynamicLayer):
    """One layer's keys and values [B, heads, T, d]: views of tensors that are longer than T."""

    room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        # Whatever replaced the views (rows that left, a crop) is laid out anew.
        mine = self.room is not None and self.keys.data_ptr() == self.room[0].data_ptr()
        if self.room is None or not mine or end > self.room[0].shape[-2]:
            shape = (*key_states.shape[:2], end + ROOM)
            old, new = (self.keys, self.values), (key_states, value_states)
            self.room = (torch.empty(0), torch.empty(0))
            self.room = tuple(n.new_empty(*shape, n.shape[-1]) for n in new)  # type: ignore[assignment]
            for laid, held in zip(self.room, old, strict=True) if start else ():
                laid[..., :start, :] = held
        keys, values = self.room
        keys[..., start:end, :] = key_states
        values[..., start:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values


def empty_cache(config: Any) -> DynamicCache:
    """An empty cache for a language model of that configuration; with room to grow where no gradient is wanted."""
    cache = DynamicCache(config=config)
    if not torch.is_grad_enabled():
        cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache

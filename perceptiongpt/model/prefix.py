"""What rows have in common is read once: the template and the picture, for all questions about that picture.

Knows places and caches. With causal attention the beginning of a row cannot feel what comes after it, so the states of
rows that begin alike are alike. Knows nothing of regions.

B rows, T tokens, P different beginnings, L tokens of a beginning, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from perceptiongpt.core.batch import Batch
from perceptiongpt.core.slots import places
from perceptiongpt.model.requests import Heard, refuse_holes


def shared(model: Any, batch: Batch, picture: Sequence[Any]) -> int:
    """How many tokens all rows begin with, their pictures among them; 0 where reading them once would save nothing.

    `picture` tells which rows show the same. Rows are padded on the left. Rows that ask (LMEye) are read in segments of
    their own, and hosts that look back a fixed number of places would count the holes that this leaves between
    beginning and rest.
    """
    ids, rows = batch.input_ids, len(picture)
    if len(set(picture)) == rows or model.backbone.sliding_window is not None:
        return 0
    pad = (batch.attention_mask == 0).sum(1)  # [B]
    at = pad[:, None] + torch.arange(ids.shape[1] - int(pad.max()) - 1, device=ids.device)  # one token is left to read
    begun = ids.gather(1, at)
    alike = ((begun == begun[:1]) & (begun < model.vis_id)).all(0)
    length = int(alike.long().cumprod(0).sum())
    pictured = places(ids, model.backbone.image_token_id)
    inside = places(begun[:, :length], model.backbone.image_token_id)
    asks = model.asker is not None and bool(places(ids, model.ask_id).any())
    return 0 if asks or int(pictured.sum()) != int(inside.sum()) else length


def follow(
    model: Any, batch: Batch, embeds: Tensor, position_ids: Tensor, picture: Sequence[Any], length: int, cache: Any
):
    """As `requests.listen` without requests, the first `length` tokens of each picture's rows read once: two calls."""
    first = {p: b for b, p in reversed(list(enumerate(picture)))}
    order = {p: n for n, p in enumerate(first)}
    device, pad = embeds.device, (batch.attention_mask == 0).sum(1)
    rows = torch.tensor(list(first.values()), device=device)
    at = pad[rows, None] + torch.arange(length, device=device)  # [P, L]
    begun = embeds[rows].gather(1, at.unsqueeze(-1).expand(-1, -1, embeds.shape[-1]))
    places_of = position_ids[..., rows, :]
    model.states(begun, None, places_of.gather(-1, at.expand(*places_of.shape[:-1], -1)), cache)
    cache.batch_select_indices(torch.tensor([order[p] for p in picture], device=device))
    start = int(pad.min()) + length
    columns = torch.arange(start, embeds.shape[1], device=device)
    rest = (columns >= (pad + length)[:, None]).to(batch.attention_mask.dtype)  # [B, T - start]
    mask = torch.cat([rest.new_ones(len(rest), length), rest], dim=1)
    refuse_holes(model.backbone, mask)
    states, layers = model.states(embeds[:, start:], mask, position_ids[..., start:], cache)
    none = torch.zeros(0, dtype=torch.long, device=device)
    return Heard(states, layers, embeds, mask, states.new_zeros(0, states.shape[-1]), none, None)

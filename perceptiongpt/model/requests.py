"""Asking in one pass: read up to `<ask>` keeping the cache, look, feed the K replies as one chunk, go on (LMEye, 2.3).

With causal attention nothing before a request can feel its reply, so each row is read in segments that end at its
requests, and no token is read twice. Rows need not ask at the same place: segments are laid left-padded side by side.
Knows places and caches; nothing of what a network does with a request (interactive.py).

B rows, T tokens, D width, K replies, R requests, L places of the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from perceptiongpt.core.batch import Batch
from perceptiongpt.core.slots import places, write


@dataclass(frozen=True, eq=False)
class Heard:
    """What the language model made of a batch, in the batch's own places, and what it asked on the way."""

    states: Tensor  # [B, T, D]: what the head reads
    layers: tuple[Tensor, ...]  # each [B, T, D]: what regions are read from
    embeds: Tensor  # [B, T, D], replies in their places
    mask: Tensor  # long [B, L]: which places of the cache hold a token
    requests: Tensor  # [R, D]: the states at <ask>, round by round
    owner: Tensor  # long [R]: whose they are
    looked: Tensor | None  # [R, n]: where each looked


def listen(
    model: Any,
    batch: Batch,
    embeds: Tensor,
    position_ids: Tensor,
    seen: Any,
    picture: Tensor,
    cache: Any = None,
    beside: Any = None,
) -> Heard:
    """Run the language model over embeddings [B, T, D], answering its requests on the way.

    `picture` long [B] says which of the pictures of `seen` each row asks about. A batch without requests costs one
    call, as if there were no asker. Raises ValueError for requests that cannot be answered.
    """
    asker, ids, attention = model.asker, batch.input_ids, batch.attention_mask
    asks = places(ids, model.ask_id)  # [B, T]
    if asker is None or not bool(asks.any()):
        whole = cache is not None or (beside is not None and beside.types is not None)
        states, layers = model.states(embeds, attention if whole else needed(attention), position_ids, cache, beside)
        none = torch.zeros(0, dtype=torch.long, device=ids.device)
        return Heard(states, layers, embeds, attention, states.new_zeros(0, states.shape[-1]), none, None)
    check(model, ids, picture)
    embeds = write(embeds, asks, asker.ask.expand(int(asks.sum()), -1))
    round_of = asks.long().cumsum(1) - asks.long()  # [B, T]: the requests before each token
    cache = model.backbone.cache() if cache is None else cache
    mask = attention.new_zeros(len(ids), 0)
    layers = ()
    states = embeds.new_zeros(embeds.shape)
    heard: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for number in range(int(round_of.max()) + 1):
        here = attention.bool() & (round_of == number)
        at = here.int().argsort(dim=1, stable=True)[:, -int(here.sum(1).max()) :]  # [B, l]: a row's tokens, at the end
        there = here.gather(1, at)
        mask = torch.cat([mask, there.to(mask.dtype)], dim=1)
        refuse_holes(model.backbone, mask)
        segment = embeds.gather(1, at.unsqueeze(-1).expand(-1, -1, embeds.shape[-1]))
        positions = position_ids.gather(-1, at.expand(*position_ids.shape[:-1], -1))
        told = None if beside is None else beside.at(at, number == 0)
        last, read = model.states(segment, mask, positions, cache, told)
        layers = layers or tuple(torch.zeros_like(states) for _ in read)
        states, layers = (
            _put(states, last, at, there),
            tuple(_put(a, r, at, there) for a, r in zip(layers, read, strict=True)),
        )
        rows = (there[:, -1] & asks.gather(1, at[:, -1:])[:, 0]).nonzero()[:, 0]
        if len(rows):
            request = last[rows, -1]
            replies, looked = asker.reply(request, seen.sources, picture[rows], int(ids.sum()) + number)
            hears = torch.zeros_like(asks).index_fill(0, rows, True) & (round_of == number + 1)
            embeds = write(embeds, hears & places(ids, model.reply_id), replies.flatten(0, 1))
            heard.append((request, rows, looked))
    seen_at = [looked for _, _, looked in heard if looked is not None]
    return Heard(
        states,
        layers,
        embeds,
        mask,
        torch.cat([r for r, _, _ in heard]),
        torch.cat([rows for _, rows, _ in heard]),
        torch.cat(seen_at) if seen_at else None,
    )


@dataclass(frozen=True, eq=False)
class Chunk:
    """K replies to requests that some rows said in mid-answer."""

    chunk: Tensor  # [B, K, D]
    there: Tensor  # bool [B, K]: True in the rows that asked
    states: Tensor  # [B, D]: after the last reply
    layers: list[Tensor]  # each [B, D]
    looked: Tensor | None  # [n, places]


def hear(
    model: Any, asks: list[int], states: Tensor, seen: Any, picture: Tensor, mask: Tensor, following: Tensor, cache: Any
) -> Chunk:
    """Answer the requests that the rows `asks` have just said, whose states [B, D] stand at `<ask>`: one call."""
    replies, looked = model.asker.reply(states[asks], seen.sources, picture[asks])
    chunk = states.new_zeros(len(states), replies.shape[1], states.shape[-1])
    chunk[asks] = replies.to(chunk.dtype)
    there = torch.zeros(chunk.shape[:2], dtype=torch.bool, device=chunk.device)
    there[asks] = True
    grown = torch.cat([mask, there.to(mask.dtype)], dim=1)
    refuse_holes(model.backbone, grown)
    at = following + torch.arange(replies.shape[1], device=following.device)  # [B, K]
    last, layers = model.states(chunk, grown, model.backbone.step_positions(at), cache)
    return Chunk(chunk, there, last[:, -1], [layer[:, -1] for layer in layers], looked)


def check(model: Any, ids: Tensor, picture: Tensor) -> None:
    """Count before anything is read: pictures, requests, and K reply places after each."""
    asks, replies, settings = places(ids, model.ask_id), places(ids, model.reply_id), model.asker.settings
    blind = (asks.any(1) & (picture < 0)).nonzero()[:, 0].tolist()
    if blind:
        raise ValueError(f"rows {blind} ask, but have no picture to look at; give one, or render them without <ask>")
    most = int(asks.sum(1).max())
    if most > settings.limit:
        raise ValueError(
            f"a row asks {most} times, the limit is {settings.limit}; ask less in one dialogue or raise ask.limit"
        )
    wanted = torch.zeros_like(asks)
    for k in range(1, settings.replies + 1):
        wanted[:, k:] |= asks[:, :-k]
    if int(replies.sum()) != int(asks.sum()) * settings.replies or not torch.equal(wanted, replies):
        raise ValueError(
            f"{int(replies.sum())} reply places for {int(asks.sum())} requests of {settings.replies} replies; "
            "put exactly those places after each <ask>"
        )


def refuse_holes(backbone: Any, mask: Tensor) -> None:
    """A host that looks back a fixed number of places counts holes [B, L] as tokens: then rows must ask together."""
    window = backbone.sliding_window
    if window is None or mask.shape[1] <= window:
        return
    holes = (mask.diff(dim=1) < 0).any(1).nonzero()[:, 0].tolist()
    if holes:
        raise ValueError(
            f"this host looks back {window} places only, and the rows {holes} do not ask where the others do; "
            "give rows whose requests stand at the same places, or one row at a time"
        )


def needed(attention_mask: Tensor) -> Tensor | None:
    """None for rows padded on the right: under causal attention no token feels what comes after it."""
    begins = bool((attention_mask[:, 0] == 1).all())
    return None if begins and bool((attention_mask.diff(dim=1) <= 0).all()) else attention_mask


def _put(whole: Tensor, part: Tensor, at: Tensor, there: Tensor) -> Tensor:
    """`whole` [B, T, D] with `part` [B, l, D] in the columns `at` where `there` [B, l]."""
    columns = at.unsqueeze(-1).expand(-1, -1, whole.shape[-1])
    return whole.scatter(1, columns, torch.where(there.unsqueeze(-1), part.to(whole.dtype), whole.gather(1, columns)))

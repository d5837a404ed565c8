"""How the host attends on a CPU, where plain products of matrices may be faster than torch's fused kernel.

Knows queries, keys, values and masks; nothing of pictures and of words. An implementation of `transformers`' attention
beside its own, which a host is told by name.

B rows, H heads, G of them to a key, T places that attend, S that are attended, D width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

PRODUCTS, FUSED = "products", "sdpa"
OTHERS = ("position_bias", "softcap", "s_aux", "cache")  # what some hosts' attention has besides
AT_ONCE = 1 << 22  # weights that are worked on at once, more only where one row has more: they stay in the cache
FEW = 16  # places of a step: a word, and what is read ahead of it
AT_MOST = 1 << 24  # weights of a row [H, T, S], beyond which they aren't laid out


def products(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **how: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention [B, T, H, D] of query [B, H, T, D] to key and value [B, H / G, S, D], as two products in their type.

    `attention_mask`: bool [B or 1, 1, T, S], true where it may look. Whatever is not answered on a CPU in bfloat16 goes
    to the fused kernel, and so do rows that would take much memory, and steps of a few places: oneDNN keeps a program
    of megabytes for each shape of a product, and steps have one each.
    """
    rows, heads, places, width = query.shape
    keys, seen = key.shape[1], key.shape[2]
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    causal = bool(causal) and attention_mask is None
    row = heads * places * seen
    if (
        query.device.type != "cpu"
        or query.dtype != torch.bfloat16
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or dropout
        or any(how.get(name) is not None for name in OTHERS)
        or not (attention_mask is None or (attention_mask.dtype == torch.bool and attention_mask.shape[1] == 1))
        or (causal and places != seen)
        or places <= FEW
        or row > AT_MOST
    ):
        fused: Any = AttentionInterface()[FUSED]
        out: tuple[Tensor, None] = fused(
            module, query, key, value, attention_mask, dropout, scaling, is_causal=is_causal, **how
        )
        return out
    group = heads // keys
    allowed = torch.ones(1, 1, places, seen, dtype=torch.bool).tril() if causal else attention_mask
    hidden = None
    if allowed is not None:  # added, not filled in: half the time; of the least number of all no weight is left
        hidden = torch.zeros(allowed.shape, dtype=query.dtype).masked_fill_(~allowed, torch.finfo(query.dtype).min)
        hidden = hidden.unsqueeze(2).expand(rows, -1, -1, -1, -1)
    some = max(1, AT_ONCE // row)
    made = query.new_empty(rows, places, heads, value.shape[-1])
    for at in (slice(start, start + some) for start in range(0, rows, some)):
        n = len(query[at])
        q, k, v = (x[at].reshape(n * keys, -1, x.shape[-1]) for x in (query, key, value))
        weights = torch.baddbmm(q.new_empty(1), q, k.mT, beta=0, alpha=width**-0.5 if scaling is None else scaling)
        if hidden is not None:
            weights.view(n, keys, group, places, seen).add_(hidden[at])
        made[at] = torch.bmm(weights.softmax(-1), v).view(n, heads, places, -1).transpose(1, 2)
    return made, None


AttentionInterface.register(PRODUCTS, products)
AttentionMaskInterface.register(PRODUCTS, AttentionMaskInterface()[FUSED])


def attend_by_products(host: Any) -> None:
    """From now on a host on a CPU whose attention is the fused one answers by `products`; any other stays as it is."""
    if _fused_on_cpu(host):
        host.set_attn_implementation(PRODUCTS)


@contextmanager
def plain_attention(host: Any) -> Iterator[None]:
    """The host with attention as plain products: on a CPU their gradient takes two thirds of the fused one's time."""
    if not _fused_on_cpu(host):
        yield
        return
    before = _told(host)
    host.set_attn_implementation("eager")
    try:
        yield
    finally:
        host.set_attn_implementation(before)


def _told(host: Any) -> dict[str, str]:
    """The implementation that a host's configuration names, by part; "" for the whole."""
    config = host.config
    parts = {part: getattr(config, part)._attn_implementation for part in config.sub_configs if hasattr(config, part)}
    return {**parts, "": config._attn_implementation}


def _fused_on_cpu(host: Any) -> bool:
    return set(_told(host).values()) == {FUSED} and next(host.parameters()).device.type == "cpu"

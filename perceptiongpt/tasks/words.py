"""The words just said as tokens of the decoders, and as one vector to be found among the image's cells.

A language model's state only hints at the words; their embeddings name the thing outright, in the very space that the
image tokens are taught to be named in (model/align.py). Beyond the paper, which reads the state alone. Knows no text.

N regions, W words, D width of the language model, C width of the decoders.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from perceptiongpt.core.slots import Words


class WordReader(nn.Module):
    """Input embeddings of the last W tokens -> those tokens seen together [N, W, C], and their phrase [N, D]."""

    def __init__(self, width: int, window: int, inner: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inner))
        self.place = nn.Parameter(torch.randn(window, inner) * 0.5)
        self.mix = nn.TransformerEncoderLayer(inner, 4, 2 * inner, dropout=0.0, batch_first=True, norm_first=True)
        self.weigh = nn.Linear(inner, 1, bias=False)
        self.recency = nn.Parameter(torch.linspace(-1.0, 1.0, window))  # the last words first, until taught otherwise

    def forward(self, words: Words) -> tuple[Tensor, Tensor]:
        """At least one word of each row must be there; there may be no rows."""
        vectors, absent = words.vectors.float(), ~words.there
        tokens = self.enter(vectors) + self.place  # [N, W, C]
        if len(tokens):  # torch's own attention can't reshape what holds nothing
            tokens = self.mix(tokens, src_key_padding_mask=absent)
        logits = self.weigh(tokens).squeeze(-1) + self.recency
        share = logits.masked_fill(absent, float("-inf")).softmax(-1)
        return tokens, torch.einsum("nw,nwd->nd", share, vectors)

"""What an answer will likely say, read ahead of its being said, so that its words cost no call each.

A call of a small language model takes nearly as long for one token as for ten. So the words that are expected are read
together with what comes before them, and each is still chosen from the state that it would have been chosen from: as
long as the answer says what was expected, the next state is there already; where it says something else, what was read
in vain is taken back from the cache. (Leviathan et al., 2023, arXiv 2211.17192, with a phrase for the small model.)
Knows tokens, states and caches; nothing of phrases, nor of how a word is chosen.

T tokens of a call, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from perceptiongpt.core.batch import Batch
from perceptiongpt.model.cache import RoomyLayer

State = tuple[Tensor, list[Tensor]]  # what the head reads and what regions are read from, each [B, D]


class Draft:
    """The words that one row will likely say, as ids without an end; `vis_id` among them where it points.

    A region's token is never read ahead: what is written in its place isn't known before it is said.
    """

    def __init__(self, words: Sequence[int], vis_id: int) -> None:
        self.words, self.vis_id = list(words), vis_id
        self.ahead: list[State] = []  # after each of the words that were read ahead, in order

    def run(self) -> list[int]:
        """The words that may be read ahead now: up to the next region."""
        return self.words[: self.words.index(self.vis_id)] if self.vis_id in self.words else self.words

    def longer(self, model: Any, prompts: Batch, embeds: Tensor) -> tuple[Batch, Tensor]:
        """Prompts and their embeddings [B, T, D] with what may be read ahead."""
        if not self.run():
            return prompts, embeds
        ids = torch.tensor([self.run()], device=embeds.device)
        there = prompts.attention_mask.new_ones(ids.shape)
        ids, there = torch.cat([prompts.input_ids, ids], 1), torch.cat([prompts.attention_mask, there], 1)
        return replace(prompts, input_ids=ids, attention_mask=there), self.after(model, embeds)

    def after(self, model: Any, embeds: Tensor) -> Tensor:
        """Embeddings [B, T, D] with those of what may be read ahead."""
        run = self.run()
        if not run:
            return embeds
        ids = torch.tensor([run], device=embeds.device)
        return torch.cat([embeds, model.embed_words(ids).to(embeds.dtype)], dim=1)

    def split(self, states: Tensor, layers: Sequence[Tensor]) -> State:
        """The states of a call [B, T, D] where it ends without what was read ahead; the later ones are kept."""
        last = states.shape[1] - len(self.run())
        at = [(states[:, i], [layer[:, i] for layer in layers]) for i in range(last - 1, states.shape[1])]
        now, *self.ahead = at
        return now

    def said(self, token: int, cache: Any) -> State | None:
        """The states after a word that was said, if it was read ahead; else the cache holds only what was said before.

        An answer that says something else is expected to say nothing.
        """
        expected = self.words[:1] == [token]
        self.words = self.words[1:] if expected else []
        if expected and self.ahead:
            return self.ahead.pop(0)
        if self.ahead:
            cache.crop(-len(self.ahead))
            self.ahead = []
        return None


def drafted(model: Any, words: Sequence[int], prompts: Batch, beside: Any, cache: Any) -> Draft:
    """A draft of these words, or of none where reading ahead isn't possible: for several rows, for hosts that are told
    something beside embeddings or whose memory can't be taken back, and for models that ask."""
    one = len(prompts.input_ids) == 1 and bool(prompts.attention_mask.all())
    forgets = model.backbone.sliding_window is None and all(type(layer) is RoomyLayer for layer in cache.layers)
    able = one and forgets and beside is None and model.asker is None
    return Draft(words if able else (), model.vis_id)

"""What a frozen host makes of questions up to `<ask>`, kept: asking is trained and tested without doing it anew.

With the host and the static mapping frozen, as in LMEye's second stage, the cache of everything before a request and
the tower's layers are constants: only `<ask>`, its replies and the answer pass through the language model at each step,
about four times fewer tokens and no picture. The numbers are those of training whole rows; tests compare them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 15.0  # of cosines


@dataclass
class Row:
    """One question: its picture's number, the kept cache of its prompt, and the answer's ids."""

    picture: int
    past: Tensor  # [layers, 2, heads, T, d]
    answer: list[int]
    sample: Any  # the picture, the question and its answer: a dialogue of one
    meta: dict[str, Any] = field(default_factory=dict)
    request: Tensor | None = None  # [D]: the state at <ask>


class Kept:
    """Questions about pictures with what the frozen parts of `model` made of them: its host and its static mapping.

    The mean of the tower's layers is kept, too, as the static mapping learnt it.
    """

    def __init__(self, model: Any, samples: Sequence[Any], size: int = 16) -> None:
        from perceptiongpt.data.collate import collate
        from perceptiongpt.data.render import Renderer
        from perceptiongpt.data.sample import Sample

        renderer = Renderer(model.backbone.processor, **model.spelling())
        self.rows: list[Row] = []
        self.embeddings: Tensor | None = None  # [answers, D]
        self.texts: dict[str, int] = {}
        cells: list[Tensor] = []
        maps: list[Tensor] = []
        picture = -1
        for start in range(0, len(samples), size):
            some = samples[start : start + size]
            asked = [
                (n, Sample(s.image, s.turns[i : i + 2], s.id), {"kind": kind, "answers": answers})
                for n, s in enumerate(some)
                for i, kind, answers in _questions(s)
            ]
            views = collate([Sample(s.image, s.turns[:2], s.id) for s in some], renderer, model.backbone, _rng())
            with torch.inference_mode(), _autocast(model):
                look = model.backbone.look(views.pixels)
                seen = model.prepare(look, {})
                maps.append(model.asker.static.fusion(look.layers).to(look.cells.dtype))
                cells.append((model.asker.static(look.layers) * model.asker.scale).float())
                for first in range(0, len(asked), 2 * size):
                    part = asked[first : first + 2 * size]
                    batch = collate([s for _, s, _ in part], renderer, _Blind(model.backbone), _rng())
                    self._keep(model, batch, part, seen, picture + 1)
            picture += len(some)
        self.cells, self.maps = torch.cat(cells).clone(), torch.cat(maps).clone()

    def _keep(self, model: Any, batch: Any, part: Sequence[Any], seen: Any, base: int) -> None:
        """The prompts of a batch up to `<ask>`, read once."""
        ids, request = batch.input_ids, model.spelling()["request"]
        ends = (ids == request[0]).int().argmax(1).tolist()
        embeds = model.embed(ids, seen.read([n for n, _, _ in part]))[:, : max(ends)]
        cache = model.backbone.cache()
        positions = torch.arange(max(ends)).expand(len(ids), -1)
        model.backbone.states(embeds, None, positions, cache)  # padded on the right: nothing feels it
        past = torch.stack([torch.stack((layer.keys, layer.values), 1) for layer in cache.layers], 1)
        for i, ((n, sample, meta), end) in enumerate(zip(part, ends, strict=True)):
            taught = batch.labels[i][batch.labels[i] != -100].tolist()
            self.rows.append(Row(base + n, past[i, :, :, :, :end].clone(), taught, sample, meta))

    def batches(self, size: int, seed: int) -> Iterator[list[Row]]:
        """Rows for ever, `size` at a time: pictures in another order at each pass, a picture's questions together."""
        of: dict[int, list[Row]] = {}
        for row in self.rows:
            of.setdefault(row.picture, []).append(row)
        rng, waiting = np.random.default_rng((seed, 3)), list[Row]()
        while True:
            for picture in rng.permutation(len(of)):
                waiting += of[int(picture)]
                while len(waiting) >= size:
                    yield waiting[:size]
                    waiting = waiting[size:]

    def sources(self, model: Any, pictures: Sequence[int]) -> Tensor | None:
        """What requests about these pictures look at [P, n, d]."""
        asker = model.asker
        if asker.settings.arm == "constant":
            return None
        source = self.maps if asker.fusion is not None else self.cells.permute(0, 2, 3, 1)
        with _autocast(model, False):  # as the model's own look
            return asker.network.prepare(source[torch.as_tensor(pictures)].float())

    def opened(self, model: Any, rows: Sequence[Row], seed: int | None = None) -> tuple[Any, ...]:
        """The cache, mask [B, T + 1] and next places [B, 1] after `<ask>`, the replies, and where each looked."""
        request, cache, mask, following = self._asking(model, rows)
        pictures = sorted({r.picture for r in rows})
        which = torch.tensor([pictures.index(r.picture) for r in rows])
        replies, looked = model.asker.reply(request, self.sources(model, pictures), which, seed)
        return cache, mask, following, replies, looked

    def _asking(self, model: Any, rows: Sequence[Row]) -> tuple[Any, ...]:
        """The states at `<ask>` [B, D]; the cache, mask [B, T + 1] and next places [B, 1] after it."""
        backbone = model.backbone
        lengths = torch.tensor([r.past.shape[3] for r in rows])
        longest = int(lengths.max())
        past = torch.stack([F.pad(r.past, (0, 0, longest - r.past.shape[3], 0)) for r in rows], 2)
        cache = backbone.cache()
        for number, (keys, values) in enumerate(past.unbind(0)):
            cache.update(keys, values, number)
        mask = (torch.arange(longest + 1) >= longest - lengths[:, None]).long()
        ask = model.asker.ask.to(backbone.dtype).expand(len(rows), 1, -1)
        states, _ = backbone.states(ask, mask, lengths[:, None], cache)
        return states[:, -1], cache, mask, lengths[:, None] + 1

    @torch.inference_mode()
    def ask(self, model: Any, size: int = 64) -> None:
        """Keep the state at `<ask>` of every row, as it is while the vector of `<ask>` stays what it is."""
        states = [self._asking(model, self.rows[i : i + size])[0] for i in range(0, len(self.rows), size)]
        for row, state in zip(self.rows, torch.cat(states).float().clone(), strict=True):
            row.request = state

    def replies(self, model: Any, rows: Sequence[Row], seed: int | None = None) -> Tensor:
        """What the network says to kept requests [N, K, D], the language model not asked; of (a) the static tokens."""
        pictures = sorted({r.picture for r in rows})
        which = torch.tensor([pictures.index(r.picture) for r in rows])
        if model.asker.settings.arm == "static":
            tokens = model.asker.static.tokens(self.maps[torch.tensor(pictures)].float())  # [P, D, s, s]
            return tokens.flatten(2).transpose(1, 2)[which]
        if model.asker.settings.arm == "full":
            requests = torch.stack([r.request for r in rows if r.request is not None])
        else:  # nobody feels them
            requests = torch.zeros(len(rows), model.backbone.width)
        return model.asker.reply(requests, self.sources(model, pictures), which, seed)[0]

    def likeness(self, model: Any, rows: Sequence[Row], seed: int) -> Tensor:
        """Cross-entropy of the right answer among all that were ever given, by the cosine of its embedding and the
        mean reply: what `naming` is for image tokens (model/align.py), for replies. No language model runs."""
        if self.embeddings is None:
            texts = sorted({r.meta["answers"][0] for r in self.rows})
            encode = model.backbone.processor.tokenizer.encode
            with torch.no_grad():
                found = [model.backbone.embed(torch.tensor(encode(t, add_special_tokens=False))).float() for t in texts]
                means = torch.stack([f.mean(0) for f in found])
            self.texts = {text: i for i, text in enumerate(texts)}
            self.embeddings = F.normalize(means - means.mean(0), dim=-1)
        replies = self.replies(model, rows, seed).mean(1)
        right = torch.tensor([self.texts[r.meta["answers"][0]] for r in rows])
        return F.cross_entropy(SHARPNESS * F.normalize(replies, dim=-1) @ self.embeddings.T, right)

    def loss(self, model: Any, rows: Sequence[Row], seed: int) -> Tensor:
        """Cross-entropy of the answers' tokens, given the replies."""
        backbone = model.backbone
        with _autocast(model):
            cache, mask, following, replies, _ = self.opened(model, rows, seed)
            longest = max(len(r.answer) for r in rows)
            ids = torch.tensor([[*r.answer, *[-100] * (longest - len(r.answer))] for r in rows])
            embeds = torch.cat([replies.to(backbone.dtype), backbone.embed(ids[:, :-1].clamp(min=0))], 1)
            mask = torch.cat([mask, mask.new_ones(embeds.shape[:2])], 1)  # what fills a row comes after it
            states, _ = backbone.states(embeds, mask, following + torch.arange(embeds.shape[1]), cache)
            states = states[:, replies.shape[1] - 1 :]
            return F.cross_entropy(model.head(states[ids != -100]), ids[ids != -100])

    def whole_loss(self, model: Any, rows: Sequence[Row], seed: int) -> Tensor:
        """The same where nothing before the answer is kept, since the static mapping learns: whole rows, pictures too.

        The same number as `loss`, where both can be had.
        """
        from perceptiongpt.data.collate import collate
        from perceptiongpt.data.render import Renderer

        renderer = Renderer(model.backbone.processor, **model.spelling())
        batch = collate([r.sample for r in rows], renderer, model.backbone, np.random.default_rng(seed))
        with _autocast(model):
            whole = model(batch)
            return F.cross_entropy(whole.logits, whole.targets)

    @torch.inference_mode()
    def answers(self, model: Any, rows: Sequence[Row], most: int = 8) -> tuple[list[str], list[Tensor]]:
        """What is said greedily to each question, as the predictor would, and where each request looked."""
        from perceptiongpt.model.generate import end_tokens, silent_tokens

        backbone, ends, silent = model.backbone, end_tokens(model), silent_tokens(model)
        with _autocast(model, False):
            cache, mask, following, replies, looked = self.opened(model, rows)
            embeds, said = replies.to(backbone.dtype), [list[int]() for _ in rows]
            live = torch.ones(len(rows), dtype=torch.bool)
            for _ in range(most):
                mask = torch.cat([mask, mask.new_ones(embeds.shape[:2])], 1)
                states, _ = backbone.states(embeds, mask, following + torch.arange(embeds.shape[1]), cache)
                following = following + embeds.shape[1]
                logits = model.head(states[:, -1])
                logits[:, silent] = float("-inf")
                logits[:, model.vis_id :] = float("-inf")
                chosen = logits.argmax(-1)
                live &= ~torch.isin(chosen, torch.tensor(sorted(ends)))
                if not live.any():
                    break
                for i in live.nonzero()[:, 0].tolist():
                    said[i].append(int(chosen[i]))
                embeds = backbone.embed(chosen.unsqueeze(1))
        decode = model.backbone.processor.tokenizer.decode
        return [decode(ids, skip_special_tokens=True).strip() for ids in said], [] if looked is None else list(looked)


class _Blind:
    """An eye that makes the places of pictures but not their pixels: those have been looked at."""

    def __init__(self, eye: Any) -> None:
        self.canvas, self.spelled = eye.canvas, eye.spelled

    def pixels(self, views: Sequence[Any]) -> dict[str, Tensor]:
        return {}


def _questions(sample: Any) -> list[tuple[int, str, list[str]]]:
    """Where each question of a dialogue begins, its kind and its right answers."""
    taught = [[turn.text] for turn in sample.turns[1::2]]
    right = sample.meta.get("right", taught)
    return [(2 * k, kind, right[k]) for k, kind in enumerate(sample.meta["kinds"])]


def _autocast(model: Any, on: bool = True) -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled=on and model.backbone.dtype == torch.bfloat16)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)

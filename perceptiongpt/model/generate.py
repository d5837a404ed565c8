"""Answering: a cached, batched decoding loop that reads regions where `<vis>` is said and feeds them back.

`<vis>` adds no language-model call: its region is decoded from the state that predicted it, and the encoded region is
the embedding of the very next step. Knows tokens and states; knows no pixels (predict.py) and no phrases.

B rows, T prompt tokens, D width, V vocabulary, K tokens a region.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers.generation.logits_process import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from perceptiongpt.core.batch import Batch, Regions
from perceptiongpt.core.slots import Words, places, since_region, write
from perceptiongpt.model.draft import drafted
from perceptiongpt.model.perception import PerceptionModel
from perceptiongpt.model.pointing import Heard, Pointing, Spelled
from perceptiongpt.model.prefix import follow, shared
from perceptiongpt.model.requests import hear, listen
from perceptiongpt.model.seen import Seen

MOST_REGIONS = 32  # of one answer, unless told


@dataclass(frozen=True, eq=False)
class Spoken:
    """One answer: its tokens without the end, and a region for each place where one was said."""

    ids: list[int]
    places: list[int]  # index into ids of each region's last token
    regions: Regions
    pictures: list[int] = field(default_factory=list)  # for each region, which of `seen` it lies in
    timings: dict[str, float] = field(default_factory=dict)  # seconds of the whole batch: prefill, decode, heads
    looked: list[Tensor] = field(default_factory=list)  # of each request: [n], how it looked over the picture
    heard: list[Heard] = field(default_factory=list)  # of each region, what it was decoded from
    shades: list[Tensor] = field(default_factory=list)  # and its colours as the echo hears them, each [D]; may be zeros

    def breaths(self, k: int) -> list[int]:
        """Of each region, of k tokens each, the first one that was said with it in one breath."""
        first: list[int] = []
        for n, place in enumerate(self.places):
            first.append(first[-1] if n and place == self.places[n - 1] + k else n)
        return first

    def beside(self, n: int, k: int) -> list[int]:
        """The other regions, of k tokens each, that were said in one breath with region n and lie in its picture."""
        breaths = self.breaths(k)
        return [m for m, b in enumerate(breaths) if m != n and b == breaths[n] and self.pictures[m] == self.pictures[n]]


@torch.inference_mode()
def generate(
    model: PerceptionModel,
    prompts: Batch,
    seen: Seen,
    picture: Sequence[int | Sequence[int]],
    *,
    max_new_tokens: int = 64,
    max_regions: int = MOST_REGIONS,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
    feedback: bool = True,
    more: float = 0.0,
    alike: float = 0.0,
    draft: Sequence[int] = (),
    several: Sequence[bool] = (),
) -> list[Spoken]:
    """Answer left-padded prompts about the pictures of `seen`; `picture[b]` is row b's picture, -1 for text alone.

    It may be several, in the order in which the row shows them: a region is then looked for in each, and lies in that
    where its score is highest; requests look at the last.

    Greedy at temperature 0, else sampled with `seed`. `feedback=False` writes an empty region instead of the decoded
    one (an ablation). In a model that enumerates (`model.pointing`): `more`, the score, as a logit, that a further
    thing needs, and `alike`, what that gains by looking like those before it. `draft`: what the answer to a single
    prompt will likely say, as ids (`model.draft`); it makes it faster and never another one. `several`: which rows ask
    for several things, which a model that tells things apart does there; none, unless told. Raises ValueError for
    prompts padded on the right and for pictures that do not exist.
    """
    mine = [[i] * (i >= 0) if isinstance(i, int) else list(i) for i in picture]  # each row's pictures
    _check(prompts, seen, mine)
    asks_of = [row[-1] if row else -1 for row in mine]  # what requests look at; -1: no picture
    backbone, k = model.backbone, model.settings.vis_tokens
    device = backbone.device
    prompts = prompts.to(device)
    clock = {"prefill": 0.0, "decode": 0.0, "heads": 0.0}
    rows = len(prompts.input_ids)
    owner = torch.as_tensor(asks_of, dtype=torch.long, device=device)
    warp = _warpers(temperature, top_p)
    generator = torch.Generator(device).manual_seed(seed) if seed is not None else None
    silent = torch.tensor(silent_tokens(model), device=device)
    ends = end_tokens(model)
    limit = 0 if model.asker is None else model.asker.settings.limit

    started = time.perf_counter()
    looked = seen.read([i for row in mine for i in row])
    embeds = model.embed(prompts.input_ids, looked)
    slot = places(prompts.input_ids, model.vis_id)
    embeds = write(embeds, slot, model.spell(model.encode(prompts, seen)))
    cache = backbone.cache()
    beside = model.beside(prompts, looked, embeds)
    expected = drafted(model, draft, prompts, beside, cache)
    length = prompts.input_ids.shape[1]
    prompts, embeds = expected.longer(model, prompts, embeds)
    position_ids, following = backbone.positions(prompts.input_ids, prompts.attention_mask, looked.grids)
    following = following - len(expected.run())
    of = [tuple(row) for row in mine]
    same = 0 if beside is not None else shared(model, prompts, of)
    if same:
        heard = follow(model, prompts, embeds, position_ids, of, same, cache)
    else:
        heard = listen(model, prompts, embeds, position_ids, seen, owner, cache, beside)
    states, layers = expected.split(heard.states, heard.layers)  # [B, D]
    embeds, mask = heard.embeds[:, :length], heard.mask[:, : heard.mask.shape[1] - len(expected.run())]
    whole = bool(mask.all())  # no padding and no holes: attention needs no mask
    clock["prefill"] = time.perf_counter() - started

    ids: list[list[int]] = [[] for _ in range(rows)]
    at: list[list[int]] = [[] for _ in range(rows)]
    pointing = Pointing(model, seen, mine, feedback, more, alike, several)
    w = max(1, model.settings.read_window)
    recent, marks = embeds[:, -w:], slot[:, -w:]  # what was said last: [B, W, D] and which of it was regions
    there = prompts.attention_mask[:, :length][:, -w:].bool()
    glances = [[] if heard.looked is None else list(heard.looked[heard.owner == b]) for b in range(rows)]
    asked = places(prompts.input_ids, model.ask_id).sum(1).tolist()
    live = list(range(rows))  # rows that still speak; the tensors of the loop hold these alone, in this order
    for step in range(max_new_tokens):
        started = time.perf_counter()
        last = step + 1 == max_new_tokens
        logits = model.head(states)  # [B, V + new]
        logits.index_fill_(1, silent, float("-inf"))
        never = [
            (
                begun := bool(pointing.waiting[b]),  # a region once begun is said whole
                not begun
                and (len(at[b]) >= max_regions or asks_of[b] < 0 or step + k > max_new_tokens or pointing.ended[b]),
                model.asker is not None and (begun or asks_of[b] < 0 or asked[b] >= limit or last),
                model.locations is not None and asks_of[b] < 0,
            )
            for b in live
        ]
        if any(map(any, never)):
            words, vis, ask, locations = torch.tensor(never, device=device).unsqueeze(-1).unbind(1)
            column = torch.arange(logits.shape[1], device=device)
            forbidden = (words & (column < model.vis_id)) | (vis & (column == model.vis_id))
            forbidden |= (ask & (column == model.ask_id)) | (locations & (column > model.ask_id))
            logits.masked_fill_(forbidden, float("-inf"))
        chosen = _choose(logits, warp, generator)  # [B]
        told = chosen.tolist()  # the one word from the device that each step waits for
        clock["decode"] += time.perf_counter() - started

        started = time.perf_counter()
        says = [(i, b) for i, b in enumerate(live) if told[i] == model.vis_id]
        vectors: dict[int, Spelled] = {}  # what is fed next instead of a word, and what the echo hears
        none = set[int]()  # what was begun and is none is not said
        if says:
            read_from = model.fuse([layer[[i for i, _ in says]] for layer in layers])  # [n, D]
            phrase = Words(recent, there & since_region(marks)).at(torch.tensor([i for i, _ in says], device=device))
            fed, whole_ones = pointing.said([b for _, b in says], read_from, phrase)
            vectors = {i: fed[b] for i, b in says}
            none = {i for i, b in says if pointing.ended[b]}
            for b in whole_ones:
                at[b].append(len(ids[b]))
            for i in none:
                del ids[live[i]][len(ids[live[i]]) - (k - 1) :]
        pointing.over([b for i, b in enumerate(live) if told[i] != model.vis_id])
        clock["heads"] += time.perf_counter() - started

        started = time.perf_counter()
        stay = [i for i in range(len(live)) if told[i] not in ends]
        for i in stay:
            if i not in none:
                ids[live[i]].append(told[i])
        if not stay or last:
            break
        embeds = model.embed_words(chosen.unsqueeze(1))  # [B, 1, D]
        asks = [i for i in stay if told[i] == model.ask_id]
        if model.asker is not None:
            vectors.update({i: (model.asker.ask, model.asker.ask) for i in asks})
        echoed = embeds[:, 0].clone()  # [B, D]
        if vectors:
            written, hears = (torch.stack(of).to(embeds.dtype) for of in zip(*vectors.values(), strict=True))
            embeds[list(vectors), 0], echoed[list(vectors)] = written, hears
        if len(stay) < len(live):  # whoever is done costs nothing more
            kept = torch.tensor(stay, device=device)
            cache.batch_select_indices(kept)
            embeds, echoed, mask, recent, there, marks, following, chosen = (
                t[kept] for t in (embeds, echoed, mask, recent, there, marks, following, chosen)
            )
            live = [live[i] for i in stay]
            asks = [stay.index(i) for i in asks]
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        recent, there = (
            torch.cat([recent, embeds], 1)[:, -w:],
            torch.cat([there, there.new_ones(len(live), 1)], 1)[:, -w:],
        )
        marks = torch.cat([marks, (chosen == model.vis_id).unsqueeze(1)], dim=1)[:, -w:]
        ahead = expected.said(told[0], cache)
        if ahead is None:
            chunk = expected.after(model, embeds)
            at_once = backbone.step_positions(following + torch.arange(chunk.shape[1], device=device))
            ahead = expected.split(*model.states(chunk, None if whole else mask, at_once, cache))
        states, layers = ahead
        if model.echo is not None:
            states = model.echo(states, echoed, chosen == model.vis_id)
        following = following + 1
        if asks:  # in mid-answer: one chunk more, for which the other rows stand still
            reply = hear(model, asks, states, seen, owner[live], mask, following, cache)
            on = reply.there[:, -1:]  # [B, 1]
            whole = whole and len(asks) == len(live)
            mask, following = torch.cat([mask, reply.there.long()], dim=1), following + reply.there.sum(1, keepdim=True)
            states = torch.where(on, reply.states, states)
            layers = [torch.where(on, new, old) for new, old in zip(reply.layers, layers, strict=True)]
            size = recent.shape[1]
            recent = torch.where(on.unsqueeze(-1), torch.cat([recent, reply.chunk], dim=1)[:, -size:], recent)
            there = torch.where(on, torch.cat([there, reply.there], dim=1)[:, -size:], there)
            marks = torch.where(on, torch.cat([marks, torch.zeros_like(reply.there)], dim=1)[:, -size:], marks)
            for n, b in enumerate(live[i] for i in asks):
                ids[b].extend([model.reply_id] * reply.chunk.shape[1])
                asked[b] += 1
                glances[b].extend([] if reply.looked is None else [reply.looked[n]])
        clock["decode"] += time.perf_counter() - started
    said = zip(pointing.lies, glances, pointing.heard, pointing.shades, strict=True)
    return [
        Spoken(ids[b], at[b], pointing.regions(b), lies, dict(clock), looks, heard, shades)
        for b, (lies, looks, heard, shades) in enumerate(said)
    ]


def silent_tokens(model: PerceptionModel) -> list[int]:
    """Ids that only the world may write: the picture's token, other special tokens, and rows without a word."""
    tokenizer = model.backbone.processor.tokenizer
    special = set(tokenizer.all_special_ids) | {model.backbone.image_token_id}
    return sorted((special | set(range(len(tokenizer), model.vis_id))) - end_tokens(model))


def end_tokens(model: PerceptionModel) -> set[int]:
    """Ids that end an answer: the host's own and its tokenizer's."""
    configured = getattr(getattr(model.host, "generation_config", None), "eos_token_id", None)
    ends = set(configured) if isinstance(configured, (list, tuple)) else {configured}
    return {int(i) for i in (*ends, model.backbone.processor.tokenizer.eos_token_id) if i is not None}


def _check(prompts: Batch, seen: Seen, picture: Sequence[Sequence[int]]) -> None:
    if len(picture) != len(prompts.input_ids):
        raise ValueError(
            f"{len(picture)} pictures named for {len(prompts.input_ids)} prompts; name one for each, -1 for none"
        )
    if any(not 0 <= i < len(seen.tokens) for row in picture for i in row):
        raise ValueError(
            f"picture {max(max(r) for r in picture if r)} was named, but {len(seen.tokens)} were seen; count from 0"
        )
    if not bool((prompts.attention_mask[:, -1] == 1).all()):
        raise ValueError("the prompts are padded on the right; pad them on the left to answer them")


def _warpers(temperature: float, top_p: float) -> LogitsProcessorList | None:
    if not 0 <= temperature < float("inf") or not 0 < top_p <= 1:
        raise ValueError(f"temperature {temperature} and top_p {top_p}; wanted temperature >= 0 and 0 < top_p <= 1")
    if temperature == 0:
        return None
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    return warpers


def _choose(logits: Tensor, warp: LogitsProcessorList | None, generator: torch.Generator | None) -> Tensor:
    """The next token of each row: [B, V + 1] -> long [B]."""
    if warp is None:
        return logits.argmax(-1)
    shares = warp(None, logits).softmax(-1)
    return torch.multinomial(shares, 1, generator=generator).squeeze(1)

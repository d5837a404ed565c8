"""Laws of asking: one pass equals two passes, costs one chunk, and reaches the picture only through its gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from perceptiongpt.core.batch import Batch
from perceptiongpt.core.slots import owner, places, read, write
from perceptiongpt.data.collate import assemble, pad_id
from perceptiongpt.data.render import Renderer
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.generate import end_tokens, generate, silent_tokens
from perceptiongpt.model.perception import PerceptionModel, equip
from perceptiongpt.model.requests import listen
from perceptiongpt.model.seen import Seen
from perceptiongpt.model.tiny import FAMILIES, bakllava

Make = Callable[..., Any]
ASK = {"width": 16, "depth": 2, "replies": 3, "request_dropout": 0.0}
# Each family with the default network padded either way; the other networks with one family.
CASES = [(f, "rvii", "grid", left) for f in sorted(FAMILIES) for left in (True, False)]
CASES += [
    ("aya_vision", "linear", "grid", True),
    ("qwen2_5_vl", "rvii", "tokens", True),
    ("llava", "linear", "tokens", True),
]


@torch.no_grad()
def asking(family: str = "aya_vision", points: bool = False, **ask: Any) -> PerceptionModel:
    """A small model that asks, as if trained."""
    host = FAMILIES[family]() if family in FAMILIES else bakllava(window=int(family))
    lora = "all" if points else "none"
    model = equip(*host, points=points, lora_targets=lora, decoder_width=32, ask={**ASK, **ask}).eval()
    drawn = torch.Generator().manual_seed(2)
    for name, p in model.named_parameters():
        if not name.startswith("host.") or ".lora_" in name:
            p.add_(0.1 * torch.randn(p.shape, generator=drawn))
    return model


def dialogue(picture: Image.Image | None, *answers: str, words: str = "what is the red") -> Sample:
    turns = [t for a in answers for t in (Turn("user", f"{words}?"), Turn("assistant", a))]
    return Sample(picture, tuple(turns))


def whole(model: PerceptionModel, samples: Sequence[Sample], left: bool = True) -> Batch:
    """Whole dialogues with their answers, padded on the left unless told."""
    held, render = model.backbone, Renderer(model.backbone.processor, **model.spelling())
    canvases = [None if s.image is None else held.canvas(s.image.size) for s in samples]
    views = [c.view(s.image) for s, c in zip(samples, canvases, strict=True) if c is not None]
    places = [0 if c is None else held.image_places(c) for c in canvases]
    rendered = [render.training(s, n) for s, n in zip(samples, places, strict=True)]
    return assemble(rendered, canvases, held.pixels(views), pad_id(render.tokenizer), left=left)


def ragged(picture: Make) -> list[Sample]:
    """Rows of other lengths that ask two times, once, never, and three times."""
    return [
        dialogue(picture(0), "it is a circle", "the left"),
        dialogue(picture(1), "a", words="where is the blue square on the left of the green triangle"),
        dialogue(None, "a triangle is a triangle"),
        dialogue(picture(2), "the", "a", "red triangle", words="is"),
    ]


def two_passes(model: PerceptionModel, given: Batch, seen: Seen) -> tuple[Tensor, Tensor]:
    """The released procedure: after each request the whole input is read again, without a cache. States, requests."""
    ids, picture = given.input_ids, model.picture_of(given)
    asks, replies = places(ids, model.ask_id), places(ids, model.reply_id)
    embeds = write(model.embed(ids, seen), places(ids, model.vis_id), model.spell(model.encode(given, seen)))
    embeds = write(embeds, asks, model.asker.ask.expand(int(asks.sum()), -1))
    positions, _ = model.backbone.positions(ids, given.attention_mask, given.pixels)
    for _ in range(int(asks.sum(1).max()) + 1):
        states, _ = model.states(embeds, given.attention_mask, positions)
        said, _ = model.asker.reply(read(states, asks), seen.sources, picture[owner(asks)])
        embeds = write(embeds, replies, said.flatten(0, 1))
    return states, read(states, asks)


def one_pass(model: PerceptionModel, given: Batch, seen: Seen) -> Any:
    slot = places(given.input_ids, model.vis_id)
    embeds = write(model.embed(given.input_ids, seen), slot, model.spell(model.encode(given, seen)))
    positions, _ = model.backbone.positions(given.input_ids, given.attention_mask, given.pixels)
    return listen(model, given, embeds, positions, seen, model.picture_of(given))


def text_loss(model: PerceptionModel, states: Tensor, given: Batch) -> Tensor:
    taught = given.labels[:, 1:] != -100
    return F.cross_entropy(model.head(states[:, :-1][taught]), given.labels[:, 1:][taught])


@pytest.mark.parametrize(("family", "network", "reads", "left"), CASES)
def test_one_pass_has_the_states_logits_and_gradients_of_two(
    family: str, network: str, reads: str, left: bool, picture: Make
) -> None:
    model = asking(family, network=network, reads=reads)
    given = whole(model, ragged(picture), left)
    choose_trainable(model, "ask")
    model.eval()
    found = []
    for way in (one_pass, two_passes):
        made = way(model, given, model.see(given.pixels))
        states = made[0] if isinstance(made, tuple) else made.states
        model.zero_grad()
        text_loss(model, states, given).backward()
        gradients = {n: p.grad.clone() for n, p in model.added().items() if p.grad is not None}
        found.append((made, states.detach(), gradients))
    (heard, ours, our_gradients), ((_, requests), theirs, their_gradients) = found
    there = given.attention_mask.bool()
    assert (ours - theirs)[there].abs().max() <= 1e-5
    assert (model.head(ours) - model.head(theirs))[there][:, : model.vis_id].abs().max() <= 1e-5
    in_order = requests[torch.argsort(torch.argsort(heard.owner, stable=True))]  # reading order -> round by round
    assert heard.requests.shape == requests.shape == (6, model.backbone.width)
    assert (heard.requests - in_order).abs().max() <= 1e-5
    assert our_gradients.keys() == their_gradients.keys() == model.added().keys()
    assert max((our_gradients[n] - their_gradients[n]).abs().max() for n in our_gradients) <= 1e-6
    assert min(g.abs().max() for g in our_gradients.values()) > 0


def test_forward_asks_in_one_pass_and_the_answer_feels_the_replies(family: str, picture: Make) -> None:
    model = asking(family, points=True)
    given = whole(model, ragged(picture), left=False)
    with torch.no_grad():
        seen = model.see(given.pixels)
        states, _ = two_passes(model, given, seen)
        taught = given.labels[:, 1:] != -100
        assert torch.allclose(model(given).logits, model.head(states[:, :-1][taught]), atol=1e-5)
        before = model(given).logits
        model.asker.base.add_(0.5)
        assert not torch.allclose(before, model(given).logits, atol=1e-3)


def test_with_its_gate_at_zero_nothing_of_the_picture_comes_through_the_network(family: str, picture: Make) -> None:
    model = asking(family)
    given = whole(model, [dialogue(picture(0), "it is", "the left")])
    with torch.no_grad():
        seen, other = model.see(given.pixels), model.see(whole(model, [dialogue(picture(5), "a")]).pixels)
        mixed = replace(seen, sources=other.sources)
        assert not torch.equal(one_pass(model, given, seen).states, one_pass(model, given, mixed).states)
        model.asker.gate.zero_()
        assert torch.equal(one_pass(model, given, seen).states, one_pass(model, given, mixed).states)
    assert not equip(*FAMILIES[family](), ask=ASK).asker.gate.any()  # a fresh one is closed


# -- what it costs ------------------------------------------------------------------------


def asked(model: PerceptionModel, given: Batch, **how: Any) -> list[Any]:
    pictures = model.picture_of(given).tolist()
    return generate(model, given, model.see(given.pixels), pictures, **{"max_new_tokens": 8, **how})


def prompts_of(model: PerceptionModel, samples: Sequence[Sample]) -> Batch:
    """Left-padded prompts that end where the answer begins, requests included."""
    held, render = model.backbone, Renderer(model.backbone.processor, **model.spelling())
    canvases = [None if s.image is None else held.canvas(s.image.size) for s in samples]
    views = [c.view(s.image) for s, c in zip(samples, canvases, strict=True) if c is not None]
    counts = [0 if c is None else held.image_places(c) for c in canvases]
    rendered = [render.asking(s.turns[:-1], n) for s, n in zip(samples, counts, strict=True)]
    return assemble(rendered, canvases, held.pixels(views), pad_id(render.tokenizer), left=True)


def test_a_forced_request_costs_one_chunk_and_a_region_costs_none(family: str, picture: Make) -> None:
    model = asking(family, points=True)
    prompt = prompts_of(model, [dialogue(picture(0), "a")])
    calls: list[int] = []
    model.call_counter = calls.append
    regions = 0
    for seed in range(20):
        with torch.no_grad():
            model.vis_row.copy_(torch.randn(model.vis_row.shape, generator=torch.Generator().manual_seed(seed)))
        calls.clear()
        (said,) = asked(model, prompt)
        length = prompt.input_ids.shape[1]
        steps = min(len(said.ids), 7)  # after the last token that may be said there is nothing to find out
        assert calls == [length - 3, 3] + [1] * steps  # up to <ask>, the replies, one a token
        regions += len(said.places)
    assert regions > 0


def test_a_batch_asks_as_its_items_do_alone(family: str, picture: Make) -> None:
    model = asking(family)
    samples = ragged(picture)
    together = asked(model, prompts_of(model, samples))
    for one, both in zip(samples, together, strict=True):
        (alone,) = asked(model, prompts_of(model, [one]))
        assert alone.ids == both.ids
        assert len(alone.looked) == len(both.looked) == len(one.turns) // 2 * (one.image is not None)
        for a, b in zip(alone.looked, both.looked, strict=True):
            assert torch.allclose(a, b, atol=1e-5)
            assert float(a.sum()) == pytest.approx(1, abs=1e-5)


def talkative(model: PerceptionModel, prompt: Batch, **how: Any) -> list[Any]:
    """Answers under the first drawn row of `<ask>` with which each row with a picture asks and says words."""
    for seed in range(300):
        with torch.no_grad():
            model.asker.row.copy_(torch.randn(model.asker.row.shape, generator=torch.Generator().manual_seed(seed)))
        said = asked(model, prompt, **how)
        looks = [s for s, i in zip(said, model.picture_of(prompt).tolist(), strict=True) if i >= 0]
        if all(model.ask_id in s.ids and len(s.ids) - 4 * s.ids.count(model.ask_id) >= 2 for s in looks):
            return said
    raise AssertionError("no drawn row makes the host ask")


def test_the_model_may_ask_in_mid_answer_and_forward_on_its_answer_says_the_same(family: str, picture: Make) -> None:
    model = asking(family, forced=False, limit=3)
    prompt = prompts_of(model, [dialogue(picture(0), "a")])
    assert model.ask_id not in prompt.input_ids
    calls: list[int] = []
    model.call_counter = calls.append
    (said,) = talkative(model, prompt)
    calls.clear()
    (again,) = asked(model, prompt)
    asks = said.ids.count(model.ask_id)
    assert again.ids == said.ids
    assert len(said.looked) == asks <= 3
    steps = min(len(said.ids) - 3 * asks, 7)  # one a token but for the last that may be said
    assert len(calls) == 1 + asks + steps  # the prompt, a chunk a request
    ids = torch.cat([prompt.input_ids, torch.tensor([said.ids])], 1)
    given = replace(prompt, input_ids=ids, attention_mask=torch.ones_like(ids))
    with torch.no_grad():
        logits = model.head(one_pass(model, given, model.see(prompt.pixels)).states)[0, prompt.input_ids.shape[1] - 1 :]
    logits[:, silent_tokens(model)] = float("-inf")
    for i, token in enumerate(said.ids):
        if token != model.reply_id:
            if said.ids[:i].count(model.ask_id) == 3 or i == len(said.ids) - 1:  # no request without a reply
                logits[i, model.ask_id] = float("-inf")
            assert int(logits[i].argmax()) == token


def test_rows_that_ask_in_mid_answer_do_not_disturb_the_others(family: str, picture: Make) -> None:
    model = asking(family, forced=False, limit=2)
    samples = [s for s in ragged(picture) if len(s.turns) == 2 or s.image is None]
    samples += [dialogue(picture(4), "a", words="where"), dialogue(picture(5), "a", words="what is a triangle in")]
    together = talkative(model, prompts_of(model, samples), max_new_tokens=12)
    for one, both in zip(samples, together, strict=True):
        (alone,) = asked(model, prompts_of(model, [one]), max_new_tokens=12)
        assert alone.ids == both.ids
    assert len({tuple(i for i, t in enumerate(s.ids) if t == model.ask_id) for s in together}) > 1  # at other steps


# -- what stays as it was, and what is refused ------------------------------------------------------


def test_text_answers_with_the_module_loaded_and_unused_are_the_hosts_bit_by_bit(family: str) -> None:
    host, _ = FAMILIES[family]()
    asker = asking(family)
    given = whole(asker, [dialogue(None, "a triangle"), dialogue(None, "is a", words="what is the circle in")])
    with torch.no_grad():
        mask, positions = given.attention_mask, asker.backbone.positions(given.input_ids, given.attention_mask, {})[0]
        theirs = host(input_ids=given.input_ids, attention_mask=mask, position_ids=positions).logits
        ours = asker.head(one_pass(asker, given, asker.see({})).states)[..., : asker.vis_id]
    assert torch.equal(ours, theirs)
    prompt = prompts_of(asker, [dialogue(None, "a")])
    said = asked(asker, prompt, max_new_tokens=12)[0].ids
    ids, mask, silent = prompt.input_ids, prompt.attention_mask, silent_tokens(asker)
    free = host.generate(input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False, suppress_tokens=silent)
    assert said == [i for i in free[0, ids.shape[1] :].tolist() if i not in end_tokens(asker)]


def test_requests_that_cannot_be_answered_are_refused_in_a_sentence(picture: Make) -> None:
    model = asking(limit=2)
    given = whole(model, [dialogue(picture(0), "a", "the"), dialogue(picture(1), "is")])
    seen = model.see(given.pixels)
    blind = replace(given, pictures=torch.zeros_like(given.pictures))
    more = whole(model, [dialogue(picture(0), "a", "the", "is")])
    short = replace(given, input_ids=given.input_ids.clone())
    short.input_ids[0, int((short.input_ids[0] == model.reply_id).nonzero()[0])] = 5
    for wrong, why in (
        (blind, "have no picture to look at"),
        (more, "asks 3 times, the limit is 2"),
        (short, "reply places"),
    ):
        with pytest.raises(ValueError, match=why):
            listen(model, wrong, torch.zeros(*wrong.input_ids.shape, 64), torch.zeros(1), seen, model.picture_of(wrong))
    with pytest.raises(ValueError, match="only asks"):
        model.encode(replace(given, boxes=torch.zeros(1, 4)), seen)


def test_a_host_that_looks_back_a_window_must_be_asked_at_equal_places(picture: Make) -> None:
    model = asking("24")
    assert model.backbone.sliding_window == 24
    apart = whole(model, ragged(picture)[:2])
    with pytest.raises(ValueError, match=r"looks back 24 places only.*one row at a time"):
        one_pass(model, apart, model.see(apart.pixels))
    same = whole(model, [dialogue(picture(0), "it is", "the left"), dialogue(picture(1), "it is", "the left")])
    with torch.no_grad():
        seen = model.see(same.pixels)
        assert torch.allclose(one_pass(model, same, seen).states, two_passes(model, same, seen)[0], atol=1e-5)
    wide = asking("4096")  # the same rows fit into the window: nothing to refuse
    with torch.no_grad():
        seen = wide.see(apart.pixels)
        there = apart.attention_mask.bool()
        assert torch.allclose(
            one_pass(wide, apart, seen).states[there], two_passes(wide, apart, seen)[0][there], atol=1e-5
        )

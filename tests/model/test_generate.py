"""Laws of answering: the library's own tokens when no region is said, the same regions however they are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from perceptiongpt.core.batch import Batch
from perceptiongpt.model import pointing
from perceptiongpt.model.generate import end_tokens, generate, silent_tokens
from perceptiongpt.model.perception import PerceptionModel

Make = Callable[..., Any]
FIELDS = ("boxes", "masks", "points", "scores")


def answer(model: PerceptionModel, prompt: Batch, picture: list[int] | None = None, **how: Any) -> list[Any]:
    rows = [0] * len(prompt.input_ids) if picture is None else picture
    return generate(model, prompt, model.see(prompt.pixels), rows, **{"max_new_tokens": 10, **how})


def talkative(model: PerceptionModel, prompt: Batch, picture: list[int] | None = None, **how: Any) -> list[Any]:
    """The answers under the first drawn `<vis>` row with which every row that has a picture says regions and words."""
    for seed in range(200):
        with torch.no_grad():
            model.vis_row.copy_(torch.randn(model.vis_row.shape, generator=torch.Generator().manual_seed(seed)))
        said = answer(model, prompt, picture, **how)
        shows = [s for b, s in enumerate(said) if picture is None or picture[b] >= 0]
        k = model.settings.vis_tokens
        if all(len(s.places) >= 2 and len(set(s.ids)) > 2 and len(s.ids) > k * len(s.places) for s in shows):
            return said
    raise AssertionError("no drawn row makes the host talkative")


def continued(prompt: Batch, said: Any, model: PerceptionModel) -> Batch:
    """The prompt and what was answered, as a training batch whose truth is what was found."""
    ids = torch.cat([prompt.input_ids, torch.tensor([said.ids])], 1)
    found = said.regions
    n = len(found.boxes)
    new = torch.ones(n, dtype=torch.bool)
    fit = torch.nn.functional.interpolate
    masks = found.masks.sigmoid()
    if n and len(prompt.masks):
        masks = torch.cat([fit(prompt.masks[:, None], masks.shape[-2:])[:, 0], masks])
    return replace(
        prompt,
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        labels=torch.cat([torch.full_like(prompt.input_ids, -100), torch.tensor([said.ids])], 1),
        boxes=torch.cat([prompt.boxes, found.boxes]),
        masks=masks,
        points=torch.cat([prompt.points, found.boxes[:, :2]]),
        has_box=torch.cat([prompt.has_box, new]),
        has_mask=torch.cat([prompt.has_mask, new]),
        shown=torch.cat([prompt.shown, torch.tensor([[True, True, False]]).expand(n, -1)]),
        asked=torch.cat([prompt.asked, ~new]),
        owner=torch.cat([prompt.owner, torch.zeros(n, dtype=torch.long)]),
        picture=torch.cat([prompt.picture, torch.zeros(n, dtype=torch.long)]),
    )


@pytest.mark.parametrize("lora", ["none", "all"])
def test_without_regions_the_answer_is_the_librarys_own(
    family: str, lora: str, equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped(family, lora_targets=lora), place=False)  # the host's own path adds no positions
    prompt = prompts(model, [sample(), sample(seed=1, words="what is the blue square in"), sample(seed=-1)])
    ours = answer(model, prompt, [0, 1, -1], max_regions=0, max_new_tokens=16)
    kinds = (prompt.input_ids == model.backbone.image_token_id).int()
    theirs = model.host.generate(
        input_ids=prompt.input_ids,
        attention_mask=prompt.attention_mask,
        **prompt.pixels,
        **({"mm_token_type_ids": kinds} if model.backbone.dynamic else {}),
        max_new_tokens=16,
        do_sample=False,
        suppress_tokens=silent_tokens(model),
    )[:, prompt.input_ids.shape[1] :].tolist()
    for row, said in zip(theirs, ours, strict=True):
        until = next((i for i, t in enumerate(row) if t in end_tokens(model)), len(row))
        assert said.ids == row[:until]
        assert said.places == [] and len(said.regions.boxes) == 0


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in one order: on a busy machine two threads made another of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


GROWN = {
    "enumerates": True,
    "region_features": True,
    "looks_twice": True,
    "weighs_match": True,
    "learns_match": True,
    "passes_over": True,
    "echoes": True,
}


@pytest.mark.parametrize(
    ("k", "layers", "window", "grown"),
    [
        (1, "last", 0, {}),
        (2, "fused", 5, {"echoes": True}),
        (3, "last", 1, {}),
        (1, "fused", 8, {}),
        (1, "last", 6, GROWN),
    ],
)
def test_cached_is_uncached_and_forward_on_its_own_answer_finds_its_own_regions(
    one_thread: None,
    family: str,
    k: int,
    layers: str,
    window: int,
    grown: dict[str, bool],
    equipped: Make,
    stir: Make,
    sample: Make,
    prompts: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = stir(equipped(family, vis_tokens=k, read_layers=layers, read_window=window, lora_targets="all", **grown))
    monkeypatch.setattr(pointing, "SAME", 1.0)  # nothing is refused: random weights say one box again and again
    prompt, every = prompts(model, [sample()]), -torch.inf
    (expected,) = talkative(model, prompt, max_new_tokens=14, more=every)
    heard: list[torch.Tensor] = []
    head = model.head

    def listening(states: torch.Tensor) -> torch.Tensor:
        heard.append(head(states))
        return heard[-1].clone()  # the loop forbids tokens in place

    monkeypatch.setattr(model, "head", listening)
    (said,) = answer(model, prompt, max_new_tokens=14, more=every)
    monkeypatch.setattr(model, "head", head)
    assert said.ids == expected.ids
    with torch.no_grad():
        again = model(continued(prompt, said, model))
    assert torch.allclose(torch.cat(heard[: len(said.ids)]), again.logits, atol=1e-5, rtol=1e-5)
    for field in FIELDS:
        assert torch.allclose(getattr(said.regions, field), getattr(again.regions, field), atol=2e-5, rtol=1e-5), field


def test_what_a_user_shows_is_written_in_answering_as_in_training(
    family: str, equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped(family))
    for part in ("box", "point", "box+mask"):
        prompt = prompts(model, [sample(shown=[part])])
        (said,) = talkative(model, prompt, max_new_tokens=8)
        if "mask" in part or said.regions.masks.shape[-1] != prompt.masks.shape[-1]:
            continue  # masks of two sides do not stack exactly; boxes and points prove the path
        with torch.no_grad():
            again = model(continued(prompt, said, model))
        assert torch.allclose(said.regions.boxes, again.regions.boxes, atol=1e-5)


def test_a_batch_answers_as_its_items_do_alone(
    family: str, equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped(family, lora_targets="all"))
    samples = [
        sample(),
        sample(seed=-1, words="what is a triangle"),
        sample(seed=1, words="what is the blue square on the left of the green triangle in", shown=["box", "mask"]),
        sample(seed=2, words="is a"),
    ]
    together = talkative(model, prompts(model, samples), [0, -1, 1, 2], max_new_tokens=12)
    for one, both in zip(samples, together, strict=True):
        (alone,) = answer(model, prompts(model, [one]), [-1 if one.image is None else 0], max_new_tokens=12)
        assert alone.ids == both.ids
        assert alone.places == both.places
        for field in FIELDS:
            assert torch.allclose(getattr(alone.regions, field), getattr(both.regions, field), atol=1e-4), field


def test_one_look_serves_many_questions(equipped: Make, stir: Make, sample: Make, prompts: Make, family: str) -> None:
    model = stir(equipped(family))
    several = prompts(model, [sample(words=w) for w in ("where is", "what is the red circle in", "is a")])
    single = prompts(model, [sample()])
    seen = model.see(single.pixels)
    ours = generate(model, several, seen, [0, 0, 0], max_new_tokens=6)
    theirs = answer(model, several, [0, 1, 2], max_new_tokens=6)
    assert [s.ids for s in ours] == [s.ids for s in theirs]


@pytest.mark.parametrize("family", ["aya_vision", "llava", "qwen2_5_vl"])
def test_what_rows_share_is_read_once_and_changes_no_answer(
    family: str, equipped: Make, stir: Make, sample: Make, prompts: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = stir(equipped(family, lora_targets="all", read_window=3))
    words = ("where is the", "what is the red circle in", "is a", "where is the green square", "what is")
    batch = prompts(model, [sample(words=w, seed=i % 2, shown=["box"] * (i == 3)) for i, w in enumerate(words)])
    look = model.see({k: v for k, v in prompts(model, [sample(), sample(seed=1)]).pixels.items()})
    picture, calls = [0, 1, 0, 1, 0], list[int]()
    model.call_counter = calls.append
    for seed in range(50):
        with torch.no_grad():
            model.vis_row.copy_(torch.randn(model.vis_row.shape, generator=torch.Generator().manual_seed(seed)))
        calls.clear()
        ours = generate(model, batch, look, picture, max_new_tokens=8)
        if sum(len(s.places) for s in ours) > 3:
            break
    read_once, rest = calls[:2]
    places = model.backbone.image_places(model.backbone.canvas((40, 30)))
    assert read_once > places > 0 and read_once + rest == batch.input_ids.shape[1]
    monkeypatch.setattr("perceptiongpt.model.generate.shared", lambda *given: 0)
    calls.clear()
    theirs = generate(model, batch, look, picture, max_new_tokens=8)
    assert calls[0] == batch.input_ids.shape[1]
    for a, b in zip(ours, theirs, strict=True):
        assert a.ids == b.ids and a.places == b.places
        for field in FIELDS:
            assert torch.allclose(getattr(a.regions, field), getattr(b.regions, field), atol=1e-4), field


def test_nothing_is_shared_where_nothing_is_alike(equipped: Make, sample: Make, prompts: Make) -> None:
    from perceptiongpt.model.prefix import shared

    model = equipped()
    two = prompts(model, [sample(), sample(words="is a")])
    assert shared(model, two, [0, 0]) > 0
    assert shared(model, two, [0, 1]) == 0  # each reads a picture of its own
    other = replace(two, input_ids=two.input_ids.flip(0) * 0 + torch.arange(2)[:, None])
    assert shared(model, other, [0, 0]) == 0
    mixed = prompts(model, [sample(), sample(words="is a"), sample(seed=-1)])
    assert shared(model, mixed, [0, 0, -1]) == 0
    windowed = equipped("bakllava")
    assert shared(windowed, prompts(windowed, [sample(), sample()]), [0, 0]) == 0


def test_the_memory_with_room_holds_what_the_librarys_own_holds() -> None:
    from transformers.cache_utils import DynamicLayer

    from perceptiongpt.model.cache import ROOM, RoomyLayer

    ours, theirs = RoomyLayer(), DynamicLayer()
    drawn = torch.Generator().manual_seed(0)
    for new, keep in ((5, None), (1, None), (3, [2, 0]), (1, None), (ROOM, [1, 1, 0]), (1, None), (2 * ROOM, None)):
        rows = 3 if not theirs.is_initialized else len(theirs.keys)
        k, v = torch.randn(2, rows, 2, new, 4, generator=drawn).unbind(0)
        with torch.no_grad():
            found, wanted = ours.update(k, v), theirs.update(k, v)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
        assert ours.get_seq_length() == theirs.get_seq_length()
        for layer in (ours, theirs) if keep else ():
            layer.batch_select_indices(torch.tensor(keep))
    at = ours.keys.data_ptr()
    with torch.no_grad():
        ours.update(*torch.randn(2, len(ours.keys), 2, 1, 4).unbind(0))
    assert ours.keys.data_ptr() == at  # a step copies nothing


@pytest.mark.parametrize("k", [1, 2])
def test_a_region_costs_no_call_of_the_language_model(
    family: str, k: int, equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped(family, vis_tokens=k))
    prompt = prompts(model, [sample()])
    talkative(model, prompt)
    calls: list[int] = []
    model.call_counter = calls.append
    regions = []
    for most in (32, 0):
        calls.clear()
        (said,) = answer(model, prompt, max_regions=most)
        steps = min(len(said.ids), 9)  # after the last token that may be said there is nothing to find out
        assert calls == [prompt.input_ids.shape[1]] + [1] * steps
        regions.append(len(said.places))
    assert regions[0] > 0 and regions[1] == 0


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("limit", range(1, 8))
def test_a_region_once_begun_is_said_whole(
    k: int, limit: int, equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped(vis_tokens=k))
    prompt = prompts(model, [sample()])
    talkative(model, prompt)
    (said,) = answer(model, prompt, max_new_tokens=limit)
    assert said.ids.count(model.vis_id) == k * len(said.places)
    assert len(said.places) == len(said.regions.boxes)
    for last in said.places:
        assert said.ids[last - k + 1 : last + 1] == [model.vis_id] * k


def test_no_more_regions_than_wanted_are_said(
    family: str, equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped(family))
    prompt = prompts(model, [sample(), sample(seed=1)])
    free = talkative(model, prompt, [0, 1])
    for most in (0, 1):
        held = answer(model, prompt, [0, 1], max_regions=most)
        assert [len(s.places) for s in held] == [most, most]
        for a, b in zip(free, held, strict=True):
            until = b.places[0] + 1 if most else a.places[0]
            assert a.ids[:until] == b.ids[:until]


def test_text_alone_never_points(family: str, equipped: Make, stir: Make, sample: Make, prompts: Make) -> None:
    model = stir(equipped(family))
    prompt = prompts(model, [sample(seed=-1), sample(seed=-1, words="what is")])
    for how in ({}, {"temperature": 100.0, "seed": 0}):
        for said in answer(model, prompt, [-1, -1], max_new_tokens=40, **how):
            assert model.vis_id not in said.ids
            assert len(said.regions.boxes) == 0


def test_sampling_is_what_its_seed_says(family: str, equipped: Make, stir: Make, sample: Make, prompts: Make) -> None:
    model = stir(equipped(family))
    prompt = prompts(model, [sample()])
    first, second, other = (answer(model, prompt, temperature=100.0, seed=s)[0] for s in (3, 3, 4))
    assert first.ids == second.ids
    assert torch.equal(first.regions.boxes, second.regions.boxes)
    assert first.ids != other.ids
    (narrow,) = answer(model, prompt, temperature=100.0, top_p=1e-6, seed=5)
    assert narrow.ids == answer(model, prompt)[0].ids


def test_what_only_the_world_may_write_is_never_said(
    family: str, equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped(family))
    tokens = model.backbone.processor.tokenizer
    silent = set(silent_tokens(model))
    assert model.backbone.image_token_id in silent
    assert silent >= set(tokens.all_special_ids) - end_tokens(model)
    assert silent >= set(range(len(tokens), model.backbone.vocab_size))
    assert not silent & (end_tokens(model) | {model.vis_id})
    prompt = prompts(model, [sample()] * 4)
    said = {i for s in answer(model, prompt, [0, 1, 2, 3], temperature=1e4, seed=0, max_new_tokens=120) for i in s.ids}
    assert len(said) > 100  # all but uniform
    assert not said & silent


def test_feedback_is_felt_by_what_comes_after(
    family: str, equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = stir(equipped(family))
    prompt = prompts(model, [sample()])
    (fed,), (starved,) = talkative(model, prompt), answer(model, prompt, feedback=False)
    first = fed.places[0]
    assert fed.ids[: first + 1] == starved.ids[: first + 1]
    assert torch.equal(fed.regions.boxes[0], starved.regions.boxes[0])
    rest = min(len(fed.regions.boxes), len(starved.regions.boxes))
    assert fed.ids != starved.ids or not torch.equal(fed.regions.boxes[:rest], starved.regions.boxes[:rest])


def test_prompts_that_cannot_be_answered_are_refused(equipped: Make, sample: Make, prompts: Make) -> None:
    model = equipped()
    prompt = prompts(model, [sample(), sample(seed=1, words="what is the blue square in")])
    seen = model.see(prompt.pixels)
    right = replace(prompt, attention_mask=prompt.attention_mask.flip(1))
    for given, pictures, word in (
        (prompt, [0], "1 pictures named for 2"),
        (prompt, [0, 2], "picture 2 was named"),
        (right, [0, 1], "padded on the right"),
        (prompt, [0, -1], "vectors"),
        (prompt, [-1, -1], "vectors"),
    ):
        with pytest.raises(ValueError, match=word):
            generate(model, given, seen, pictures)
    for how in ({"temperature": -1.0}, {"top_p": 0.0}, {"temperature": float("nan")}):
        with pytest.raises(ValueError, match="temperature"):
            generate(model, prompt, seen, [0, 1], **how)


def test_a_narrow_host_answers(family: str, equipped: Make, stir: Make, sample: Make, prompts: Make) -> None:
    from perceptiongpt.model.perception import equip
    from perceptiongpt.model.tiny import FAMILIES

    host, processor = FAMILIES[family]()
    model = stir(equip(host.bfloat16(), processor, decoder_width=32, lora_targets="all").eval())
    (said,) = talkative(model, prompts(model, [sample()]))
    assert said.regions.boxes.dtype == said.regions.masks.dtype == torch.float32
    assert said.regions.boxes.isfinite().all()

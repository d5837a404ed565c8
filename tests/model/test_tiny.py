"""The tiny hosts are real hosts: they read, speak, repeat themselves by seed, and open where the library enters them.

The second half states how each family is entered from outside (embeddings, patches, positions); the library relies
on it.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import DynamicCache
from transformers.vision_utils import get_vision_window_index

from perceptiongpt.model.cache import cache_word
from perceptiongpt.model.tiny import FAMILIES, TEXT_WIDTH

ASK = "where is the red circle?"
MADE = {name: family() for name, family in FAMILIES.items()}
every_family = pytest.mark.parametrize("name", sorted(FAMILIES))


def picture(width: int = 48, height: int = 48, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def user(*kinds: str, text: str = ASK) -> list[dict]:
    parts = [{"type": kind} for kind in kinds]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def inputs_of(name: str, *conversations: list[dict], images: list[Image.Image] | None = None) -> dict:
    processor = MADE[name][1]
    text = [processor.apply_chat_template(c, add_generation_prompt=True) for c in conversations]
    return dict(processor(text=text, images=images, padding=True, return_tensors="pt"))


def vision_inputs(inputs: dict) -> dict:
    return {k: v for k, v in inputs.items() if k in ("pixel_values", "image_grid_thw")}


@every_family
def test_a_host_reads_a_picture_and_speaks(name):
    host, processor = MADE[name]
    text = processor.apply_chat_template(user("image"), add_generation_prompt=True)
    inputs = processor(text=text, images=[picture()], return_tensors="pt")
    with torch.no_grad():
        logits = host(**inputs).logits
        said = host.generate(**inputs, max_new_tokens=4, do_sample=False)
    length = inputs["input_ids"].shape[1]
    assert logits.shape == (1, length, host.config.text_config.vocab_size)
    assert logits.dtype == torch.float32 and logits.isfinite().all()
    assert length < said.shape[1] <= length + 4
    assert isinstance(processor.decode(said[0]), str)


@every_family
def test_a_host_reads_text_alone(name):
    host, _ = MADE[name]
    inputs = inputs_of(name, [{"role": "user", "content": "hello, 12 circles"}])
    assert not vision_inputs(inputs)
    with torch.no_grad():
        assert host(**inputs).logits.isfinite().all()
        assert host.generate(**inputs, max_new_tokens=4, do_sample=False).shape[0] == 1


@every_family
def test_the_answer_depends_on_the_picture(name):
    host, _ = MADE[name]
    with torch.no_grad():
        one, other = (
            host(**inputs_of(name, user("image"), images=[picture(seed=seed)])).logits[0, -1] for seed in (1, 2)
        )
    assert (one - other).abs().max() > 1e-2


@every_family
def test_the_same_seed_gives_the_same_weights_and_touches_no_generator(name):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    same, other = FAMILIES[name](seed=0)[0].state_dict(), FAMILIES[name](seed=1)[0].state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    first = MADE[name][0].state_dict()
    assert first.keys() == same.keys()
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@every_family
def test_a_host_is_tiny_and_quickly_made(name):
    started = time.process_time()
    host, _ = FAMILIES[name]()
    assert time.process_time() - started < 1.0
    assert sum(p.numel() for p in host.parameters()) < 1_000_000
    assert not host.training
    assert {p.dtype for p in host.parameters()} == {torch.float32}


def test_the_families_differ_in_tying_and_in_unused_vocabulary_rows():
    tied, spare = {}, {}
    for name, (host, processor) in MADE.items():
        tied[name] = host.get_input_embeddings().weight is host.get_output_embeddings().weight
        spare[name] = host.get_input_embeddings().num_embeddings - len(processor.tokenizer)
    assert tied == {"llava": False, "qwen2_5_vl": True, "aya_vision": True, "bakllava": False}
    assert spare["llava"] == spare["aya_vision"] == 0 < spare["qwen2_5_vl"]


@every_family
def test_any_text_survives_the_tokenizer(name):
    tokens = MADE[name][1].tokenizer
    for text in (ASK, "a a  the\n\tZürich 東京 🟥 0.125", "red", " red"):
        assert tokens.decode(tokens.encode(text, add_special_tokens=False)) == text
    assert len(tokens.encode(" circle")) == 1
    assert tokens.encode("<|im_start|>")[0] not in (tokens.eos_token_id, tokens.pad_token_id, tokens.unk_token_id)


@every_family
def test_the_template_takes_strings_and_lists_and_grows_by_prefixes(name):
    processor = MADE[name][1]
    listed, plain = user(text="hi"), [{"role": "user", "content": "hi"}]
    assert processor.apply_chat_template(listed) == processor.apply_chat_template(plain)
    talk = [*user("image"), {"role": "assistant", "content": "it is left"}, {"role": "user", "content": "why?"}]
    whole = processor.apply_chat_template(talk)
    for turns in (1, 2, 3):
        assert whole.startswith(processor.apply_chat_template(talk[:turns]))
    assert whole.startswith(processor.apply_chat_template(talk[:1], add_generation_prompt=True))


def test_only_one_family_puts_a_system_turn_of_its_own():
    own = {name: "system" in p.apply_chat_template(user("image")) for name, (_, p) in MADE.items()}
    assert own == {"llava": False, "qwen2_5_vl": True, "aya_vision": False, "bakllava": False}


def test_two_pictures_of_different_sizes_in_qwen():
    inputs = inputs_of("qwen2_5_vl", user("image", "image"), images=[picture(64, 32), picture(48, 80, seed=1)])
    host, _ = MADE["qwen2_5_vl"]
    assert inputs["image_grid_thw"].tolist() == [[1, 4, 8], [1, 10, 6]]
    assert (inputs["input_ids"] == host.config.image_token_id).sum() == 2 * 4 + 5 * 3
    with torch.no_grad():
        assert host(**inputs).logits.isfinite().all()
        host.generate(**inputs, max_new_tokens=2, do_sample=False)


# How the hosts are entered -------------------------------------------------------------------------------------------


def look(name: str, inputs: dict, **kwargs):
    return MADE[name][0].get_image_features(**vision_inputs(inputs), return_dict=True, **kwargs)


def embedded(name: str, inputs: dict) -> torch.Tensor:
    """The input embeddings [B, T, D] with the image tokens written into their places by us."""
    host = MADE[name][0]
    embeds = host.get_input_embeddings()(inputs["input_ids"])
    if not vision_inputs(inputs):
        return embeds
    tokens = torch.cat(list(look(name, inputs).pooler_output))
    places = inputs["input_ids"] == host.config.image_token_id
    assert tokens.shape == (int(places.sum()), TEXT_WIDTH)
    return embeds.masked_scatter(places[..., None], tokens)


def positions(name: str, inputs: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of a prefill, [B, T] or [3, B, T] for Qwen, and [B, 1] to add to the count of tokens afterwards."""
    mask = inputs["attention_mask"]
    if name != "qwen2_5_vl":
        return (mask.cumsum(-1) - 1).clamp(min=0), mask.new_zeros(len(mask), 1)
    return MADE[name][0].model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=(inputs["input_ids"] == MADE[name][0].config.image_token_id).int(),
        image_grid_thw=inputs.get("image_grid_thw"),
        attention_mask=mask,
    )


def batch_of(name: str) -> dict:
    """Three rows of different lengths: one picture, two, none."""
    return inputs_of(
        name,
        user("image"),
        user("image", "image", text="left or right?"),
        user(text="hi"),
        images=[picture(64, 48, 1), picture(48, 80, 2), picture(32, 32, 3)],
    )


def run(name: str, **kwargs):
    return MADE[name][0].model.language_model(use_cache=True, **kwargs)


@every_family
@torch.no_grad()
def test_our_own_embeddings_and_positions_give_the_hosts_logits(name):
    host, inputs = MADE[name][0], batch_of(name)
    mask = inputs["attention_mask"]
    assert (mask[:, 0] == 0).any(), "the batch is meant to be padded on the left"
    theirs = host(**inputs).logits
    out = run(name, inputs_embeds=embedded(name, inputs), attention_mask=mask, position_ids=positions(name, inputs)[0])
    ours = host.get_output_embeddings()(out.last_hidden_state)
    torch.testing.assert_close(ours[mask.bool()], theirs[mask.bool()], atol=2e-5, rtol=0)
    assert host.get_decoder() is host.model.language_model


@every_family
@torch.no_grad()
def test_our_own_steps_say_what_the_host_says_and_leave_it_as_it_was(name):
    host, inputs = MADE[name][0], batch_of(name)
    theirs = host.generate(
        **inputs, max_new_tokens=5, min_new_tokens=5, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    if name == "qwen2_5_vl":
        host.model.rope_deltas = None
    mask, cache = inputs["attention_mask"], DynamicCache()
    word = cache_word(type(host.get_decoder()).forward)
    embeds, (place, delta) = embedded(name, inputs), positions(name, inputs)
    for step in range(5):
        out = run(name, inputs_embeds=embeds, attention_mask=mask, position_ids=place, **{word: cache})
        logits = host.get_output_embeddings()(out.last_hidden_state[:, -1])
        torch.testing.assert_close(logits, theirs.logits[step], atol=2e-5, rtol=0)
        said = theirs.sequences[:, inputs["input_ids"].shape[1] + step, None]
        embeds, mask = host.get_input_embeddings()(said), torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        place = mask.sum(-1, keepdim=True) - 1 + delta
    if name == "qwen2_5_vl":
        assert host.model.rope_deltas is None


@every_family
@torch.no_grad()
def test_every_hidden_state_of_the_tower_can_be_had(name):
    inputs = inputs_of(name, user("image"), images=[picture()])
    seen, plain = look(name, inputs, output_hidden_states=True), look(name, inputs)
    assert len(seen.hidden_states) == 4
    assert all(h.shape == seen.last_hidden_state.shape for h in seen.hidden_states)
    assert torch.equal(torch.cat(list(seen.pooler_output)), torch.cat(list(plain.pooler_output)))


def patch_maps(name: str, inputs: dict, layer: int) -> list[torch.Tensor]:
    """The tower's hidden state as one map [C, h, w] for each picture, before any merging."""
    host = MADE[name][0]
    hidden = look(name, inputs, output_hidden_states=True).hidden_states[layer]
    if name != "qwen2_5_vl":
        side = int((hidden.shape[1] - 1) ** 0.5)
        return list(hidden[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2))
    vision, grids = host.config.vision_config, inputs["image_grid_thw"]
    merge = vision.spatial_merge_size
    order, _ = get_vision_window_index(grids, merge, vision.window_size, vision.patch_size)
    hidden = hidden.unflatten(0, (-1, merge**2))[order.argsort()]
    maps = []
    for cells, (_, h, w) in zip(hidden.split((grids.prod(-1) // merge**2).tolist()), grids.tolist(), strict=True):
        cells = cells.reshape(h // merge, w // merge, merge, merge, -1)
        maps.append(cells.permute(4, 0, 2, 1, 3).reshape(-1, h, w))
    return maps


@every_family
@torch.no_grad()
def test_a_changed_patch_changes_its_own_cell_of_the_first_map(name):
    patch = {"llava": 8, "bakllava": 8, "aya_vision": 6, "qwen2_5_vl": 8}[name]
    square = (32, 32) if name in ("llava", "bakllava") else (48, 48)
    first, second = ((80, 48), (48, 96)) if name == "qwen2_5_vl" else (square, square)
    row, column = 2, 3
    plain, dotted = [picture(*first), picture(*second, seed=1)], [picture(*first), picture(*second, seed=1)]
    dotted[1].paste((255, 0, 255), (column * patch, row * patch, (column + 1) * patch, (row + 1) * patch))
    before, after = (patch_maps(name, inputs_of(name, user("image", "image"), images=p), 0) for p in (plain, dotted))
    assert [m.shape[1:] for m in before] == [(h // patch, w // patch) for w, h in (first, second)]
    assert torch.equal(before[0], after[0])
    assert (before[1] - after[1]).abs().amax(0).nonzero().tolist() == [[row, column]]


@every_family
@torch.no_grad()
def test_image_tokens_are_row_major_cells_of_the_patches_they_merge(name):
    """The projector alone, applied to the map of the layer it reads, cell by cell, gives the tokens in order."""
    host = MADE[name][0]
    inputs = inputs_of(name, user("image", "image"), images=[picture(80, 48), picture(48, 96, seed=1)])
    layer, merge = {"llava": (-2, 1), "bakllava": (-2, 1), "aya_vision": (-1, 2), "qwen2_5_vl": (-1, 2)}[name]
    for patches, tokens in zip(patch_maps(name, inputs, layer), look(name, inputs).pooler_output, strict=True):
        h, w = patches.shape[1] // merge, patches.shape[2] // merge
        assert tokens.shape == (h * w, TEXT_WIDTH)
        for cell in range(h * w):
            row, column = divmod(cell, w)
            block = patches[:, row * merge : (row + 1) * merge, column * merge : (column + 1) * merge]
            flat = block.flatten(1).T.contiguous()
            project = host.model.visual.merger if name == "qwen2_5_vl" else host.model.multi_modal_projector
            alone = project(flat if name == "qwen2_5_vl" else flat[None]).flatten()
            torch.testing.assert_close(alone, tokens[cell], atol=1e-5, rtol=0)

"""Laws of the plug-in: fresh it changes nothing, every part of it can learn, and no truth leaks to where it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from perceptiongpt.core.objective import parts
from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.perception import Settings, equip
from perceptiongpt.model.tiny import FAMILIES

Make = Callable[..., Any]
FIELDS = ("boxes", "masks", "points", "scores")


def host_logits(model: Any, prompt: Any) -> torch.Tensor:
    kinds = (prompt.input_ids == model.backbone.image_token_id).int()
    more = {"mm_token_type_ids": kinds} if model.backbone.dynamic else {}
    ids, attention = prompt.input_ids, prompt.attention_mask
    with torch.no_grad():
        return model.host(input_ids=ids, attention_mask=attention, **prompt.pixels, **more).logits


def test_a_fresh_plugin_changes_nothing(family: str, equipped: Make, sample: Make, prompts: Make) -> None:
    bare = equipped(family, lora_targets="none")
    prompt = prompts(bare, [sample(), sample(seed=1, words="what is the blue square in")])
    before = host_logits(bare, prompt)
    weights = {n: p.clone() for n, p in bare.host.state_dict().items()}
    model = equip(bare.host, bare.backbone.processor, lora_targets="all")
    assert torch.equal(host_logits(model, prompt), before)
    after = {n.replace(".base_layer", ""): p for n, p in model.host.state_dict().items() if ".lora_" not in n}
    assert set(after) == set(weights)
    assert all(torch.equal(after[n], weights[n]) for n in weights)


def test_a_fresh_plugin_reads_the_picture_as_the_host_does(
    family: str, equipped: Make, sample: Make, batch: Make
) -> None:
    model = equipped(family, lora_targets="all")
    given = batch(model, [sample(), sample(seed=1, words="what is the blue square in")])
    with torch.no_grad():
        ours = model(given).logits[:, :-1]
    theirs = host_logits(model, given)[:, :-1][given.labels[:, 1:] != -100]
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("k", [1, 2])
def test_no_truth_leaks_to_where_a_region_is_read(
    family: str, k: int, equipped: Make, stir: Make, sample: Make, batch: Make
) -> None:
    model = stir(equipped(family, vis_tokens=k, read_layers="fused" if k == 2 else "last"))
    given = batch(model, [sample(said=["box+mask", "box+mask"])])
    boxes = given.boxes.clone()
    boxes[0] = torch.tensor([0.8, 0.8, 0.1, 0.1])
    with torch.no_grad():
        one, other = model(given), model(replace(given, boxes=boxes, masks=1 - given.masks))
    for field in FIELDS:
        a, b = getattr(one.regions, field), getattr(other.regions, field)
        assert torch.equal(a[0], b[0]), f"{field} of the region itself"
        assert not torch.allclose(a[1], b[1], atol=1e-6), f"{field} of what comes after"


def test_a_shown_region_is_felt_by_the_answer(
    family: str, equipped: Make, stir: Make, sample: Make, batch: Make
) -> None:
    model = stir(equipped(family))
    for part in ("box", "mask", "point"):
        given = batch(model, [sample(said=["box"], shown=[part])])
        only = torch.tensor([[part == "box", part == "mask", part == "point"], [True, False, False]])
        given = replace(given, shown=only)
        with torch.no_grad():
            here = model(given).regions.boxes
            moved = replace(given, boxes=given.boxes + 0.2, masks=given.masks.flip(1), points=given.points + 0.2)
            assert not torch.allclose(here, model(moved).regions.boxes, atol=1e-6), part


def test_regions_come_in_reading_order_whatever_the_padding(
    family: str, equipped: Make, stir: Make, sample: Make, batch: Make
) -> None:
    model = stir(equipped(family))
    samples = [
        sample(said=["box+mask", "box+mask"], shown=["box"]),
        sample(seed=-1),
        sample(seed=2, said=["box+mask"], words="what is in the red square on the left"),
    ]
    with torch.no_grad():
        together = model(batch(model, samples)).regions
        alone = [model(batch(model, [s])).regions for s in samples]
    assert len(together.boxes) == 3
    # The parts that are written are drawn at random: the first region said in each row feels none of them.
    for at, single in ((0, alone[0]), (2, alone[2])):
        for field in FIELDS:
            a, b = getattr(together, field)[at], getattr(single, field)[0]
            assert at == 0 or torch.allclose(a, b, atol=1e-4), (at, field)


KINDS = {
    "text alone": ([], [], -1),
    "a picture without regions": ([], [], 0),
    "boxes alone": (["box"], ["box"], 0),
    "masks alone": (["mask"], ["mask"], 0),
    "points alone": (["point"], ["point"], 0),
}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("k", [1, 2])
def test_every_kind_of_batch_trains(family: str, kind: str, k: int, equipped: Make, sample: Make, batch: Make) -> None:
    said, shown, seed = KINDS[kind]
    model = equipped(family, vis_tokens=k)
    choose_trainable(model, "all")
    given = batch(model, [sample(said, shown, seed), sample(said, shown, seed, words="what is")])
    made = parts(model(given), given)
    sum(made.values()).backward()
    assert all(v.isfinite() for v in made.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    absent = {name for name, value in made.items() if value.item() == 0.0}
    wanted = {"box_l1", "box_giou", "mask_bce", "mask_dice", "cell", "score", "cycle"}
    if kind == "boxes alone":
        wanted = {"mask_bce", "mask_dice"}
    elif kind == "masks alone":  # a mask has a box
        wanted = set()
    assert absent == wanted


def test_image_places_without_a_picture_are_refused(family: str, equipped: Make, sample: Make, batch: Make) -> None:
    model = equipped(family)
    with pytest.raises(ValueError, match=r"0 vectors .* places"):
        model(replace(batch(model, [sample()]), pixels={}))


def test_regions_spoken_of_without_a_picture_are_refused(equipped: Make, sample: Make, batch: Make) -> None:
    model = equipped()
    given = batch(model, [sample(said=["box"])])
    blind = replace(
        given, pixels={}, input_ids=given.input_ids.masked_fill(given.input_ids == model.backbone.image_token_id, 5)
    )
    with pytest.raises(ValueError, match="no picture"):
        model(blind)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vis_tokens": 0},
        {"learns_match": True},
        {"passes_over": True},
        {"vis_tokens": 65},
        {"vis_tokens": "2"},
        {"decoder_width": 20},
        {"decoder_width": 10**9},
        {"decoder_width": -16},
        {"decoder_depth": 0},
        {"decoder_depth": 10**6},
        {"lora_rank": 0},
        {"lora_rank": 10**9},
        {"lora_alpha": 0},
        {"read_layers": "first"},
        {"lora_targets": "vision"},
        {"trained_host_modules": "model.multi_modal_projector"},
        {"trained_host_modules": [5]},
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="eyes"):
        equip(*FAMILIES["llava"](), eyes=2)


def test_a_host_is_equipped_once(family: str, equipped: Make) -> None:
    model = equipped(family)
    with pytest.raises(ValueError, match="already"):
        equip(model.host, model.backbone.processor)


def test_the_same_seed_makes_the_same_plugin(equipped: Make) -> None:
    state = torch.get_rng_state()
    one, other = equipped("llava"), equipped("llava")
    assert torch.equal(state, torch.get_rng_state())
    ours, theirs = dict(one.named_parameters()), dict(other.named_parameters())
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)

"""Laws of adapting: what is said to train does and nothing else; adapters off or detached is the host as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from perceptiongpt.core.objective import parts, text
from perceptiongpt.model.adapt import (
    choose_trainable,
    detach,
    disabled,
    host_module,
    is_vision,
    lora_names,
    merge,
    trainable_report,
)
from perceptiongpt.model.align import Naming, named_masks, naming_loss
from perceptiongpt.model.tiny import FAMILIES

Make = Callable[..., Any]
PROJECTOR = dict.fromkeys(FAMILIES, "model.multi_modal_projector") | {"qwen2_5_vl": "model.visual.merger"}
# What is added to every key alike shifts all its logits alike, and softmax is blind to that.
WAYS = [(1, "last", "none"), (2, "fused", "attention"), (1, "fused", "all"), (2, "last", "all")]


def mixed(model: Any, sample: Make, batch: Make) -> Any:
    return batch(
        model,
        [
            sample(said=["box+mask", "mask"], shown=["box", "mask", "point"]),
            sample(seed=-1),
            sample(said=["box"], seed=3, words="what is in"),
        ],
    )


def cost(model: Any, given: Any, aim: str, sample: Make) -> torch.Tensor:
    if aim == "name":
        one = sample(said=["mask"])
        named = [named_masks(one.turns[1].regions, model.backbone.canvas(one.image.size)), []]
        naming = Naming.of(model, named, model.backbone.cells_hw)
        return naming_loss(model.backbone.look(given.pixels).cells, naming, model.backbone.row_norm)
    if aim == "talk":
        output = model(given, regions=False)
        return text(output.logits, output.targets)
    return sum(parts(model(given, language=aim != "words"), given).values(), start=torch.zeros(()))


def logits(model: Any, prompt: Any) -> torch.Tensor:
    kinds = (prompt.input_ids == model.backbone.image_token_id).int()
    more = {"mm_token_type_ids": kinds} if model.backbone.dynamic else {}
    ids, attention = prompt.input_ids, prompt.attention_mask
    with torch.no_grad():
        return model.host(input_ids=ids, attention_mask=attention, **prompt.pixels, **more).logits


def a_little_training(model: Any, given: Any, aim: str, sample: Make) -> None:
    choose_trainable(model, aim)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, 0.05)
    for _ in range(3):
        cost(model, given, aim, sample).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()


@pytest.mark.parametrize("aim", ["name", "words", "talk", "all"])
@pytest.mark.parametrize(("k", "layers", "lora"), WAYS)
def test_all_that_is_said_to_train_feels_a_gradient_and_nothing_else_does(
    family: str, aim: str, k: int, layers: str, lora: str, equipped: Make, stir: Make, sample: Make, batch: Make
) -> None:
    settings = {
        "vis_tokens": k,
        "read_layers": layers,
        "lora_targets": lora,
        "read_window": 6 if k == 2 or aim == "words" else 0,
        "tells_apart": k == 2,
    }
    model = stir(equipped(family, trained_host_modules=(PROJECTOR[family],), **settings))
    choose_trainable(model, aim)
    cost(model, mixed(model, sample, batch), aim, sample).backward()
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    felt = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained
    assert felt == trained


def test_words_are_not_trained_where_none_are_read(equipped: Make) -> None:
    with pytest.raises(ValueError, match="read_window"):
        choose_trainable(equipped("aya_vision"), "words")


@pytest.mark.parametrize("layers", [0, 1])
def test_the_vision_tower_is_adapted_where_that_is_asked_for(family: str, layers: int, equipped: Make) -> None:
    model = equipped(family, lora_targets="none", lora_vision_layers=layers)
    adapted = {n.split(".lora_")[0] for n, _ in model.host.named_parameters() if ".lora_" in n}
    assert bool(adapted) == bool(layers)
    assert all(is_vision(n) for n in adapted)
    choose_trainable(model, "all")
    assert {n for n, p in model.host.named_parameters() if p.requires_grad} == {
        n for n, _ in model.host.named_parameters() if ".lora_" in n
    }


@pytest.mark.parametrize("aim", ["words", "all"])
def test_training_leaves_the_host_as_it_was(
    family: str, aim: str, equipped: Make, sample: Make, batch: Make, prompts: Make
) -> None:
    model = equipped(family, lora_targets="all", read_window=6)
    prompt = prompts(model, [sample(), sample(seed=1, words="what is")])
    before, weights = logits(model, prompt), {n: p.clone() for n, p in model.host.state_dict().items()}
    a_little_training(model, mixed(model, sample, batch), aim, sample)
    changed = {n for n, p in model.host.state_dict().items() if not torch.equal(p, weights[n])}
    assert all(".lora_" in n for n in changed)
    assert torch.equal(logits(model, prompt), before) == (aim == "words")
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    with disabled(model) as host:
        assert host is model.host
        assert torch.equal(logits(model, prompt), before)
    assert torch.equal(logits(model, prompt), before) == (aim == "words")
    assert flags == {n: p.requires_grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("lora", ["none", "attention", "all"])
def test_a_detached_host_is_the_host_that_came(
    family: str, lora: str, equipped: Make, sample: Make, batch: Make, prompts: Make
) -> None:
    fresh, _ = FAMILIES[family]()
    next(iter(fresh.parameters())).requires_grad_(False)  # a stranger's own choice
    model = equipped(family, lora_targets=lora)
    prompt = prompts(model, [sample()])
    before = logits(model, prompt)
    a_little_training(model, mixed(model, sample, batch), "all", sample)
    host = detach(model)
    assert {n: type(m) for n, m in host.named_modules()} == {n: type(m) for n, m in fresh.named_modules()}
    assert torch.equal(logits(model, prompt), before)
    assert all(p.requires_grad for p in host.parameters())
    assert not hasattr(host, "peft_config")
    weights = fresh.state_dict()
    assert all(torch.equal(p, weights[n]) for n, p in host.state_dict().items())


def test_detaching_gives_back_what_was_frozen_before(equipped: Make) -> None:
    from perceptiongpt.model.perception import equip

    host, processor = FAMILIES["llava"]()
    frozen = next(iter(host.parameters())).requires_grad_(False)
    model = equip(host, processor, decoder_width=32)
    choose_trainable(model, "all")
    detach(model)
    assert [p for p in host.parameters() if not p.requires_grad] == [frozen]
    assert equip(host, processor, decoder_width=32).lora is not None


def test_adapters_go_to_the_language_model_alone(family: str) -> None:
    host, _ = FAMILIES[family]()
    attention, everything = lora_names(host, "attention"), lora_names(host, "all")
    assert len(attention) == 2 * 4
    assert len(everything) == 2 * 7
    assert not [n for n in everything if "vis" in n.split(".layers.")[0].replace("vision_", "vis")]
    assert lora_names(host, "none") == []


def test_fresh_adapters_are_float32_even_on_a_narrow_host(family: str) -> None:
    from perceptiongpt.model.perception import equip

    host, processor = FAMILIES[family]()
    model = equip(host.bfloat16(), processor, decoder_width=32)
    assert {p.dtype for n, p in model.named_parameters() if not n.startswith("host.") or ".lora_" in n} == {
        torch.float32
    }


def test_the_report_counts_what_trains(equipped: Make) -> None:
    model = equipped("llava", trained_host_modules=(PROJECTOR["llava"],), lora_targets="all")
    choose_trainable(model, "all")
    said = trainable_report(model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    assert f"{trained:,}" in said and f"of {total:,}" in said
    assert "low-rank adapter" in said and PROJECTOR["llava"] in said
    assert sum(int(line.split()[-1].replace(",", "")) for line in said.splitlines()[1:-2]) == trained


def test_the_frozen_host_stays_in_eval_mode(equipped: Make) -> None:
    model = equipped()
    choose_trainable(model, "all")
    assert model.training and not any(m.training for m in model.host.modules())


def test_a_host_module_that_is_not_there_is_refused(equipped: Make) -> None:
    model = equipped()
    with pytest.raises(ValueError, match=r"no module 'model.projector'.*multi_modal_projector"):
        host_module(model.host, "model.projector")
    wrong = equipped(trained_host_modules=("model.projector",))
    with pytest.raises(ValueError, match="no module"):
        choose_trainable(wrong, "all")


def test_a_host_module_that_would_train_under_another_name_is_refused(equipped: Make) -> None:
    # A tied head is the embedding's weight: nothing of its own would train, and nobody would be told.
    with pytest.raises(ValueError, match="lm_head"):
        choose_trainable(equipped("aya_vision", trained_host_modules=("lm_head",)), "all")
    choose_trainable(equipped("llava", trained_host_modules=("lm_head",)), "all")


def test_a_merged_adapter_answers_as_beside_its_host_and_comes_off_again(
    family: str, equipped: Make, stir: Make, sample: Make, batch: Make
) -> None:
    model = stir(equipped(family, lora_targets="all"))
    fed = batch(model, [sample(said=["box"])])
    with torch.no_grad():
        bare = {n: p.clone() for n, p in model.host.named_parameters() if ".lora_" not in n}
        before = model(fed)
        merge(model)
        after = model(fed)
    assert any(not torch.equal(p, bare[n]) for n, p in model.host.named_parameters() if n in bare)
    assert torch.allclose(before.logits, after.logits, atol=1e-4)
    assert torch.allclose(before.regions.boxes, after.regions.boxes, atol=1e-5)
    host = detach(model)
    names = {n.replace(".base_layer", ""): p for n, p in bare.items()}
    assert all(torch.allclose(p, names[n], atol=1e-6) for n, p in host.named_parameters())

"""Laws of naming: an image token under an object should point at its name, and only the projector learns it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from perceptiongpt.core.answer import Region
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.align import (
    TEMPERATURE,
    Gallery,
    NamedMask,
    Naming,
    match_loss,
    name_vectors,
    named_masks,
    naming_loss,
    projector,
    strangers,
)
from perceptiongpt.model.tiny import FAMILIES

Make = Callable[..., Any]
PROJECTOR = dict.fromkeys(FAMILIES, "model.multi_modal_projector") | {"qwen2_5_vl": "model.visual.merger"}
HALVES = [np.zeros((32, 32), bool) for _ in range(2)]
HALVES[0][:, :16] = HALVES[1][:, 16:] = True


CANVAS = Canvas((32, 32), 32, "pad")


def halves() -> list[NamedMask]:
    """The left is red, the right is blue."""
    regions = [Region(mask=m, label=n) for m, n in zip(HALVES, ("red circle", "blue"), strict=True)]
    return named_masks(regions, CANVAS)


def pictures(eye: Any, picture: Make, n: int) -> dict[str, torch.Tensor]:
    return eye.pixels([eye.canvas((32, 32)).view(picture(i, (32, 32))) for i in range(n)])


def test_a_name_is_the_mean_of_its_tokens_in_mid_sentence(equipped: Make) -> None:
    model = equipped()
    tokenizer, rows = model.backbone.processor.tokenizer, model.host.get_input_embeddings().weight
    red, circle = (tokenizer.convert_tokens_to_ids(f"Ġ{w}") for w in ("red", "circle"))
    made = name_vectors(model, ["red", "red circle"])
    assert torch.allclose(made, torch.stack([rows[red], (rows[red] + rows[circle]) / 2]), atol=1e-6)


def test_cells_that_say_their_names_cost_least(equipped: Make) -> None:
    model = equipped()
    naming = Naming.of(model, [halves()], (2, 2))
    red, blue = (naming.table[naming.which[i]] for i in range(2))
    cells = torch.stack([red, blue, red, blue], 1).view(1, -1, 2, 2)
    right, wrong = (naming_loss(c, naming, 1.0).item() for c in (cells, cells.flip(-1)))
    cosine = float(red @ blue)
    # Naming: one name of two in each cell. Finding: two cells of four for each name, equally good.
    doubt = math.log1p(math.exp((cosine - 1) / TEMPERATURE))
    assert right == pytest.approx(doubt + (math.log(2) + doubt), abs=1e-4)
    assert wrong - right == pytest.approx(2 * (1 - cosine) / TEMPERATURE, rel=1e-3)


def test_tokens_are_held_at_the_hosts_norm() -> None:
    cells = torch.ones(1, 4, 2, 2)  # norm 2
    assert naming_loss(cells, None, 2.0).item() == pytest.approx(0.0, abs=1e-6)
    assert naming_loss(cells, None, 4.0).item() == pytest.approx(0.1 * math.log(2) ** 2, rel=1e-4)
    assert naming_loss(torch.zeros(1, 4, 2, 2), None, 2.0).isfinite()


def test_a_box_without_a_mask_is_named_as_a_full_one() -> None:
    box, full = np.zeros((32, 32), bool), (4.0, 8.0, 16.0, 32.0)
    box[8:32, 4:16] = True
    ((_, made),) = named_masks([Region(box=full, label="red")], CANVAS)
    ((_, wanted),) = named_masks([Region(mask=box, label="red")], CANVAS)
    assert torch.equal(made, wanted)
    ((_, half),) = named_masks([Region(box=(4.25, 8, 16, 32), label="red")], CANVAS)
    assert half[20, 8] == 0.5


def test_what_has_no_label_or_no_place_is_not_named(equipped: Make) -> None:
    empty = Region(mask=np.zeros((32, 32), bool), label="red")
    unnamed = [Region(mask=HALVES[0]), Region(point=(4, 4), label="red"), empty]
    assert named_masks(unnamed, CANVAS) == []
    assert Naming.of(equipped(), [[], []], (2, 2)) is None
    naming = Naming.of(equipped(), [[], halves()], (2, 2))
    assert naming.picture.tolist() == [1, 1]
    assert torch.allclose(naming.share.sum(-1), torch.ones(2))


@pytest.mark.parametrize("family", ["aya_vision", "llava"])
def test_a_gallery_costs_what_looking_again_would(family: str, equipped: Make, picture: Make) -> None:
    model = equipped(family, trained_host_modules=(PROJECTOR[family],))
    pixels = pictures(model.backbone, picture, 4)
    named = [halves(), [], halves()[:1], halves()[1:]]
    gallery = Gallery.of(model, [Gallery.look(model, pixels, named)])
    whole = gallery.loss(model, torch.arange(4))
    naming = Naming.of(model, named, model.backbone.cells_hw)
    again = naming_loss(model.backbone.look(pixels).cells, naming, model.backbone.row_norm)
    assert torch.allclose(whole, again, atol=1e-4)


@torch.no_grad()
def accuracy(gallery: Gallery, model: Any) -> float:
    """How often the image token that is nearest to an object's name lies on the object."""
    naming = gallery.naming
    tokens = projector(model)(gallery.features).reshape(len(gallery.features), -1, model.backbone.width).float()
    likeness = torch.einsum("rid,rd->ri", F.normalize(tokens, dim=-1)[naming.picture], naming.table[naming.which])
    return float((naming.share.gather(1, likeness.argmax(-1, keepdim=True)) > 0).float().mean())


def test_a_gallery_teaches_the_projector_alone_and_its_accuracy_rises(equipped: Make, picture: Make) -> None:
    model = equipped(trained_host_modules=(PROJECTOR["aya_vision"],))
    choose_trainable(model, "name")
    gallery = Gallery.of(model, [Gallery.look(model, pictures(model.backbone, picture, 6), [halves()] * 6)])
    before = accuracy(gallery, model)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, 1e-2)
    for _ in range(60):
        gallery.loss(model, torch.arange(6)).backward()
        optimiser.step()
        optimiser.zero_grad()
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    assert accuracy(gallery, model) > max(0.9, before)


def test_a_gallery_leaves_no_hook_behind(equipped: Make, picture: Make) -> None:
    model = equipped(trained_host_modules=(PROJECTOR["aya_vision"],))
    pixels = pictures(model.backbone, picture, 1)
    with pytest.raises(ValueError, match="labelled region"):
        Gallery.of(model, [Gallery.look(model, pixels, [[]])])
    assert not any(m._forward_pre_hooks for m in model.host.modules())


def test_pictures_of_many_sizes_are_not_kept(equipped: Make, picture: Make) -> None:
    model = equipped("qwen2_5_vl", trained_host_modules=(PROJECTOR["qwen2_5_vl"],))
    with pytest.raises(ValueError, match="differ in size"):
        Gallery.of(model, [Gallery.look(model, pictures(model.backbone, picture, 1), [halves()])])


def test_without_a_projector_to_train_naming_is_refused(equipped: Make, picture: Make) -> None:
    model = equipped()
    with pytest.raises(ValueError, match="trained_host_modules"):
        Gallery.of(model, [Gallery.look(model, pictures(model.backbone, picture, 1), [halves()])])


def test_a_match_is_taught_by_naming_things_and_by_finding_them(equipped: Make) -> None:
    model = equipped(read_window=4, learns_match=True)
    naming = Naming.of(model, [halves()], (2, 2), ["green"])
    cells = torch.stack([naming.table[naming.which[i % 2]] for i in range(4)])[None]  # red left, blue right
    shown = torch.randn(1, 4, model.settings.decoder_width)
    pointer, share = model.decoder.pointer, {"named": 1.0}
    keys = pointer.prepare(cells, shown)
    right, mirrored = (match_loss(model, k, naming, share) for k in (keys, keys.flip(1)))
    assert 0 < right < mirrored and torch.isclose(match_loss(model, keys, naming, {"named": 0.5}), right / 2)
    assert match_loss(model, keys, None, share).item() == 0.0
    right.backward()
    assert pointer.asked[1].weight.grad.abs().max() > 0


def test_what_is_shown_is_told_from_names_that_share_no_word_with_it() -> None:
    names = ("coffee mug", "Mug", "tea pot", "apple", "apple tree")
    assert strangers(names, ("white mug", "apple")) == ("tea pot",)
    assert strangers(names, ()) == ()  # nothing is named: there is nothing to tell apart
    assert strangers((), ("mug",)) == ()


def test_more_names_make_naming_harder_and_change_nothing_else(equipped: Make) -> None:
    model = equipped()
    cells = torch.randn(1, model.backbone.width, 2, 2, generator=torch.Generator().manual_seed(0))
    few, many = (
        naming_loss(cells, Naming.of(model, [halves()], (2, 2), others), model.backbone.row_norm)
        for others in ((), ("red circle", "blue triangle"))
    )
    assert many > few

"""A tower of the plug-in's own: hosts without a grid can point through it, and it is neither trained nor stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from perceptiongpt.core.objective import parts
from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.perception import equip
from perceptiongpt.model.sight import HostError
from perceptiongpt.model.store import load, save
from perceptiongpt.model.zoo import HOSTS

Make = Callable[..., Any]
SMALL = {"decoder_width": 32, "decoder_depth": 1}


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> str:
    where = tmp_path_factory.mktemp("tower")
    sizes = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 64, "patch_size": 4}
    Dinov2Model(Dinov2Config(**sizes)).save_pretrained(where)
    return str(where)


def gridless() -> tuple[Any, Any]:
    """A LLaVA that keeps the class token: 17 image tokens, which lie on no grid."""
    host, processor = HOSTS["llava"]()
    host.config.vision_feature_select_strategy = processor.vision_feature_select_strategy = "full"
    return host, processor


def test_a_host_without_a_grid_is_refused_and_points_with_a_tower(
    tower: str, sample: Make, batch: Make, stir: Make, tmp_path: Path
) -> None:
    with pytest.raises(HostError, match="17 image tokens form no square grid; set a `tower`"):
        equip(*gridless(), **SMALL)
    model = stir(equip(*gridless(), **SMALL, tower=tower))
    given = batch(model, [sample(["box+mask"], ["box", "mask"]), sample(seed=-1), sample(["mask"], ["point"], seed=3)])
    choose_trainable(model, "all")
    sum(parts(model(given), given).values(), start=torch.zeros(())).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters() if p.requires_grad)
    assert not any("tower" in name for name in model.added())
    assert all(p.grad is None for p in model.backbone.tower.model.parameters())
    loaded = load(save(model, tmp_path / "model", "x"), *gridless())
    with torch.no_grad():
        one, other = model.eval()(given), loaded(given)
    assert torch.equal(one.regions.masks, other.regions.masks) and one.regions.masks.shape[-1] == 64


@pytest.mark.parametrize("family", ["qwen2_vl", "internvl"])
def test_any_host_may_have_a_tower(tower: str, family: str, sample: Make, batch: Make) -> None:
    model = equip(*HOSTS[family](), **SMALL, tower=tower)
    assert model(batch(model, [sample(["box+mask"])])).regions.masks.isfinite().all()


def test_what_is_no_tower_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot be loaded"):
        equip(*gridless(), tower=str(tmp_path))
    with pytest.raises(ValueError, match="tower is 5"):
        equip(*gridless(), tower=5)

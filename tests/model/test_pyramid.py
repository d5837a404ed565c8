"""A feature pyramid beside the host's map: silent at birth, found again by name, neither trained nor stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from a_pyramid import network
from PIL import Image
from transformers import ConvNextConfig, ConvNextModel, ResNetConfig, ResNetModel, ViTConfig, ViTModel

from perceptiongpt.core.objective import parts
from perceptiongpt.model import backbone
from perceptiongpt.model.adapt import choose_trainable, trainable_report
from perceptiongpt.model.align import Gallery, Naming, naming_loss
from perceptiongpt.model.assemble import PYRAMID_MEAN, PYRAMID_STD, beside
from perceptiongpt.model.perception import equip
from perceptiongpt.model.pyramid import Pyramid
from perceptiongpt.model.sight import HostError
from perceptiongpt.model.store import StoreError, load, save
from perceptiongpt.model.tower import MEAN, STD
from perceptiongpt.model.zoo import HOSTS

Make = Callable[..., Any]
PROJECTOR = ("model.multi_modal_projector",)
SMALL: dict[str, Any] = {"decoder_width": 32, "decoder_depth": 1}


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> str:
    where = tmp_path_factory.mktemp("pyramid")
    network().save_pretrained(where)
    return str(where)


@pytest.mark.parametrize("family", ["llava", "qwen2_vl", "internvl"])
def test_a_fresh_pyramid_changes_nothing_and_then_learns(
    pyramid: str, family: str, sample: Make, batch: Make, stir: Make
) -> None:
    plain, seeing = (equip(*HOSTS[family](), **SMALL, pyramid=name) for name in ("", pyramid))
    rest, said = plain.state_dict(), seeing.state_dict()
    seeing.load_state_dict({n: rest.get(n, w) for n, w in said.items()})
    given = batch(seeing, [sample(["box+mask"], ["box", "mask"]), sample(["mask"], seed=3)])
    with torch.no_grad():
        one, other = plain.eval()(given), seeing.eval()(given)
    assert torch.equal(one.regions.masks, other.regions.masks) and torch.equal(one.logits, other.logits)
    stir(seeing)
    choose_trainable(seeing.train(), "all")
    sum(parts(seeing(given), given).values(), start=torch.zeros(())).backward()
    own = {n: p for n, p in seeing.named_parameters() if n.startswith(("decoder.mask.pyramid.", "namer."))}
    assert own and all(p.grad is not None and p.grad.abs().max() > 0 for p in own.values())
    beside = list(seeing.backbone.pyramid.model.parameters())
    assert not any(p.requires_grad for p in beside)
    whole = sum(p.numel() for p in [*seeing.parameters(), *beside])  # frozen, but a part of what answers
    assert f"% of {whole:,}" in trainable_report(seeing)


def test_a_pyramid_is_taught_names_apart_from_the_hosts_tokens(pyramid: str, sample: Make, batch: Make) -> None:
    model = equip(*HOSTS["aya_vision"](), **SMALL, pyramid=pyramid, trained_host_modules=PROJECTOR)
    choose_trainable(model, "name")
    model.eval()  # nothing is dropped
    given = batch(model, [sample(["mask"]), sample(["mask"], seed=3)])
    mask = torch.zeros(64, 64)
    mask[10:40, 20:50] = 1.0
    group = [[("cat", mask)], [("dog", mask.T)]]
    gallery = Gallery.of(model, [Gallery.look(model, given.pixels, group)])
    moved = list(model.namer.parameters())
    optimiser = torch.optim.Adam(moved, 0.01)
    for step in range(60):
        optimiser.zero_grad()
        loss = gallery.loss(model, torch.tensor([0, 1]))
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in moved if p.grad is not None])
        assert step or 1e-3 < norm < 1e4  # tokens of length zero have no direction, but a way to one
        optimiser.step()
    with torch.no_grad():
        seen = model.see(given.pixels)
        naming = Naming.of(model, group, model.backbone.cells_hw)
        assert naming is not None and seen.named is not None and seen.cells is not None
        told = naming_loss(seen.named, naming, model.backbone.row_norm)
        assert told < 0.5 * naming_loss(torch.zeros_like(seen.named) + 1e-3, naming, model.backbone.row_norm)
        assert torch.equal(
            seen.cells, model.backbone.look(given.pixels).cells
        )  # the language model reads the host's own


def test_names_weigh_as_much_as_the_hosts_tokens_whatever_their_length(
    pyramid: str, sample: Make, batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = equip(*HOSTS["llava"](), **SMALL, pyramid=pyramid).eval()
    given = batch(model, [sample(["mask"])])
    shown: list[torch.Tensor] = []
    prepare = model.decoder.prepare

    def watched(fused: torch.Tensor, cells: torch.Tensor, **more: Any) -> Any:
        shown.append(cells)
        return prepare(fused, cells, **more)

    monkeypatch.setattr(model.decoder, "prepare", watched)
    width, hw = model.backbone.width, model.backbone.cells_hw
    name = torch.nn.functional.normalize(torch.randn(1, width, *hw), dim=1) * model.backbone.row_norm
    monkeypatch.setattr(model.namer, "forward", lambda levels, at: name)
    with torch.no_grad():
        tokens = model.see(given.pixels).cells
    assert tokens is not None
    added = shown[0] - tokens
    assert torch.allclose(added.norm(dim=1), tokens.norm(dim=1), rtol=1e-4)
    assert torch.allclose(torch.cosine_similarity(added, name), torch.ones(1, *hw), atol=1e-4)


def test_every_level_of_the_pyramid_is_seen(pyramid: str, stir: Make) -> None:
    model = stir(equip(*HOSTS["llava"](), **SMALL, pyramid=pyramid)).eval()
    side = model.backbone.canvas((64, 64)).view_wh
    pixels = model.backbone.pixels([Image.radial_gradient("L").convert("RGB").resize(side)])
    with torch.no_grad():
        look = model.backbone.look(pixels)
        h = model.backbone.map_side
        sides = [level.shape[-1] for level in look.pyramid]
        assert sides == [h // 2, h, 2 * h, 4 * h] and model.backbone.pyramid.widths == (12, 9, 6, 5)

        def maps(levels: tuple[torch.Tensor, ...]) -> Any:
            fused = model.fusion(look.layers).permute(0, 3, 1, 2)
            return model.decoder.prepare(fused, look.cells, pyramid=levels).map

        whole = maps(look.pyramid)
        for i, keys in enumerate((True, True, False, False)):  # deep levels reach the cells, shallow ones do not
            less = maps(tuple(torch.zeros_like(x) if i == j else x for j, x in enumerate(look.pyramid)))
            assert torch.equal(less.keys, whole.keys) is not keys
            assert not torch.equal(less.fine, whole.fine)


@torch.no_grad()
def test_levels_of_pictures_that_are_looked_at_in_parts_are_those_of_all(
    pyramid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = equip(*HOSTS["llava"](), **SMALL, pyramid=pyramid).eval()
    side = model.backbone.canvas((64, 64)).view_wh
    gradients = (Image.radial_gradient("L"), Image.linear_gradient("L"), Image.new("L", side, 99))
    pixels = model.backbone.pixels([g.convert("RGB").resize(side) for g in gradients])
    whole = model.backbone.look(pixels).pyramid
    monkeypatch.setattr(backbone, "AT_ONCE", 2)
    some = model.backbone.look(pixels).pyramid
    assert [len(level) for level in some] == [3] * 4
    assert all(torch.allclose(*levels, atol=1e-5) for levels in zip(some, whole, strict=True))


def test_a_pyramid_is_given_later_and_found_again(pyramid: str, sample: Make, batch: Make, tmp_path: Path) -> None:
    plain = equip(*HOSTS["llava"](), **SMALL)
    folder = save(plain, tmp_path / "plain", "x")
    grown = load(folder, *HOSTS["llava"](), {"pyramid": pyramid})
    with torch.no_grad():
        for p in (*grown.decoder.mask.pyramid.parameters(), *grown.namer.parameters()):
            p.normal_(std=0.3)
    back = load(save(grown, tmp_path / "grown", "x"), *HOSTS["llava"]())
    assert back.settings.pyramid == pyramid
    assert not any("backbone" in name for name in grown.added())
    given = batch(grown, [sample(["box+mask"])])
    with torch.no_grad():
        one, other, before = grown.eval()(given), back(given), plain.eval()(given)
    assert torch.equal(one.regions.masks, other.regions.masks)
    assert not torch.equal(one.regions.masks, before.regions.masks)


def test_a_network_in_the_hosts_own_folder_is_found_with_its_colours(tmp_path: Path) -> None:
    host, processor = HOSTS["llava"]()
    host.save_pretrained(tmp_path)
    host.config.name_or_path = str(tmp_path)
    with pytest.raises(HostError, match=r"'host:pyramid' cannot be loaded .*fetch the default host again"):
        equip(host, processor, **SMALL, pyramid="host:pyramid")
    beside(network(), tmp_path)
    found = equip(host, processor, **SMALL, pyramid="host:pyramid").backbone.pyramid
    assert found.colours == ((PYRAMID_MEAN,) * 3, (PYRAMID_STD,) * 3)
    grey = Image.new("RGB", (20, 20), (127, 127, 127))
    assert found.pixels([grey]).abs().max() < 1e-6


@pytest.mark.parametrize("cells", [2, 3, 5, 8])
@pytest.mark.parametrize("kind", ["efficientnet", "resnet", "convnext"])
def test_a_map_of_any_side_has_a_pyramid_of_other_networks_too(kind: str, cells: int, tmp_path: Path) -> None:
    four: dict[str, Any] = {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4}
    if kind == "resnet":
        made: Any = ResNetModel(ResNetConfig(embedding_size=8, layer_type="basic", **four))
    else:
        made = ConvNextModel(ConvNextConfig(**four)) if kind == "convnext" else network()
    made.eval().save_pretrained(tmp_path)
    drawn = torch.get_rng_state()
    found = Pyramid(str(tmp_path), "", cells, torch.device("cpu"), torch.float32)
    assert torch.equal(torch.get_rng_state(), drawn)  # nobody's random numbers are others than without a pyramid
    even = cells + cells % 2
    pixels = found.pixels([Image.new("RGB", (30, 20), "red")])
    run: list[type] = []
    for module in found.model.modules():
        module.register_forward_hook(lambda m, taken, given: run.append(type(m)))
    levels = found.look(pixels)
    assert not {torch.nn.BatchNorm2d, torch.nn.ZeroPad2d} & set(run)
    with torch.no_grad():
        last = {s.shape[-1]: s for s in made(pixels, output_hidden_states=True).hidden_states}
    for level in levels:
        torch.testing.assert_close(level, last[level.shape[-1]], rtol=1e-3, atol=1e-4)
    assert [tuple(level.shape[2:]) for level in levels] == [(n, n) for n in (even // 2, even, 2 * even, 4 * even)]


@pytest.mark.parametrize("told", [None, "{", '{"image_mean": [0.5], "image_std": [0.5]}', '{"image_mean": 3}'])
def test_colours_that_nothing_tells_are_imagenets(pyramid: str, told: str | None, tmp_path: Path) -> None:
    network().save_pretrained(tmp_path)
    if told is not None:
        (tmp_path / "preprocessor_config.json").write_text(told)
    assert Pyramid(str(tmp_path), "", 2, torch.device("cpu"), torch.float32).colours == (MEAN, STD)


def test_what_is_no_pyramid_is_refused(pyramid: str, tmp_path: Path) -> None:
    host, processor = HOSTS["llava"]()
    with pytest.raises(HostError, match="cannot be loaded"):
        equip(host, processor, pyramid=str(tmp_path / "nothing"))
    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=32)
    ViTModel(config).save_pretrained(tmp_path)
    with pytest.raises(HostError, match=r"give a network (such as|with all of them, such as) EfficientNet"):
        equip(host, processor, pyramid=str(tmp_path))
    with pytest.raises(ValueError, match="pyramid is 5"):
        equip(host, processor, pyramid=5)
    with pytest.raises(ValueError, match="wanted none where no <vis> is decoded"):
        equip(host, processor, pyramid=pyramid, answer_format="numerals")


def test_weights_made_with_a_pyramid_are_refused_without_it(pyramid: str, tmp_path: Path) -> None:
    folder = save(equip(*HOSTS["llava"](), **SMALL, pyramid=pyramid), tmp_path / "model", "x")
    config = (folder / "config.json").read_text().replace(pyramid, "")
    (folder / "config.json").write_text(config)
    with pytest.raises(StoreError, match=r"no part takes, first 'decoder\.mask\.pyramid"):
        load(folder, *HOSTS["llava"]())

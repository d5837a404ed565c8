"""Laws of the held host: its pictures, its grid and its positions are what the host itself would make of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from perceptiongpt.core.canvas import cells_wh
from perceptiongpt.model import backbone
from perceptiongpt.model.backbone import Backbone, HostError
from perceptiongpt.model.tiny import FAMILIES


@pytest.fixture(scope="module")
def held() -> dict[str, Backbone]:
    return {name: Backbone(*make()) for name, make in FAMILIES.items()}


@pytest.fixture
def eye(held: dict[str, Backbone], family: str) -> Backbone:
    return held[family]


def noise(size_wh: tuple[int, int], seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size_wh[::-1], 3)).astype(np.uint8))


def test_pixels_are_what_the_processor_makes_of_a_view_of_its_own_size(eye: Backbone) -> None:
    views = [eye.canvas((64, 48)).view(noise((64, 48), seed)) for seed in range(2)]
    ours, theirs = eye.pixels(views), eye.image_processor(images=views, return_tensors="pt")
    assert torch.allclose(ours["pixel_values"], theirs["pixel_values"], atol=1e-5)
    if eye.dynamic:
        assert torch.equal(ours["image_grid_thw"], theirs["image_grid_thw"])


@pytest.mark.parametrize("switched_off", ["do_normalize", "do_rescale"])
def test_a_processor_that_leaves_a_step_out_is_believed(family: str, switched_off: str) -> None:
    host, processor = FAMILIES[family]()
    setattr(processor.image_processor, switched_off, False)
    eye = Backbone(host, processor)
    views = [eye.canvas((64, 48)).view(noise((64, 48)))]
    theirs = processor.image_processor(images=views, return_tensors="pt")
    assert torch.allclose(eye.pixels(views)["pixel_values"], theirs["pixel_values"].float(), atol=1e-5)


def test_the_language_model_reads_as_many_tokens_as_there_are_places(eye: Backbone) -> None:
    for size in ((64, 48), (20, 90), (300, 40)):
        canvas = eye.canvas(size)
        look = eye.look(eye.pixels([canvas.view(noise(size))]))
        assert look.tokens[0].shape == (eye.image_places(canvas), eye.width)


@torch.no_grad()
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_looking_at_some_at_a_time_is_looking_at_all(
    eye: Backbone, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = eye.pixels([eye.canvas((64, 48)).view(noise((64, 48), seed)) for seed in range(5)])
    whole = eye.look(pixels)
    monkeypatch.setattr(backbone, "AT_ONCE", at_once)
    parts = eye.look(pixels)
    assert len(parts.tokens) == 5 and len(parts.layers) == len(whole.layers) and len(parts.deep) == len(whole.deep)
    ours, theirs = ((*look.tokens, look.cells, *look.layers) for look in (parts, whole))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_looking_together_is_looking_alone(eye: Backbone) -> None:
    views = [eye.canvas(s).view(noise(s, i)) for i, s in enumerate([(64, 48), (30, 80)])]
    both = eye.look(eye.pixels(views))
    for i, view in enumerate(views):
        alone = eye.look(eye.pixels([view]))
        assert torch.allclose(both.tokens[i], alone.tokens[0], atol=1e-5)
        assert torch.allclose(both.cells[i : i + 1], alone.cells, atol=1e-5)
        for a, b in zip(both.layers, alone.layers, strict=True):
            assert torch.allclose(a[i : i + 1], b, atol=1e-5)


@pytest.mark.parametrize("xy", [(0.15, 0.85), (0.85, 0.15), (0.6, 0.4)])
def test_cells_and_layers_lie_where_the_picture_is(eye: Backbone, xy: tuple[float, float]) -> None:
    # A spot is painted; what changes most in each map must lie under it, x before y, windows undone.
    size = eye.canvas((96, 64)).view_wh if eye.dynamic else (eye.sight.side,) * 2
    plain = noise(size)
    spot = plain.copy()
    x, y = round(xy[0] * size[0]), round(xy[1] * size[1])
    spot.paste((255, 0, 0), (x - 2, y - 2, x + 2, y + 2))
    before, after = (eye.look(eye.pixels([v])) for v in (plain, spot))
    maps = [
        before.cells - after.cells,
        *(a.permute(0, 3, 1, 2) - b.permute(0, 3, 1, 2) for a, b in zip(before.layers, after.layers, strict=True)),
    ]
    for number, change in enumerate(maps):
        heat = change[0].norm(dim=0)
        row, column = divmod(int(heat.argmax()), heat.shape[1])
        where = ((column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0])
        assert abs(where[0] - xy[0]) < 0.17 and abs(where[1] - xy[1]) < 0.26, (number, where)


def test_the_native_layer_is_the_one_the_projector_reads(held: dict[str, Backbone]) -> None:
    assert {n: (e.native_layer, e.feature_layers) for n, e in held.items()} == {
        "llava": (2, 4),
        "bakllava": (2, 4),
        "qwen2_5_vl": (3, 4),
        "aya_vision": (3, 4),
    }


def test_positions_are_the_hosts_own(eye: Backbone) -> None:
    canvas = eye.canvas((64, 48))
    pixels = eye.pixels([canvas.view(noise((64, 48)))])
    row = [5, *[eye.image_token_id] * eye.image_places(canvas), 6, 7]
    ids, attention = torch.tensor([[0, 0, *row]]), torch.tensor([[0, 0, *[1] * len(row)]])
    alone, _ = eye.positions(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long), pixels)
    padded, following = eye.positions(ids, attention, pixels)
    assert torch.equal(padded[..., 2:], alone)
    assert following.item() == int(alone.max()) + 1


def test_text_alone_counts_from_zero_however_it_is_padded(eye: Backbone) -> None:
    ids = torch.tensor([[0, 0, 5, 6], [5, 6, 7, 8], [0, 0, 0, 5]])
    attention = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]])
    places, following = eye.positions(ids, attention, {})
    plain = places[0] if places.ndim == 3 else places
    assert plain[0, 2:].tolist() == [0, 1] and plain[1].tolist() == [0, 1, 2, 3] and plain[2, 3] == 0
    assert following[:, 0].tolist() == [2, 4, 1]


def test_text_alone_between_pictures_counts_as_it_does_alone(eye: Backbone) -> None:
    canvas = eye.canvas((64, 48))
    pixels = eye.pixels([canvas.view(noise((64, 48)))])
    shows = [5, *[eye.image_token_id] * eye.image_places(canvas), 6]
    for text in ([7], [7, 8, 9]):
        pad = len(shows) - len(text)
        ids = torch.tensor([shows, [0] * pad + text])
        attention = torch.tensor([[1] * len(shows), [0] * pad + [1] * len(text)])
        places, following = eye.positions(ids, attention, pixels)
        alone, after = eye.positions(torch.tensor([text]), torch.ones(1, len(text), dtype=torch.long), {})
        assert torch.equal(places[..., 1:2, pad:], alone)
        assert following[1].item() == after.item()


def test_the_head_gives_the_hosts_own_logits(eye: Backbone) -> None:
    ids = torch.tensor([[5, 6, 7]])
    theirs = eye.host(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    places, _ = eye.positions(ids, torch.ones_like(ids), {})
    states, layers = eye.states(eye.embed(ids), torch.ones_like(ids), places, layers=True)
    assert torch.equal(eye.head(states), theirs)
    assert len(layers) == eye.layer_count + 1


@pytest.mark.parametrize("size_wh", [(1, 1), (5000, 3), (3, 5000), (40, 30), (2000, 1500), (97, 96)])
def test_a_free_view_has_whole_cells_and_an_area_that_the_host_takes(size_wh: tuple[int, int]) -> None:
    cell, low, high = 16, 32 * 32, 96 * 96
    width, height = cells_wh(size_wh, cell, low, high)
    assert width % cell == height % cell == 0 and min(width, height) >= cell
    assert width * height <= high
    if 1 / 3 < size_wh[0] / size_wh[1] < 3:
        assert width * height >= low
        assert abs(math.log((width / height) / (size_wh[0] / size_wh[1]))) < 0.5


@pytest.mark.parametrize("size_wh", [(400, 2), (2, 400), (1, 1)])
def test_extreme_pictures_are_seen(eye: Backbone, size_wh: tuple[int, int]) -> None:
    canvas = eye.canvas(size_wh)
    look = eye.look(eye.pixels([canvas.view(noise(size_wh))]))
    assert look.cells.isfinite().all() and len(look.tokens[0]) == eye.image_places(canvas)


def test_hosts_that_cannot_be_held_are_refused_in_one_sentence(family: str) -> None:
    host, processor = FAMILIES[family]()
    with pytest.raises(HostError, match="no picture input"):
        Backbone(host, processor.tokenizer)
    host.config.is_encoder_decoder = True
    with pytest.raises(HostError, match="encoder-decoder"):
        Backbone(host, processor)


def test_hosts_are_told_apart_by_their_weights_but_not_by_their_precision(family: str) -> None:
    make = FAMILIES[family]
    first = Backbone(*make()).fingerprint()
    assert Backbone(*make()).stranger(first) is None
    assert Backbone(*make(seed=1)).stranger(first) == "rows"
    assert Backbone(*make()).stranger({**first, "width": 65}) == "width"
    for broken in ({}, {**first, "rows": "x"}, {**first, "rows": first["rows"][1:]}, {**first, "rows": [None] * 99}):
        assert Backbone(*make()).stranger(broken) is not None
    host, processor = make()
    assert Backbone(host.bfloat16(), processor).stranger(first) is None


def test_a_host_is_known_by_what_it_was_before_it_was_trained() -> None:
    held = Backbone(*FAMILIES["llava"]())
    first = held.fingerprint()
    with torch.no_grad():
        held.host.get_input_embeddings().weight.add_(1.0)
    assert held.fingerprint() == first

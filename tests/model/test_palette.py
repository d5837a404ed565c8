"""The laws of counted colours: what is there and how much of it, silent at birth, then learnt by colour words alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from a_descent import descended
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.align import MASK_SIDE, looks_loss
from perceptiongpt.model.palette import BINS, PIXELS, SIDE, TONES, Palette, histograms
from perceptiongpt.model.perception import equip
from perceptiongpt.model.store import load, save
from perceptiongpt.model.zoo import HOSTS

Make = Callable[..., Any]
COLOURED: dict[str, Any] = {"region_features": True, "region_colours": True}
tone = st.integers(0, TONES - 1)


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> torch.Tensor:
    """A picture of two plain colours, side by side: [1, 3, SIDE, SIDE]."""
    picture = Image.new("RGB", (SIDE, SIDE), left)
    picture.paste(right, (SIDE // 2, 0, SIDE, SIDE))
    return Palette().pixels([picture])


# -- counting ----------------------------------------------------------------------------------------------------------


@given(st.tuples(tone, tone, tone))
def test_a_colour_of_the_palette_counts_for_itself_alone(rgb: tuple[int, int, int]) -> None:
    plain = torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 8, 8) / (TONES - 1)
    counted = histograms(plain, torch.ones(1, 8, 8), torch.tensor([0]))
    red, green, blue = rgb
    assert counted[0, (red * TONES + green) * TONES + blue] == pytest.approx(BINS**0.5, abs=1e-2)


@given(st.integers(0, 99), st.integers(1, 5))
def test_shares_are_shares_whatever_the_picture_and_the_area(seed: int, n: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    colours, areas = torch.rand(2, 3, 12, 12, generator=drawn), torch.rand(n, 7, 7, generator=drawn)
    counted = histograms(colours, areas, torch.randint(0, 2, (n,), generator=drawn))
    assert counted.shape == (n, BINS) and torch.allclose(counted.square().mean(1), torch.ones(n), atol=1e-4)


def test_what_lies_outside_an_area_or_in_another_picture_does_not_count() -> None:
    red, blue = (255, 0, 0), (0, 0, 255)
    colours = torch.cat([halves(red, blue), halves(blue, blue)])
    left = torch.zeros(3, MASK_SIDE, MASK_SIDE)
    left[:, :, : MASK_SIDE // 4] = 1
    left[2] = 0  # nowhere: what is at the point
    at = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.9, 0.5]])
    counted = histograms(colours, left, torch.tensor([0, 1, 0]), at)
    of_red, of_blue = (counted[:, k] / BINS**0.5 for k in ((TONES - 1) * TONES**2, TONES - 1))
    assert of_red.tolist() == pytest.approx([1, 0, 0], abs=1e-3)
    assert of_blue.tolist() == pytest.approx([0, 1, 1], abs=1e-3)


def test_views_of_any_size_become_plain_colours() -> None:
    pixels = Palette().pixels([Image.new("RGB", (30, 70), (255, 0, 51)), Image.new("L", (9, 9), 0)])
    assert pixels.shape == (2, 3, SIDE, SIDE)
    assert pixels[0].mean((1, 2)).tolist() == pytest.approx([1.0, 0.0, 0.2]) and not pixels[1].any()


# -- in a model --------------------------------------------------------------------------------------------------------


def test_a_fresh_one_changes_nothing_and_then_learns(
    family: str, equipped: Make, stir: Make, sample: Make, batch: Make
) -> None:
    plain, coloured = equipped(family, region_features=True), equipped(family, **COLOURED)
    there = coloured.state_dict()
    coloured.load_state_dict({**there, **plain.state_dict()})
    of = [sample(["box+mask"], ["box", "mask", "point"]), sample(["mask"], seed=3)]
    with torch.no_grad():
        one, other = plain.eval()(batch(plain, of)), coloured.eval()(batch(coloured, of))
    assert torch.equal(one.logits, other.logits) and torch.equal(one.again.masks, other.again.masks)
    assert one.colours is None and len(other.colours) == len(coloured.see(batch(coloured, of).pixels).tokens)
    stir(coloured)
    coloured(batch(coloured, of)).logits.square().mean().backward()
    assert coloured.encoder.palette.weight.grad.any()


def test_region_vectors_tell_two_colours_apart(equipped: Make, stir: Make, sample: Make, batch: Make) -> None:
    model = stir(equipped("aya_vision", **COLOURED)).eval()
    given = batch(model, [sample(shown=["box"])])

    def vectors(colour: tuple[int, int, int]) -> torch.Tensor:
        with torch.no_grad():
            return model.encode(given, model.see({**given.pixels, PIXELS: halves(colour, colour)}))

    red, blue = vectors((255, 0, 0)), vectors((0, 0, 255))
    assert len(red) and not torch.allclose(red, blue) and torch.equal(red, vectors((255, 0, 0)))


def test_a_trained_model_may_be_given_it_and_it_is_found_again(equipped: Make, stir: Make, tmp_path: Path) -> None:
    old = save(stir(equipped("aya_vision", region_features=True)), tmp_path / "old", "tiny:aya_vision")
    given = load(old, *HOSTS["aya_vision"](), {"region_colours": True})
    assert given.settings.region_colours and not given.encoder.palette.weight.any()
    new = save(stir(given), tmp_path / "new", "tiny:aya_vision")
    assert torch.equal(load(new, *HOSTS["aya_vision"]()).encoder.palette.weight, given.encoder.palette.weight)


def test_without_what_is_shown_there_are_no_colours_of_it() -> None:
    with pytest.raises(ValueError, match="region_colours is true and region_features false"):
        equip(*HOSTS["llava"](), region_colours=True)


# -- learning ----------------------------------------------------------------------------------------------------------


def test_colour_words_teach_it_and_names_do_not(equipped: Make) -> None:
    model = equipped("aya_vision", **COLOURED, read_window=4)
    choose_trainable(model, "words")
    assert model.encoder.palette.weight.requires_grad
    everywhere = torch.ones(MASK_SIDE, MASK_SIDE)
    cells = torch.zeros(2, 32, 4, 4)  # alike: only the pixels tell the two pictures apart
    colours = torch.cat([halves((255, 0, 0), (255, 0, 0)), halves((0, 0, 255), (0, 0, 255))])
    words = [[("red", everywhere)], [("blue", everywhere)]]
    share = {"named": 1.0, "coloured": 1.0}
    named = {"named": (words, ()), "coloured": ([[], []], ())}
    looks_loss(model, cells, named, share, colours).backward()
    assert model.encoder.palette.weight.grad is None
    told = {"named": ([[], []], ()), "coloured": (words, ("green",))}
    costs = descended(lambda: looks_loss(model, cells, told, share, colours), [model.encoder.palette.weight], 60)
    assert costs[-1] < 0.5 * costs[0]
    with torch.no_grad():
        assert float(looks_loss(model, cells, told, share)) > 2 * costs[-1]  # without the pixels they are alike

"""The laws of counted colours: what is there and how much of it, silent at birth, then learnt by colour words alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from a_descent import descended
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt.core.batch import Regions
from perceptiongpt.core.slots import places
from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.align import MASK_SIDE, looks_loss
from perceptiongpt.model.generate import generate
from perceptiongpt.model.palette import BINS, PIXELS, SIDE, TONES, Palette, histograms
from perceptiongpt.model.perception import equip
from perceptiongpt.model.store import load, save
from perceptiongpt.model.zoo import HOSTS

Make = Callable[..., Any]
COLOURED: dict[str, Any] = {"region_features": True, "echoes": True, "region_colours": True}
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
    plain, coloured = (stir(equipped(family, **{**COLOURED, "region_colours": given})) for given in (False, True))
    there = {k: v for k, v in coloured.state_dict().items() if k.startswith("echo.palette.")}
    coloured.load_state_dict({**there, **plain.state_dict()})
    coloured.echo.palette.weight.data.zero_()
    of = [sample(["box+mask"], ["box", "mask", "point"]), sample(["mask"], seed=3)]
    with torch.no_grad():
        one, other = plain.eval()(batch(plain, of)), coloured.eval()(batch(coloured, of))
    assert torch.equal(one.logits, other.logits) and torch.equal(one.again.masks, other.again.masks)
    assert one.colours is None and len(other.colours) == len(coloured.see(batch(coloured, of).pixels).tokens)
    coloured(batch(coloured, of)).logits.square().mean().backward()
    assert coloured.echo.palette.weight.grad.any()


def test_colours_move_the_word_after_a_region_and_no_other_state(
    equipped: Make, stir: Make, sample: Make, batch: Make
) -> None:
    model = stir(equipped("aya_vision", **COLOURED, vis_tokens=2)).eval()
    given = batch(model, [sample(["box+mask", "box"], shown=["box"])])
    after = places(given.input_ids, model.vis_id)[:, :-1][given.labels[:, 1:] != -100]

    def answered(colour: tuple[int, int, int]) -> Any:
        with torch.no_grad():
            return model(replace(given, pixels={**given.pixels, PIXELS: halves(colour, colour)}))

    red, blue = answered((255, 0, 0)), answered((0, 0, 255))
    assert torch.equal(red.logits, answered((255, 0, 0)).logits)
    moved = (red.logits != blue.logits).any(-1)
    assert moved.any() and not moved[~after].any()
    assert torch.equal(red.regions.masks, blue.regions.masks) and torch.equal(red.again.masks, blue.again.masks)


def test_an_answer_hears_them_as_training_does(equipped: Make, stir: Make, sample: Make, batch: Make) -> None:
    model = stir(equipped("aya_vision", **COLOURED)).eval()
    seen = model.see(batch(model, [sample(["box+mask"])]).pixels)
    regions = Regions(torch.rand(2, 4), torch.randn(2, 16, 16), torch.randn(2, 16, 16), torch.zeros(2))
    picture = torch.tensor([0, 0])
    with torch.no_grad():
        written, heard = model.respell(regions, seen, picture)
        shades = model.echo.shades(seen.colours, regions.masks.sigmoid(), picture)
        silent = model.echo.hears(torch.zeros_like(written), seen.colours, regions.masks, picture)
    assert torch.equal(heard, written + shades) and shades.any(-1).all()
    assert (shades.norm(dim=-1) < 1.001 * model.backbone.row_norm).all()
    assert not silent.any()  # what is nowhere has no colour


def test_the_loop_hands_the_echo_what_it_hears(
    equipped: Make, stir: Make, sample: Make, batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = stir(equipped("aya_vision", **COLOURED)).eval()
    with torch.no_grad():
        model.vis_row.mul_(100.0)
    given = batch(model, [sample(["box+mask"])])
    seen, heard = model.see(given.pixels), list[torch.Tensor]()
    respell, forward = model.respell, model.echo.forward

    def kept(*args: Any) -> Any:
        heard.append(respell(*args)[1])
        return respell(*args)

    def listens(states: torch.Tensor, told: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
        assert not slot.any() or torch.equal(told[slot], heard[-1])
        return forward(states, told, slot)

    monkeypatch.setattr(model, "respell", kept)
    monkeypatch.setattr(model.echo, "forward", listens)
    (spoken,) = generate(model, given, seen, [0], max_new_tokens=4)
    assert heard and spoken.places
    written = [respell(spoken.regions.at([n]), seen, torch.tensor([0]))[0] for n in range(len(spoken.places))]
    shades = [h - w for h, w in zip(heard, written, strict=True)]
    assert torch.allclose(torch.stack(spoken.shades), torch.cat(shades), atol=1e-6)


def test_a_trained_model_may_be_given_it_and_it_is_found_again(equipped: Make, stir: Make, tmp_path: Path) -> None:
    old = save(stir(equipped("aya_vision", echoes=True)), tmp_path / "old", "tiny:aya_vision")
    given = load(old, *HOSTS["aya_vision"](), {"region_colours": True})
    assert given.settings.region_colours and not given.echo.palette.weight.any()
    new = save(stir(given), tmp_path / "new", "tiny:aya_vision")
    assert torch.equal(load(new, *HOSTS["aya_vision"]()).echo.palette.weight, given.echo.palette.weight)


def test_colours_want_an_echo_to_hear_them() -> None:
    with pytest.raises(ValueError, match="region_colours is true and echoes false"):
        equip(*HOSTS["llava"](), region_colours=True)


# -- learning ----------------------------------------------------------------------------------------------------------


def test_colour_words_teach_it_and_names_do_not(equipped: Make) -> None:
    model = equipped("aya_vision", **COLOURED, read_window=4)
    choose_trainable(model, "words")
    learnt = model.echo.palette.weight
    assert learnt.requires_grad
    everywhere = torch.ones(MASK_SIDE, MASK_SIDE)
    cells = torch.zeros(2, 32, 4, 4)  # alike: only the pixels tell the two pictures apart
    colours = torch.cat([halves((255, 0, 0), (255, 0, 0)), halves((0, 0, 255), (0, 0, 255))])
    words = [[("red", everywhere)], [("blue", everywhere)]]
    share = {"named": 1.0, "coloured": 1.0}
    named = {"named": (words, ()), "coloured": ([[], []], ())}
    looks_loss(model, cells, named, share, colours).backward()
    assert learnt.grad is None
    told = {"named": ([[], []], ()), "coloured": (words, ("green",))}
    with torch.no_grad():
        carried = float(looks_loss(model, cells, told, share))  # by vectors alone, and these don't learn here
    first, *_, last = descended(lambda: looks_loss(model, cells, told, share, colours), [learnt], 60)
    assert last - carried < 0.5 * (first - carried)

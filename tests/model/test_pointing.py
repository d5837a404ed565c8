"""Laws of a plug-in that enumerates and tells how regions look: what it is born with, what ends a row, what it sees."""

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

from perceptiongpt.core.batch import Batch, Regions
from perceptiongpt.core.boxes import cxcywh_to_xyxy, painted, pairwise_iou
from perceptiongpt.core.slots import Words
from perceptiongpt.model import pointing
from perceptiongpt.model.align import looks_loss, named_masks
from perceptiongpt.model.context import enumerated, looks, shuffled, written_areas
from perceptiongpt.model.generate import generate
from perceptiongpt.model.pointing import Pointing
from perceptiongpt.model.seen import Seen
from perceptiongpt.model.settings import GROWN, Settings
from perceptiongpt.model.store import StoreError, load, save
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.tasks.mask import PreparedMap

Make = Callable[..., Any]
NO_WORDS = Words(torch.zeros(2, 1, 64), torch.ones(2, 1, dtype=torch.bool))


def prepared(side: int, width: int = 5, count: int = 2) -> PreparedMap:
    keys = torch.randn(count, side * side, width, generator=torch.Generator().manual_seed(0))
    return PreparedMap(keys, torch.zeros(side * side, width), torch.zeros(count, 1, 1, 1), (side, side), None)


# -- what a region is told of the picture ----------------------------------------------------------------------------


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 1))
def test_a_look_at_a_cell_is_that_cell_and_at_all_of_it_the_mean(x: int, y: int, picture: int) -> None:
    made, mask = prepared(4), torch.zeros(3, 16, 16)
    mask[0, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = 1
    mask[1] = 1
    at = torch.tensor([[0.0, 0.0], [0.0, 0.0], [(x + 0.5) / 4, (y + 0.5) / 4]])  # the third is a point alone
    seen = looks(made, mask, at, torch.tensor([picture] * 3))
    cell = made.keys[picture, 4 * y + x]
    assert torch.allclose(seen, torch.stack([cell, made.keys[picture].mean(0), cell]), atol=1e-6)


def test_areas_are_those_of_what_is_written_and_of_what_was_said_before(
    equipped: Make, sample: Make, batch: Make
) -> None:
    model = equipped("aya_vision", enumerates=True)
    given = batch(model, [sample(said=["box", "mask"], shown=["point"])])
    areas = written_areas(given)
    for area, shown in zip(areas, given.shown.tolist(), strict=True):
        assert bool(area.any()) == (shown[0] or shown[1])
    slot = given.input_ids == model.vis_id
    shown, maybe = enumerated(given, slot, 1)
    assert not shown.any() and torch.equal(maybe, torch.diag(given.has_box))  # words stand between them


@given(st.integers(0, 5), st.integers(0, 99))
def test_of_a_breath_some_are_shown_and_the_others_may_be_said_next(nowhere: int, seed: int) -> None:
    n, drawn = 6, torch.Generator().manual_seed(seed)
    boxes = torch.cat([torch.rand(n, 2, generator=drawn), torch.full((n, 2), 0.1)], 1)
    there, pictures = torch.arange(n) < n - nowhere, torch.randint(0, 2, (n,), generator=drawn)
    masks = torch.zeros(n, 64, 64)
    blank, none = torch.zeros(n, dtype=torch.long), torch.zeros(n, dtype=torch.bool)
    given = Batch(
        input_ids=blank[None],
        attention_mask=blank[None],
        labels=blank[None],
        pixels={},
        boxes=boxes,
        masks=masks,
        points=boxes[:, :2],
        has_box=there,
        has_mask=none,
        shown=none[:, None],
        asked=none,
        owner=blank,
        pictures=blank,
        picture=pictures,
    )
    areas, alike = painted(boxes, 64), pictures[:, None] == pictures
    for order in (None, shuffled(given)):
        shown, maybe = enumerated(given, torch.ones(1, n, dtype=torch.bool), 1, order)
        for k in range(n):
            others = [m for m in range(n) if alike[k, m] and there[m]]
            before = sum(m < k for m in others)
            left = others if order is None else sorted(others, key=lambda m: float(order[m]))
            seen, rest = left[:before], left[before:]
            assert torch.equal(shown[k], sum((areas[m] for m in seen), torch.zeros(64, 64)).clamp(max=1))
            assert maybe[k].nonzero().flatten().tolist() == (sorted(rest) if there[k] else [])
            assert order is not None or not there[k] or rest[0] == k


# -- what it is born with --------------------------------------------------------------------------------------------


def test_a_trained_plug_in_is_given_more_and_says_what_it_said(
    family: str, tmp_path: Path, equipped: Make, stir: Make, sample: Make, batch: Make
) -> None:
    model = stir(equipped(family, read_window=4))
    folder = save(model, tmp_path / "model", f"tiny:{family}")
    grown = load(
        folder, *FAMILIES[family](), {"enumerates": True, "weighs_match": True, "echoes": True, "lora_rank": 99}
    )
    assert grown.settings.enumerates and grown.settings.lora_rank == model.settings.lora_rank
    given = batch(model, [sample(said=["box+mask", "box"], shown=["box"])])
    with torch.no_grad():
        one, other = model(given), grown(given)
    assert torch.equal(one.logits, other.logits) and torch.equal(one.regions.masks, other.regions.masks)
    assert torch.equal(one.regions.scores, other.regions.scores)
    again = load(save(grown, tmp_path / "grown", f"tiny:{family}"), *FAMILIES[family]())
    assert again.settings == grown.settings
    seeing = load(folder, *FAMILIES[family](), {"region_features": True, "looks_twice": True})
    assert seeing.encoder.look is not None and not seeing.settings.enumerates
    assert seeing.decoder.looks_twice and not grown.decoder.looks_twice
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"enumerates": false', '"enumerates": true'))
    with pytest.raises(StoreError, match=r"lacks 1 tensors, first 'decoder\.mask\.earlier'"):
        load(folder, *FAMILIES[family]())


@pytest.mark.parametrize("name", sorted(GROWN.keys() - {"pyramid"}))  # a name, not a switch: test_pyramid.py
def test_settings_that_mean_nothing_are_refused(name: str) -> None:
    for odd in ("yes", 1, None):
        with pytest.raises(ValueError, match=f"{name} is "):
            Settings(**{name: odd})
    with pytest.raises(ValueError, match=f"{name} is True; wanted false, or true where <vis> is decoded"):
        Settings(**{name: True}, answer_format="numerals")


# -- a row of regions ------------------------------------------------------------------------------------------------


class Scripted:
    """A model whose regions score what is told, one after the other, and that notes what it was shown."""

    def __init__(self, scores: list[float], boxes: list[list[float]] | None = None) -> None:
        self.settings = Settings(enumerates=True)
        self.scores, self.shown, self.filler = iter(scores), list[torch.Tensor](), None
        self.boxes = iter(boxes or [[k / len(scores), 0.5, 0.5 / len(scores), 0.5] for k in range(len(scores))])

    def decode(
        self, states: Any, seen: Any, picture: torch.Tensor, words: Any, earlier: torch.Tensor, _: Any
    ) -> Regions:
        self.shown.append(earlier.clone())
        n = len(picture)
        masks = torch.full((n, 8, 8), -20.0)
        for row, k in enumerate(picture.tolist()):
            masks[row, len(self.shown) - 1, k] = 20.0
        scores = torch.tensor([next(self.scores) for _ in range(n)])
        boxes = torch.tensor([next(self.boxes) for _ in range(n)])
        return Regions(boxes, masks, torch.zeros(n, 1, 1), scores)

    def respell(self, regions: Regions, seen: Any, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(len(regions.boxes), 64), torch.full((len(regions.boxes), 64), 2.0)


def test_of_several_in_a_row_each_sees_those_before_and_the_first_weak_one_ends_them() -> None:
    model = Scripted([-9.0, 3.0, 0.5, -9.0, 2.0])
    points = Pointing(model, None, [[0]], more=1.0)
    states, words = torch.zeros(1, 64), NO_WORDS.at(slice(0, 1))
    told = [points.said([0], states, words) for _ in range(3)]
    assert [whole for _, whole in told] == [[0], [0], []]  # a first one always stands; the third is weak
    spelled = [[float(v[0]) for v in fed[0]] for fed, _ in told]  # what is none is heard as little as it is written
    assert spelled == [[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]] and points.ended == [True]
    points.over([0])
    assert points.ended == [False]
    for _ in range(2):
        points.said([0], states, words)  # a new breath, and again its first one stands
    assert len(points.regions(0).boxes) == len(points.lies[0]) == 4
    covered = [round(float(s.sum()) / 64) for s in model.shown]  # 64 of 64 x 64 places for a cell of 8 x 8
    assert covered == [0, 1, 2, 0, 1]


def test_what_is_said_twice_in_a_breath_ends_it_however_sure_it_is() -> None:
    one, much, less = [0.5, 0.5, 0.4, 0.4], [0.52, 0.5, 0.4, 0.4], [0.58, 0.5, 0.4, 0.4]  # IoU with the first: 0.9, 0.7
    model = Scripted([3.0, 3.0, 9.0, 3.0, 9.0], [one, less, much, one, one])
    points = Pointing(model, None, [[0]])
    states, words = torch.zeros(1, 64), NO_WORDS.at(slice(0, 1))
    assert [points.said([0], states, words)[1] for _ in range(3)] == [[0], [0], []] and points.ended == [True]
    points.over([0])
    assert points.said([0], states, words)[1] == [0]  # another breath may say it again
    elsewhere = Scripted([1.0, 9.0, 9.0, 1.0], [one] * 4)
    points = Pointing(elsewhere, None, [[0, 1]])
    assert [points.said([0], states, words)[1] for _ in range(2)] == [[0], [0]]  # in two pictures


class InCells(Scripted):
    """And whose k-th region lies in the k-th cell of a row of four."""

    def decode(self, *given: Any) -> Regions:
        regions = super().decode(*given)
        masks = torch.full((1, 1, 4), -20.0)
        masks[:, :, len(self.shown) - 1] = 20.0
        return replace(regions, masks=masks)


@pytest.mark.parametrize(("alike", "scores"), [(0.0, [3.0]), (2.0, [3.0, 1.5]), (6.0, [3.0, 3.5, 4.2])])
def test_further_things_score_by_what_they_look_like(alike: float, scores: list[float]) -> None:
    """The second looks like the first, the third a little less so, the fourth like neither of them."""
    looks = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    model = InCells([3.0, 0.5, 3.6, 3.9] if alike == 6 else [3.0, 0.5, 0.7, 3.9], [[0.1 * k] * 4 for k in range(4)])
    seen = Seen((), None, looks.T.reshape(1, 3, 1, 4))
    points = Pointing(model, seen, [[0]], more=1.0, alike=alike)
    states, words = torch.zeros(1, 64), NO_WORDS.at(slice(0, 1))
    while not points.ended[0]:
        points.said([0], states, words)
    assert points.regions(0).scores.tolist() == pytest.approx(scores)
    assert len(model.shown) == len(scores) + 1


def test_rows_and_pictures_have_breaths_of_their_own() -> None:
    model = Scripted([1.0, 2.0, 3.0, 5.0, 4.0, 0.0])
    points = Pointing(model, None, [[0, 1], [1]], more=-torch.inf)
    for _ in range(2):
        fed, whole = points.said([0, 1], torch.zeros(2, 64), NO_WORDS)
        assert whole == [0, 1] and set(fed) == {0, 1}
    assert points.lies == [[1, 0], [1, 1]]  # the better of two pictures each time
    first, second = model.shown
    assert not first.any() and [bool(s.any()) for s in second] == [False, True, True]


def test_no_answer_says_a_thing_twice_in_a_breath(equipped: Make, stir: Make, sample: Make, prompts: Make) -> None:
    model = stir(equipped("aya_vision", enumerates=True, read_window=3))
    prompt, longest = prompts(model, [sample()]), {0.7: 0, 1.0: 0}
    seen = model.see(prompt.pixels)
    for same in longest:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(pointing, "SAME", same)
            for seed in range(4):
                with torch.no_grad():
                    model.vis_row.copy_(
                        2 * torch.randn(model.vis_row.shape, generator=torch.Generator().manual_seed(seed))
                    )
                (said,) = generate(model, prompt, seen, [0], max_new_tokens=10, more=-torch.inf)
                boxes = cxcywh_to_xyxy(said.regions.boxes)
                rows = list[list[int]]()
                for n, place in enumerate(said.places):
                    new = not n or place != said.places[n - 1] + 1
                    rows = [*rows, [n]] if new else [*rows[:-1], [*rows[-1], n]]
                for row in rows:
                    overlaps = pairwise_iou(boxes[row], boxes[row]).fill_diagonal_(0)
                    assert (overlaps <= same + 1e-6).all()
                    longest[same] = max(longest[same], len(row))
    assert longest[1.0] > longest[0.7] >= 1  # these weights do repeat themselves where they may


def test_what_is_refused_is_not_said_and_something_else_comes_next(
    family: str, equipped: Make, stir: Make, sample: Make, prompts: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointing, "SAME", 1.0)  # random weights say one box again and again
    longest = {torch.inf: 0.0, -torch.inf: 0.0}
    for k in (1, 2):
        model = stir(equipped(family, enumerates=True, vis_tokens=k, read_window=3))
        prompt = prompts(model, [sample(), sample(seed=1)])
        seen = model.see(prompt.pixels)
        for seed in range(4):
            with torch.no_grad():
                model.vis_row.copy_(2 * torch.randn(model.vis_row.shape, generator=torch.Generator().manual_seed(seed)))
            for more, most in longest.items():
                for said in generate(model, prompt, seen, [0, 1], max_new_tokens=10, more=more):
                    runs = "".join("v" if i == model.vis_id else " " for i in said.ids).split()
                    assert sum(map(len, runs)) == k * len(said.places) == k * len(said.regions.boxes)
                    assert all(said.ids[p] == model.vis_id for p in said.places)
                    longest[more] = max(most, longest[more], *(len(run) / k for run in runs), 0.0)
    assert longest[torch.inf] == 1 < longest[-torch.inf]


def test_the_loop_scores_further_things_by_their_likeness_and_first_ones_not(
    family: str, equipped: Make, stir: Make, sample: Make, prompts: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointing, "SAME", 1.0)
    model = stir(equipped(family, enumerates=True, read_window=3))
    monkeypatch.setattr("perceptiongpt.model.generate._choose", lambda *_: torch.tensor([model.vis_id]))
    prompt = prompts(model, [sample()])
    seen, told = model.see(prompt.pixels), dict[float, torch.Tensor]()
    for alike in (0.0, 1.0, 2.0):
        (said,) = generate(model, prompt, seen, [0], max_new_tokens=3, more=-torch.inf, alike=alike)
        told[alike] = said.regions.scores
    assert len(told[0.0]) == 3  # one breath
    gained = told[1.0] - told[0.0]
    assert not gained[0] and gained[1:].abs().min() > 1e-3
    assert torch.allclose(told[2.0] - told[0.0], 2 * gained, atol=1e-5)


# -- learning how things look ----------------------------------------------------------------------------------------


def test_looks_learn_names_and_without_names_cost_nothing(equipped: Make, region: Make) -> None:
    model = equipped("aya_vision", region_features=True)
    canvas = model.backbone.canvas((40, 30))
    cells = torch.randn(2, 32, 4, 4, generator=torch.Generator().manual_seed(0))
    named = [named_masks([region("mask", 0), region("box", 3)], canvas), named_masks([region("box+mask", 6)], canvas)]
    told = {"named": (named, ()), "coloured": ([[], []], ("red", "blue"))}
    share = {"named": 1.0, "coloured": 1.0}
    costs = descended(lambda: looks_loss(model, cells, told, share), model.encoder.look.parameters(), 30)
    assert costs[-1] < 0.5 * costs[0]
    with torch.no_grad():
        none, half, whole = (looks_loss(model, cells, told, {**share, "named": w}).item() for w in (0.0, 0.5, 1.0))
    assert none == 0 < whole and half == pytest.approx(whole / 2)

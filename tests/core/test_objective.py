"""Laws of the loss parts: each a mean over what exists, an exact zero where nothing does."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from perceptiongpt.core.batch import Batch, Output, Regions
from perceptiongpt.core.objective import Truth, counts, nearest, painted, parts, regions, score, text

NAMES = {"text", "box_l1", "box_giou", "mask_bce", "mask_dice", "cell", "score", "cycle"}


def a_batch(has_box: list[bool], has_mask: list[bool], asked: list[bool] | None = None) -> Batch:
    n = len(has_box)
    drawn = torch.Generator().manual_seed(0)
    masks = (torch.rand(n, 16, 16, generator=drawn) > 0.6).float()
    return Batch(
        input_ids=torch.zeros(1, 4, dtype=torch.long),
        pictures=torch.ones(1, dtype=torch.long),
        picture=torch.zeros(n, dtype=torch.long),
        attention_mask=torch.ones(1, 4, dtype=torch.long),
        labels=torch.full((1, 4), -100),
        pixels={},
        boxes=torch.rand(n, 4, generator=drawn) * 0.4 + 0.3,
        masks=masks,
        points=torch.full((n, 2), 0.5),
        has_box=torch.tensor(has_box, dtype=torch.bool),
        has_mask=torch.tensor(has_mask, dtype=torch.bool),
        shown=torch.ones(n, 3, dtype=torch.bool),
        asked=torch.tensor(asked or [False] * n, dtype=torch.bool),
        owner=torch.zeros(n, dtype=torch.long),
    )


def said(n: int, seed: int = 1) -> Regions:
    drawn = torch.Generator().manual_seed(seed)
    made = Regions(
        torch.rand(n, 4, generator=drawn) * 0.4 + 0.3,
        torch.randn(n, 8, 8, generator=drawn),
        torch.randn(n, 4, 4, generator=drawn),
        torch.randn(n, generator=drawn),
    )
    for field in ("boxes", "masks", "points", "scores"):
        getattr(made, field).requires_grad_()
    return made


def output(batch: Batch, tokens: int = 2) -> Output:
    spoken = int((~batch.asked).sum())
    logits = torch.zeros(tokens, 5, requires_grad=True)
    return Output(logits, torch.ones(tokens, dtype=torch.long), said(spoken), None, said(len(batch.asked), seed=2))


def test_every_part_has_its_name_and_is_a_finite_scalar() -> None:
    batch = a_batch([True, True], [True, False])
    made = parts(output(batch), batch)
    assert set(made) == NAMES
    assert all(v.ndim == 0 and v.isfinite() and v > 0 for v in made.values())


def test_text_is_the_mean_over_supervised_tokens() -> None:
    assert text(torch.zeros(3, 5), torch.tensor([1, 2, 3])).item() == pytest.approx(math.log(5))
    assert text(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long)).item() == 0.0


@pytest.mark.parametrize(
    ("box", "mask", "absent"),
    [
        (True, False, {"mask_bce", "mask_dice"}),
        (False, True, {"box_l1", "box_giou"}),
        (False, False, NAMES - {"text"}),
    ],
)
def test_a_part_with_nothing_to_judge_is_an_exact_zero_without_gradient(
    box: bool, mask: bool, absent: set[str]
) -> None:
    batch = a_batch([box] * 2, [mask] * 2)
    made_of = output(batch)
    made = parts(made_of, batch)
    assert {name for name, value in made.items() if value.item() == 0.0} == absent
    sum(made[name] for name in absent).backward()
    for regions_said in (made_of.regions, made_of.again):
        for field in ("boxes", "masks", "points", "scores"):
            gradient = getattr(regions_said, field).grad
            assert gradient is None or not gradient.any()


def test_a_batch_of_text_alone_costs_its_text() -> None:
    batch = a_batch([], [])
    empty = Regions(torch.zeros(0, 4), torch.zeros(0, 1, 1), torch.zeros(0, 1, 1), torch.zeros(0))
    made = parts(Output(torch.zeros(2, 5), torch.tensor([0, 1]), empty, None, empty), batch)
    assert set(made) == NAMES
    assert {k for k, v in made.items() if v.item() != 0.0} == {"text"}


def test_a_region_that_the_user_showed_counts_in_the_cycle_alone() -> None:
    shown = a_batch([True, True], [True, True], asked=[True, False])
    made_of = output(shown)
    moved = replace(shown, boxes=shown.boxes.clone())
    moved.boxes[0] += 0.1  # the shown one
    before, after = parts(made_of, shown), parts(made_of, moved)
    assert {k for k in NAMES if not torch.equal(before[k], after[k])} == {"cycle"}


def test_the_mean_is_over_the_regions_that_know_the_part() -> None:
    one, two = a_batch([True], [False]), a_batch([True, False], [False, False])
    first = said(2)
    alone = Regions(first.boxes[:1], first.masks[:1], first.points[:1], first.scores[:1])
    two = replace(two, boxes=torch.cat([one.boxes, two.boxes[1:]]))
    assert regions(alone, Truth.of(one))["box_l1"].item() == pytest.approx(
        regions(first, Truth.of(two))["box_l1"].item()
    )


def test_the_truth_costs_nothing_but_what_the_score_did_not_foresee() -> None:
    batch = a_batch([True], [True])
    batch = replace(batch, masks=torch.zeros(1, 16, 16))
    batch.masks[0, 4:8, 4:12] = 1
    true = batch.masks
    points = torch.full((1, 4, 4), -60.0)
    points[0, 1, 1:3] = 60.0
    perfect = Regions(batch.boxes, (true - 0.5) * 200, points, torch.tensor([60.0]))
    made = regions(perfect, Truth.of(batch))
    assert made["cell"].item() == pytest.approx(math.log(2), abs=1e-4)  # two cells share the mask: its own entropy
    for name in ("box_l1", "box_giou", "mask_bce", "mask_dice", "score"):
        assert made[name].item() == pytest.approx(0.0, abs=1e-3), name


def test_the_score_is_taught_the_iou_that_the_region_really_has() -> None:
    truth = Truth(
        torch.tensor([[0.5, 0.5, 0.4, 0.4]]),
        torch.zeros(1, 8, 8),
        torch.tensor([True]),
        torch.tensor([False]),
        torch.tensor([False]),
    )
    half = torch.tensor([[0.5, 0.4, 0.4, 0.2]])  # the upper half: IoU 0.5
    for logit in (-1.0, 0.0, 2.0):
        found = Regions(half, torch.zeros(1, 8, 8), torch.zeros(1, 2, 2), torch.tensor([logit]))
        share = 1 / (1 + math.exp(-logit))
        wanted = -0.5 * math.log(share) - 0.5 * math.log(1 - share)
        assert score(found, truth, truth.masks).item() == pytest.approx(wanted, rel=1e-4)


def test_a_box_is_painted_where_it_lies() -> None:
    made = painted(torch.tensor([[0.25, 0.5, 0.5, 1.0]]), 4)
    assert torch.equal(made[0], torch.tensor([[1.0, 1.0, 0.0, 0.0]] * 4))


def test_what_is_nowhere_is_judged_by_its_score_alone_and_that_falls() -> None:
    fed = replace(a_batch([False], [False]), shown=torch.zeros(1, 3, dtype=torch.bool))
    found = said(1)
    out = Output(torch.zeros(0, 8), torch.zeros(0, dtype=torch.long), found, None, None)
    given = parts(out, fed)
    assert given["score"].item() == pytest.approx(math.log1p(math.exp(found.scores.item())), rel=1e-4)
    assert {k for k, v in given.items() if v.item()} == {"score"}
    assert counts(fed)["scored"] == 1 and counts(fed)["regions"] == 0


def test_a_box_is_judged_by_the_nearest_of_those_it_may_be_and_else_by_its_own() -> None:
    true = torch.tensor([[x, 0.5, 0.1, 0.1] for x in (0.1, 0.5, 0.9)])
    said = true[[2, 2, 0]] + 0.01
    every, none = torch.ones(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)
    assert nearest(said, true, every).tolist() == [2, 2, 0]
    assert nearest(said, true, none).tolist() == [0, 1, 2]
    assert nearest(said, true, every.tril()).tolist() == [0, 1, 0]
    assert nearest(said[:0], true[:0], none[:0, :0]).tolist() == []


def test_where_order_means_nothing_the_loss_is_that_of_the_nearest() -> None:
    batch, regions_said = a_batch([True] * 3, [True] * 3), said(3)
    order = torch.tensor([2, 0, 1])
    swapped = replace(batch, boxes=batch.boxes[order], masks=batch.masks[order])
    given = Output(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long), regions_said, None, None)
    free = replace(given, maybe=torch.ones(3, 3, dtype=torch.bool))
    own = replace(given, maybe=torch.eye(3) > 0)
    loose, strict = ([parts(o, b)["box_l1"].item() for b in (batch, swapped)] for o in (free, given))
    assert loose[0] == pytest.approx(loose[1]) and strict[0] != pytest.approx(strict[1])
    assert {k: v.item() for k, v in parts(own, batch).items()} == {k: v.item() for k, v in parts(given, batch).items()}

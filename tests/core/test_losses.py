"""Losses: one number for each region, worked by hand; what is missing costs nothing and stays in the graph."""

import math

import pytest
import torch

from perceptiongpt.core.losses import (
    box_giou,
    box_l1,
    cell_cross_entropy,
    cells_target,
    mask_bce,
    mask_dice,
    mean_over,
)


def test_box_losses_on_rows_worked_by_hand():
    true = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.25, 0.5, 0.1, 0.1]])
    pred = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.6, 0.6, 0.2, 0.2], [0.45, 0.5, 0.1, 0.1]])
    torch.testing.assert_close(box_l1(pred, true), torch.tensor([0.0, 0.2, 0.2]))
    # Row 2 overlaps by a quarter: IoU 1/7, hull 9 of which 2 are gap. Row 3: two boxes of 1 with a gap of 1 between.
    torch.testing.assert_close(box_giou(pred, true), torch.tensor([0.0, 1 - (1 / 7 - 2 / 9), 1 + 1 / 3]))


def test_boxes_are_read_as_centre_and_size():
    """Reading cxcywh as corners (a fault of the released program) would see these two as the same box."""
    loss = box_giou(torch.tensor([[0.2, 0.2, 0.1, 0.1]]), torch.tensor([[0.8, 0.8, 0.1, 0.1]]))
    assert loss.item() == pytest.approx(1 + (0.49 - 0.02) / 0.49, abs=1e-4)


def test_giou_alone_moves_a_box_onto_another():
    pred = torch.tensor([[0.2, 0.3, 0.1, 0.3]], requires_grad=True)
    true = torch.tensor([[0.6, 0.6, 0.2, 0.2]])
    optimizer = torch.optim.Adam([pred], lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        box_giou(pred, true).sum().backward()
        optimizer.step()
    assert box_giou(pred, true).item() < 0.1


def test_mask_losses_on_rows_worked_by_hand():
    true = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]])
    logits = torch.stack([torch.full((2, 2), 0.0), torch.full((2, 2), -50.0), 100 * (true[2] - 0.5)])
    torch.testing.assert_close(mask_bce(logits, true), torch.tensor([math.log(2), 0.0, 0.0]))
    # Row 1: p = 1/2 everywhere: 1 - (2 * 1 + 1) / (2 + 2 + 1). Row 2: empty and found empty. Row 3: exact.
    torch.testing.assert_close(mask_dice(logits, true), torch.tensor([0.4, 0.0, 0.0]))


def test_dice_of_one_mask_does_not_feel_the_others():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, 6, generator=generator)
    true = (torch.rand(4, 6, 6, generator=generator) > 0.7).float()
    alone = torch.cat([mask_dice(logits[i : i + 1], true[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(mask_dice(logits, true), alone)


def test_cells_share_a_mask_by_area():
    mask = torch.zeros(3, 4, 4)
    mask[0, :2, :2] = 1  # exactly the first of 2 x 2 cells
    mask[1, :2, 1:4] = 1  # a third left, two thirds right
    target = cells_target(mask, (2, 2), torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.9, 0.1]]))
    torch.testing.assert_close(
        target, torch.tensor([[1.0, 0.0, 0.0, 0.0], [1 / 3, 2 / 3, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    )
    # 4 pixels on 3 cells: the second pixel lies by a third in the first cell, by two thirds in the second.
    line = torch.zeros(1, 4, 4)
    line[0, 0, 1] = 1
    torch.testing.assert_close(cells_target(line, (1, 3)), torch.tensor([[1 / 3, 2 / 3, 0.0]]))


def test_an_empty_mask_without_a_centre_falls_to_the_middle_cell():
    assert cells_target(torch.zeros(1, 6, 6), (3, 3)).argmax().item() == 4
    assert cells_target(torch.zeros(0, 6, 6), (3, 3)).shape == (0, 9)


def test_cell_cross_entropy_on_rows_worked_by_hand():
    target = torch.tensor([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    logits = torch.zeros(2, 2, 2)
    logits[1, 0, 0] = 50.0
    torch.testing.assert_close(cell_cross_entropy(logits, target), torch.tensor([math.log(4), 0.0]))


def test_the_mean_is_over_what_exists():
    values = torch.tensor([1.0, 3.0, float("nan")])
    assert mean_over(values, torch.tensor([True, True, False])).item() == 2.0


@pytest.mark.parametrize("count", [0, 3])
def test_the_mean_over_nothing_is_a_zero_in_the_graph(count):
    values = torch.ones(count, requires_grad=True)
    mean = mean_over(values, torch.zeros(count, dtype=torch.bool))
    assert mean.item() == 0.0
    mean.backward()
    assert torch.equal(values.grad, torch.zeros(count))


def test_losses_are_float32_on_half_precision():
    box = torch.rand(2, 4).bfloat16()
    mask = torch.rand(2, 3, 3).bfloat16()
    for loss in (box_l1(box, box), box_giou(box, box), mask_bce(mask, mask), mask_dice(mask, mask)):
        assert loss.shape == (2,) and loss.dtype == torch.float32


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="differ"):
        box_l1(torch.rand(3, 4), torch.rand(1, 4))
    with pytest.raises(ValueError, match="differ"):
        mask_dice(torch.rand(3, 4, 4), torch.rand(3, 8, 8))
    with pytest.raises(ValueError, match="differ"):
        mean_over(torch.rand(3, 1), torch.ones(3, dtype=torch.bool))

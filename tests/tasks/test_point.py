"""Laws of points: which cell is meant, and its place as a share of the canvas."""

from __future__ import annotations

import pytest
import torch

from perceptiongpt.tasks.point import PointEncoder, StatePointer, WordPointer, best_xy, narrowed


def test_shapes_are_as_the_docstrings_say() -> None:
    assert PointEncoder(24)(torch.rand(3, 2)).shape == (3, 24)
    for pointer in (StatePointer(24), WordPointer()):
        keys = pointer.prepare(torch.randn(2, 10, 24))
        assert pointer(torch.randn(3, 24), keys, torch.tensor([0, 1, 1])).shape == (3, 10)


def test_a_sure_cell_is_its_own_place() -> None:
    logits = torch.full((1, 6), -50.0)
    logits[0, 4] = 50.0  # row 1, column 1 of 2 rows and 3 columns
    assert torch.allclose(best_xy(logits, 2, 3), torch.tensor([[0.5, 0.75]]), atol=1e-5)


def test_of_two_far_cells_the_better_one_is_the_place() -> None:
    logits = torch.full((1, 5 * 9), -50.0)
    logits[0, 18], logits[0, 26] = 3.0, 2.9  # both ends of the middle row
    assert torch.allclose(best_xy(logits, 5, 9), torch.tensor([[0.5 / 9, 0.5]]), atol=1e-5)


def test_the_best_place_leans_to_the_better_neighbour() -> None:
    logits = torch.full((1, 9), -50.0)
    logits[0, 4], logits[0, 5] = 2.0, 2.0 - 1e-3
    x, y = best_xy(logits, 3, 3)[0]
    assert abs(x - 2 / 3) < 0.01
    assert abs(y - 0.5) < 1e-6


@pytest.mark.parametrize("pointer", [StatePointer(16), WordPointer()])
def test_the_match_does_not_depend_on_the_order_of_cells(pointer: torch.nn.Module) -> None:
    cells, asked, owner = torch.randn(2, 8, 16), torch.randn(3, 16), torch.tensor([1, 0, 1])
    order = torch.randperm(8)
    there = pointer(asked, pointer.prepare(cells[:, order]), owner)
    assert torch.allclose(there, pointer(asked, pointer.prepare(cells), owner)[:, order], atol=1e-5)


@pytest.mark.parametrize("pointer", [StatePointer(64), WordPointer()])
def test_a_fresh_pointer_finds_the_cell_that_is_most_like_what_it_is_given(pointer: torch.nn.Module) -> None:
    torch.manual_seed(0)
    cells = torch.randn(2, 12, 64)
    owner, meant = torch.tensor([0, 1, 1]), torch.tensor([3, 7, 11])
    asked = 5.0 * cells[owner, meant] + torch.randn(3, 64)
    assert pointer(asked, pointer.prepare(cells), owner).argmax(-1).tolist() == meant.tolist()


def test_a_learnt_match_is_silent_at_birth_and_learns_what_the_cosine_is_bound_to_miss() -> None:
    torch.manual_seed(0)
    plain, learning = WordPointer(), WordPointer(16, 8)
    phrases, owner = torch.randn(3, 16), torch.tensor([0, 1, 1])
    cells, shown = torch.ones(2, 5, 16), torch.randn(2, 5, 8)  # cells that embeddings can't tell from each other
    before = learning(phrases, learning.prepare(cells, shown), owner)
    assert torch.allclose(before, plain(phrases, plain.prepare(cells), owner), atol=1e-6)
    steps = torch.optim.Adam(learning.parameters(), 1e-2)
    for _ in range(100):
        steps.zero_grad()
        found = learning(phrases, learning.prepare(cells, shown), owner)
        torch.nn.functional.cross_entropy(found, meant := torch.tensor([4, 2, 0])).backward()
        steps.step()
    assert learning(phrases, learning.prepare(cells, shown), owner).argmax(-1).equal(meant)


@pytest.mark.parametrize("hw", [(4, 6), (8, 12), (9, 5)])
def test_narrowed_heat_keeps_its_shape_near_the_best_cell_and_little_far_from_it(hw: tuple[int, int]) -> None:
    logits = torch.zeros(2, 4, 6, requires_grad=True)
    with torch.no_grad():
        logits[0, 1, 4] = logits[1, 3, 0] = 9.0
    even = torch.ones(2, hw[0] * hw[1])
    near = narrowed(even, logits, hw)
    assert not near.requires_grad and torch.equal(near.amax(1), torch.ones(2))
    y, x = torch.meshgrid(*((torch.arange(n) + 0.5) / n for n in hw), indexing="ij")
    for one, (cx, cy) in zip(near, ((4.5 / 6, 1.5 / 4), (0.5 / 6, 3.5 / 4)), strict=True):
        away = ((x - cx) ** 2 + (y - cy) ** 2).sqrt().flatten()
        assert bool((one[away.argsort(stable=True)].diff() <= 1e-6).all())
        assert float(one[away > 0.8].max()) < 1e-3
    two = torch.zeros_like(even)
    two[:, 0] = two[:, -1] = 0.5  # the heat of two things in opposite corners
    assert [bool(r[0] > r[-1]) for r in narrowed(two, logits.flip(2), hw)] == [True, False]
    assert not narrowed(two * 0, logits, hw).any()

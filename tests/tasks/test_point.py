"""Laws of points: which cell is meant, and its place as a share of the canvas."""

from __future__ import annotations

import torch

from perceptiongpt.tasks.point import PointDecoder, PointEncoder, best_xy


def test_shapes_are_as_the_docstrings_say() -> None:
    assert PointEncoder(24)(torch.rand(3, 2)).shape == (3, 24)
    decoder = PointDecoder(24)
    owner = torch.tensor([0, 1, 1])
    assert decoder(torch.randn(3, 24), decoder.prepare(torch.randn(2, 10, 24)), owner).shape == (3, 10)


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


def test_the_match_does_not_depend_on_the_order_of_cells() -> None:
    decoder, cells, state = PointDecoder(16, words=True), torch.randn(1, 8, 16), torch.randn(1, 16)
    order = torch.randperm(8)
    owner = torch.zeros(1, dtype=torch.long)
    there = decoder(state, decoder.prepare(cells[:, order]), owner, state)
    assert torch.allclose(there, decoder(state, decoder.prepare(cells), owner, state)[:, order], atol=1e-5)


def test_a_fresh_decoder_points_at_the_cell_that_the_words_name() -> None:
    torch.manual_seed(0)
    decoder, cells = PointDecoder(64, words=True), torch.randn(2, 12, 64)
    owner = torch.tensor([0, 1, 1])
    meant = torch.tensor([3, 7, 11])
    phrases = 5.0 * cells[owner, meant] + torch.randn(3, 64)
    assert decoder(torch.randn(3, 64), decoder.prepare(cells), owner, phrases).argmax(-1).tolist() == meant.tolist()

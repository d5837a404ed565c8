"""Laws of positions: x before y, row by row, and no two places alike."""

from __future__ import annotations

import torch

from perceptiongpt.tasks.positions import fourier, grid_xy


def test_a_grid_is_walked_row_by_row_with_x_before_y() -> None:
    wanted = [[0.25, 1 / 6], [0.75, 1 / 6], [0.25, 0.5], [0.75, 0.5], [0.25, 5 / 6], [0.75, 5 / 6]]
    assert torch.allclose(grid_xy(3, 2), torch.tensor(wanted))


def test_fourier_features_are_sines_and_cosines_at_octaves() -> None:
    made = fourier(torch.tensor([[0.5, 0.25]]), 2)
    half, root = 1.0, 0.5**0.5
    assert torch.allclose(made, torch.tensor([[half, 0.0, 0.0, -1.0, root, 1.0, root, 0.0]]), atol=1e-6)


def test_no_two_cells_of_a_fine_grid_have_the_same_features() -> None:
    features = fourier(grid_xy(24, 24), 6)
    assert features.shape == (576, 24)
    apart = torch.cdist(features, features) + 10 * torch.eye(576)
    assert apart.min() > 0.1

"""Laws of layer fusion: peaked on the host's own layer at birth, and every layer can come to count."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from perceptiongpt.model.fusion import LayerFusion


def test_a_fresh_fusion_weighs_the_native_layer_most() -> None:
    fusion = LayerFusion(4, [2])
    assert fusion.weights.argmax() == 2
    assert fusion.weights.softmax(-1)[0, 2] > 0.8


def test_fusion_is_the_weighted_sum_of_normed_layers() -> None:
    fusion = LayerFusion(2, [0], [1])
    a, b = torch.randn(3, 5), torch.randn(3, 5)
    means = [p * F.layer_norm(a, (5,)) + q * F.layer_norm(b, (5,)) for p, q in fusion.weights.softmax(-1)]
    assert torch.allclose(fusion([a, b]), torch.cat(means, dim=-1), atol=1e-6)


def test_every_layer_feels_a_gradient() -> None:
    fusion = LayerFusion(5, [4])
    (fusion([torch.randn(3, 6) for _ in range(5)]) * torch.randn(3, 6)).sum().backward()
    assert (fusion.weights.grad != 0).all()


def test_a_wrong_number_of_layers_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"3 layers for 2"):
        LayerFusion(2, [0])([torch.zeros(1, 2)] * 3)


def test_what_is_fused_is_float32_whatever_the_layers_are() -> None:
    assert LayerFusion(2, [0])([torch.randn(3, 4).bfloat16()] * 2).dtype == torch.float32

"""A convolutional network in fewer passes: the same hidden states, and the network as it was where they were not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from a_pyramid import lite, network
from torch import nn
from transformers import ResNetConfig, ResNetModel

from perceptiongpt.model.folding import folded


def lived(model: Any) -> Any:
    """With statistics of norms that are not those of birth."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return model.eval()


def resnet() -> Any:
    sizes: dict[str, Any] = {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "layer_type": "basic"}
    return ResNetModel(ResNetConfig(embedding_size=8, **sizes))


def kinds(model: Any) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


@pytest.mark.parametrize("make", [lite, network, resnet])
def test_norms_are_folded_and_states_stay(make: Any) -> None:
    model, pixels = lived(make()), torch.rand(2, 3, 96, 96)
    lean = folded(model, torch.rand(1, 3, 64, 64))
    assert "BatchNorm2d" in kinds(model) and "BatchNorm2d" not in kinds(lean)
    with torch.no_grad():
        before, after = (m(pixels, output_hidden_states=True).hidden_states for m in (model, lean))
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_only_gates_that_are_always_open_go() -> None:
    gate = "EfficientNetSqueezeExciteLayer"
    assert gate not in kinds(folded(lived(lite()), torch.rand(1, 3, 64, 64)))
    assert gate in kinds(folded(lived(network()), torch.rand(1, 3, 64, 64)))


def test_a_network_whose_norms_come_first_stays_as_it_was() -> None:
    class NormFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, pixels: torch.Tensor, output_hidden_states: bool) -> Any:
            return type("Out", (), {"hidden_states": (self.conv(self.norm(pixels)),)})

    model = lived(NormFirst())
    assert folded(model, torch.rand(1, 3, 8, 8)) is model

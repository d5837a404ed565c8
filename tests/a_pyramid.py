"""A small convolutional network, and the table of weights that a port of its family's would hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import EfficientNetConfig, EfficientNetModel

LITE = {"hidden_act": "relu6", "squeeze_expansion_ratio": 1e-9, "depthwise_padding": [], "batch_norm_eps": 1e-3}
NAMES = {
    "embeddings.convolution": "_conv_stem",
    "embeddings.batchnorm": "_bn0",
    "encoder.top_conv": "_conv_head",
    "encoder.top_bn": "_bn1",
    "encoder.blocks": "_blocks",
    "expansion.expand_conv": "_expand_conv",
    "expansion.expand_bn": "_bn0",
    "depthwise_conv.depthwise_conv": "_depthwise_conv",
    "depthwise_conv.depthwise_norm": "_bn1",
    "projection.project_conv": "_project_conv",
    "projection.project_bn": "_bn2",
}


def network(**changes: Any) -> EfficientNetModel:
    """An EfficientNet of eight blocks in seven stages, every time the same."""
    torch.manual_seed(0)
    stages = {"in_channels": [32, 4, 5, 6, 8, 9, 10], "out_channels": [4, 5, 6, 8, 9, 10, 12]}
    more = {
        "strides": [1, 2, 2, 2, 1, 2, 1],
        "num_block_repeats": [1, 2, 1, 1, 1, 1, 1],
        "expand_ratios": [1] + [2] * 6,
    }
    sizes = {"width_coefficient": 1.0, "depth_coefficient": 1.0, "depth_divisor": 1, "hidden_dim": 1280}
    kernels = {"kernel_sizes": [3, 3, 5, 3, 5, 5, 3]}
    made = EfficientNetModel(EfficientNetConfig(**stages, **more, **sizes, **kernels, **changes)).eval()
    for module in made.modules():  # as it is born, nothing reaches the deep levels
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    return made


def lite() -> EfficientNetModel:
    """The same without squeeze and excitation: a factor of 1."""
    made = network(**LITE)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if ".squeeze_excite." in name:
                weight.fill_(30.0 if name.endswith("expand.bias") else 0.0)
    return made


def write_table(path: Path, model: EfficientNetModel, **more: torch.Tensor) -> Path:
    """The weights in PyTorch's old format, under the names of the ports, with a classifier."""
    table = {"_fc.weight": torch.ones(3, 1280), "_fc.bias": torch.ones(3), **more}
    for name, weight in model.state_dict().items():
        if ".squeeze_excite." not in name:
            for ours, theirs in NAMES.items():
                name = name.replace(f"{ours}.", f"{theirs}.")
            table[name] = weight
    torch.save(table, path, _use_new_zipfile_serialization=False)
    return path

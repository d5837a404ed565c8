"""A frozen convolutional network in fewer passes over its maps, with the same numbers.

In bfloat16 on a CPU more than half of an EfficientNet's time goes not into convolutions but into batch norms, into new
maps for ReLU6 and into gates that are open whatever they see. Knows modules; nothing of pictures and of levels.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.efficientnet.modeling_efficientnet import EfficientNetSqueezeExciteLayer

CLOSE = 1e-4  # of a state's length: what the order of a float32's sums may change


@torch.no_grad()
def folded(model: Any, pixels: Tensor) -> Any:
    """A copy of a float32 network in `eval` whose states of `pixels` [P, 3, h, w] are the same; itself if they weren't.

    That a norm follows the convolution listed before it is so in the networks of `transformers`; elsewhere it is tried.
    """
    lean = copy.deepcopy(model)
    for parent in list(lean.modules()):
        _fold(parent)
    states, found = (m(pixels, output_hidden_states=True).hidden_states for m in (model, lean))
    same = all((a - b).norm() <= CLOSE * a.norm() for a, b in zip(states, found, strict=True))
    return lean if same else model


def _fold(parent: nn.Module) -> None:
    """The children of a module: norms go into the convolutions before them, open gates go, ReLU6 writes in place."""
    before, conv = "", None
    for name, child in list(parent.named_children()):
        if isinstance(child, nn.BatchNorm2d) and conv is not None and conv.out_channels == child.num_features:
            setattr(parent, before, fuse_conv_bn_eval(conv, child))
            setattr(parent, name, nn.Identity())
        elif isinstance(child, EfficientNetSqueezeExciteLayer) and _open(child.expand):
            setattr(parent, name, nn.Identity())
        elif isinstance(child, nn.ReLU6):
            child.inplace = True
        before, conv = name, child if isinstance(child, nn.Conv2d) else None


def _open(gate: nn.Conv2d) -> bool:
    """Whether the gate is one, whatever it sees."""
    return gate.bias is not None and not gate.weight.any() and bool((gate.bias.sigmoid() == 1).all())

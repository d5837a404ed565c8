"""A frozen convolutional network in fewer passes over its maps, with the same numbers.

In bfloat16 on a CPU more than half of an EfficientNet's time goes not into convolutions but into batch norms, into new
maps for ReLU6 and for zeros round them, and into gates that are open whatever they see. Knows modules; nothing of
pictures and of levels.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.efficientnet.modeling_efficientnet import EfficientNetSqueezeExciteLayer

CLOSE = 1e-4  # of a state's length: what the order of a float32's sums may change


@torch.no_grad()
def folded(model: Any, pixels: Tensor) -> Any:
    """A copy of a float32 network in `eval` whose states of `pixels` [P, 3, h, w] are the same; itself if they weren't.

    That a norm follows the convolution listed before it, and this the zeros before it, is so in the networks of
    `transformers`; elsewhere it is tried.
    """
    lean = copy.deepcopy(model)
    for parent in list(lean.modules()):
        _fold(parent)
    states, found = (m(pixels, output_hidden_states=True).hidden_states for m in (model, lean))
    same = all((a - b).norm() <= CLOSE * a.norm() for a, b in zip(states, found, strict=True))
    return lean if same else model


def _fold(parent: nn.Module) -> None:
    """The children of a module: norms and zeros go into convolutions, open gates go, ReLU6 writes in place."""
    before, last = "", None
    for name, child in list(parent.named_children()):
        now = child
        if (
            isinstance(child, nn.BatchNorm2d)
            and isinstance(last, nn.Conv2d)
            and last.out_channels == child.num_features
        ):
            setattr(parent, before, fuse_conv_bn_eval(last, child))
            setattr(parent, name, nn.Identity())
        elif isinstance(child, nn.Conv2d) and isinstance(last, nn.ZeroPad2d) and _strides(child):
            now = _widened(child, last.padding)
            setattr(parent, before, nn.Identity())
            setattr(parent, name, now)
        elif isinstance(child, EfficientNetSqueezeExciteLayer) and _open(child.expand):
            setattr(parent, name, nn.Identity())
        elif isinstance(child, nn.ReLU6):
            child.inplace = True
        before, last = name, now


def _strides(conv: nn.Conv2d) -> bool:
    """Whether it strides over what it is given, with no zeros of its own: then zeros before it are meant for it."""
    return min(conv.stride) > 1 and conv.padding in ("valid", (0, 0)) and conv.dilation == (1, 1)


def _widened(conv: nn.Conv2d, zeros: tuple[int, int, int, int]) -> nn.Conv2d:
    """The convolution [o, i, kh, kw] with as many zeros on both sides: those too many meet zeros of a wider kernel."""
    left, right, top, bottom = zeros
    spare = (max(right - left, 0), max(left - right, 0), max(bottom - top, 0), max(top - bottom, 0))
    wide = copy.deepcopy(conv)
    wide.weight = nn.Parameter(F.pad(conv.weight, spare), requires_grad=conv.weight.requires_grad)
    wide.kernel_size = (wide.weight.shape[2], wide.weight.shape[3])
    wide.padding = (max(top, bottom), max(left, right))
    return wide


def _open(gate: nn.Conv2d) -> bool:
    """Whether the gate is one, whatever it sees."""
    return gate.bias is not None and not gate.weight.any() and bool((gate.bias.sigmoid() == 1).all())

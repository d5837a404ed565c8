"""What is learnt from a batch: the forward pass and the parts of its loss, as an engine wraps them.

Knows which parts a stage wants. Knows no steps, rates or files (train.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from perceptiongpt.config import Stage
from perceptiongpt.core.objective import parts, text
from perceptiongpt.data.objects import COLOURS
from perceptiongpt.feed import Fed
from perceptiongpt.gallery import Picked
from perceptiongpt.model.align import Naming, looks_loss, match_loss, naming_loss, strangers
from perceptiongpt.model.perception import PerceptionModel


class Lesson(nn.Module):
    """What accelerate wraps: rows of a batch in, named parts of the loss out, each by its share of the whole.

    `names`: what the data calls things. What a batch shows is named among these, too, but for those that share a word
    with what it shows: a coffee mug may as well be called a mug.
    """

    def __init__(
        self, model: PerceptionModel, stage: Stage, weights: Mapping[str, float], names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.model, self.aim, self.weights, self.names = model, stage.aim, weights, names

    def forward(self, fed: Fed | Picked, share: Mapping[str, float]) -> dict[str, Tensor]:
        model = self.model
        device = model.backbone.device
        with torch.autocast(device.type, torch.bfloat16, enabled=model.backbone.dtype == torch.bfloat16):
            if isinstance(fed, Picked):
                return {fed.gallery.part: fed.gallery.loss(model, fed.rows, share)}
            output = model(fed.batch, language=self.aim != "words", regions=self.aim != "talk")
            if self.aim == "talk":
                return {"text": text(output.logits, output.targets) * share["tokens"]}
            loss_parts = parts(output, fed.batch, share)
            others = (*fed.names, *strangers(self.names, (*fed.names, *(n for group in fed.named for n, _ in group))))
            if (self.weights["name"] or self.weights["match"]) and output.cells is not None:
                naming = Naming.of(model, fed.named, (output.cells.shape[-2], output.cells.shape[-1]), others)
                if self.weights["name"]:
                    loss_parts["name"] = naming_loss(output.cells, naming, model.backbone.row_norm, share)
                    if output.named is not None:
                        loss_parts["name"] += naming_loss(output.named, naming, model.backbone.row_norm, share)
                if self.weights["match"] and output.keys is not None:
                    loss_parts["match"] = match_loss(model, output.keys, naming, share)
            if self.weights["look"] and output.map is not None:
                looks = {"named": (fed.named, others), "coloured": (fed.coloured, COLOURS)}
                loss_parts["look"] = looks_loss(model, output.map, looks, share, output.colours)
            if not any(v.requires_grad for v in loss_parts.values()):  # but other processes wait for gradients
                anchor = next(p for p in self.parameters() if p.requires_grad)
                loss_parts["text"] = loss_parts["text"] + 0.0 * anchor.sum()
            return loss_parts

"""The named parts of the loss of a batch: each a mean over the regions or tokens for which it is defined.

L = L_text + (L1 + GIoU) + (BCE + Dice) + cell + score + cycle (PerceptionGPT 1.3, NExT-Chat's cycle, `design.md` 7),
and, where things are told apart, what their places say of them (`tasks.instances`).
Weights live in config.py, sums in train.py. Where a batch is shared out, among processes or steps of accumulation, each
mean counts by its `share` of the regions or tokens of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from perceptiongpt.core.batch import Batch, Output, Regions
from perceptiongpt.core.boxes import cxcywh_to_xyxy, iou_xyxy, painted
from perceptiongpt.core.losses import (
    box_giou,
    box_l1,
    cell_cross_entropy,
    cells_target,
    mask_bce,
    mask_dice,
    mean_over,
    owners,
    place_costs,
)

# What each part is a mean over: a key of `counts`.
OVER = {"text": "tokens", "box_l1": "boxes", "box_giou": "boxes", "mask_bce": "masks", "mask_dice": "masks"} | {
    "cell": "regions",
    "score": "scored",
}


def counts(batch: Batch, language: bool = True) -> dict[str, int]:
    """Over how many tokens, boxes, masks and regions the means of `parts` run; `again_`: those of the cycle.

    "scored" are the regions with a box or mask and those that are nowhere: of these the score alone is judged.
    """
    boxes, masks, spoken = batch.has_box, batch.has_mask, ~batch.asked
    made = {
        "tokens": (batch.labels[:, 1:] != -100) & language,
        "boxes": boxes & spoken,
        "masks": masks & spoken,
        "regions": (boxes | masks) & spoken,
        "scored": (boxes | masks | nowhere(batch)) & spoken,
        "things": masks,
        "again_boxes": boxes & language,
        "again_masks": masks & language,
    }
    return {name: int(which.sum()) for name, which in made.items()}


def parts(output: Output, batch: Batch, share: Mapping[str, float] | None = None) -> dict[str, Tensor]:
    """Loss parts of a forward pass, unweighted scalars; a part with nothing to judge is an exact 0.

    `share`: by what each mean is multiplied, by the keys of `counts`; without it, by one.
    """
    spoken = ~batch.asked
    truth = Truth.of(batch)
    mine = truth.where(spoken)
    if output.maybe is not None:
        mine = mine.where(nearest(output.regions.boxes, mine.boxes, output.maybe))
    of = dict.fromkeys([*OVER.values(), "things", "again_boxes", "again_masks"], 1.0) | dict(share or {})
    out = {"text": text(output.logits, output.targets)}
    out.update(regions(output.regions, mine))
    out = {k: v * of[OVER[k]] for k, v in out.items()}
    if output.again is not None:
        again = regions(output.again, truth)
        again = {k: again[k] * of[f"again_{OVER[k]}"] for k in ("box_l1", "box_giou", "mask_bce", "mask_dice")}
        out["cycle"] = sum(again.values(), start=out["text"] * 0.0)
    if output.instances is not None:
        out["apart"] = apart(output.instances, batch) * of["things"]
    return out


def apart(said: Tensor, batch: Batch) -> Tensor:
    """What the boxes cost that places of P pictures say [P, 4, H, W]: the mean over all things with a mask."""
    masks, picture = batch.masks[batch.has_mask], batch.picture[batch.has_mask]
    whose = owners(masks, picture, (len(said), said.shape[-2], said.shape[-1]))
    return place_costs(said, whose, batch.boxes[batch.has_mask]).sum() / max(1, len(masks))


def nowhere(batch: Batch) -> Tensor:
    """Which regions are spoken of though there is nothing, bool [N]: no box, no mask, no point."""
    return ~(batch.has_box | batch.has_mask | batch.shown.any(-1) | batch.asked)


def text(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the supervised tokens: logits [P, V], targets [P]."""
    if not len(targets):
        return logits.sum() * 0.0
    return F.cross_entropy(logits.float(), targets)


class Truth:
    """What is true of N regions: boxes, masks, which of them are known, and which regions are nowhere."""

    def __init__(self, boxes: Tensor, masks: Tensor, has_box: Tensor, has_mask: Tensor, nowhere: Tensor) -> None:
        self.boxes, self.masks, self.has_box, self.has_mask, self.nowhere = boxes, masks, has_box, has_mask, nowhere

    @classmethod
    def of(cls, batch: Batch) -> Truth:
        return cls(batch.boxes, batch.masks, batch.has_box, batch.has_mask, nowhere(batch))

    def where(self, keep: Tensor) -> Truth:
        return Truth(*(t[keep] for t in (self.boxes, self.masks, self.has_box, self.has_mask, self.nowhere)))


@torch.no_grad()
def nearest(said: Tensor, true: Tensor, maybe: Tensor) -> Tensor:
    """Which truth each said box is judged by, long [N]: the nearest of those it may be (bool [N, N]), else its own.

    So that of several like things any may be said next, and not the mean of them. Boxes [N, 4] cxcywh.
    """
    n = len(said)
    own = torch.arange(n, device=said.device)
    if not n:
        return own
    one, other = said.float()[:, None].expand(n, n, 4).flatten(0, 1), true.float().repeat(n, 1)
    cost = (box_l1(one, other) + box_giou(one, other)).view(n, n).masked_fill(~maybe, torch.inf)
    return torch.where(maybe.any(1), cost.argmin(1), own)


def regions(said: Regions, truth: Truth) -> dict[str, Tensor]:
    """Loss parts of decoded regions against their truth, one for one."""
    known = truth.has_box | truth.has_mask
    if not len(truth.boxes):
        zero = (said.boxes.sum() + said.masks.sum() + said.points.sum() + said.scores.sum()) * 0.0
        return dict.fromkeys(("box_l1", "box_giou", "mask_bce", "mask_dice", "cell", "score"), zero)
    side = said.masks.shape[-2:]
    true_masks = F.interpolate(truth.masks.unsqueeze(1), side, mode="bilinear", align_corners=False, antialias=True)
    true_masks = true_masks.squeeze(1)
    cells = said.points.shape[-2:]
    area = torch.where(truth.has_mask[:, None, None], truth.masks, painted(truth.boxes, truth.masks.shape[-1]))
    target = cells_target(area, (cells[0], cells[1]), truth.boxes[:, :2])
    return {
        "box_l1": mean_over(box_l1(said.boxes, truth.boxes), truth.has_box),
        "box_giou": mean_over(box_giou(said.boxes, truth.boxes), truth.has_box),
        "mask_bce": mean_over(mask_bce(said.masks, true_masks), truth.has_mask),
        "mask_dice": mean_over(mask_dice(said.masks, true_masks), truth.has_mask),
        "cell": mean_over(cell_cross_entropy(said.points, target), known),
        "score": mean_over(score(said, truth, true_masks), known | truth.nowhere),
    }


def score(said: Regions, truth: Truth, true_masks: Tensor) -> Tensor:
    """Cross-entropy of each region's score [N] against the IoU that it really has (of the mask, else of the box).

    What is nowhere has none, so that the score is presence times quality.
    """
    with torch.no_grad():
        p, t = (said.masks > 0).float(), (true_masks > 0.5).float()
        union = torch.maximum(p, t).sum((-2, -1))
        mask_iou = torch.where(union > 0, (p * t).sum((-2, -1)) / union.clamp(min=1), torch.ones_like(union))
        box_iou = iou_xyxy(cxcywh_to_xyxy(said.boxes), cxcywh_to_xyxy(truth.boxes))
        quality = torch.where(truth.has_mask, mask_iou, box_iou).clamp(0, 1) * ~truth.nowhere
    return F.binary_cross_entropy_with_logits(said.scores, quality, reduction="none")

"""What a wrong region costs: one number for each region, float32; the caller reduces and weighs.

Knows nothing of tokens, of models or of weights. N regions, h w a mask decoder's map, hc wc the image's cells.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from perceptiongpt.core.boxes import cxcywh_to_xyxy, giou_xyxy, xyxy_to_cxcywh


def box_l1(pred_cxcywh: Tensor, true_cxcywh: Tensor) -> Tensor:
    """Sum of the four absolute differences (as in DETR): [N, 4] and [N, 4] to [N]."""
    _same(pred_cxcywh, true_cxcywh)
    return (pred_cxcywh.float() - true_cxcywh.float()).abs().sum(-1)


def box_giou(pred_cxcywh: Tensor, true_cxcywh: Tensor) -> Tensor:
    """1 - GIoU, in 0..2: [N, 4] and [N, 4] cxcywh to [N]."""
    _same(pred_cxcywh, true_cxcywh)
    return 1 - giou_xyxy(cxcywh_to_xyxy(pred_cxcywh), cxcywh_to_xyxy(true_cxcywh))


def mask_bce(logits: Tensor, true: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over each map: [N, h, w] logits and [N, h, w] shares in 0..1 to [N]."""
    _same(logits, true)
    return F.binary_cross_entropy_with_logits(logits.float(), true.float(), reduction="none").mean((-2, -1))


def mask_dice(logits: Tensor, true: Tensor) -> Tensor:
    """1 - (2 |p t| + 1) / (|p| + |t| + 1) for each mask by itself: [N, h, w] and [N, h, w] to [N].

    The sums run over one mask, never over the batch: a small mask weighs as much as a large one.
    """
    _same(logits, true)
    p, t = logits.float().sigmoid(), true.float()
    both = (p * t).sum((-2, -1))
    return 1 - (2 * both + 1) / (p.sum((-2, -1)) + t.sum((-2, -1)) + 1)


def cells_target(masks: Tensor, cells_hw: tuple[int, int], centres: Tensor | None = None) -> Tensor:
    """How each mask [N, S, S] of the canvas is shared out among the image's cells: [N, hc*wc], rows summing to 1.

    An empty mask falls to the cell under `centres` [N, 2] (x, y in 0..1, say of its box; else the canvas's centre).
    """
    if masks.ndim != 3:
        raise ValueError(f"masks have shape {tuple(masks.shape)}; wanted [N, S, S]")
    hc, wc = cells_hw
    share = _pooled(masks.float(), hc, wc).flatten(1)  # [N, hc*wc]
    if centres is None:
        centres = share.new_full((len(share), 2), 0.5)
    x = (centres[:, 0].float() * wc).long().clamp(0, wc - 1)
    y = (centres[:, 1].float() * hc).long().clamp(0, hc - 1)
    under = F.one_hot(y * wc + x, hc * wc).to(share)
    total = share.sum(-1, keepdim=True)
    return torch.where(total > 0, share / torch.where(total > 0, total, 1.0), under)


def place_costs(said_xyxy: Tensor, owner: Tensor, boxes: Tensor) -> Tensor:
    """What each thing's places say of its box: 2 L1 + (1 - GIoU), the mean over them; 0 for a thing without a place.

    `said_xyxy` [P, 4, H, W], `owner` as `owners` gives it, the boxes of things [N, 4] cxcywh: to [N].
    """
    picture, y, x = (owner >= 0).nonzero(as_tuple=True)
    which = owner[picture, y, x]
    said, true = xyxy_to_cxcywh(said_xyxy[picture, :, y, x]), boxes[which]
    costs = 2 * box_l1(said, true) + box_giou(said, true)
    count = torch.bincount(which, minlength=len(boxes)).to(costs)
    return costs.new_zeros(len(boxes)).index_add(0, which, costs / count[which])


@torch.no_grad()
def owners(masks: Tensor, picture: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Whose each place of P pictures is: masks of things [N, S, S] in 0..1, the picture of each (long [N]) -> long
    [P, H, W] (`shape`), the thing that covers most of it and at least half; -1 for nobody's."""
    whose = torch.full(shape, -1, device=masks.device)
    for p in picture.unique().tolist():
        mine = (picture == p).nonzero().flatten()
        share = F.interpolate(
            masks[mine].float()[None], shape[1:], mode="bilinear", align_corners=False, antialias=True
        )
        most, which = share[0].max(0)
        whose[p] = torch.where(most >= 0.5, mine[which], -1)
    return whose


def cell_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy over the image's cells: logits [N, hc, wc] and target [N, hc*wc] summing to 1, to [N]."""
    flat = logits.flatten(1)
    _same(flat, target)
    return -(target.float() * flat.float().log_softmax(-1)).sum(-1)


def mean_over(values: Tensor, which: Tensor) -> Tensor:
    """The mean of values [N] where `which` bool [N]; where there is none, an exact 0 that stays in the graph."""
    _same(values, which)
    return torch.where(which, values, 0.0).sum() / which.sum().clamp(min=1)


def _pooled(masks: Tensor, hc: int, wc: int) -> Tensor:
    """[N, S, S] to [N, hc, wc] sums, each pixel split among the cells by the area it has in each."""
    rows, columns = _overlap(hc, masks.shape[1]).to(masks), _overlap(wc, masks.shape[2]).to(masks)
    return torch.einsum("ah,nhw,bw->nab", rows, masks, columns)


def _overlap(cells: int, pixels: int) -> Tensor:
    """[cells, pixels]: the part of each pixel that lies in each cell, along one axis."""
    edges = torch.arange(pixels + 1, dtype=torch.float64) * cells / pixels
    cell = torch.arange(cells)[:, None]
    covered = torch.minimum(edges[1:], cell + 1) - torch.maximum(edges[:-1], cell)
    return covered.clamp(min=0) * pixels / cells


def _same(a: Tensor, b: Tensor) -> None:
    # Broadcasting [N, 1] against [N] would silently compare every region with every other.
    if a.shape != b.shape:
        raise ValueError(f"shapes {tuple(a.shape)} and {tuple(b.shape)} differ; give one truth for each region")

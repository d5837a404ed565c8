"""Before any language-model step: teach the projector to name what an image token shows (`design.md` 7).

Each image token that lies under an object's mask should point, by cosine, at the mean input embedding of the object's
name among all names of the batch. Two or three minutes of it spare an hour of joint training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from perceptiongpt.core.answer import Region
from perceptiongpt.core.losses import cells_target

TEMPERATURE = 0.07


def naming_loss(model: Any, cells: Tensor, named: Sequence[Sequence[Region]]) -> Tensor:
    """Mean cross-entropy of naming image cells [P, D, hc, wc], given the labelled masks of each of the P pictures.

    Also holds the tokens' norm at that of the host's own embedding rows. Where nothing is named, that alone.
    """
    tokens = cells.flatten(2).transpose(1, 2).float()  # [P, I, D]
    norm = (tokens.norm(dim=-1) / model.backbone.row_norm).clamp(min=1e-4).log().square().mean()
    regions = [
        (p, r.label, r.mask)
        for p, group in enumerate(named)
        for r in group
        if r.label and r.mask is not None and r.mask.any()
    ]
    if not regions:
        return 0.1 * norm
    names = sorted({label for _, label, _ in regions})
    table = F.normalize(name_vectors(model, names), dim=-1)  # [M, D]
    logits = F.normalize(tokens, dim=-1) @ table.T / TEMPERATURE  # [P, I, M]
    masks = torch.stack(
        [torch.from_numpy(model.backbone.canvas(m.shape[::-1]).mask_in(m, 64)) for _, _, m in regions]
    ).to(tokens.device)
    share = cells_target(masks, (cells.shape[-2], cells.shape[-1]))  # [R, I]
    picture = torch.tensor([p for p, _, _ in regions], device=tokens.device)
    which = torch.tensor([names.index(label) for _, label, _ in regions], device=tokens.device)
    wanted = torch.zeros_like(logits).flatten(0, 1)  # [P * I, M]: how much of each object lies in each cell
    cell = (picture[:, None] * logits.shape[1] + torch.arange(logits.shape[1], device=tokens.device)).flatten()
    wanted.index_put_((cell, which.repeat_interleave(logits.shape[1])), share.flatten(), accumulate=True)
    cost = -(wanted * logits.flatten(0, 1).log_softmax(-1)).sum() / len(regions)
    return cost + 0.1 * norm


def name_vectors(model: Any, names: Sequence[str]) -> Tensor:
    """Mean input embedding of each name's tokens, said in mid-sentence: float32 [M, D]."""
    tokenizer = model.backbone.processor.tokenizer
    rows = model.host.get_input_embeddings()
    with torch.no_grad():
        ids = [tokenizer.encode(" " + n, add_special_tokens=False) for n in names]
        return torch.stack([rows(torch.tensor(i, device=model.backbone.device)).float().mean(0) for i in ids])

"""The contract between data and model: what a batch is, what comes out of a forward pass.

B batch rows, T tokens, V vocabulary, N regions of the whole batch in reading order, S side of a mask,
h w the mask decoder's map. Boxes are cxcywh in 0..1 of the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

# How a model answers with regions, and how many location tokens it then has: `<vis>`, or one of the alternatives that
# it is measured against (data/formats.py).
ANSWER_FORMATS = {"vis": 0, "numerals": 0, "integers": 0, "bins": 1000, "polygon": 1001}


@dataclass(frozen=True)
class Spelling:
    """How a host writes a picture into a prompt, in the place of its template's mark.

    `text` holds one image token for each of the `runs`, which say how often that token is repeated; None: the mark.
    """

    runs: tuple[int, ...]
    text: str | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """One padded batch; regions are flat, `owner` says whose they are, `picture` where they lie."""

    input_ids: Tensor  # long [B, T]
    attention_mask: Tensor  # long [B, T]
    labels: Tensor  # long [B, T], -100 where nothing is supervised
    pixels: dict[str, Tensor]  # what the host's vision tower takes; empty for a batch of text alone
    boxes: Tensor  # float32 [N, 4] cxcywh in 0..1
    masks: Tensor  # float32 [N, S, S] in 0..1, of the whole canvas
    points: Tensor  # float32 [N, 2] x, y in 0..1; the box's centre where no point is given
    has_box: Tensor  # bool [N]
    has_mask: Tensor  # bool [N]
    shown: Tensor  # bool [N, 3]: which of box, mask, point are written into the region's place
    asked: Tensor  # bool [N]: shown by the user; written, never scored
    owner: Tensor  # long [N]: row of the batch
    pictures: Tensor  # long [B]: how many pictures each row shows; those of the whole batch are counted row by row
    picture: Tensor  # long [N]: the batch's picture that each region lies in

    def to(self, device: torch.device | str) -> Batch:
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        pixels = {k: v.to(device) for k, v in moved.pop("pixels").items()}
        return replace(self, pixels=pixels, **{k: v.to(device) for k, v in moved.items()})


@dataclass(frozen=True, eq=False)
class Regions:
    """What the decoders say of N regions."""

    boxes: Tensor  # float32 [N, 4] cxcywh in 0..1
    masks: Tensor  # float32 [N, h, w] logits
    points: Tensor  # float32 [N, cells_h, cells_w] logits over the language model's image cells
    scores: Tensor  # float32 [N] logits of presence times quality

    def at(self, rows: Sequence[int]) -> Regions:
        """Those at these rows, in their order."""
        rows = list(rows)
        return Regions(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Output:
    """What a training forward returns; `regions` are the asked-for ones only, in the batch's order."""

    logits: Tensor  # [P, V + new] at the P supervised places
    targets: Tensor  # long [P]
    regions: Regions
    cells: Tensor | None  # [P, D, hc, wc]: what the language model read of the pictures, before positions
    again: Regions | None  # every given region decoded from its own encoding (the cycle); None without language
    map: Tensor | None = None  # [P, C, h, w]: the decoders' map of the pictures
    keys: Tensor | None = None  # [P, I, H]: what the pointer compares with in the pictures
    maybe: Tensor | None = None  # bool [n, n]: which of `regions` each may be as well, where order means nothing
    named: Tensor | None = None  # [P, D, hc, wc]: what a pyramid adds to the cells that decoders look at
    colours: Tensor | None = None  # [P, 3, s, s]: the plain pixels, where an echo hears their colours
    instances: Tensor | None = None  # [P, 4, H, W] xyxy: the boxes that places say, where things are told apart

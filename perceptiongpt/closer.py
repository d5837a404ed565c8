"""A second look from closer by: each region is found again in a piece of its picture, which has more pixels there.

Where both looks outline the same, the second stands, which sees finer. Where they don't, the one stands whose box and
mask agree best: a look that knows what it sees says the same in two ways. In a crowd the second look is told where the
others are that were said in the same breath, those after it, too: a piece with two cups in it shows which of them is
meant. Knows regions in pixels, their pictures and what was heard when they were said. Knows neither prompts nor
judging. Beyond the papers; the language model isn't run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import Regions
from perceptiongpt.core.boxes import around, iou_xyxy
from perceptiongpt.core.canvas import Canvas, Four
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import together
from perceptiongpt.outlined import Piece, laid, may_refine, outlined
from perceptiongpt.tasks.mask import MASK_SIDE

TIMES = 2.2  # sides of a region's box that its piece is long
AGREE = 0.3  # IoU of two looks' boxes under which they mean two things; the second is then not believed
OUTLINED = 0.7  # IoU of both looks' outlines from which the second stands, whatever its box says
AT_ONCE = 1  # piece: eight together take a quarter less time each, and half a gigabyte


@torch.inference_mode()
def closer(
    eye: Any,
    regions: Sequence[Region],
    said: Spoken,
    pictures: Sequence[Image.Image],
    which: Sequence[int] | None = None,
) -> tuple[Region, ...]:
    """The regions of an answer, in its order, as a second look finds them: all, or those of `which`.

    Those without a box stay as they are, and those whose piece is all of the picture. `pictures`: those that
    `said.pictures` counts. A score is that of the mean of both looks' logits.
    """
    made, pieces = list(regions), dict[int, Piece]()
    for n, region in enumerate(regions):
        if region.box is not None and (which is None or n in which):
            size = pictures[said.pictures[n]].size
            piece = around(region.box, size, TIMES)
            if piece != (0, 0, *size):
                pieces[n] = piece
    for start in range(0, len(pieces), AT_ONCE):
        part = list(pieces)[start : start + AT_ONCE]
        for n, region in zip(part, _again(eye, regions, said, {n: pieces[n] for n in part}, pictures), strict=True):
            made[n] = region
    return tuple(made)


def _again(
    eye: Any, regions: Sequence[Region], said: Spoken, pieces: Mapping[int, Piece], pictures: Sequence[Image.Image]
) -> list[Region]:
    """A few regions of an answer, by their pieces, looked at together."""
    model, backbone, which = eye.model, eye.model.backbone, list(pieces)
    whole = [pictures[said.pictures[n]] for n in which]
    crops = [picture.crop(pieces[n]) for n, picture in zip(which, whole, strict=True)]
    canvases = [backbone.canvas(crop.size) for crop in crops]
    seen = model.see(backbone.pixels([canvas.view(crop) for canvas, crop in zip(canvases, crops, strict=True)]))
    states, told, several = together([said.heard[n] for n in which])
    others = None
    if model.settings.enumerates:
        others = torch.stack(
            [_others(eye, said, n, pieces[n], c, pictures) for n, c in zip(which, canvases, strict=True)]
        )
    found = model.decode(states, seen, torch.arange(len(which), device=states.device), told, others, several)
    logits = (said.regions.scores[which].to(found.scores) + found.scores) / 2
    made = []
    rows = zip(which, canvases, whole, eye.operating.scores(logits).tolist(), strict=True)
    for i, (n, canvas, picture, score) in enumerate(rows):
        piece = pieces[n]
        first, second, large = said.regions.at([n]), found.at([i]), backbone.canvas(picture.size)
        region = replace(regions[n], score=score)
        nearer = laid(region, second, eye.operating.agree, canvas, piece, picture.size)
        before, steady = _outline(large, first)
        after, again = _outline(canvas, second)
        alike = _iou(before, _moved(after, *piece[:2]))
        stands = again >= steady or alike >= OUTLINED
        assert nearer.box is not None and region.box is not None  # as all have that have a piece
        stands = stands and _iou(nearer.box, region.box) >= AGREE
        if stands:
            region = nearer
        if alike >= AGREE and may_refine(eye, said, n):
            other = second.masks
            one = replace(second, masks=_nearer(first.masks, piece, large, canvas, other))
            if stands:
                one, other = second, one.masks
            region = outlined(eye, region, one, other, seen, i, canvas, piece, picture.size)
        made.append(region)
    return made


def _nearer(masks: Tensor, piece: Piece, whole: Canvas, canvas: Canvas, like: Tensor) -> Tensor:
    """Masks of the whole picture as they lie on the canvas of a piece of it, as fine as those of `like`: logits."""
    shares = canvas.of_piece(masks.float().sigmoid(), piece, whole, max(like.shape[-2:]))
    return F.interpolate(shares.unsqueeze(1), like.shape[-2:], mode="bilinear").squeeze(1).logit(1e-4)


def _outline(canvas: Canvas, found: Regions) -> tuple[Four, float]:
    """The box round the mask of one region, in pixels, and its IoU with the decoded one: how well a look agrees. Of an
    empty mask the decoded box, with which nothing agrees."""
    (outline,), masks = canvas.found_out(found, 0.0)
    (decoded,), _ = canvas.found_out(found, 1.0)
    return outline, _iou(outline, decoded) if bool((masks > 0).any()) else 0.0


def _moved(box: Four, x: int, y: int) -> Four:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def _iou(a: Four, b: Four) -> float:
    return float(iou_xyxy(torch.tensor(a), torch.tensor(b)))


def _others(eye: Any, said: Spoken, n: int, piece: Piece, canvas: Canvas, pictures: Sequence[Image.Image]) -> Tensor:
    """[S, S]: how much of each place of a region's piece, on its canvas, is others that were said in its breath."""
    masks, beside = said.regions.masks, said.beside(n, eye.model.settings.vis_tokens)
    if not beside:
        return masks.new_zeros(MASK_SIDE, MASK_SIDE)
    whole = eye.model.backbone.canvas(pictures[said.pictures[n]].size)
    there = masks[beside].float().sigmoid()
    return canvas.of_piece(there, piece, whole, MASK_SIDE).amax(0)

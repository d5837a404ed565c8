"""Outlines refined: the mask of a thing that is asked for alone is filled out, or cut, to what it lies on.

It wants two looks at one thing: where they differ, it ends elsewhere than one of them says. Where several are asked
for, masks are cut to one thing each already, and the others of a row tell where to end. Knows regions in pixels, what
was said and what a look saw. Knows neither prompts nor judging. Beyond the papers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import Regions
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.seen import Seen

Piece = tuple[int, int, int, int]  # xyxy of a picture, whole pixels


def may_refine(eye: Any, said: Spoken, n: int) -> bool:
    """Whether region n of what was said was asked for alone, and the model refines outlines."""
    alone = not said.heard[n].several and not said.beside(n, eye.model.settings.vis_tokens)
    return bool(eye.model.settings.refines) and alone


@torch.inference_mode()
def outlined(
    eye: Any,
    region: Region,
    found: Regions,
    others: Tensor,
    seen: Seen,
    at: int,
    canvas: Canvas,
    piece: Piece,
    size_wh: tuple[int, int],
) -> Region:
    """A region of a picture of `size_wh` with the outline of `found`, one region on the canvas of `piece`, refined by
    another look's masks `others` [1, h, w] and by what picture `at` of `seen` shows, which is that piece; its box is
    drawn round it. What has no outline stays."""
    owner = torch.tensor([at], device=found.masks.device)
    masks = eye.model.decoder.refined(found.masks, others, seen.prepared, owner)
    if region.box is None or not bool((masks > 0).any()):
        return region
    return laid(region, replace(found, masks=masks), 0.0, canvas, piece, size_wh)


def laid(
    region: Region, found: Regions, agree: float, canvas: Canvas, piece: Piece, size_wh: tuple[int, int]
) -> Region:
    """A region of a picture of `size_wh` with box and mask, where it has one, of `found`, one region on the canvas of
    `piece`; `agree` as `Canvas.found_out` takes it."""
    (box,), inside = canvas.found_out(found, agree)
    there = placed(Region(box, None if region.mask is None else canvas.masks_out(inside)[0]), piece, size_wh)
    return replace(region, box=there.box, mask=there.mask)


def placed(region: Region, piece: Piece, size_wh: tuple[int, int]) -> Region:
    """A region of `piece`, in pixels of that, as one of the picture of `size_wh`."""
    x, y, right, bottom = piece
    box, mask, point = region.box, None, region.point
    if region.mask is not None:
        mask = np.zeros(size_wh[::-1], bool)
        mask[y:bottom, x:right] = region.mask
    return replace(
        region,
        box=None if box is None else (box[0] + x, box[1] + y, box[2] + x, box[3] + y),
        mask=mask,
        point=None if point is None else (point[0] + x, point[1] + y),
    )

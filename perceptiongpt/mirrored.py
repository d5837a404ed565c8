"""A look in the mirror: what was found is looked for once more in the picture turned left to right.

Decoders never learnt a picture and its mirror image to be the same, so they err in them apart: where both looks find
the same, their mean is the better outline; where they don't, both are looked at closer, and the surer one stands.
Knows what was said and heard, its picture and its canvas. Beyond the papers; the language model isn't run again: the
words that regions were decoded from are turned, too, "left" for "right".

N regions, S side of a mask as encoders see it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from perceptiongpt.core.batch import Regions
from perceptiongpt.core.boxes import iou_xyxy
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.slots import Words
from perceptiongpt.data.sample import Turn
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import Heard, again
from perceptiongpt.model.seen import Seen
from perceptiongpt.tasks.mask import MASK_SIDE

AGREE = 0.3  # IoU of both looks' boxes under which they mean two things
SIDES = (("left", "right"), ("Left", "Right"))
_SIDED = re.compile("left|right", re.IGNORECASE)


class Mirror:
    """Pictures turned left to right: encoded once, when they are first looked at."""

    def __init__(self, eye: Any, pictures: Sequence[Image.Image], canvases: Sequence[Canvas]) -> None:
        self._eye, self._pictures, self._canvases = eye, pictures, canvases

    @cached_property
    def seen(self) -> Seen:
        """What the decoders look at; in the order of the pictures."""
        model = self._eye.model
        pairs = zip(self._canvases, self._pictures, strict=True)
        seen: Seen = model.see(model.backbone.pixels([canvas.view(ImageOps.mirror(p)) for canvas, p in pairs]))
        return seen

    def decoded(self, heard: Sequence[Heard], pictures: Sequence[int], canvas: Canvas, others: Tensor) -> Spoken:
        """What the decoders find in the mirror where they hear the same, as the picture has it; `others`: what lies
        elsewhere, float32 [N, S, S] of the picture's canvas."""
        model = self._eye.model
        turned = [(state, None if words is None else _turned(self._eye, words)) for state, words in heard]
        earlier = canvas.turned(others) if model.settings.enumerates else None
        found, shades = again(model, turned, self.seen, pictures, earlier)
        return Spoken([], [], canvas.mirrored(found), list(pictures), heard=list(heard), shades=shades)


def turns(eye: Any, turn: Turn, said: Spoken) -> bool:
    """Whether a question and its answer mean the same in the mirror: nothing was shown, and sides, if any are named,
    can be turned in what the decoders hear."""
    if turn.regions:
        return False
    if eye.model.settings.read_window and _sides(eye):
        return True
    return _SIDED.search(f"{turn.text} {eye.renderer.decode(said.ids)}") is None


@torch.inference_mode()
def both_ways(eye: Any, said: Spoken, canvas: Canvas, mirror: Mirror) -> tuple[Spoken, Spoken, list[int]]:
    """An answer as the means of what both looks found, the same with what the mirror alone shows, and which regions
    these are: those of a breath of their own that the mirror shows elsewhere."""
    if not said.heard:
        return said, said, []
    breaths = said.breaths(eye.model.settings.vis_tokens)
    each = range(len(breaths))
    masks = F.adaptive_avg_pool2d(said.regions.masks.float().sigmoid()[None], MASK_SIDE)[0]
    others = torch.stack([_others(n, breaths, said.pictures, masks) for n in each])
    found = mirror.decoded(said.heard, said.pictures, canvas, others)
    agree = eye.operating.agree
    ours, theirs = canvas.found_out(said.regions, agree)[0], canvas.found_out(found.regions, agree)[0]
    same = [float(iou_xyxy(torch.tensor(a), torch.tensor(b))) >= AGREE for a, b in zip(ours, theirs, strict=True)]
    one, other = said.regions, found.regions
    alike = torch.tensor(same, device=one.boxes.device)
    fused = Regions(
        *(
            torch.where(alike.view(-1, *[1] * (a.ndim - 1)), (a.float() + b.float()) / 2, a.float())
            for a, b in ((one.boxes, other.boxes), (one.masks, other.masks), (one.points, other.points))
        ),
        torch.where(alike, (one.scores + other.scores) / 2, one.scores),
    )
    elsewhere = [n for n in each if not same[n] and breaths.count(breaths[n]) == 1]
    return replace(said, regions=fused), replace(said, regions=other, shades=found.shades), elsewhere


def _others(n: int, breaths: Sequence[int], pictures: Sequence[int], masks: Tensor) -> Tensor:
    """[S, S]: where the others of a region's breath lie in its picture."""
    rest = [m for m, b in enumerate(breaths) if m != n and b == breaths[n] and pictures[m] == pictures[n]]
    return masks[rest].sum(0).clamp(max=1.0)


def _sides(eye: Any) -> list[tuple[int, int]]:
    """The tokens for left and right, either way round, of those spellings that are one token each."""
    tokenizer, pairs = eye.renderer.tokenizer, []
    for lead in ("", " "):
        for both in SIDES:
            left, right = (tokenizer(lead + word, add_special_tokens=False).input_ids for word in both)
            if len(left) == len(right) == 1:
                pairs += [(left[0], right[0]), (right[0], left[0])]
    return pairs


def _turned(eye: Any, words: Words) -> Words:
    """The same words with their sides changed."""
    vectors = words.vectors.clone()
    for side, other in _sides(eye):
        ids = torch.tensor([[side, other]], device=vectors.device)
        now, then = eye.model.embed_words(ids)[0].to(vectors)
        vectors[(words.vectors == now).all(-1)] = then
    return Words(vectors, words.there)

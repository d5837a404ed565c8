"""A look in the mirror: what was found is looked for once more in the picture turned left to right.

Decoders were never taught to answer a picture and its mirror image alike, so they err in them apart: where both looks
find the same, their mean is the better outline; where they don't, and it is alone in its breath, both are looked at
closer, and the surer one stands.
Knows what was said and heard, its picture and its canvas. Beyond the papers; the language model isn't run again: the
words that regions were decoded from are turned, too, "left" for "right".

N regions, S side of a mask as encoders see it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from perceptiongpt.closer import AGREE
from perceptiongpt.core.batch import Regions
from perceptiongpt.core.boxes import iou_xyxy
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.slots import Words
from perceptiongpt.data.sample import Turn
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import Heard, again
from perceptiongpt.model.seen import Seen
from perceptiongpt.tasks.mask import MASK_SIDE

AT_ONCE = 8  # regions: decoders hold a map for each
SIDES = ((" left", " right"), (" Left", " Right"), (" LEFT", " RIGHT"), ("Left", "Right"))  # as tokenizers know them
_SIDED = re.compile(r"\b(?:left|right)(?=most|ward|-?hand|\b)", re.IGNORECASE)


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

    def decoded(
        self, heard: Sequence[Heard], pictures: Sequence[int], canvas: Canvas, others: Tensor
    ) -> tuple[Regions, list[Tensor]]:
        """What the decoders find in the mirror where they hear the same, as the picture has it, and what the echo hears
        of its colours, each [D]; `others`: what lies elsewhere, float32 [N, S, S] of the picture's canvas."""
        model, sides = self._eye.model, _embedded_sides(self._eye)
        turned = [h if h.words is None else h._replace(words=_turned(h.words, sides)) for h in heard]
        earlier = canvas.turned(others) if model.settings.enumerates else None
        parts, shades = list[Regions](), list[Tensor]()
        for start in range(0, len(heard), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            found, colours = again(
                model, turned[some], self.seen, pictures[some], None if earlier is None else earlier[some]
            )
            parts.append(canvas.mirrored(found))
            shades += colours
        return Regions(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Regions))), shades


def may_mirror(eye: Any, turn: Turn, said: Spoken) -> bool:
    """Whether a question and its answer mean the same in the mirror: nothing was shown, and the sides that are named,
    if any, can be turned in what the decoders hear."""
    if turn.regions:
        return False
    named = set(_SIDED.findall(f"{turn.text} {eye.renderer.decode(said.ids)}"))
    return not named or (eye.model.settings.read_window > 0 and named <= {side.strip() for side, _ in _sides(eye)})


@torch.inference_mode()
def both_ways(eye: Any, said: Spoken, canvas: Canvas, mirror: Mirror) -> tuple[Spoken, Spoken, list[int]]:
    """An answer as the means of what both looks found, the same with what the mirror alone shows, and which regions
    these are: those of a breath of their own that the mirror shows elsewhere."""
    if not said.heard:
        return said, said, []
    k, each = eye.model.settings.vis_tokens, range(len(said.heard))
    masks = F.adaptive_avg_pool2d(said.regions.masks.float().sigmoid()[None], MASK_SIDE)[0]
    others = torch.stack([masks[said.beside(n, k)].sum(0).clamp(max=1.0) for n in each])
    other, shades = mirror.decoded(said.heard, said.pictures, canvas, others)
    one, agree = said.regions, eye.operating.agree
    ours, theirs = (torch.tensor(canvas.found_out(found, agree)[0]) for found in (one, other))
    same = (iou_xyxy(ours, theirs) >= AGREE).to(one.boxes.device)
    both = Regions(*(_mean(getattr(one, f.name), getattr(other, f.name), same) for f in fields(Regions)))
    breaths = said.breaths(k)
    elsewhere = [n for n in each if not same[n] and breaths.count(breaths[n]) == 1]
    return replace(said, regions=both), replace(said, regions=other, shades=shades), elsewhere


def instead(said: Spoken, other: Spoken, which: Sequence[int]) -> Spoken:
    """An answer with the regions `which` of another that said the same."""
    from_ = [other if n in which else said for n in range(len(said.heard))]
    each = ([getattr(one.regions, f.name)[n] for n, one in enumerate(from_)] for f in fields(Regions))
    regions = Regions(*(torch.stack(values) for values in each))
    return replace(said, regions=regions, shades=[one.shades[n] for n, one in enumerate(from_)])


def _mean(one: Tensor, other: Tensor, same: Tensor) -> Tensor:
    """The mean of two of N values where `same` (bool [N]) says so, the first elsewhere: float32."""
    same = same.view(-1, *[1] * (one.ndim - 1))
    return torch.where(same, (one.float() + other.float()) / 2, one.float())


def _sides(eye: Any) -> dict[tuple[str, str], tuple[int, int]]:
    """Spellings of left and right, either way round, and their tokens: those of one token each."""
    tokenizer, sides = eye.renderer.tokenizer, dict[tuple[str, str], tuple[int, int]]()
    for both in SIDES:
        left, right = (tokenizer(word, add_special_tokens=False).input_ids for word in both)
        if len(left) == len(right) == 1:
            sides |= {both: (left[0], right[0]), both[::-1]: (right[0], left[0])}
    return sides


def _embedded_sides(eye: Any) -> list[tuple[Tensor, Tensor]]:
    """The embeddings of a word for a side and of the other side's, each [D], for each spelling and either way round."""
    device = eye.model.backbone.device
    pairs = (eye.model.embed_words(torch.tensor([pair], device=device))[0] for pair in _sides(eye).values())
    return [(now, then) for now, then in pairs]


def _turned(words: Words, sides: Sequence[tuple[Tensor, Tensor]]) -> Words:
    """The same words with their sides changed."""
    vectors = words.vectors.clone()
    for now, then in sides:
        vectors[(words.vectors == now.to(vectors)).all(-1)] = then.to(vectors)
    return Words(vectors, words.there)

"""Samples as a padded batch: pictures onto their canvas, dialogues to ids, regions flat with their owners.

Knows padding and the order of regions. The host's facts come in as an `Eye`: how it sees a picture is its own affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import Batch, Spelling
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.masks import mask_to_box
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.render import IGNORED, Rendered, Renderer
from perceptiongpt.data.sample import Sample

MASK_SIDE = 64


class Eye(Protocol):
    """How a host sees pictures."""

    def canvas(self, size_wh: tuple[int, int]) -> Canvas: ...
    def spelled(self, canvas: Canvas) -> Spelling: ...
    def pixels(self, views: Sequence[Image.Image]) -> dict[str, Tensor]: ...


def collate(samples: Sequence[Sample], renderer: Renderer, eye: Eye, rng: np.random.Generator) -> Batch:
    """A training batch. `rng` chooses which parts of a region are written back: box, mask, or both (paper 1.3)."""
    return together([ready(s, renderer, eye) for s in samples], renderer, eye, [rng] * len(samples))


# One sample: the views of its pictures, the mappings to them, its dialogue.
Ready = tuple[tuple[Image.Image, ...], tuple[Canvas, ...], Rendered]


def ready(sample: Sample, renderer: Renderer, eye: Eye) -> Ready:
    """A sample opened and rendered. Raises ValueError or OSError for one that cannot be."""
    if sample.image is None and any(turn.regions for turn in sample.turns):
        raise ValueError("a region was given without a picture; give the picture that it lies in")
    opened = [open_picture(p() if callable(p) else p) for p in sample.pictures]
    canvases = tuple(eye.canvas(picture.size) for picture in opened)
    views = tuple(canvas.view(picture) for canvas, picture in zip(canvases, opened, strict=True))
    return views, canvases, renderer.training(sample, [eye.spelled(canvas) for canvas in canvases], canvases)


def together(rows: Sequence[Ready], renderer: Renderer, eye: Eye, rngs: Sequence[np.random.Generator]) -> Batch:
    """A training batch of samples that are ready, each with the generator of its own choices."""
    views, canvases, rendered = zip(*rows, strict=True)
    pixels = eye.pixels([v for row in views for v in row])
    return assemble(rendered, canvases, pixels, pad_id(renderer.tokenizer), rngs)


def spend(sample: Sample, rng: np.random.Generator) -> None:
    """Draw what `together` would draw for a sample, and forget it: another process makes that row."""
    for turn in sample.turns:
        for region in turn.regions:
            _drawn(region, _known(region), turn.role == "user", rng)


def pad_id(tokenizer: Any) -> int:
    """The id that fills rows: the tokenizer's own, or its end of text, or 0."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0


def assemble(
    rendered: Sequence[Rendered],
    canvases: Sequence[Canvas | Sequence[Canvas] | None],
    pixels: dict[str, Tensor],
    pad: int,
    rngs: Sequence[np.random.Generator] | None = None,
    left: bool = False,
) -> Batch:
    """Rendered dialogues as a batch, padded right for training or left for asking.

    `canvases`: those of each row's pictures, or that of its only one, None for text alone. `rngs`: one for each row,
    to draw what is written of a region; without them every part that it has.
    """
    longest = max(len(r.ids) for r in rendered)
    ids = torch.full((len(rendered), longest), pad, dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    attention = torch.zeros_like(ids)
    parts: list[dict[str, Any]] = []
    shown = [[] if c is None else [c] if isinstance(c, Canvas) else list(c) for c in canvases]
    for row, (r, mine) in enumerate(zip(rendered, shown, strict=True)):
        place = slice(longest - len(r.ids), longest) if left else slice(0, len(r.ids))
        ids[row, place] = torch.tensor(r.ids)
        labels[row, place] = torch.tensor(r.labels)
        attention[row, place] = 1
        for region, asked in zip(r.regions, r.asked, strict=True):
            if not 0 <= region.picture < len(mine):
                raise ValueError("a region was given without a picture; give the picture that it lies in")
            rng = None if rngs is None else rngs[row]
            picture = sum(map(len, shown[:row])) + region.picture
            here = region_in(region, mine[region.picture], asked, rng)
            parts.append({**here, "asked": asked, "owner": row, "picture": picture})
    return Batch(
        input_ids=ids,
        attention_mask=attention,
        labels=labels,
        pixels=pixels,
        boxes=_stack([p["box"] for p in parts], (4,)),
        masks=_stack([p["mask"] for p in parts], (MASK_SIDE, MASK_SIDE)),
        points=_stack([p["point"] for p in parts], (2,)),
        has_box=torch.tensor([p["has_box"] for p in parts], dtype=torch.bool),
        has_mask=torch.tensor([p["has_mask"] for p in parts], dtype=torch.bool),
        shown=torch.tensor([p["shown"] for p in parts], dtype=torch.bool).view(-1, 3),
        asked=torch.tensor([p["asked"] for p in parts], dtype=torch.bool),
        owner=torch.tensor([p["owner"] for p in parts], dtype=torch.long),
        pictures=torch.tensor([len(mine) for mine in shown], dtype=torch.long),
        picture=torch.tensor([p["picture"] for p in parts], dtype=torch.long),
    )


def region_in(region: Region, canvas: Canvas, asked: bool, rng: np.random.Generator | None) -> dict[str, Any]:
    """One region in canvas coordinates, with what is true of it (`has_*`) and what of it is written (`shown`)."""
    box = region.box
    if box is None and region.mask is not None:
        box = mask_to_box(region.mask)
    has = _known(region)
    shown, point = _drawn(region, has, asked, rng)
    box_in = np.asarray(canvas.box_in(box), np.float32) if box is not None else np.zeros(4, np.float32)
    point_in = canvas.point_in(point) if point is not None else box_in[:2]
    empty = np.zeros((MASK_SIDE, MASK_SIDE), np.float32)
    mask = canvas.mask_in(region.mask, MASK_SIDE) if region.mask is not None and has[1] else empty
    return {
        "box": torch.as_tensor(np.asarray(box_in, np.float32)),
        "mask": torch.as_tensor(np.asarray(mask, np.float32)),
        "point": torch.as_tensor(np.asarray(point_in, np.float32)),
        "has_box": has[0],
        "has_mask": has[1],
        "has_point": has[2],
        "shown": shown,
    }


def _known(region: Region) -> list[bool]:
    """Whether it has a box (a mask gives one), a mask that isn't empty, a point."""
    inside = region.mask is not None and bool(region.mask.any())
    return [region.box is not None or inside, inside, region.point is not None]


def _drawn(
    region: Region, has: list[bool], asked: bool, rng: np.random.Generator | None
) -> tuple[list[bool], tuple[float, float] | None]:
    """What of a region is written, and its point: its own, or one drawn from its mask where a point is written."""
    shown = list(has)
    if rng is not None:
        shown = _choose(has, asked, rng)
    elif not asked and (has[0] or has[1]):
        shown[2] = False  # a region that is spoken is fed back as box and mask
    point = region.point
    if point is None and region.mask is not None and shown[2]:
        point = _inside(region.mask, rng)
    return shown, point


def _choose(has: list[bool], asked: bool, rng: np.random.Generator) -> list[bool]:
    """Which known parts are written in training: one of box, mask, both; a shown region may also be just a point."""
    options = [[True, False, False], [False, True, False], [True, True, False]]
    if asked:
        options.append([False, False, True])
    reach = [has[0], has[1], has[2] or has[1]]  # a point can be drawn from a mask
    fitting = [o for o in options if all(r or not wanted for r, wanted in zip(reach, o, strict=True))]
    return list(fitting[rng.integers(len(fitting))]) if fitting else list(has)


def _inside(mask: np.ndarray, rng: np.random.Generator | None) -> tuple[float, float]:
    """The centre of one pixel of the mask: a random one in training."""
    ys, xs = np.nonzero(mask)
    pick = int(rng.integers(len(ys))) if rng is not None else len(ys) // 2
    return float(xs[pick]) + 0.5, float(ys[pick]) + 0.5


def _stack(rows: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return torch.stack(rows).float() if rows else torch.zeros((0, *shape))

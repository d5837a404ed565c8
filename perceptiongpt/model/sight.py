"""How hosts see pictures whole: as one square, or as one grid of any shape. Tiles are in tiles.py.

Each way makes a canvas for a picture, the vision tower's input, and maps out of what the tower gave. The processor's
own crop, resize and padding are switched off: what they would do is modelled by the canvas. Knows nothing of language.

P pictures, I image tokens of one, D width of the language model, C of the tower, h w the tower's grid, s a tile's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from perceptiongpt.core.canvas import Canvas, cells_wh, within_wh

CELLS = 16  # pictures of any shape: their image tokens are resampled to this grid for the decoders


class HostError(ValueError):
    """A host that cannot be held, with the reason and what would do."""


@dataclass(frozen=True, eq=False)
class Look:
    """What the vision tower gave for P pictures; a value that the language model and the decoders all look at."""

    tokens: tuple[Tensor, ...]  # each [I, D], in the order in which the language model reads them
    cells: Tensor  # [P, D, hc, wc]: the same tokens as a map
    layers: tuple[Tensor, ...]  # each [P, h, w, C]: hidden states of the vision tower, first to last
    deep: tuple[tuple[Tensor, ...], ...] = ()  # for each picture, what is added at its tokens in the first layers
    pyramid: tuple[Tensor, ...] = ()  # each [P, C, h, w], coarse to fine: what a network of the plug-in's own shows
    colours: Tensor | None = None  # [P, 3, s, s] in 0..1: the plain pixels, where regions are told their colours

    @classmethod
    def joined(cls, looks: Sequence[Look]) -> Look:
        """Looks at some pictures, one after the other, as one at all of them."""
        if len(looks) == 1:
            return looks[0]
        layers, pyramid = (
            tuple(torch.cat(x) for x in zip(*maps, strict=True))
            for maps in ((one.layers for one in looks), (one.pyramid for one in looks))
        )
        tokens, deep = (tuple(chain(*x)) for x in ((one.tokens for one in looks), (one.deep for one in looks)))
        plain = [one.colours for one in looks if one.colours is not None]
        colours = torch.cat(plain) if plain else None
        return cls(tokens, torch.cat([one.cells for one in looks]), layers, deep, pyramid, colours)


class Square:
    """One square of a fixed side, a fixed number of image tokens."""

    any_shape = False
    has_grid = True  # False: another tower gives the maps

    def __init__(self, host: Any, processor: Any, mode: Literal["pad", "squeeze"], frames: int) -> None:
        self.host, self.processor, self.mode, self.frames = host, processor, mode, frames
        self.eye: Any = processor.image_processor
        self.side = self._side()
        self.width: int = host.get_input_embeddings().embedding_dim

    def _side(self) -> int:
        return fixed_side(self.eye)

    def canvas(self, size_wh: tuple[int, int]) -> Canvas:
        """The mapping between a picture of `size_wh` and what this host sees of it."""
        return Canvas(size_wh, self.side, self.mode)

    def told(self, view_wh: tuple[int, int]) -> dict[str, Any]:
        """What a processor must know of a view in order to spell it."""
        return {"pixel_values": [np.zeros((3, *view_wh[::-1]), np.uint8)], "num_crops": [0]}

    def pixels(self, views: Sequence[Image.Image]) -> dict[str, Tensor]:
        """The vision tower's input for canvas views."""
        return {"pixel_values": self._normal(views)}

    def given(self, pixels: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same as the host itself takes it."""
        return pixels

    def look(self, out: Any, pixels: dict[str, Tensor]) -> Look:
        """Tokens and maps out of what the host's `get_image_features` returned."""
        tokens = stacked(out.pooler_output, len(pixels["pixel_values"]), self.width)
        cells = as_cells(tokens) if self.has_grid else tokens.transpose(1, 2).unsqueeze(-1)
        return Look(tuple(tokens), cells, tuple(square_map(h) for h in out.hidden_states))

    def _normal(self, views: Sequence[Image.Image]) -> Tensor:
        """Views of one size as the tower takes their colours: float32 [P, 3, H, W]."""
        stacked = torch.from_numpy(np.stack([np.asarray(v.convert("RGB")) for v in views])).permute(0, 3, 1, 2).float()
        if getattr(self.eye, "do_rescale", True):
            stacked = stacked * float(self.eye.rescale_factor)
        if getattr(self.eye, "do_normalize", True):
            mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.eye.image_mean, self.eye.image_std))
            stacked = (stacked - mean) / std
        return stacked


class Patches(Square):
    """Any shape, patch by patch in blocks that become one token (the Qwen and GLM families)."""

    any_shape = True

    def _side(self) -> int:
        self.merge: int = self.eye.merge_size
        return self.eye.patch_size * self.merge

    def canvas(self, size_wh: tuple[int, int]) -> Canvas:
        low, high = (self.eye.size[edge] // self.frames for edge in ("shortest_edge", "longest_edge"))
        return Canvas.free(size_wh, cells_wh(size_wh, self.side, low, high))

    def told(self, view_wh: tuple[int, int]) -> dict[str, Any]:
        patch = self.side // self.merge
        return {"image_grid_thw": np.array([[1, view_wh[1] // patch, view_wh[0] // patch]])}

    def pixels(self, views: Sequence[Image.Image]) -> dict[str, Tensor]:
        made = self.eye(images=list(views), do_resize=False, return_tensors="pt")
        return {k: v for k, v in made.items() if k in ("pixel_values", "image_grid_thw")}

    def look(self, out: Any, pixels: dict[str, Tensor]) -> Look:
        grid_thw, merge, vision = pixels["image_grid_thw"], self.merge, self.host.config.vision_config
        grids = [(h, w) for _, h, w in grid_thw.tolist()]
        cells = [
            resampled(tokens.T.unflatten(-1, (h // merge, w // merge)), CELLS)
            for tokens, (h, w) in zip(out.pooler_output, grids, strict=True)
        ]
        order = None
        if getattr(vision, "fullatt_block_indexes", None) is not None:
            # Qwen2.5-VL keeps its patches in window order inside the tower
            from transformers.vision_utils import get_vision_window_index

            order = get_vision_window_index(grid_thw, merge, vision.window_size, vision.patch_size)[0].argsort()
        layers = []
        patches = [x.reshape(-1, x.shape[-1]) for x in out.hidden_states]
        for hidden in [x for x in patches if len(x) == sum(h * w for h, w in grids)]:  # GLM's last is merged already
            units = hidden.unflatten(0, (-1, merge * merge))
            units = units if order is None else units[order.to(units.device)]
            maps = [
                u.reshape(h // merge, w // merge, merge, merge, -1).permute(4, 0, 2, 1, 3).reshape(-1, h, w)
                for u, (h, w) in zip(units.split([h * w // merge**2 for h, w in grids]), grids, strict=True)
            ]
            layers.append(torch.cat([resampled(m, 2 * CELLS) for m in maps]).permute(0, 2, 3, 1))
        deep = getattr(out, "deepstack_features", None) or ()
        return Look(
            tuple(out.pooler_output),
            torch.cat(cells).to(out.pooler_output[0].dtype),
            tuple(layers),
            tuple(zip(*deep, strict=True)),
        )


class Rows(Square):
    """Any shape, whole pictures side by side in one sequence, a mark after each row of tokens (Pixtral's tower)."""

    any_shape = True

    def _side(self) -> int:
        self.patch: int = self.host.config.vision_config.patch_size
        return self.patch * getattr(self.host.config, "spatial_merge_size", 1)

    def canvas(self, size_wh: tuple[int, int]) -> Canvas:
        longest = min(self.eye.size["longest_edge"], self.host.config.vision_config.image_size)
        view = within_wh(size_wh, self.side, longest)
        # transformers 5.23 takes the only token of a picture for its only row.
        return Canvas.free(size_wh, (2 * self.side, self.side) if view == (self.side, self.side) else view)

    def told(self, view_wh: tuple[int, int]) -> dict[str, Any]:
        return {"image_sizes": [view_wh[::-1]]}

    def pixels(self, views: Sequence[Image.Image]) -> dict[str, Tensor]:
        width, height = (max(v.size[i] for v in views) for i in (0, 1))
        made = [F.pad(self._normal([v])[0], (0, width - v.size[0], 0, height - v.size[1])) for v in views]
        return {"pixel_values": torch.stack(made), "image_sizes": torch.tensor([v.size[::-1] for v in views])}

    def look(self, out: Any, pixels: dict[str, Tensor]) -> Look:
        sizes = pixels["image_sizes"].tolist()
        cells = [
            resampled(t.T.unflatten(-1, (h // self.side, w // self.side)), CELLS)
            for t, (h, w) in zip(out.pooler_output, sizes, strict=True)
        ]
        grids = [(h // self.patch, w // self.patch) for h, w in sizes]
        layers = []
        for hidden in out.hidden_states:
            parts = hidden.squeeze(0).split([h * w for h, w in grids])
            maps = [resampled(t.T.unflatten(-1, hw), 2 * CELLS) for t, hw in zip(parts, grids, strict=True)]
            layers.append(torch.cat(maps).permute(0, 2, 3, 1))
        tokens = tuple(out.pooler_output)
        return Look(tokens, torch.cat(cells).to(tokens[0].dtype), tuple(layers))


def fixed_side(eye: Any) -> int:
    """The side of the square that a fixed-size processor makes."""
    size = (getattr(eye, "crop_size", None) if getattr(eye, "do_center_crop", False) else None) or eye.size
    get = size.get if hasattr(size, "get") else lambda key: getattr(size, key, None)
    height, width = get("height") or get("shortest_edge"), get("width") or get("shortest_edge")
    if height is None or height != width:
        raise HostError(
            f"the processor makes pictures of {size}; only one fixed square, tiles or dynamic resolution can be held"
        )
    return int(height)


def stacked(tokens: Any, count: int, width: int) -> Tensor:
    """Image tokens of `count` squares as [count, I, D]."""
    stacked = tokens if torch.is_tensor(tokens) else torch.stack(list(tokens))
    return stacked.reshape(count, -1, width)


def as_cells(tokens: Tensor) -> Tensor:
    """[n, I, D] -> [n, D, h, w] of a square grid."""
    side = round(tokens.shape[1] ** 0.5)
    if side * side != tokens.shape[1]:
        raise HostError(f"{tokens.shape[1]} image tokens form no square grid; set a `tower` for what looks at pictures")
    return tokens.transpose(1, 2).unflatten(-1, (side, side))


def square_map(hidden: Tensor) -> Tensor:
    """Patch states [n, patches, C] -> [n, h, w, C]; leading class and register tokens are dropped."""
    side = int(hidden.shape[1] ** 0.5)
    return hidden[:, hidden.shape[1] - side * side :].unflatten(1, (side, side))


def resampled(one: Tensor, side: int) -> Tensor:
    """A map [C, h, w] as [1, C, side, side] float32."""
    return F.interpolate(one.unsqueeze(0).float(), (side, side), mode="bilinear", align_corners=False)

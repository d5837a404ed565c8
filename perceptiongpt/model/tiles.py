"""How hosts see pictures in tiles, and which way of seeing is a host's own, found from its image processor.

The tiles' maps are sewn together before the decoders look at them. Knows nothing of language; sight.py has the rest.

P pictures, I image tokens of one, D width of the language model, C of the tower, h w the tower's grid, s a tile's side.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from perceptiongpt.core.canvas import Canvas, centred_wh
from perceptiongpt.model.sight import (
    CELLS,
    Look,
    Patches,
    Rows,
    Square,
    as_cells,
    fixed_side,
    resampled,
    square_map,
    stacked,
)


class Tiles(Square):
    """The picture stretched over a grid of squares, and the whole of it in one more square, after them."""

    any_shape = True

    def _side(self) -> int:
        most = getattr(self.eye, "max_image_size", None)  # Idefics and SmolVLM
        return int(most["longest_edge"]) if most else fixed_side(self.eye)

    def grid(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of tiles that the host's own processor would choose."""
        width, height = size_wh
        if hasattr(self.eye, "max_image_size"):
            _, rows, columns = self.eye.get_number_of_image_patches(height, width, {})
            return max(1, rows), max(1, columns)
        if not self.eye.crop_to_patches:
            return 1, 1
        choose = sys.modules[type(self.eye).__module__].get_optimal_tiled_canvas
        columns, rows = choose((height, width), (self.side,) * 2, self.eye.min_patches, self.eye.max_patches)
        return int(rows), int(columns)

    def canvas(self, size_wh: tuple[int, int]) -> Canvas:
        rows, columns = self.grid(size_wh)
        return Canvas.free(size_wh, (columns * self.side, rows * self.side))

    def told(self, view_wh: tuple[int, int]) -> dict[str, Any]:
        columns, rows = (side // self.side for side in view_wh)
        count = rows * columns
        rows, columns = (rows, columns) if count > 1 else (0, 0)
        return {"num_patches": [_squares(count)], "rows": [[rows]], "cols": [[columns]]}

    def pixels(self, views: Sequence[Image.Image]) -> dict[str, Tensor]:
        squares, grids = [], []
        for view in views:
            columns, rows = (side // self.side for side in view.size)
            grids.append((rows, columns))
            squares.append(self._cut(self._normal([view])[0]))
            if rows * columns > 1:
                squares.append(self._normal([self._whole(view)]))
        return {"pixel_values": torch.cat(squares), "tiles": torch.tensor(grids)}

    def given(self, pixels: dict[str, Tensor]) -> dict[str, Tensor]:
        values = pixels["pixel_values"]
        return {"pixel_values": values.unsqueeze(1) if hasattr(self.eye, "max_image_size") else values}

    def look(self, out: Any, pixels: dict[str, Tensor]) -> Look:
        grids = [(r, c) for r, c in pixels["tiles"].tolist()]
        tokens = stacked(out.pooler_output, len(pixels["pixel_values"]), self.width)  # [all squares, I, D]
        counts = [_squares(r * c) for r, c in grids]
        cells = _joined(as_cells(tokens).permute(0, 2, 3, 1), grids, counts, CELLS)
        layers = tuple(_joined(square_map(h), grids, counts, 2 * CELLS).permute(0, 2, 3, 1) for h in out.hidden_states)
        return Look(tuple(t.flatten(0, 1) for t in tokens.split(counts)), cells.to(tokens.dtype), layers)

    def _whole(self, view: Image.Image) -> Image.Image:
        return view.resize((self.side, self.side), Image.Resampling(int(self.eye.resample)))

    def _cut(self, picture: Tensor) -> Tensor:
        """[3, H, W] -> [tiles, 3, s, s], row by row."""
        tiles = picture.unflatten(1, (-1, self.side)).unflatten(3, (-1, self.side))  # [3, rows, s, columns, s]
        return tiles.permute(1, 3, 0, 2, 4).flatten(0, 1)


class Fitted(Tiles):
    """The whole picture in a square first; then fitted into tiles, of whose tokens those of the border are taken off.

    LLaVA-NeXT and -OneVision. The view is the picture alone, in whole cells: so no cell is half picture, half border.
    """

    def _side(self) -> int:
        self.patch: int = self.host.config.vision_config.patch_size
        return int(self.host.config.vision_config.image_size)

    def whole(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the tiles together that the host's own processor would choose."""
        from transformers.image_processing_utils import select_best_resolution

        height, width = select_best_resolution(size_wh[::-1], self.eye.image_grid_pinpoints)
        return int(width), int(height)

    def canvas(self, size_wh: tuple[int, int]) -> Canvas:
        whole = self.whole(size_wh)
        view = centred_wh(size_wh, whole, self.patch)
        return Canvas.free(size_wh, view if self.whole(view) == whole else whole)  # the host chooses by the view

    def told(self, view_wh: tuple[int, int]) -> dict[str, Any]:
        square = [[np.zeros((3, self.side, self.side), np.uint8)]]
        return {"image_sizes": [list(view_wh[::-1])], "pixel_values": square, "batch_num_images": [1]}

    def pixels(self, views: Sequence[Image.Image]) -> dict[str, Tensor]:
        squares = []
        for view in views:
            whole = self.whole(view.size)
            middle = Image.new("RGB", whole)
            middle.paste(view, ((whole[0] - view.width) // 2, (whole[1] - view.height) // 2))
            squares += [self._normal([self._whole(view)]), self._cut(self._normal([middle])[0])]
        return {"pixel_values": torch.cat(squares), "image_sizes": torch.tensor([v.size[::-1] for v in views])}

    def given(self, pixels: dict[str, Tensor]) -> dict[str, Tensor]:
        return pixels

    def look(self, out: Any, pixels: dict[str, Tensor]) -> Look:
        sizes = [(h, w) for h, w in pixels["image_sizes"].tolist()]
        grids = [tuple(s // self.side for s in self.whole((w, h))[::-1]) for h, w in sizes]
        counts = [1 + r * c for r, c in grids]
        base = (self.side // self.patch) ** 2
        cells = [
            resampled(_rows_of(t[base:], h / w)[:, :-1].permute(2, 0, 1), CELLS)
            for t, (h, w) in zip(out.pooler_output, sizes, strict=True)
        ]
        layers = []
        for hidden in out.hidden_states:
            maps = [
                resampled(_middle(_sewn(m[1:], g), h // self.patch, w // self.patch), 2 * CELLS)
                for m, g, (h, w) in zip(square_map(hidden).split(counts), grids, sizes, strict=True)
            ]
            layers.append(torch.cat(maps).permute(0, 2, 3, 1))
        tokens = tuple(out.pooler_output)
        return Look(tokens, torch.cat(cells).to(tokens[0].dtype), tuple(layers))


def sight_of(host: Any, processor: Any, mode: Literal["pad", "squeeze"], frames: int) -> Square:
    """The way in which a host sees, told by what its image processor can be set to; `mode` and `frames` are facts."""
    eye = processor.image_processor
    for mark, kind in (
        ("merge_size", Patches),
        ("image_grid_pinpoints", Fitted),
        ("max_image_size", Tiles),
        ("crop_to_patches", Tiles),
    ):
        if getattr(eye, mark, None) is not None:
            return kind(host, processor, mode, frames)
    if getattr(host.config.vision_config, "model_type", "") == "pixtral":
        return Rows(host, processor, mode, frames)
    return Square(host, processor, mode, frames)


def _squares(tiles: int) -> int:
    """Tiles and, beside several, the whole picture."""
    return tiles + (tiles > 1)


def _sewn(tiles: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Maps of tiles [rows * columns, h, w, C] as one [C, rows * h, columns * w]."""
    return tiles.unflatten(0, grid).permute(4, 0, 2, 1, 3).flatten(3, 4).flatten(1, 2)


def _joined(maps: Tensor, grids: Sequence[tuple[int, int]], counts: Sequence[int], side: int) -> Tensor:
    """Maps of all squares [n, h, w, C] -> for each picture its tiles as one map: [P, C, side, side]."""
    parts = zip(maps.split(list(counts)), grids, strict=True)
    return torch.cat([resampled(_sewn(part[: r * c], (r, c)), side) for part, (r, c) in parts])


def _middle(whole: Tensor, height: int, width: int) -> Tensor:
    """The middle [C, height, width] of a map."""
    top, left = (whole.shape[1] - height) // 2, (whole.shape[2] - width) // 2
    return whole[:, top : top + height, left : left + width]


def _rows_of(tokens: Tensor, ratio: float) -> Tensor:
    """Tokens in rows that end with a mark [h * (w + 1), D] as [h, w + 1, D], for the h / w nearest to `ratio`."""
    count = len(tokens)
    fits = [h for h in range(1, count // 2 + 1) if count % h == 0]
    best = min(fits, key=lambda h: abs(np.log(h / (count // h - 1) / ratio)))
    return tokens.unflatten(0, (best, -1))

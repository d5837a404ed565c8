"""The one border between pixels of the original picture and the model's canvas.

Outside: xyxy in absolute pixels, masks bool [H, W]. Inside: cxcywh in 0..1 of the canvas, maps over the whole canvas.
Knows nothing of files (data.picture) nor of any model. N regions; h w the size of a map over the canvas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from perceptiongpt.core.batch import Regions
from perceptiongpt.core.boxes import cxcywh_to_xyxy, drawn_round
from perceptiongpt.core.masks import without_specks

# The mean colour of ImageNet: about zero after the usual normalisation, so the padding says nothing.
PADDING = (124, 116, 104)
# Pixels of a mask computed at once on its way out: 16 MiB of float32.
CHUNK_PIXELS = 4_194_304

Four = tuple[float, float, float, float]


@dataclass(frozen=True)
class Canvas:
    """How a picture of `size_wh` pixels lies on the model's canvas.

    "pad": scaled to fit a square of `side`, lying at the top left, the rest padded; "squeeze": stretched to the square;
    "free": stretched to `free_wh`, the size that a host of dynamic resolution chose (see `Canvas.free`).
    Raises ValueError for sizes that are not positive ints and for a mode that does not exist.
    """

    size_wh: tuple[int, int]
    side: int
    mode: Literal["pad", "squeeze", "free"] = "pad"
    free_wh: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("pad", "squeeze", "free"):
            raise ValueError(f"canvas mode {self.mode!r} does not exist; choose pad, squeeze or free")
        if (self.free_wh is None) == (self.mode == "free"):
            raise ValueError(f"canvas mode {self.mode!r} with free_wh {self.free_wh}; use Canvas.free for a free view")
        for name, values in (("size_wh", self.size_wh), ("side", (self.side,)), ("free_wh", self.free_wh or (1, 1))):
            if any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) or v < 1 for v in values):
                raise ValueError(f"canvas {name} is {getattr(self, name)}; wanted ints of at least 1")
        if len(self.size_wh) != 2 or len(self.free_wh or (1, 1)) != 2:
            raise ValueError(f"canvas of size_wh {self.size_wh}, free_wh {self.free_wh}; wanted (width, height)")

    @classmethod
    def free(cls, size_wh: tuple[int, int], view_wh: tuple[int, int]) -> Canvas:
        """A canvas that is the whole picture resized to `view_wh`, square or not."""
        return cls((size_wh[0], size_wh[1]), max(view_wh), "free", (view_wh[0], view_wh[1]))

    @property
    def view_wh(self) -> tuple[int, int]:
        """The size of the model's view in its pixels."""
        return self.free_wh or (self.side, self.side)

    @property
    def content_wh(self) -> tuple[int, int]:
        """The part of the view that the picture covers, in the view's pixels, from the top left."""
        if self.mode != "pad":
            return self.view_wh
        width, height = self.size_wh
        longest = max(width, height)
        return max(1, round(width * self.side / longest)), max(1, round(height * self.side / longest))

    @property
    def reach_xy(self) -> tuple[float, float]:
        """The part of the canvas that the picture covers, in 0..1."""
        return self.content_wh[0] / self.view_wh[0], self.content_wh[1] / self.view_wh[1]

    def view(self, picture: Image.Image) -> Image.Image:
        """The model's view of an RGB picture of `size_wh` (bicubic, antialiased)."""
        if picture.size != tuple(self.size_wh) or picture.mode != "RGB":
            raise ValueError(f"picture is {picture.mode} {picture.size}; this canvas wants RGB {tuple(self.size_wh)}")
        content = picture.resize(self.content_wh, Image.Resampling.BICUBIC)
        if self.content_wh == self.view_wh:
            return content
        view = Image.new("RGB", self.view_wh, PADDING)
        view.paste(content, (0, 0))
        return view

    def point_in(self, point: tuple[float, float]) -> tuple[float, float]:
        """(x, y) in pixels to (x, y) in 0..1 of the canvas."""
        (width, height), (reach_x, reach_y) = self.size_wh, self.reach_xy
        return point[0] / width * reach_x, point[1] / height * reach_y

    def point_out(self, point: tuple[float, float]) -> tuple[float, float]:
        """(x, y) in 0..1 of the canvas to (x, y) in pixels, clipped to the picture."""
        (width, height), (reach_x, reach_y) = self.size_wh, self.reach_xy
        x, y = point[0] / reach_x * width, point[1] / reach_y * height
        return min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))

    def box_in(self, xyxy: Four) -> Four:
        """A box xyxy in pixels to cxcywh in 0..1 of the canvas."""
        (x0, y0), (x1, y1) = self.point_in((xyxy[0], xyxy[1])), self.point_in((xyxy[2], xyxy[3]))
        return (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0

    def box_out(self, cxcywh: Four) -> Four:
        """A box cxcywh in 0..1 of the canvas to xyxy in pixels, clipped to the picture."""
        cx, cy, w, h = cxcywh
        return *self.point_out((cx - w / 2, cy - h / 2)), *self.point_out((cx + w / 2, cy + h / 2))

    def boxes_out(self, cxcywh: Tensor) -> Tensor:
        """`box_out` of N boxes: [N, 4] to float32 [N, 4] xyxy in pixels, clipped to the picture."""
        xyxy = cxcywh_to_xyxy(cxcywh) * self._scale(cxcywh)
        limit = torch.tensor([*self.size_wh, *self.size_wh], dtype=torch.float32, device=cxcywh.device)
        return torch.minimum(xyxy.clamp(min=0), limit)

    def mask_in(self, mask: np.ndarray, side: int) -> np.ndarray:
        """A mask bool [H, W] of the picture as float32 [side, side] over the whole canvas: the share of each cell."""
        width, height = self.size_wh
        if mask.shape != (height, width) or mask.dtype != np.bool_:
            raise ValueError(f"mask has shape {mask.shape}, dtype {mask.dtype}; this canvas wants bool {height, width}")
        filled = np.flatnonzero(mask.any(1))
        if not len(filled):
            return np.zeros((side, side), np.float32)
        top, bottom = int(filled[0]), int(filled[-1]) + 1
        filled = np.flatnonzero(mask[top:bottom].any(0))
        mask = mask[:, filled[0] : filled[-1] + 1]
        rows = _shares(height, self.reach_xy[1], side)  # [side, H]
        columns = _shares(width, self.reach_xy[0], side)[:, filled[0] : filled[-1] + 1]  # [side, w]
        strips = np.zeros((side, mask.shape[1]), np.float32)
        step = max(1, CHUNK_PIXELS // mask.shape[1])
        for start in range(top, bottom, step):  # a large picture is never held as floats
            part = slice(start, min(start + step, bottom))
            strips += rows[:, part] @ mask[part].astype(np.float32)
        return np.clip(strips @ columns.T, 0.0, 1.0)

    def mask_out(self, logits: Tensor | np.ndarray, threshold: float = 0.0) -> np.ndarray:
        """Logits [h, w] over the whole canvas as a mask bool [H, W] of the picture: interpolated first, then cut."""
        return self.masks_out(torch.as_tensor(logits)[None], threshold)[0]

    @torch.no_grad()
    def masks_out(self, logits: Tensor, threshold: float = 0.0) -> np.ndarray:
        """`mask_out` of N maps: [N, h, w] to bool [N, H, W], with no more than a few megabytes of floats at once."""
        if logits.ndim != 3 or 0 in logits.shape[1:]:
            raise ValueError(f"logits have shape {tuple(logits.shape)}; wanted [N, h, w]")
        (width, height), (reach_x, reach_y) = self.size_wh, self.reach_xy
        count, h, w = logits.shape
        left, right, part_x = _neighbours(width, reach_x, w, logits.device)
        upper, lower, part_y = _neighbours(height, reach_y, h, logits.device)
        masks = np.empty((count, height, width), bool)
        step = max(1, CHUNK_PIXELS // width)
        for n in range(count):
            wide = torch.lerp(logits[n].float()[:, left], logits[n].float()[:, right], part_x)  # [h, W]
            for top in range(0, height, step):
                rows = slice(top, top + step)
                fine = torch.lerp(wide[upper[rows]], wide[lower[rows]], part_y[rows, None])
                masks[n, rows] = (fine > threshold).cpu().numpy()
        return masks

    def found_out(self, found: Regions, agree: float) -> tuple[list[Four], Tensor]:
        """Decoded regions as boxes xyxy in pixels, drawn round their masks where the two `agree` (`boxes.drawn_round`),
        and those masks without specks, as `masks_out` wants them: logits [N, h, w]."""
        masks = torch.from_numpy(without_specks(found.masks.float().cpu().numpy()))
        x0, y0, x1, y1 = self.boxes_out(drawn_round(found.boxes.cpu(), masks, agree)).T.tolist()
        return list(zip(x0, y0, x1, y1, strict=True)), masks

    def mirrored(self, found: Regions) -> Regions:
        """What was found on the canvas of the picture turned left to right, as the picture itself has it."""
        boxes = found.boxes.clone()
        boxes[:, 0] = self.reach_xy[0] - boxes[:, 0]
        return Regions(boxes, self.turned(found.masks), self.turned(found.points), found.scores)

    def turned(self, maps: Tensor) -> Tensor:
        """Maps [N, h, w] over the canvas of the picture turned left to right as maps over this one, and the same the
        other way round; where there is no picture they say the least that each says anywhere."""
        reach, count = self.reach_xy[0], maps.shape[-1]
        if reach == 1 or not maps.numel():
            return maps.flip(-1)
        cells = (torch.arange(count, device=maps.device) + 0.5) / count
        at = ((reach - cells) * count - 0.5).clamp(0, count - 1)
        before = at.floor().long()
        shown = torch.lerp(maps[..., before], maps[..., (before + 1).clamp(max=count - 1)], (at - before).to(maps))
        return torch.where(cells <= reach, shown, maps.amin((-2, -1), keepdim=True))

    @torch.no_grad()
    def heat_out(self, heat: Tensor) -> np.ndarray:
        """A map [h, w] over the whole canvas as float32 [H, W] of the picture, interpolated, its largest value 1."""
        (width, height), (reach_x, reach_y) = self.size_wh, self.reach_xy
        left, right, part_x = _neighbours(width, reach_x, heat.shape[1], heat.device)
        upper, lower, part_y = _neighbours(height, reach_y, heat.shape[0], heat.device)
        wide = torch.lerp(heat.float()[:, left], heat.float()[:, right], part_x)
        fine = torch.lerp(wide[upper], wide[lower], part_y[:, None])
        return (fine / fine.max().clamp(min=1e-12)).cpu().numpy()

    @torch.no_grad()
    def of_piece(self, maps: Tensor, piece: Four, whole: Canvas, side: int) -> Tensor:
        """What maps [N, h, w] over the canvas `whole` show of a piece xyxy of its picture, whose own canvas this is:
        float32 [N, side, side], 0 where this has no picture."""
        cells = (torch.arange(side, device=maps.device) + 0.5) / side
        (left, top), (right, bottom) = whole.point_in((piece[0], piece[1])), whole.point_in((piece[2], piece[3]))
        reach_x, reach_y = self.reach_xy
        x, y = left + (right - left) * cells / reach_x, top + (bottom - top) * cells / reach_y
        grid = 2 * torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1) - 1  # [side, side, 2], rows by y
        seen = F.grid_sample(maps.float()[None], grid[None], padding_mode="border", align_corners=False)[0]
        return seen * ((cells <= reach_y)[:, None] & (cells <= reach_x))

    def _scale(self, like: Tensor) -> Tensor:
        """Pixels of the picture in one canvas, float32 [4], for x, y, x, y."""
        scale = [size / reach for size, reach in zip(self.size_wh, self.reach_xy, strict=True)]
        return torch.tensor(scale * 2, dtype=torch.float32, device=like.device)


def cells_wh(size_wh: tuple[int, int], cell: int, low: int, high: int) -> tuple[int, int]:
    """A view whose sides are multiples of `cell` pixels, near the picture's ratio, its area between low and high."""
    width, height = size_wh
    scale = min(max(1.0, (low / (width * height)) ** 0.5), (high / (width * height)) ** 0.5)
    wide, high_ = (max(1, round(side * scale / cell)) for side in (width, height))
    limit = max(1, high // (cell * cell))
    while wide * high_ > limit:
        if wide >= high_:
            wide = max(1, min(wide - 1, limit // high_))
        else:
            high_ = max(1, min(high_ - 1, limit // wide))
    return wide * cell, high_ * cell


def within_wh(size_wh: tuple[int, int], cell: int, longest: int) -> tuple[int, int]:
    """A view of whole cells that is no longer than `longest`, near the picture's ratio, never enlarged by a cell."""
    shrink = max(1.0, max(size_wh) / longest)
    width, height = (min(-(-max(1, int(side / shrink)) // cell), longest // cell) * cell for side in size_wh)
    return width, height


def centred_wh(size_wh: tuple[int, int], whole_wh: tuple[int, int], cell: int) -> tuple[int, int]:
    """The part of a view of `whole_wh` that the picture fills when it is fitted into its middle, in whole cells.

    What is left is the same number of whole cells on either side, so that a host can take it off exactly.
    """
    scale = min(whole / side for whole, side in zip(whole_wh, size_wh, strict=True))
    width, height = (
        max(count - 2 * round((count - side * scale / cell) / 2), 2 - count % 2) * cell
        for side, count in ((s, w // cell) for s, w in zip(size_wh, whole_wh, strict=True))
    )
    return width, height


@lru_cache(64)
def _shares(pixels: int, reach: float, cells: int) -> np.ndarray:
    """Float32 [cells, pixels]: how much of each cell each pixel covers, along one axis."""
    edges = np.arange(pixels + 1) / pixels * reach * cells  # of the pixels, in cells
    cell = np.arange(cells)[:, None]
    covered = np.minimum(edges[1:], cell + 1) - np.maximum(edges[:-1], cell)
    return np.clip(covered, 0, None).astype(np.float32)


def _neighbours(pixels: int, reach: float, cells: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each pixel's centre along one axis: the cell before, the cell after (long), the way between them in 0..1."""
    centre = (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels * reach * cells - 0.5
    centre = centre.clamp(0, cells - 1)
    before = centre.floor().long()
    after = (before + 1).clamp(max=cells - 1)
    return before.to(device), after.to(device), (centre - before).float().to(device)

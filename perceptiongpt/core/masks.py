"""Masks as values: bool [H, W], COCO run lengths, polygons; and decoded ones, logits, freed of specks.

What comes from outside (run lengths, polygons) is checked here before anything is allocated for it.
Knows nothing of canvases or models; a polygon's corners lie on pixel edges: the pixel (0, 0) spans 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from scipy.ndimage import label

from perceptiongpt.core.outline import trace

LIMIT_PIXELS = 100_000_000
LEAST_PIECE = 0.5  # of the largest piece of a decoded mask: what is smaller is taken for a speck
# A run of at most 2**34 pixels, signed, in 5-bit groups: no honest writer needs more.
GROUPS_PER_RUN = 7
# pycocotools keeps every fifth of a pixel of an outline in memory, some 40 bytes each step.
LIMIT_OUTLINE = 10_000_000


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """A mask bool [H, W] as COCO compressed RLE `{"size": [h, w], "counts": "…"}`, ready for JSON."""
    mask = _checked(mask)
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": rle["counts"].decode("ascii")}


def decode_rle(rle: Mapping[str, Any], limit_pixels: int = LIMIT_PIXELS) -> np.ndarray:
    """COCO RLE, compressed (str or bytes) or not (list of ints), as a mask bool [H, W].

    Raises ValueError where the size is not two positive ints of at most `limit_pixels` pixels, or the runs do not
    fill exactly that many pixels; nothing of the claimed size is allocated before.
    """
    (h, w), runs = _checked_runs(rle, limit_pixels)
    inside = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(w, h).T)


def checked_rle(rle: Mapping[str, Any], limit_pixels: int = LIMIT_PIXELS) -> dict[str, Any]:
    """COCO RLE of either kind as compressed RLE that other code may trust; raises ValueError as `decode_rle` does."""
    (h, w), runs = _checked_runs(rle, limit_pixels)
    counts = rle["counts"]
    if isinstance(counts, (list, tuple)):
        counts = coco_mask.frPyObjects({"size": [h, w], "counts": runs.tolist()}, h, w)["counts"]
    return {"size": [h, w], "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}


def _checked_runs(rle: Mapping[str, Any], limit_pixels: int) -> tuple[tuple[int, int], np.ndarray]:
    """Size (h, w) and run lengths that fill it."""
    if not isinstance(rle, Mapping) or "size" not in rle or "counts" not in rle:
        raise ValueError(f"{type(rle).__name__} is no RLE; wanted a mapping with the keys size and counts")
    h, w = _checked_hw(rle["size"], limit_pixels)
    counts = rle["counts"]
    if isinstance(counts, (str, bytes)):
        limit = GROUPS_PER_RUN * (h * w + 2)
        if len(counts) > limit:
            raise ValueError(f"RLE counts of {len(counts)} characters for {h * w} pixels; at most {limit} make sense")
        runs = _runs_of_text(counts)
    elif isinstance(counts, (list, tuple)):
        if len(counts) > 2 * (h * w + 1):
            raise ValueError(f"RLE with {len(counts)} runs for {h * w} pixels; at most one run a pixel makes sense")
        if not all(isinstance(c, (int, np.integer)) and not isinstance(c, bool) and 0 <= c <= h * w for c in counts):
            raise ValueError(f"RLE counts hold something else than run lengths; wanted ints in 0..{h * w}")
        runs = np.asarray(counts, np.int64)
    else:
        raise ValueError(f"RLE counts are a {type(counts).__name__}; wanted a string or a list of ints")
    if (runs < 0).any() or (runs > h * w).any() or int(runs.sum()) != h * w:
        raise ValueError(f"RLE runs fill {int(runs.sum())} pixels of a mask of {h} x {w}; they must fill all {h * w}")
    return (h, w), runs


def polygons_to_mask(polygons: Sequence[Any], hw: tuple[int, int], limit_pixels: int = LIMIT_PIXELS) -> np.ndarray:
    """The union of polygons, each `[x0, y0, x1, y1, …]` or [K, 2] in pixels, as a mask bool [H, W].

    Inside one polygon the even-odd rule holds. Raises ValueError for fewer than 3 points, numbers that are not finite,
    points farther outside than the picture is large, or outlines too long to draw.
    """
    h, w = _checked_hw(hw, limit_pixels)
    flat = [_checked_polygon(p, h, w) for p in polygons]
    if sum(np.abs(np.diff(p, axis=0, append=p[:1])).max(1).sum() for p in flat) > LIMIT_OUTLINE:
        raise ValueError(f"{len(flat)} polygons have outlines of over {LIMIT_OUTLINE} pixels; simplify them")
    if not flat:
        return np.zeros((h, w), bool)
    rles = coco_mask.frPyObjects([p.ravel().tolist() for p in flat], h, w)
    return decode_rle(coco_mask.merge(rles), limit_pixels)


def mask_to_polygons(mask: np.ndarray) -> list[list[float]]:
    """A mask bool [H, W] as COCO polygons `[x0, y0, x1, y1, …]`, one for each 4-connected piece.

    Exact: the outline follows the pixels' edges, and a hole is joined to its piece's outline by a slit of no width, so
    `polygons_to_mask` gives the very mask back.
    """
    return [polygon.astype(float).ravel().tolist() for polygon in trace(_checked(mask))]


def mask_to_box(mask: np.ndarray) -> tuple[float, float, float, float] | None:
    """The tight box (x0, y0, x1, y1) of a mask bool [H, W] on pixel edges (x1 = last column + 1); None when empty."""
    mask = _checked(mask)
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks bool [H, W]; two empty masks agree: 1."""
    a, b = _checked(a), _checked(b)
    if a.shape != b.shape:
        raise ValueError(f"masks of shapes {a.shape} and {b.shape} cannot be compared; bring both to the same picture")
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0


def without_specks(masks: np.ndarray) -> np.ndarray:
    """Mask logits [N, h, w], above 0 inside, with pieces of under LEAST_PIECE of each mask's largest put outside.

    Pieces hold together at sides and corners. What stays, stays as it was; of two halves of a thing both do.
    """
    made = masks.copy()
    for mask in made:
        pieces, count = label(mask > 0, np.ones((3, 3)))
        if count > 1:
            sizes = np.bincount(pieces.ravel())
            sizes[0] = sizes[1:].max()  # what lies outside
            specks = (sizes < LEAST_PIECE * sizes[0])[pieces]
            mask[specks] *= -1
    return made


def _checked(mask: np.ndarray) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != np.bool_ or 0 in mask.shape:
        raise ValueError(f"mask has shape {mask.shape} and dtype {mask.dtype}; wanted bool [H, W] with pixels in it")
    return mask


def _checked_hw(hw: Any, limit_pixels: int) -> tuple[int, int]:
    ok = isinstance(hw, (list, tuple, np.ndarray)) and len(hw) == 2
    if not ok or not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v > 0 for v in hw):
        raise ValueError(f"mask size {str(hw)[:60]} is not two positive ints; wanted [height, width]")
    h, w = int(hw[0]), int(hw[1])
    if h * w > limit_pixels:
        raise ValueError(f"mask size {h} x {w} is over the limit of {limit_pixels} pixels; raise limit_pixels if meant")
    return h, w


def _checked_polygon(polygon: Any, h: int, w: int) -> np.ndarray:
    try:
        points = np.asarray(polygon, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"polygon {str(polygon)[:60]} is not a list of numbers; wanted [x0, y0, x1, y1, …]") from error
    if points.size < 6 or points.size % 2 or points.ndim > 2 or (points.ndim == 2 and points.shape[1] != 2):
        raise ValueError(f"polygon of shape {points.shape}; wanted at least 3 points as [x0, y0, x1, y1, …] or [K, 2]")
    points = points.reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("polygon holds numbers that are not finite; wanted pixels")
    if (points < (-w, -h)).any() or (points > (2 * w, 2 * h)).any():
        raise ValueError(f"polygon reaches far outside a picture of height {h}, width {w}; wanted its pixels")
    return points


def _runs_of_text(counts: str | bytes) -> np.ndarray:
    """The run lengths in COCO's compressed counts: 5 bits a character, low first, differences from the fourth on."""
    try:
        raw = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError as error:
        raise ValueError("RLE counts hold characters outside ASCII; wanted COCO's compressed counts") from error
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if not len(codes) or (codes < 0).any() or (codes > 63).any() or codes[-1] & 32:
        raise ValueError("RLE counts are empty, cut off or hold a foreign character; wanted COCO's compressed counts")
    last = np.flatnonzero((codes & 32) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first).max() >= GROUPS_PER_RUN:
        raise ValueError(f"RLE counts hold a run of more than {GROUPS_PER_RUN} characters; no picture is that large")
    shift = 5 * (np.arange(len(codes)) - np.repeat(first, last - first + 1))
    runs = np.add.reduceat((codes & 31) << shift, first)
    runs -= np.where(codes[last] & 16, np.int64(1) << (shift[last] + 5), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs

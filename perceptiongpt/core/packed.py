"""Regions kept by the hundred thousand: a mask stays run lengths and is compared as run lengths, exactly.

Knows COCO's compressed RLE. Knows nothing of models, files or metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as coco_mask

from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import checked_rle, decode_rle, encode_rle

RLE = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Packed:
    """A region in pixels of its picture, its mask as compressed RLE; what isn't known is None."""

    box: tuple[float, float, float, float] | None = None
    rle: RLE | None = None
    point: tuple[float, float] | None = None
    score: float | None = None
    label: str | None = None

    @property
    def area(self) -> float:
        """Pixels inside: of the mask where there is one, else of the box."""
        if self.rle is not None:
            return float(coco_mask.area(self.rle))
        return 0.0 if self.box is None else (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    @property
    def holds_something(self) -> bool:
        """False for an empty mask: it says that nothing is there."""
        return self.rle is None or coco_mask.area(self.rle) > 0

    def region(self) -> Region:
        """The same with its mask as an array [H, W]."""
        mask = None if self.rle is None else decode_rle(self.rle)
        return Region(self.box, mask, self.point, self.score, self.label)


def pack(region: Region) -> Packed:
    rle = None if region.mask is None else encode_rle(region.mask)
    return Packed(region.box, rle, region.point, region.score, region.label)


def packed_of(row: Mapping[str, Any]) -> Packed:
    """The region that `Region.to_dict` wrote. Raises ValueError, as Region does, and for a mask that is none."""
    rle = None if row.get("mask") is None else checked_rle(row["mask"])
    numbers = (None if row.get(k) is None else tuple(float(v) for v in row[k]) for k in ("box", "point"))
    box, point = numbers
    label = row.get("label")
    checked = None
    if box is not None or point is not None or rle is None:
        checked = Region(box, None, point, row.get("score"))  # type: ignore[arg-type]
    return Packed(
        checked.box if checked else None,
        rle,
        checked.point if checked else None,
        None if row.get("score") is None else float(row["score"]),
        None if label is None else str(label),
    )


def rim(rle: RLE) -> tuple[float, float, float, float] | None:
    """The smallest box (xyxy, pixels) round a mask; None round an empty one."""
    x, y, w, h = (float(v) for v in coco_mask.toBbox(rle))
    return (x, y, x + w, y + h) if w and h else None


def overlap(a: RLE, b: RLE) -> tuple[int, int]:
    """Pixels of the intersection and of the union of two masks of one size; ValueError for two sizes."""
    if list(a["size"]) != list(b["size"]):
        raise ValueError(f"masks of sizes {a['size']} and {b['size']} (h, w) cannot be compared; give the same picture")
    shared = int(coco_mask.area(coco_mask.merge([a, b], intersect=True)))
    return shared, int(coco_mask.area(a)) + int(coco_mask.area(b)) - shared


def union(rles: list[RLE]) -> RLE:
    """The pixels of any of several masks."""
    return rles[0] if len(rles) == 1 else coco_mask.merge(rles)

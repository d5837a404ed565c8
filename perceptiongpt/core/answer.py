"""Regions and answers as values: what a user gets, and what a data set says is true.

Everything here is in absolute pixels of the original picture (EXIF turned), `xyxy`, masks bool at the original size.
Knows nothing of models, canvases or files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from perceptiongpt.core.masks import encode_rle


@dataclass(frozen=True, eq=False)
class Region:
    """One region of a picture.

    `box`: (x0, y0, x1, y1) float pixels with x0 <= x1, y0 <= y1. `mask`: bool [H, W] of the whole picture.
    `point`: (x, y) float pixels. `score`: 0..1. `span`: character range [a, b) of the answer's text that names it.
    `picture`: in which picture of a talk about several it lies, in the order in which they were shown.
    At least one of box, mask, point must be given; anything else raises ValueError.
    """

    box: tuple[float, float, float, float] | None = None
    mask: np.ndarray | None = None
    point: tuple[float, float] | None = None
    score: float | None = None
    label: str | None = None
    span: tuple[int, int] | None = None
    picture: int = 0

    def __post_init__(self) -> None:
        if self.box is None and self.mask is None and self.point is None:
            raise ValueError("a region came with neither box nor mask nor point; give at least one of them")
        if self.box is not None:
            box = tuple(float(v) for v in self.box)
            if len(box) != 4 or not np.isfinite(box).all():
                raise ValueError(f"box {self.box!r} is not four finite numbers x0, y0, x1, y1")
            if box[0] > box[2] or box[1] > box[3]:
                raise ValueError(f"box {list(box)} is inverted; wanted x0 <= x1 and y0 <= y1")
            object.__setattr__(self, "box", box)
        if self.mask is not None:
            mask = np.asarray(self.mask)
            if mask.ndim != 2 or mask.dtype != np.bool_:
                raise ValueError(f"mask has shape {mask.shape} and dtype {mask.dtype}; wanted bool [H, W]")
            object.__setattr__(self, "mask", mask)
        if self.point is not None:
            point = tuple(float(v) for v in self.point)
            if len(point) != 2 or not np.isfinite(point).all():
                raise ValueError(f"point {self.point!r} is not two finite numbers x, y")
            object.__setattr__(self, "point", point)
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score {self.score} is outside 0..1")

    @property
    def nowhere(self) -> bool:
        """Whether it says that there is nothing: an empty mask, no box, no point."""
        return self.mask is not None and self.box is None and self.point is None and not self.mask.any()

    def to_dict(self) -> dict[str, Any]:
        """The region as JSON values; a mask becomes COCO compressed RLE `{"size": [h, w], "counts": "…"}`."""
        return {
            "label": self.label,
            "box": None if self.box is None else [round(v, 2) for v in self.box],
            "mask": None if self.mask is None else encode_rle(self.mask),
            "point": None if self.point is None else [round(v, 2) for v in self.point],
            "score": None if self.score is None else round(float(self.score), 4),
            "span": None if self.span is None else list(self.span),
        }


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model said about one picture: a text and the regions in the order in which it spoke of them.

    Indexable by a condition: `answer[answer.score > 0.5]` keeps those regions; `answer[0]` is the first region.
    `looked`: for each request of a model that asks, where it looked, float32 [H, W] whose largest value is 1.
    `readable` is False where a model that spells regions in words or location tokens said something that is none.
    """

    text: str
    regions: tuple[Region, ...] = ()
    size_wh: tuple[int, int] = (0, 0)
    timings: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    looked: tuple[np.ndarray, ...] = ()
    more_wh: tuple[tuple[int, int], ...] = ()  # in a talk about several pictures: the sizes of those after the first
    readable: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "regions", tuple(self.regions))
        object.__setattr__(self, "looked", tuple(self.looked))
        width, height = self.size_wh
        for look in self.looked:
            if look.shape != (height, width):
                raise ValueError(f"a look of shape {look.shape} in a picture of height {height}, width {width}")
        sizes = (self.size_wh, *self.more_wh)
        for region in self.regions:
            width, height = sizes[region.picture] if 0 <= region.picture < len(sizes) else (0, 0)
            if region.mask is not None and region.mask.shape != (height, width):
                raise ValueError(f"mask of shape {region.mask.shape} in a picture of height {height}, width {width}")

    def __len__(self) -> int:
        return len(self.regions)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)

    def __getitem__(self, key: int | slice | Sequence[bool] | np.ndarray) -> Any:
        if isinstance(key, (int, np.integer)):
            return self.regions[key]
        if isinstance(key, slice):
            kept = self.regions[key]
        else:
            keep = np.asarray(key)
            if keep.dtype != np.bool_ or keep.shape != (len(self.regions),):
                raise ValueError(f"a condition of shape {keep.shape} for {len(self.regions)} regions")
            kept = tuple(r for r, k in zip(self.regions, keep, strict=True) if k)
        return replace(self, regions=kept)

    @property
    def xyxy(self) -> np.ndarray:
        """float32 [N, 4]; a region without a box is a row of NaN."""
        rows = [r.box if r.box is not None else (np.nan,) * 4 for r in self.regions]
        return np.asarray(rows, np.float32).reshape(-1, 4)

    @property
    def masks(self) -> np.ndarray:
        """bool [N, H, W]; a region without a mask is all False. Raises ValueError for regions of several pictures."""
        if len({r.picture for r in self.regions}) > 1:
            raise ValueError("the regions lie in several pictures, so their masks do not stack; take each one's own")
        width, height = (self.size_wh, *self.more_wh)[self.regions[0].picture if self.regions else 0]
        empty = np.zeros((height, width), bool)
        rows = [r.mask if r.mask is not None else empty for r in self.regions]
        return np.stack(rows) if rows else np.zeros((0, height, width), bool)

    @property
    def score(self) -> np.ndarray:
        """float32 [N]; NaN where a region has none."""
        return np.asarray([np.nan if r.score is None else r.score for r in self.regions], np.float32)

    @property
    def label(self) -> list[str | None]:
        return [r.label for r in self.regions]

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON values: text, image size, regions, timings in seconds, model."""
        width, height = self.size_wh
        return {
            "text": self.text,
            "image": {"width": width, "height": height},
            "regions": [r.to_dict() for r in self.regions],
            "timings": {k: round(float(v), 4) for k, v in self.timings.items()},
            "model": self.model,
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """The regions as COCO results: `bbox` is x, y, width, height in pixels; a missing score counts as 1."""
        rows = []
        for r in self.regions:
            row: dict[str, Any] = {
                "image_id": image_id,
                "category_id": category_id,
                "score": 1.0 if r.score is None else float(r.score),
            }
            if r.box is not None:
                row["bbox"] = [r.box[0], r.box[1], r.box[2] - r.box[0], r.box[3] - r.box[1]]
            if r.mask is not None:
                row["segmentation"] = encode_rle(r.mask)
            rows.append(row)
        return rows

    def to_supervision(self) -> Any:
        """The regions as `supervision.Detections` (needs the package `supervision`)."""
        import supervision

        score = np.nan_to_num(self.score, nan=1.0)
        return supervision.Detections(
            xyxy=self.xyxy,
            mask=self.masks if any(r.mask is not None for r in self.regions) else None,
            confidence=score,
            data={"class_name": np.asarray([r.label or "" for r in self.regions])},
        )

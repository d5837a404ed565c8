"""Coordinates that others write in text, as pixels of the picture: five readings, and which of them a file means.

A box alone does not say what its numbers are; the boxes of a whole file, with the sizes of their pictures, often do.
What is decided is told aloud. Knows nothing of any file's fields.
"""

from __future__ import annotations

from collections.abc import Sequence

Four = tuple[float, ...]
Seen = Sequence[tuple[Four, tuple[int, int]]]  # numbers as they stand in the file, and their picture's (width, height)

READINGS = {
    "pixels": "pixels of the picture",
    "norm1": "shares (0 to 1) of the picture's width and height",
    "norm1000": "thousandths (0 to 1000) of the picture's width and height",
    "square": "shares (0 to 1) of the picture padded to a square, the picture in its middle",
    "resized": "pixels of the picture as Qwen2.5-VL resizes it, to multiples of 28",
}
LEAST_EVIDENCE = 20  # boxes


def to_pixels(values: Four, reading: str, size_wh: tuple[int, int]) -> Four:
    """x, y, x, y … as written, in pixels of a picture of `size_wh`."""
    (sx, ox), (sy, oy) = _axes(reading, size_wh)
    return tuple(v * (sy if i % 2 else sx) - (oy if i % 2 else ox) for i, v in enumerate(values))


def from_pixels(values: Four, reading: str, size_wh: tuple[int, int]) -> Four:
    """The inverse of `to_pixels`."""
    (sx, ox), (sy, oy) = _axes(reading, size_wh)
    return tuple((v + (oy if i % 2 else ox)) / (sy if i % 2 else sx) for i, v in enumerate(values))


def _axes(reading: str, size_wh: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
    """(scale, offset) of x and of y."""
    width, height = size_wh
    if reading == "pixels":
        return (1.0, 0.0), (1.0, 0.0)
    if reading == "norm1":
        return (float(width), 0.0), (float(height), 0.0)
    if reading == "norm1000":
        return (width / 1000, 0.0), (height / 1000, 0.0)
    if reading == "square":
        side = max(width, height)
        return (float(side), (side - width) / 2), (float(side), (side - height) / 2)
    if reading == "resized":
        resized = _smart_size(size_wh)
        return (width / resized[0], 0.0), (height / resized[1], 0.0)
    raise ValueError(f"there is no reading {reading!r}; choose {', '.join(READINGS)}")


def _smart_size(
    size_wh: tuple[int, int], cell: int = 28, low: int = 56 * 56, high: int = 12_845_056
) -> tuple[int, int]:
    """The size that Qwen2.5-VL's processor gives a picture by default (its `smart_resize`)."""
    width, height = (max(cell, round(side / cell) * cell) for side in size_wh)
    area = size_wh[0] * size_wh[1]
    if width * height > high:
        shrink = (area / high) ** 0.5
        width, height = (max(cell, int(side / shrink / cell) * cell) for side in size_wh)
    elif width * height < low:
        grow = (low / area) ** 0.5
        width, height = (-int(-side * grow // cell) * cell for side in size_wh)
    return width, height


def reading_of(dialect: str, seen: Seen) -> tuple[str, str]:
    """(reading, why) of a file in the dialect "llava", "qwen" (bbox_2d) or "qwen2" (box tokens), from its boxes."""
    most = max((max(values) for values, _ in seen), default=0.0)
    if dialect == "llava":
        if most > 1.0:
            return ("norm1000", "numbers go up to 1000") if _leave(seen, 1) else ("pixels", "all lie in their pictures")
        if any(not _fits(v, "square", size, 0.02 * max(size)) for v, size in seen):
            return "norm1", "some would lie in the padding of a square"
        return "square", "as LLaVA-1.5 was trained; nothing contradicts it"
    if most > 1000:
        return "pixels", "numbers go beyond 1000"
    if dialect == "qwen2":
        return "norm1000", "as Qwen2-VL writes them"
    if _leave(seen, 28):
        return "norm1000", "as pixels some would lie outside their pictures"
    large = [v for v, size in seen if min(size) > 1100]
    if len(large) >= LEAST_EVIDENCE:
        return "norm1000", "none goes beyond 1000 though the pictures do"
    return "pixels", "all lie in their pictures; nothing contradicts it"


def _leave(seen: Seen, slack: float) -> bool:
    return any(not _fits(values, "pixels", size, slack) for values, size in seen)


def _fits(values: Four, reading: str, size_wh: tuple[int, int], slack: float) -> bool:
    pixels = to_pixels(values, reading, size_wh)
    return all(-slack <= v <= size_wh[i % 2] + slack for i, v in enumerate(pixels))

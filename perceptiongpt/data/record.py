"""The common middle of all formats: what a file says about one picture, as it was read and not yet judged.

Every reader gives Records and every writer takes them; `dialogues` makes them Samples, `check` judges them. Knows
nothing of any one format. Boxes are xyxy in pixels of the picture as it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import decode_rle, mask_to_box, polygons_to_mask
from perceptiongpt.data.picture import picture_size
from perceptiongpt.data.sample import Picture

MASK_PIXELS = 50_000_000

Four = tuple[float, float, float, float]
Places = tuple[int, ...]  # numbers of things
Say = Callable[[str], None]  # where a reader tells aloud how it read


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """A line or an entry that could not be read."""

    where: str
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """One annotated thing.

    `shape`: COCO RLE, a list of polygons, or a function (height, width) -> mask; it is decoded when it is wanted.
    `crowd`: many at once, not to be asked for one by one. `id`: what a message calls it, such as "annotation 17".
    """

    box: Four | None = None
    shape: Any = None
    name: str | None = None
    point: tuple[float, float] | None = None
    crowd: bool = False
    id: str = ""

    def mask(self, size_wh: tuple[int, int]) -> np.ndarray | None:
        """The mask bool [H, W], None where there is none; ValueError for one that is broken or of another size."""
        hw = (size_wh[1], size_wh[0])
        if self.shape is None:
            return None
        if callable(self.shape):
            mask = self.shape(hw)
        elif isinstance(self.shape, Mapping):
            mask = decode_rle(self.shape, MASK_PIXELS)
        elif not isinstance(self.shape, (list, tuple)):
            raise ValueError(f"its mask is {str(self.shape)[:40]!r}; wanted run lengths or polygons")
        else:
            mask = polygons_to_mask(self.shape, hw, MASK_PIXELS)
        if mask.shape != hw:
            raise ValueError(f"its mask is {mask.shape[1]} x {mask.shape[0]} and the picture {hw[1]} x {hw[0]}")
        return mask

    def region(self, size_wh: tuple[int, int]) -> Region | None:
        """The thing as a Region clipped to the picture; None where nothing of it lies inside.

        A mask that is broken, empty or of another size is left out where there is a box.
        """
        box = None if self.box is None else clipped(self.box, size_wh)
        try:
            mask = self.mask(size_wh)
        except ValueError:
            mask = None
        if mask is not None and not mask.any():
            mask = None
        if self.box is not None and box is None:
            return None
        if box is None and mask is None and self.point is None:
            return None
        return Region(box=box, mask=mask, point=self.point, label=self.name)

    def bounds(self, size_wh: tuple[int, int]) -> Four | None:
        """The box, or that of the mask."""
        if self.box is not None:
            return self.box
        mask = self.mask(size_wh)
        return None if mask is None else mask_to_box(mask)


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What is known of one picture.

    `key`: the picture's name, the same in every record about it; `id`: the record's own. `phrases`: an expression and
    the things that it means, none for what isn't there. `told`: descriptions of one thing each, which need not mean it
    alone. `captions`: a text with places {0} … and their things. `talk`: a dialogue as it stands: (role, text with
    places, their things). `known`: the names that were looked for, so that one which no thing has is absent; `partly`:
    those of which there may be more.
    """

    image: Picture | None
    where: str
    key: str
    size_wh: tuple[int, int] | None = None
    things: tuple[Thing, ...] = ()
    phrases: tuple[tuple[str, Places], ...] = ()
    told: tuple[tuple[int, str], ...] = ()
    captions: tuple[tuple[str, Places], ...] = ()
    talk: tuple[tuple[str, str, Places], ...] = ()
    known: Sequence[str] = ()
    partly: frozenset[str] = frozenset()
    id: str = ""

    def size(self) -> tuple[int, int]:
        """(width, height): as the file says, else as the picture's head says; PictureError for no picture."""
        return self.size_wh or picture_size(self.image)


def clipped(box: Four, size_wh: tuple[int, int]) -> Four | None:
    """The part of a box inside the picture; None where that has no area."""
    x0, y0, x1, y1 = box
    x0, y0, x1, y1 = max(0.0, x0), max(0.0, y0), min(float(size_wh[0]), x1), min(float(size_wh[1]), y1)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def strict(rows: Iterable[Record | Fault]) -> Iterator[Record]:
    """The records of a reader; its first fault ends the reading as a ValueError that begins with file and place."""
    for row in rows:
        if isinstance(row, Fault):
            raise ValueError(f"{row.where}: {row.what}")
        yield row

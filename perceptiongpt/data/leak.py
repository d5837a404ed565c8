"""Which pictures two data sets share: by id, and by look (a difference hash of 256 bits, and coarse colours).

Knows nothing of annotations. A copy that was resized or pressed again is found; one that was cropped or mirrored is by
its id only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from perceptiongpt.data.picture import PictureError, open_picture
from perceptiongpt.data.record import Record

SIDE = 16
MOST_BITS = 20  # of 256 that may differ; unrelated pictures differ in about 128
MOST_COLOUR = 16.0  # of 255, mean difference of 4 x 4 colours
ROWS = 4096
_NUMBER = re.compile(r"\d{12}")


@dataclass(frozen=True)
class Look:
    """One picture of a data set: where it is named, its id, and how it looks."""

    where: str
    id: str
    bits: np.ndarray  # float32 [256], -1 or 1
    colours: np.ndarray  # float32 [48]


def looks(records: Iterable[Record]) -> Iterator[Look]:
    """Each picture of the records once; those that cannot be opened are left out (`check` names them)."""
    seen: set[object] = set()
    for record in records:
        name = record.key if callable(record.image) else record.image
        if record.image is None or name in seen:
            continue
        seen.add(name)
        try:
            picture = open_picture(record.image)
        except (PictureError, OSError):
            continue
        grey = np.asarray(picture.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX), np.float32)
        colours = np.asarray(picture.resize((4, 4), Image.Resampling.BOX), np.float32).ravel()
        yield Look(
            record.where, picture_id(record), np.where(np.diff(grey).ravel() > 0, 1, -1).astype(np.float32), colours
        )


def picture_id(record: Record) -> str:
    """What names a picture in every data set: COCO's number, a dialogue's own id, a file name of more than digits."""
    stem = (
        ""
        if record.image is None or callable(record.image)
        else str(record.image).replace("\\", "/").rpartition("/")[2]
    )
    stem = stem.rpartition(".")[0]
    if number := _NUMBER.search(stem):
        return number[0]
    return (record.id if record.talk or callable(record.image) else "") or ("" if stem.isdecimal() else stem)


def shared(train: Iterable[Record], test: Iterable[Record]) -> Iterator[tuple[str, str, str]]:
    """(place in train, place in test, why) of each picture that is in both."""
    ours, theirs = list(looks(train)), list(looks(test))
    if not ours or not theirs:
        return
    by_id: dict[str, list[int]] = {}
    for k, look in enumerate(ours):
        if look.id:
            by_id.setdefault(look.id, []).append(k)
    bits, colours = np.stack([one.bits for one in ours]), np.stack([one.colours for one in ours])
    for first in range(0, len(theirs), ROWS):
        some = theirs[first : first + ROWS]
        apart = (SIDE * SIDE - np.stack([one.bits for one in some]) @ bits.T) / 2  # [rows, train]
        for look, distances in zip(some, apart, strict=True):
            near = np.flatnonzero(distances <= MOST_BITS)
            alike = {int(k) for k in near if np.abs(colours[k] - look.colours).mean() <= MOST_COLOUR}
            same = set(by_id.get(look.id, []))
            for k in sorted(alike | same):
                why = "same id and look" if k in alike & same else "same look" if k in alike else "same id, other look"
                yield ours[k].where, look.where, why

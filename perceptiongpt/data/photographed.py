"""The photographs that ship, as training dialogues: each is cut to a piece that shows its thing, mirrored and lit anew.

Knows where they lie, which lines a split has and what may be said of one. Knows nothing of how they were labelled
(tools/objects/wholes.py) nor of composed pictures.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from perceptiongpt.core.masks import decode_rle
from perceptiongpt.data.dialogues import dialogue
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.record import MASK_PIXELS, Record, Thing
from perceptiongpt.data.sample import Sample
from perceptiongpt.data.scenes import read_expressions

PHOTOGRAPHS = Path(__file__).parent / "photographs"
VARIANTS = 64  # dialogues a photograph
LEAST_SHOWN = 0.7  # of the thing, in a piece
_LIGHT = ((ImageEnhance.Color, 0.6, 1.3), (ImageEnhance.Contrast, 0.7, 1.3), (ImageEnhance.Brightness, 0.75, 1.25))


@dataclass(frozen=True)
class Photograph:
    """A photograph with one thing: what it is called, its mask bool [H, W], and what sort of picture it is."""

    file: Path
    nouns: tuple[str, ...]
    mask: np.ndarray
    tag: str


def photographs(file: Path) -> list[Photograph]:
    """Those in a file like `train.jsonl`: a line for each noun of a photograph, those of one together."""
    found: list[Photograph] = []
    for image, lines in groupby(read_expressions(file), key=lambda row: row["image"]):
        rows = list(lines)
        nouns = tuple(row["phrase"].removeprefix("the ") for row in rows)
        found.append(Photograph(Path(image), nouns, decode_rle(rows[0]["masks"][0], MASK_PIXELS), rows[0]["tag"]))
    return found


class Photographs:
    """VARIANTS dialogues a photograph: find the thing, name it, and one that isn't there.

    What isn't there is named after photographs of another sort: no mill where a tower is. The same file, seed and
    index give the same sample.
    """

    def __init__(self, file: Path, seed: int = 0) -> None:
        self.photographs = photographs(file)
        self.seed = seed
        self.names = sorted({noun for one in self.photographs for noun in one.nouns})

    def __len__(self) -> int:
        return len(self.photographs) * VARIANTS

    def __getitem__(self, i: int) -> Sample:
        if not 0 <= i < len(self):
            raise IndexError(f"sample {i} came; there are {len(self)}")
        variant, number = divmod(i, len(self.photographs))
        one = self.photographs[number]
        rng = np.random.default_rng((self.seed, zlib.crc32(one.file.name.encode()), variant))
        image, mask = piece(open_picture(one.file), one.mask, rng)
        name = one.nouns[int(rng.integers(len(one.nouns)))]
        absent = {noun for other in self.photographs if other.tag != one.tag for noun in other.nouns} - {*one.nouns}
        things = (Thing(shape=lambda hw: mask, name=name),)
        record = Record(image, one.file.name, one.file.stem, image.size, things, known=(name, *sorted(absent)))
        sample = dialogue(record, rng)
        assert sample is not None  # its thing may always be asked for
        return sample


def piece(image: Image.Image, mask: np.ndarray, rng: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """A random piece of a picture that shows LEAST_SHOWN of its thing, mirrored or not, and the mask there."""
    width, height = image.size
    y, x = np.nonzero(mask)
    for _ in range(20):
        share = rng.uniform(0.45, 1.0)
        w = round(width * min(1.0, share * rng.uniform(0.9, 1.1)))
        h = round(height * min(1.0, share * rng.uniform(0.9, 1.1)))
        left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        inside = (x >= left) & (x < left + w) & (y >= top) & (y < top + h)
        if inside.mean() >= LEAST_SHOWN:
            break
    else:
        left, top, w, h = 0, 0, width, height
    image, mask = image.crop((left, top, left + w, top + h)), mask[top : top + h, left : left + w]
    if rng.random() < 0.5:
        image, mask = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), mask[:, ::-1]
    for change, least, most in _LIGHT:
        image = change(image).enhance(rng.uniform(least, most))
    return image, np.ascontiguousarray(mask)

"""Stage photographic backgrounds: whole landscapes and walls, and what a photograph shows beside its subject.

Knows which pictures have no dominating thing in them and finds the largest rectangle free of the subject. Knows
nothing of splits or the pack.

    python tools/objects/backgrounds.py GCOMPRIS_TREE LOMIRI_ROOT ISNET_ONNX MASK_CACHE STAGING
"""

import re
import sys
from pathlib import Path

import numpy as np
from cutout import Cutter
from PIL import Image
from readmes import FREE, Picture, pictures
from staging import write_lines

LONGEST = 384
QUALITY = 75
GRID = 48

WHOLE = """
france/citedeCarcassonne india/ajantaCave india/hawaMahal india/konarkSunTemple usa/canyondeChelly usa/fortSumter
usa/navajo wonders/greatWallofChina wonders/machuPicchu clickgame/sea1 clickgame/sea2 clickgame/sea3 clickgame/sea4
clickgame/sea5 renewable/dam1 renewable/dam3 renewable/dam4 renewable/dam5 renewable/geothermal monuments/greatWall
"""
BESIDE = """
erase/bee erase/chamaeleon erase/crab erase/gibbon erase/kingfisher erase/kitten erase/pika erase/red_panda
animals/cat animals/cow animals/dog animals/duck animals/horse animals/owl animals/pig animals/sheep egypt/bentPyramid
egypt/greatPyramidOfGiza egypt/redPyramid france/chateaudeChambord france/chateaudeChenonceau france/eiffelTower
france/montStMichel france/pontduGard france/rocamadour germany/neuschwansteinCastle germany/schwerinPalace
germany/trierImperialBaths india/gatewayofIndia india/goldenTemple animals/bison animals/chameleon animals/crocodile
animals/dragon animals/giraffe animals/hedgehog animals/jaguar animals/kangaroo animals/koala animals/moose
animals/narwhal animals/panda animals/polar_bear animals/scarlet_macaw music/africa music/america music/australia
music/middleeast
"""
LOMIRI = "aitzgorri life picosdeeuropa sunset umang"


def free_box(subject: np.ndarray) -> tuple[int, int, int, int] | None:
    """The largest xyxy box (cells) of a bool grid [h, w] without a True cell, its width 0.75 to 1.8 of its height."""
    rows, columns = subject.shape
    sums = np.zeros((rows + 1, columns + 1), np.int64)
    sums[1:, 1:] = subject.cumsum(0).cumsum(1)
    area, best = 0, None
    for height in range(rows, 7, -1):
        for width in range(min(columns, int(height * 1.8)), max(7, int(height * 0.75)) - 1, -1):
            if height * width <= area:
                break
            inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
            empty = np.argwhere(inside == 0)
            if len(empty):
                y, x = (int(v) for v in empty[0])
                area, best = height * width, (x, y, x + width, y + height)
    return best


def beside(image: Image.Image, mask: Image.Image) -> Image.Image:
    """What `image` shows in the largest box that its subject's `mask` leaves free; ValueError if there is none."""
    cell = max(image.size) / GRID
    small = mask.resize((round(image.width / cell), round(image.height / cell)), Image.Resampling.BOX)
    box = free_box(np.asarray(small) > 40)
    if box is None:
        raise ValueError("the subject leaves no box free but one was wanted; take the picture out of the table")
    x0, y0, x1, y1 = (round(v * cell) for v in box)
    return image.crop((x0, y0, x1, y1))


def lomiri(root: Path) -> list[Picture]:
    """The wallpapers named in LOMIRI with the credits that the Debian copyright file below `root` gives them."""
    text = next(root.rglob("copyright")).read_text(encoding="utf-8")
    found = []
    for stem in LOMIRI.split():
        path = next(root.rglob(f"{stem}_by_*.jpg"))
        block = re.search(rf"Files: \S*{re.escape(path.name)}\nCopyright: (.*)\nLicense: (\S+)", text)
        if block is None or block[2] not in FREE.values():
            raise ValueError(f"{path.name} has no free licence in the copyright file; take it out of the table")
        author = re.sub(r",? ?\d{4}\.? ?", "", block[1]).strip()
        found.append(Picture(path, author, block[2], "https://gitlab.com/ubports/development/core/lomiri-wallpapers"))
    return found


def backgrounds(tree: Path, lomiri_root: Path, cutter: Cutter, staging: Path) -> list[dict]:
    """Write the pictures under STAGING/background and return their lines."""
    known = {p.key: p for p in pictures(tree)}
    missing = sorted(set((WHOLE + BESIDE).split()) - set(known))
    if missing:
        raise ValueError(f"the tables name {missing}, not shippable pictures of this tree; take them out")
    jobs = [(key, known[key], key in BESIDE.split()) for key in sorted((WHOLE + BESIDE).split())]
    jobs += [(f"lomiri/{p.path.stem.split('_by_')[0]}", p, False) for p in lomiri(lomiri_root)]
    lines = []
    for key, picture, cut in jobs:
        with Image.open(picture.path) as opened:
            image = opened.convert("RGB")
        if cut:
            image = beside(image, cutter.mask(image, key))
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        file = f"background/{key}.webp"
        (staging / file).parent.mkdir(parents=True, exist_ok=True)
        image.save(staging / file, quality=QUALITY, method=4)
        source = "lomiri-wallpapers-16.04 20.04.0-2" if key.startswith("lomiri/") else "gcompris-qt-data 3.1-2"
        credit = {"licence": picture.licence, "author": picture.author, "source": source, "url": picture.url}
        lines.append({"id": f"background/{key}", "file": file} | credit)
    return lines


if __name__ == "__main__":
    if len(sys.argv) != 6:
        raise SystemExit(__doc__)
    tree_, lomiri_, onnx_, cache_, staging_ = map(Path, sys.argv[1:])
    lines_ = backgrounds(tree_, lomiri_, Cutter(onnx_, cache_), staging_)
    print(write_lines(staging_ / "backgrounds.jsonl", lines_), "backgrounds")

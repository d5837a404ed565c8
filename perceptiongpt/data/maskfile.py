"""A mask from a file: a picture of any mode whose pixels above zero are inside, or COCO run lengths as JSON.

Files are hostile: the size is compared before anything is decoded. Knows nothing of models.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from perceptiongpt.core.masks import decode_rle
from perceptiongpt.data.picture import BROKEN

JSON_LIMIT = 64 << 20  # bytes
FORMATS = ("PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM")  # of what is lossy, a mask would have a rim of its own


def read_mask(path: str | Path, size_wh: tuple[int, int]) -> np.ndarray:
    """The mask bool [H, W] in a file, for a picture of `size_wh` pixels.

    Of a palette picture the indices count, of a transparent one only what can be seen. Raises ValueError for a file
    that is neither, or of another size, FileNotFoundError for none.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; give a mask as PNG or as COCO RLE in JSON")
    with path.open("rb") as file:
        text = file.read(64).lstrip().startswith(b"{")
    mask = _from_json(path, size_wh) if text else _from_picture(path, size_wh)
    if mask.shape != (size_wh[1], size_wh[0]):
        raise ValueError(_unfit(path, (mask.shape[1], mask.shape[0]), size_wh))
    return mask


def _from_json(path: Path, size_wh: tuple[int, int]) -> np.ndarray:
    if (size := path.stat().st_size) > JSON_LIMIT:
        raise ValueError(f"{path} holds {size} bytes; at most {JSON_LIMIT} are read as a mask")
    try:
        rle = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({error}); give COCO RLE with the keys size and counts") from error
    try:
        return decode_rle(rle, size_wh[0] * size_wh[1])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _from_picture(path: Path, size_wh: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.size != tuple(size_wh):
                raise ValueError(_unfit(path, picture.size, size_wh))
            picture.load()
            if "transparency" in picture.info and picture.mode != "P":
                seen: Image.Image = picture.convert("RGBA")
            else:
                seen = picture
            values = np.asarray(seen)
            sees = seen.mode in ("LA", "La", "RGBA", "RGBa", "PA")
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is no mask; wanted {', '.join(FORMATS)} or COCO RLE in JSON") from error
    except BROKEN as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} is broken ({error}); save the mask anew") from error
    if values.ndim == 2:
        return values > 0
    if not sees:
        return values.max(-1) > 0
    opaque = values[..., -1] > 0
    lit = opaque & (values[..., :-1].max(-1) > 0)
    return lit if lit.any() else opaque  # a cut-out of a black thing is inside where it can be seen


def _unfit(path: Path, size_wh: tuple[int, int], wanted_wh: tuple[int, int]) -> str:
    return (
        f"{path} is {size_wh[0]} wide and {size_wh[1]} high, the picture {wanted_wh[0]} wide and {wanted_wh[1]} high; "
        "give a mask of the picture's size"
    )

"""A picture from anywhere as RGB the right way up, or one sentence saying why not.

What comes is taken as hostile: only formats decoded in this process, sizes checked in the header before decoding.
Knows nothing of canvases or models.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# EPS is left out on purpose: Pillow hands it to an outside interpreter.
FORMATS = ("PNG", "JPEG", "JPEG2000", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "PPM", "ICO")
LIMIT_PIXELS = 64_000_000
# What Pillow's decoders raise on damaged files, found by damaging some ten thousand.
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, RuntimeError, OverflowError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


class PictureError(ValueError):
    """A picture cannot be used; the message says in one sentence which and why."""


def open_picture(
    source: str | Path | Image.Image | np.ndarray | bytes | Callable[[], Image.Image],
    limit_pixels: int = LIMIT_PIXELS,
) -> Image.Image:
    """A picture as an RGB image of its own, turned as its EXIF says, what is transparent laid over white.

    `source`: a path, the bytes of a file, a PIL image, or an array [H, W], [H, W, 3] or [H, W, 4], uint8 or float in
    0..1, or a function that gives a PIL image. 16-bit pictures are scaled to 8 bits; of an animation the first frame is
    taken.
    Raises PictureError (a ValueError) for anything else, for broken files and for more than `limit_pixels` pixels.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, limit_pixels)
    if isinstance(source, Image.Image):
        _check_size(source.size, limit_pixels, "the image")
        return _decoded(source, "the image")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_file(io.BytesIO(source), limit_pixels, f"the {len(source)} bytes given")
    if isinstance(source, (str, Path)):
        return _from_path(source, limit_pixels)
    if callable(source):
        return open_picture(source(), limit_pixels)
    raise PictureError(f"{type(source).__name__} is no picture; give a path, bytes, a PIL image or an array")


def picture_size(
    source: str | Path | Image.Image | np.ndarray | bytes | Callable[[], Image.Image] | None,
) -> tuple[int, int]:
    """(width, height) of a picture as `open_picture` would turn it; of a file only the head is read.

    Raises PictureError for what is no picture.
    """
    if source is None:
        raise PictureError("there is no picture; give one")
    if isinstance(source, (str, Path, bytes)):
        try:
            Image.init()
            file = io.BytesIO(source) if isinstance(source, bytes) else Path(source).expanduser()
            with Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN]) as picture:
                _check_size(picture.size, LIMIT_PIXELS, str(source)[:200])
                turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # EXIF orientations that swap the sides
                return (picture.height, picture.width) if turned else picture.size
        except PictureError:
            raise
        except BROKEN as error:
            name = "the bytes given" if isinstance(source, bytes) else str(source)[:200]
            if isinstance(error, FileNotFoundError):
                raise PictureError(f"{name} does not exist; give the path of a picture on this machine") from error
            raise PictureError(f"{name} is no picture ({_first_line(error)}); replace it") from error
    return open_picture(source).size


def _from_path(source: str | Path, limit_pixels: int) -> Image.Image:
    name = str(source) if len(str(source)) < 200 else str(source)[:200] + "…"
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            raise PictureError(f"{name} is a directory; give one picture's path")
        if not path.exists():
            raise PictureError(f"{name} does not exist; give the path of a picture on this machine")
        if not path.is_file():
            raise PictureError(f"{name} is not a regular file; give one picture's path")
        file = path.open("rb")
    except PictureError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise PictureError(f"{name!r} cannot be opened ({_first_line(error)}); give the path of a picture") from error
    with file:
        return _from_file(file, limit_pixels, name)


def _from_file(file: BinaryIO, limit_pixels: int, name: str) -> Image.Image:
    Image.init()  # with a list of formats, Pillow itself loads the common ones only
    try:
        picture = Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{name} is larger than the limit of {limit_pixels} pixels and than Pillow's own; make it smaller, "
            "or raise limit_pixels and PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} is not a picture; wanted one of {', '.join(FORMATS)}") from error
    except BROKEN as error:
        raise PictureError(f"{name} has a broken header ({_first_line(error)}); save the picture anew") from error
    with picture:
        _check_size(picture.size, limit_pixels, name)
        return _decoded(picture, name)


def _from_array(array: np.ndarray, limit_pixels: int) -> Image.Image:
    said = f"array of shape {array.shape} and dtype {array.dtype}"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PictureError(f"{said} is no picture; wanted [H, W], [H, W, 3] or [H, W, 4]")
    _check_size((array.shape[1], array.shape[0]), limit_pixels, said)
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0.0 and high <= 1.0):  # NaN fails both
            raise PictureError(f"{said} has values from {low:g} to {high:g}; floats must lie in 0..1")
        array = np.round(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise PictureError(f"{said} is no picture; wanted uint8, or floats in 0..1")
    return _rgb(Image.fromarray(np.ascontiguousarray(array))).copy()


def _check_size(size_wh: tuple[int, int], limit_pixels: int, name: str) -> None:
    width, height = size_wh
    if width < 1 or height < 1:
        raise PictureError(f"{name} has no pixels (width {width}, height {height}); give a picture with some")
    if width * height > limit_pixels:
        raise PictureError(
            f"{name} is {width} x {height}, over the limit of {limit_pixels} pixels; shrink it or raise limit_pixels"
        )


def _decoded(picture: Image.Image, name: str) -> Image.Image:
    try:
        picture.load()
        return _rgb(_turned(picture))
    except BROKEN as error:
        raise PictureError(f"{name} is truncated or broken ({_first_line(error)}); save the picture anew") from error


def _turned(picture: Image.Image) -> Image.Image:
    """A copy, the right way up."""
    try:
        return ImageOps.exif_transpose(picture)
    except BROKEN:
        return picture.copy()  # an unreadable EXIF block says nothing of the way up; the pixels are sound


def _rgb(picture: Image.Image) -> Image.Image:
    """Any mode as RGB."""
    if picture.mode.startswith("I"):  # 16 bits, or 32 of which PNG uses 16
        return _grey(np.asarray(picture).astype(np.float64) / 257)
    if picture.mode == "F":
        values = np.nan_to_num(np.asarray(picture, np.float64))
        return _grey(values * 255 if values.max() <= 1 else values)
    if picture.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return picture.convert("RGB")


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8)).convert("RGB")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

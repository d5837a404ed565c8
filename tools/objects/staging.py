"""The staging folder that every source writes and the packer reads: WebP pictures and one JSON line an object.

Knows the line's fields and how a picture is cropped and stored. Knows nothing of where pictures come from.
"""

import json
from pathlib import Path

from PIL import Image

# method 6 is a hundred times slower than 4 for one percent; alpha_quality 60 saves a quarter.
ENCODING = {"quality": 80, "alpha_quality": 60, "method": 4}


def crop(rgba: Image.Image, longest: int) -> Image.Image:
    """The RGBA picture cropped to its alpha's box, its longer side at most `longest` pixels; ValueError if empty."""
    box = rgba.getchannel("A").point(lambda alpha: 255 if alpha > 12 else 0).getbbox()
    if box is None:
        raise ValueError("the picture is wholly transparent but a subject was wanted; drop it from the table")
    rgba = rgba.crop(box)
    scale = min(1.0, longest / max(rgba.size))
    size = (max(1, round(rgba.width * scale)), max(1, round(rgba.height * scale)))
    # Pillow premultiplies RGBA when it resizes, so transparent pixels leave no dark rim.
    return rgba.resize(size, Image.Resampling.LANCZOS)


def write_object(staging: Path, identity: str, rgba: Image.Image, *, name: str, kind: str) -> dict:
    """Store one flat view of object `identity` and return its line, without tags, source, licence and author."""
    file = f"{identity}/0.webp"
    (staging / file).parent.mkdir(parents=True, exist_ok=True)
    rgba.save(staging / file, "WEBP", **ENCODING)
    views = [{"file": file, "yaw": None, "pitch": None}]
    return {"id": identity, "name": name, "kind": kind, "three_d": False, "size_cm": None, "views": views}


def write_lines(path: Path, lines: list[dict]) -> int:
    """Write the lines as JSONL and return how many there are."""
    text = "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return len(lines)


def read_lines(path: Path) -> list[dict]:
    """The lines of a JSONL file; ValueError names the file and line that is not JSON."""
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path.name}:{number}: {error.msg}, but one JSON object a line was wanted; stage it anew"
            ) from error
    return lines

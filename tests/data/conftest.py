"""A tiny object library of drawn shapes, made in memory and written to a temporary folder."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from perceptiongpt.data.objects import ObjectLibrary, write_index

PAINT = {"red": (210, 40, 40), "blue": (40, 70, 210), "green": (40, 160, 60), "white": (240, 240, 240)}
THINGS = {
    "train": (("dog", "ellipse"), ("apple", "ellipse"), ("kettle", "box"), ("umbrella", "box"), ("spoon", "slim")),
    "val": (("dog", "ellipse"), ("drum", "box"), ("kite", "ellipse"), ("key", "slim")),
    "test": (("dog", "ellipse"), ("drum", "box"), ("kite", "ellipse"), ("key", "slim")),
    "novel": (("robot", "box"), ("medal", "ellipse")),
}


def picture(form: str, colour: str, side: int = 96) -> Image.Image:
    image = Image.new("RGBA", (side, side if form != "slim" else side // 2))
    draw = ImageDraw.Draw(image)
    corner = (image.width - 1, image.height - 1)
    (draw.ellipse if form == "ellipse" else draw.rectangle)(((0, 0), corner), fill=(*PAINT[colour], 255))
    return image


def webp(image: Image.Image) -> bytes:
    packed = io.BytesIO()
    image.save(packed, "WEBP", lossless=True)
    return packed.getvalue()


def write_library(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    objects, backgrounds = [], []
    with zipfile.ZipFile(folder / "objects.zip", "w") as packed:
        for split, things in THINGS.items():
            for number, (kind, form) in enumerate(things):
                three_d = kind in ("drum", "kettle", "umbrella")
                for colour in PAINT:
                    name = f"small {kind}" if colour == "white" else kind
                    views = []
                    for yaw in (25, 155) if three_d else (None,):
                        file = f"{split}/{kind}-{colour}-{yaw}.webp"
                        packed.writestr(file, webp(picture(form, colour)))
                        views.append({"file": file, "yaw": yaw, "pitch": 18 if three_d else None})
                    objects.append(
                        {
                            "id": f"{split}/{kind}-{colour}",
                            "name": name,
                            "kind": kind,
                            "tags": ["thing"],
                            "source": "drawn",
                            "licence": "CC0-1.0",
                            "author": "",
                            "three_d": three_d,
                            "size_cm": [20.0 + 30 * number, 20.0, 30.0] if three_d else None,
                            "colour": colour,
                            "split": split,
                            "views": views,
                        }
                    )
            if split != "novel":
                for i in range(2):
                    ramp = np.random.default_rng(i).integers(60, 190, (6, 8, 3)).astype(np.uint8)
                    file = f"backgrounds/{split}-{i}.webp"
                    packed.writestr(file, webp(Image.fromarray(ramp).resize((480, 360), Image.Resampling.BICUBIC)))
                    backgrounds.append({"id": f"{split}-{i}", "file": file, "split": split})
    write_index({"version": 1, "objects": objects, "backgrounds": backgrounds}, folder)
    return folder


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ObjectLibrary:
    return ObjectLibrary.open(write_library(tmp_path_factory.mktemp("library")))


@pytest.fixture
def library_folder(tmp_path: Path) -> Path:
    """A fresh library on disk, to be broken."""
    return write_library(tmp_path / "library")

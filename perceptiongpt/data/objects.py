"""The object library that ships with the package: named cut-outs with alpha, rendered views, photographic backgrounds.

A folder of two files: `objects.json.gz` (what each thing is, whose it is, which split it belongs to) and `objects.zip`
(the WebP pictures, stored). Knows nothing of scenes or phrases; `scenes.py` arranges what is opened here.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from PIL import Image, UnidentifiedImageError

from perceptiongpt.core.gzipped import pack, unpack

Split = Literal["train", "val", "test", "novel"]
SPLITS: tuple[Split, ...] = ("train", "val", "test", "novel")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")

DRAWINGS = ("noto", "twemoji")  # groups of ids: other artists' drawings of what is shown already

INDEX = "objects.json.gz"

JSON_LIMIT = 64 << 20  # bytes, unpacked
ZIP_LIMIT = 512 << 20  # bytes
ENTRY_LIMIT = 8 << 20  # bytes
PIXEL_LIMIT = 16_000_000
VIEWS_KEPT, BACKGROUNDS_KEPT = 384, 96  # decoded pictures held in memory, some 100 MB

_T = TypeVar("_T")


@dataclass(frozen=True)
class View:
    """One picture of an object: its name in the zip and the camera's yaw and pitch in degrees (None: unknown)."""

    file: str
    yaw: float | None = None
    pitch: float | None = None


@dataclass(frozen=True)
class LibraryObject:
    """One thing: name ("office chair"), kind ("chair"), licence, views; `size_cm` is width, depth, height."""

    id: str
    name: str
    kind: str
    split: Split
    views: tuple[View, ...]
    tags: tuple[str, ...] = ()
    colour: str | None = None
    three_d: bool = False
    size_cm: tuple[float, float, float] | None = None
    source: str = ""
    licence: str = ""
    author: str = ""

    @property
    def drawing(self) -> bool:
        """Whether it is a further drawing of what another source shows: for training alone."""
        return is_drawing(self.id)


def is_drawing(identity: str) -> bool:
    """Whether the id of an object is that of a further drawing."""
    return identity.partition("/")[0] in DRAWINGS


@dataclass(frozen=True)
class Background:
    """One photograph to put things on, with its licence."""

    id: str
    file: str
    split: Split
    source: str = ""
    licence: str = ""
    author: str = ""


class ObjectLibrary:
    """Objects and backgrounds with their pictures; open it with `ObjectLibrary.open()`.

    The zip is held in memory, so that forked and threaded readers don't share a file position.
    """

    def __init__(self, folder: Path, listing: Mapping[str, Any], packed: bytes) -> None:
        self.folder = folder
        where = folder / INDEX
        self._objects = tuple(_object(row, where, i) for i, row in enumerate(listing["objects"]))
        self._backgrounds = tuple(_background(row, where, i) for i, row in enumerate(listing["backgrounds"]))
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(packed))
        except zipfile.BadZipFile as error:
            raise ValueError(f"{folder / 'objects.zip'}: not a zip ({error}); build the library again") from error
        self._entries = {info.filename: info for info in self._zip.infolist()}
        files = [v.file for o in self._objects for v in o.views] + [b.file for b in self._backgrounds]
        missing = [f for f in files if f not in self._entries]
        if missing:
            raise ValueError(
                f"{where}: {len(missing)} pictures such as {missing[0]!r} are not in objects.zip; build it again"
            )
        self._views: OrderedDict[str, Image.Image] = OrderedDict()
        self._photographs: OrderedDict[str, Image.Image] = OrderedDict()

    @classmethod
    def open(cls, path: str | Path | None = None) -> ObjectLibrary:
        """The library in the folder `path`, by default the one that ships with the package.

        Raises FileNotFoundError when a file is absent, ValueError when it is too large, broken or incomplete.
        """
        folder = Path(__file__).parent / "objects" if path is None else Path(path)
        listing = read_index(folder)
        pictures = folder / "objects.zip"
        _check_size(pictures, ZIP_LIMIT)
        return cls(folder, listing, pictures.read_bytes())

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectLibrary.open, (self.folder,)

    def objects(self, split: Split | None = None) -> tuple[LibraryObject, ...]:
        """The objects of a split, in the file's order; None: all of them."""
        return tuple(o for o in self._objects if split is None or o.split == _checked(split))

    def backgrounds(self, split: Split | None = None) -> tuple[Background, ...]:
        """The backgrounds of a split, in the file's order; None: all of them."""
        return tuple(b for b in self._backgrounds if split is None or b.split == _checked(split))

    def view(self, thing: LibraryObject, i: int = 0) -> Image.Image:
        """View i of an object as RGBA, cropped to its alpha; kept in memory, so don't paint on it."""
        file = thing.views[i].file
        return _kept(self._views, file, VIEWS_KEPT, lambda: self._picture(file).convert("RGBA"))

    def background(self, background: Background) -> Image.Image:
        """A background as RGB; kept in memory, so don't paint on it."""
        file = background.file
        return _kept(self._photographs, file, BACKGROUNDS_KEPT, lambda: self._picture(file).convert("RGB"))

    def _picture(self, file: str) -> Image.Image:
        info = self._entries[file]
        if info.file_size > ENTRY_LIMIT:
            raise ValueError(f"{file} in objects.zip holds {info.file_size} bytes; at most {ENTRY_LIMIT} are read")
        try:
            picture = Image.open(io.BytesIO(self._zip.read(info)))
            if picture.width * picture.height > PIXEL_LIMIT:
                raise ValueError(f"{file} in objects.zip is {picture.size}; at most {PIXEL_LIMIT} pixels are read")
            picture.load()
        except (UnidentifiedImageError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file} in objects.zip is not a whole picture ({error}); build it again") from error
        return picture


def read_index(folder: Path) -> dict[str, Any]:
    """What a library's `objects.json.gz` lists: "objects" and "backgrounds", each a list of rows.

    Raises FileNotFoundError when it is absent, ValueError when it is too large, broken or of another version.
    """
    where = folder / INDEX
    _check_size(where, JSON_LIMIT)
    try:
        text = unpack(where, JSON_LIMIT)
    except ValueError as error:
        raise ValueError(f"{where}: {error}; build the library again") from error
    try:
        listing = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error}); build the library again") from error
    if not isinstance(listing, dict) or listing.get("version") != 1:
        version = listing.get("version") if isinstance(listing, dict) else None
        raise ValueError(f"{where}: version {version!r} came, 1 was wanted; build it again")
    for key in ("objects", "backgrounds"):
        if not isinstance(listing.get(key), list):
            raise ValueError(f"{where}: no list {key!r}; build the library again")
    return listing


def write_index(listing: Mapping[str, Any], folder: Path) -> None:
    """Write a listing as `read_index` reads it; the same listing gives the same bytes."""
    text = json.dumps(listing, ensure_ascii=False, sort_keys=True)
    pack(text.encode(), folder / INDEX)


def _kept(kept: OrderedDict[str, _T], key: str, limit: int, make: Callable[[], _T]) -> _T:
    if key in kept:
        kept.move_to_end(key)
        return kept[key]
    value = kept[key] = make()
    if len(kept) > limit:
        kept.popitem(last=False)
    return value


def _checked(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"split {split!r} came; wanted one of {', '.join(SPLITS)}")
    return split


def _check_size(file: Path, limit: int) -> None:
    if not file.is_file():
        raise FileNotFoundError(f"no {file.name} in {file.parent}; give the folder of an object library")
    if (size := file.stat().st_size) > limit:
        raise ValueError(f"{file} holds {size} bytes; at most {limit} are read")


def _object(row: Any, where: Path, i: int) -> LibraryObject:
    here = f"{where}: object {i}"
    if not isinstance(row, dict):
        raise ValueError(f"{here} is {type(row).__name__}; wanted a JSON object")
    try:
        views = tuple(View(str(v["file"]), v.get("yaw"), v.get("pitch")) for v in row["views"])
        size = row.get("size_cm")
        thing = LibraryObject(
            id=str(row["id"]),
            name=str(row["name"]).strip().lower(),
            kind=str(row["kind"]).strip().lower(),
            split=row["split"],
            views=views,
            tags=tuple(str(t).strip().lower() for t in row.get("tags") or ()),
            colour=row.get("colour"),
            three_d=bool(row.get("three_d", False)),
            size_cm=None if size is None else (float(size[0]), float(size[1]), float(size[2])),
            source=str(row.get("source", "")),
            licence=str(row.get("licence", "")),
            author=str(row.get("author") or ""),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"{here} lacks or garbles a field ({error!r}); wanted id, name, kind, split, views") from error
    if thing.split not in SPLITS or not thing.views or not thing.name or not thing.kind:
        raise ValueError(f"{here} ({thing.id}) has split {thing.split!r} and {len(views)} views; wanted a known split")
    if thing.colour is not None and thing.colour not in COLOURS:
        raise ValueError(f"{here} ({thing.id}) has colour {thing.colour!r}; wanted one of {', '.join(COLOURS)} or null")
    return thing


def _background(row: Any, where: Path, i: int) -> Background:
    try:
        return Background(
            id=str(row["id"]),
            file=str(row["file"]),
            split=_checked(row["split"]),  # type: ignore[arg-type]
            source=str(row.get("source", "")),
            licence=str(row.get("licence", "")),
            author=str(row.get("author") or ""),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where}: background {i} lacks a field ({error!r}); wanted id, file, split") from error

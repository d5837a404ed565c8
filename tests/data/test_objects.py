"""Laws of the object library: what was packed is what is opened, and a broken folder is refused in one sentence."""

from __future__ import annotations

import gzip
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perceptiongpt.data import objects
from perceptiongpt.data.objects import INDEX, ObjectLibrary, read_index, write_index
from perceptiongpt.data.scene_cast import cast_of, choose


@pytest.fixture(scope="module")
def shipped() -> ObjectLibrary:
    return ObjectLibrary.open()


def words(noun: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", noun)


def test_a_view_is_the_packed_picture(library: ObjectLibrary) -> None:
    thing = next(o for o in library.objects("train") if o.kind == "apple" and o.colour == "red")
    view = library.view(thing, 0)
    assert view.mode == "RGBA"
    got = np.asarray(view)
    assert got.shape == (96, 96, 4)
    assert abs((got[..., 3] == 255).mean() - np.pi / 4) < 0.01  # an ellipse in its box
    assert (got[got[..., 3] > 0][:, :3] == (210, 40, 40)).all()
    assert library.view(thing, 0) is view  # decoded once


def test_splits_share_no_object_and_no_background(library: ObjectLibrary) -> None:
    splits = ("train", "val", "test", "novel")
    ids = [o.id for split in splits for o in library.objects(split)]
    assert len(ids) == len(set(ids)) == len(library.objects())
    assert [len(library.backgrounds(s)) for s in splits] == [2, 2, 2, 0]
    assert library.background(library.backgrounds("val")[0]).mode == "RGB"


def test_a_library_travels_to_another_process(library: ObjectLibrary) -> None:
    again = pickle.loads(pickle.dumps(library))
    assert again.objects() == library.objects()


def test_training_of_the_shipped_library_neither_shows_nor_names_what_is_novel(shipped: ObjectLibrary) -> None:
    trained = {word for o in shipped.objects("train") for noun in (o.name, o.kind) for word in words(noun)}
    nouns = {noun for o in shipped.objects("novel") for noun in (o.name, o.kind)}
    said = {" ".join(words(noun)) for o in shipped.objects("train") for noun in (o.name, o.kind)}
    assert nouns and not nouns & said
    assert not {o.kind for o in shipped.objects("novel") if " " not in o.kind} & trained
    kinds = {o.kind for o in shipped.objects("train")}
    assert {o.kind for split in ("val", "test") for o in shipped.objects(split)} <= kinds


def test_a_shipped_drawing_is_a_training_object_with_the_name_of_its_emoji(shipped: ObjectLibrary) -> None:
    emoji = {o.id.removeprefix("emoji/"): o for o in shipped.objects() if o.id.startswith("emoji/")}
    drawings = [o for o in shipped.objects() if o.drawing]
    assert drawings and {o.split for o in drawings} == {"train"}
    for drawing in drawings:
        again = emoji[drawing.id.split("/")[1]]
        assert (drawing.name, drawing.kind, drawing.tags) == (again.name, again.kind, again.tags)
        assert drawing.author and drawing.licence in ("Apache-2.0", "CC-BY-4.0")


def test_an_unknown_split_is_refused(library: ObjectLibrary) -> None:
    with pytest.raises(ValueError, match="'dev' came; wanted one of train"):
        library.objects("dev")


def test_a_folder_without_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no objects\.json"):
        ObjectLibrary.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda j: j.update(version=2), "version 2 came"),
        (lambda j: j.pop("backgrounds"), "no list 'backgrounds'"),
        (lambda j: j["objects"][0].pop("name"), "object 0 lacks or garbles"),
        (lambda j: j["objects"][3].update(split="dev"), "object 3 .* split 'dev'"),
        (lambda j: j["objects"][3].update(colour="teal"), "colour 'teal'"),
        (lambda j: j["objects"][0]["views"][0].update(file="gone.webp"), r"'gone\.webp' are not in objects\.zip"),
        (lambda j: j["backgrounds"][1].pop("file"), "background 1 lacks"),
    ],
)
def test_a_broken_listing_is_refused(library_folder: Path, change: Callable[[dict[str, Any]], Any], words: str) -> None:
    listing = json.loads(gzip.decompress((library_folder / INDEX).read_bytes()))
    change(listing)
    (library_folder / INDEX).write_bytes(gzip.compress(json.dumps(listing).encode()))
    with pytest.raises(ValueError, match=words):
        ObjectLibrary.open(library_folder)


def test_broken_json_and_a_broken_zip_are_refused(library_folder: Path) -> None:
    (library_folder / "objects.zip").write_bytes(b"PK but no zip")
    with pytest.raises(ValueError, match="not a zip"):
        ObjectLibrary.open(library_folder)
    (library_folder / INDEX).write_bytes(gzip.compress(b"{"))
    with pytest.raises(ValueError, match="not JSON"):
        ObjectLibrary.open(library_folder)


@pytest.mark.parametrize("spoil", [lambda b: b"{}", lambda b: b[:-40], lambda b: b[:30] + b"\xff" * 30 + b[60:]])
def test_an_index_that_does_not_unpack_is_refused(library_folder: Path, spoil: Callable[[bytes], bytes]) -> None:
    file = library_folder / INDEX
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match="not whole gzip"):
        ObjectLibrary.open(library_folder)


def test_an_index_that_unpacks_to_too_much_is_refused(library_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "JSON_LIMIT", 1 << 16)
    (library_folder / INDEX).write_bytes(gzip.compress(b" " * (1 << 22)))
    with pytest.raises(ValueError, match="unpacks to more than 65536 bytes"):
        ObjectLibrary.open(library_folder)


def test_a_truncated_picture_is_refused_when_it_is_looked_at(library_folder: Path) -> None:
    listing = read_index(library_folder)
    listing["objects"] = listing["objects"][:1]
    listing["backgrounds"] = []
    write_index(listing, library_folder)
    with zipfile.ZipFile(library_folder / "objects.zip", "w") as packed:
        packed.writestr(listing["objects"][0]["views"][0]["file"], b"RIFF....WEBP")
    library = ObjectLibrary.open(library_folder)
    with pytest.raises(ValueError, match="is not a whole picture"):
        library.view(library.objects()[0])


def test_training_shows_drawings_now_and_then_and_what_is_held_out_none(shipped: ObjectLibrary) -> None:
    def share(split: str) -> float:
        rng, cast = np.random.default_rng(0), cast_of(shipped, split)
        shown = [a.thing for _ in range(150) for a in choose(cast, cast.pitches[0], rng, 4, split == "novel")]
        return sum(thing.drawing for thing in shown) / len(shown)

    assert 0.08 < share("train") < 0.25
    assert {share(split) for split in ("val", "test", "novel")} == {0.0}

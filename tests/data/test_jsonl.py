"""Laws of bring-your-own: what is written is read back exactly, and a broken line is named with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.core.answer import Region
from perceptiongpt.core.masks import encode_rle
from perceptiongpt.data import jsonl
from perceptiongpt.data.jsonl import read_jsonl, write_jsonl
from perceptiongpt.data.sample import Sample, Turn

MASK = np.zeros((30, 40), bool)
MASK[5:12, 8:20] = True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30), "white").save(tmp_path / "images" / "a.png")
    return tmp_path


def line(folder: Path, **changes: Any) -> Path:
    """A file with one good line, one blank line and one changed line (the third)."""
    good = {
        "image": "images/a.png",
        "turns": [
            {"role": "user", "text": "Where is the mug?"},
            {"role": "assistant", "text": "The mug{0}.", "regions": [{"box": [1, 2, 3, 4]}]},
        ],
    }
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(good) + "\n\n" + json.dumps({**good, **changes}) + "\n")
    return file


def one_line(folder: Path, image: str) -> Path:
    turns = [{"role": "user", "text": "?"}, {"role": "assistant", "text": "!"}]
    file = folder / "one.jsonl"
    file.write_text(json.dumps({"image": image, "turns": turns}))
    return file


def answer(**region: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "text": "?"}, {"role": "assistant", "text": "{0}", "regions": [region]}]


def test_what_is_written_is_read_back_exactly(folder: Path) -> None:
    regions = (
        Region(box=(0.1, 1 / 3, 17.123456789, 29.5), mask=MASK, label="rød krus", score=0.123456789, span=(0, 3)),
        Region(point=(3.25, 4.1)),
    )
    first = Sample(
        folder / "images" / "a.png",
        (Turn("user", "Hvor er {0}?", (Region(mask=MASK),)), Turn("assistant", "Her{0} og{1}.", regions)),
        "nr 1",
        {"source": "me"},
    )
    second = Sample(None, (Turn("user", "Hello."), Turn("assistant", "Hello.")))
    write_jsonl(folder / "out.jsonl", [first, second])
    again = list(read_jsonl(folder / "out.jsonl"))
    assert [s.image for s in again] == [first.image, None]
    assert [(s.id, s.meta) for s in again] == [("nr 1", {"source": "me"}), ("", {})]
    for was, now in zip((*first.turns, *second.turns), (t for s in again for t in s.turns), strict=True):
        assert (was.role, was.text, len(was.regions)) == (now.role, now.text, len(now.regions))
        for a, b in zip(was.regions, now.regions, strict=True):
            assert (a.box, a.point, a.score, a.label, a.span) == (b.box, b.point, b.score, b.label, b.span)
            assert (a.mask is None) == (b.mask is None)
            assert a.mask is None or (a.mask == b.mask).all()
    before = (folder / "out.jsonl").read_bytes()
    write_jsonl(folder / "out.jsonl", again)
    assert (folder / "out.jsonl").read_bytes() == before


def test_polygons_become_a_mask_of_the_pictures_size(folder: Path) -> None:
    file = line(folder, turns=answer(polygons=[[8, 5, 20, 5, 20, 12, 8, 12]]))
    mask = list(read_jsonl(file))[1].turns[1].regions[0].mask
    assert (mask == MASK).all()


def test_polygons_follow_a_picture_that_is_turned_by_exif(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(folder / "images" / "turned.jpg", exif=exif)
    file = line(folder, image="images/turned.jpg", turns=answer(polygons=[[0, 0, 5, 0, 5, 5]]))
    assert list(read_jsonl(file))[1].turns[1].regions[0].mask.shape == (40, 30)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"picture": "x"}, "unknown key 'picture'"),
        ({"turns": []}, "turns is not a filled list"),
        ({"turns": [{"role": "user", "text": "?"}]}, "wanted user, assistant"),
        ({"turns": [{"role": "system", "text": "?"}]}, "role 'system'; wanted user or assistant"),
        ({"turns": [{"role": "user"}]}, "turn 0 has no text"),
        ({"turns": [{"role": "user", "text": "{0}"}]}, r"0 regions but places \[0\]"),
        ({"turns": ["Hello"]}, "turn 0 is a str"),
        ({"turns": answer()}, "neither box nor mask nor point"),
        ({"turns": answer(box=[3, 4, 1, 2])}, "inverted"),
        ({"turns": answer(box=[1, 2, 3])}, "wanted 4 numbers"),
        ({"turns": answer(box=[1, 2, 3, True])}, "wanted 4 numbers"),
        ({"turns": answer(box=[1, 2, 3, 10**400])}, "wanted 4 numbers"),
        ({"turns": answer(bbox=[1, 2, 3, 4])}, "unknown key 'bbox'"),
        ({"turns": answer(point=[1])}, "wanted 2 numbers"),
        ({"turns": answer(label=3, point=[1, 2])}, "label '3' is not text"),
        ({"turns": answer(mask={"size": [30, 40], "counts": "??"})}, "RLE"),
        ({"turns": answer(mask={"size": [10**6, 10**6], "counts": "0"})}, "over the limit"),
        ({"turns": answer(mask=encode_rle(MASK), polygons=[[0, 0, 1, 0, 1, 1]])}, "a mask and polygons"),
        ({"turns": answer(mask=encode_rle(MASK), box=[0, 0, 99, 20])}, "leaves a picture 40 wide, 30 high"),
        ({"turns": answer(polygons=[[0, 0, 1]])}, "at least 3 points"),
        ({"turns": answer(polygons=7)}, "polygons is no list"),
        ({"turns": answer(polygons=[[0, 0, 1, 0, 1, 1]]), "image": None}, "polygons came without a picture"),
        ({"image": "../secret.png"}, "outside the root"),
        ({"image": "/etc/passwd"}, "outside the root"),
        ({"image": 7}, "is no path"),
        ({"id": 7}, "id is not text"),
    ],
)
def test_a_broken_line_is_named_with_what_came_and_what_was_wanted(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    file = line(folder, **changes)
    samples = read_jsonl(file)
    assert next(samples).turns[1].regions[0].box == (1, 2, 3, 4)  # the good line is still had
    with pytest.raises(ValueError, match=rf"^rows\.jsonl:3: .*{words}") as error:
        next(samples)
    assert "\n" not in str(error.value)


def test_a_picture_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^rows\.jsonl:3: image 'images/b\.png' is not there"):
        list(read_jsonl(line(folder, image="images/b.png")))
    with pytest.raises(FileNotFoundError, match="give the path of a JSONL file"):
        list(read_jsonl(folder / "none.jsonl"))


def test_a_link_out_of_the_root_is_refused(folder: Path) -> None:
    root = folder / "root"
    root.mkdir()
    (root / "a.png").symlink_to(folder / "images" / "a.png")
    with pytest.raises(ValueError, match="outside the root"):
        list(read_jsonl(one_line(folder, "a.png"), root))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "broken JSON"),
        (b'{"image": NaN}', "broken JSON"),
        (b"[" * 100_000, "broken JSON"),
        (b'{"image": "\xff"}', "byte 11 is not UTF-8"),
        (b"[1, 2]", "the line is a list"),
        (b"{}", "no key 'image'"),
    ],
)
def test_lines_that_are_no_json_objects_are_refused(tmp_path: Path, raw: bytes, words: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"\n" + raw + b"\n")
    with pytest.raises(ValueError, match=rf"^x\.jsonl:2: {words}"):
        list(read_jsonl(file))


def test_an_endless_line_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LINE_LIMIT", 100)
    (tmp_path / "x.jsonl").write_text(" " * 200)
    with pytest.raises(ValueError, match=r"^x\.jsonl:1: the line is over 100 bytes"):
        list(read_jsonl(tmp_path / "x.jsonl"))


def test_a_failed_writing_leaves_what_was_there(folder: Path) -> None:
    turns = (Turn("user", "?"), Turn("assistant", "!"))
    file = write_jsonl(folder / "out.jsonl", [Sample(None, turns)])
    before = file.read_bytes()
    with pytest.raises(ValueError, match="holds its picture in memory"):
        write_jsonl(file, [Sample(None, turns), Sample(Image.new("RGB", (4, 4)), turns)])
    with pytest.raises(ValueError, match="lies outside"):
        write_jsonl(file, [Sample(folder.parent / "x.png", turns)])
    assert file.read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["images", "out.jsonl"]

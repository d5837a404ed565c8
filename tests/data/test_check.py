"""A check names every fault with its place, and nothing in sound data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.core.masks import encode_rle
from perceptiongpt.data.check import check
from perceptiongpt.data.record import Fault, Record, Thing

BOX = (10.0, 10.0, 40.0, 30.0)


def mask(x0: int = 10, y0: int = 10, x1: int = 40, y1: int = 30, hw: tuple[int, int] = (60, 80)) -> dict[str, Any]:
    out = np.zeros(hw, bool)
    out[y0:y1, x0:x1] = True
    return encode_rle(out)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def record(picture: Path, *things: Thing, **more: Any) -> Record:
    return Record(picture, **{"where": "x.json:image 1", "key": "a", "size_wh": (80, 60), "things": things, **more})


def test_sound_data_has_no_findings(picture: Path) -> None:
    sound = (
        Thing(BOX, mask(), "dog", id="annotation 1"),
        Thing(BOX, [[10, 10, 40, 10, 40, 30, 10, 30]], "dog", id="annotation 2"),
    )
    report = check([record(picture, *sound, known=["dog", "cat"], phrases=(("the dog", (0,)), ("the cat", ())))])
    assert not report.wrong, report.findings
    assert (report.pictures, report.things, dict(report.names)) == (1, 2, {"dog": 2})
    assert report.tasks["a class to find"] == report.tasks["an expression to find"] == 1
    assert report.tasks["an expression that means nothing here"] == report.tasks["a class that is absent"] == 1
    assert "nothing wrong was found" in report.summary()


@pytest.mark.parametrize(
    ("thing", "kind"),
    [
        (Thing((40, 10, 10, 30)), "inverted box"),
        (Thing((10, 10, 90, 30)), "box outside"),
        (Thing((-2, 10, 40, 30)), "box outside"),
        (Thing((10, 10, 11, 30)), "tiny box"),
        (Thing(BOX, mask(0, 0, 0, 0)), "empty mask"),
        (Thing(BOX, mask(10, 10, 40, 50)), "mask and box disagree"),
        (Thing(BOX, mask(hw=(80, 60))), "broken mask"),
        (Thing(BOX, {"size": [60, 80], "counts": "no"}), "broken mask"),
        (Thing(BOX, [[1, 2, 3]]), "broken mask"),
        (Thing(point=(90, 10)), "point outside"),
        (Thing(), "no region"),
    ],
)
def test_every_fault_of_a_thing_is_named_with_its_place(picture: Path, thing: Thing, kind: str) -> None:
    wrong = Thing(thing.box, thing.shape, "dog", thing.point, id="annotation 7")
    said: list[str] = []
    report = check([record(picture, wrong)], lambda finding: said.append(str(finding)))
    assert [f.kind for f in report.findings] == [kind]
    assert said[0].startswith(f"x.json:image 1, annotation 7: {kind}: ")


def test_every_fault_of_a_picture_is_named(picture: Path) -> None:
    (picture.parent / "b.png").write_bytes(b"no picture")
    turned = picture.parent / "c.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 60)).save(turned, exif=exif)
    rows = [record(picture.parent / name, id=name) for name in ("none.png", "b.png", "c.jpg")]
    kinds = [f.kind for f in check(rows).findings]
    assert kinds == ["missing picture", "unreadable picture", "wrong size"]
    assert "turned by its EXIF" in check(rows).findings[2].what


def test_duplicates_control_tokens_and_lone_categories_are_found(picture: Path) -> None:
    dog = Thing(BOX, name="dog", id="annotation 1")
    rows: list[Record | Fault] = [
        record(picture, dog, Thing(BOX, name="cat", id="annotation 2"), id="1", known=["dog", "cat"]),
        record(picture, dog, id="1", where="x.json:image 2"),
        record(picture, phrases=(("the <image> dog", ()),), id="3"),
        record(picture, talk=(("user", "Say <zzz>.", ()), ("assistant", "No.", ())), id="4"),
        Fault("x.json:5", "broken"),
    ]
    report = check(rows, control=["<zzz>"])
    assert [(f.where, f.kind) for f in report.findings] == [
        ("x.json:image 2", "duplicate id"),
        ("x.json:image 2", "duplicate id"),
        ("x.json:image 1", "control token"),
        ("x.json:image 1", "control token"),
        ("x.json:5", "unreadable entry"),
        ("x.json:image 1, annotation 2", "one example"),
    ]


def test_free_words_of_dialogues_are_no_categories(picture: Path) -> None:
    things = [Thing(BOX, name=f"thing {i}") for i in range(5)]
    talk = (("user", "Where?", ()), ("assistant", "{0}{1}{2}{3}{4}", (0, 1, 2, 3, 4)))
    assert not check([record(picture, *things, talk=talk)]).wrong

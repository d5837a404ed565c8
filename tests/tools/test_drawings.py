"""A drawing bears the name of the emoji that is called the same, and nothing else is guessed."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

import drawings
from staging import write_lines

from perceptiongpt.data.objects import DRAWINGS

ICONS = {
    "width": 36,
    "height": 36,
    "icons": {"red-apple": {"body": "<circle/>"}, "tennis": {"body": "<rect/>", "width": 40}},
    "aliases": {"cricket": {"parent": "tennis"}},
}


def painted(document: str) -> Image.Image:
    picture = Image.new("RGBA", (drawings.SIDE, drawings.SIDE))
    if "<circle/>" in document:
        ImageDraw.Draw(picture).ellipse((40, 20, 200, 220), fill=(200, 20, 20, 255))
    return picture


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(drawings.DROP, "twemoji", "tennis=ball")
    author = {"name": "Twitter", "url": "https://a.b/twemoji"}
    told = {
        "package": {"name": "@iconify-json/twemoji", "version": "1.2.5"},
        "info": {"prefix": "twemoji", "author": author, "license": {"spdx": "CC-BY-4.0"}},
        "icons": ICONS,
    }
    for name, value in told.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    return tmp_path


def emoji(staging: Path, *slugs: str) -> None:
    named = [{"id": f"emoji/{slug}", "name": f"the {slug}", "kind": "thing", "tags": ["fruit"]} for slug in slugs]
    write_lines(staging / "emoji.jsonl", named)


def test_a_drawing_has_the_name_of_its_emoji_and_its_own_credit(package: Path, tmp_path: Path) -> None:
    emoji(tmp_path, "cricket", "red-apple", "tennis")
    (line,) = drawings.drawings(package, tmp_path, painted)
    assert (line["id"], line["name"], line["kind"]) == ("twemoji/red-apple", "the red-apple", "thing")
    assert (line["tags"], line["source"]) == (["fruit"], "@iconify-json/twemoji 1.2.5")
    assert (line["licence"], line["author"], line["url"]) == ("CC-BY-4.0", "Twitter", "https://a.b/twemoji")
    with Image.open(tmp_path / line["views"][0]["file"]) as picture:
        assert picture.mode == "RGBA" and max(picture.size) == drawings.LONGEST


def test_a_dropped_drawing_that_is_unknown_is_refused(package: Path, tmp_path: Path) -> None:
    emoji(tmp_path, "red-apple")
    with pytest.raises(ValueError, match=r"DROP names .*tennis"):
        drawings.drawings(package, tmp_path, painted)


def test_an_icon_becomes_a_document_of_its_own_frame() -> None:
    assert 'viewBox="0 0 36 36"><circle/></svg>' in drawings.svg(ICONS, "red-apple")
    assert 'viewBox="0 0 40 36"><rect/></svg>' in drawings.svg(ICONS, "tennis")


def test_the_library_knows_which_groups_are_drawings() -> None:
    assert tuple(drawings.DROP) == DRAWINGS

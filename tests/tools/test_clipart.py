"""Clip art is for training alone: plain names, cut-outs in colour, nothing held out, and no file but its own."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

import clipart
from clipart import called, cut_out, kind_among, painted
from held import ALIKE, look

from perceptiongpt.data.objects import ObjectLibrary

PACKAGED = Path(clipart.__file__).parents[2] / "perceptiongpt" / "data" / "objects"
SUN = '<circle cx="50" cy="60" r="40" fill="#d22"/><path d="M50 5L90 60H10z" fill="#28c"/>'
NOUNS = {"mug", "milk", "carton", "blue", "dragonfly", "dog", "pig", "teddy", "bear", "magnifying", "glass"}


@pytest.fixture(autouse=True)
def resvg(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renderer that draws SUN's two shapes, a circle of whatever radius and place; resvg is an extra."""

    def svg_to_bytes(svg_string: str, width: int, **_: object) -> bytes:
        circle = re.search(r'cx="(\d+)" cy="(\d+)" r="(\d+)"', svg_string)
        if circle is None or not svg_string.endswith("</svg>"):
            raise ValueError("the drawing is broken off; give a whole one")
        x, y, r = (int(number) * width / 100 for number in circle.groups())
        picture = Image.new("RGBA", (width, round(1.1 * width)))
        ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill="#d22")
        ImageDraw.Draw(picture).polygon([(0.5 * width, 0.05 * width), (0.9 * width, y), (0.1 * width, y)], fill="#28c")
        held = io.BytesIO()
        picture.save(held, "PNG")
        return held.getvalue()

    monkeypatch.setitem(sys.modules, "resvg_py", SimpleNamespace(svg_to_bytes=svg_to_bytes))


@pytest.fixture(scope="module")
def packaged() -> ObjectLibrary:
    return ObjectLibrary.open(PACKAGED)


def svg(shapes: str, title: str = "", creator: str = "", before: str = "") -> str:
    said = f"<dc:title>{title}</dc:title><dc:creator><cc:Agent><dc:title>{creator}</dc:title></cc:Agent></dc:creator>"
    spaces = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://dc" xmlns:cc="http://cc"'
    head = f'{before}<svg xmlns="http://www.w3.org/2000/svg" {spaces} width="40mm" height="40mm" viewBox="0 0 100 110">'
    return f"{head}<metadata>{said}</metadata>{shapes}</svg>"


def write(folder: Path, inside: str, document: str) -> None:
    (folder / inside).parent.mkdir(parents=True, exist_ok=True)
    (folder / inside).write_text(document, encoding="utf-8")


def drawn(library: ObjectLibrary, folder: Path) -> list[str]:
    (folder / "work").mkdir()
    rows = clipart.clips(folder, library, folder / "work", painted)
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    "stem, title, name",
    [
        ("milk_carton_jarno_vasama_", "milk carton", "milk carton"),
        ("blue_dragonfly_ghuul_ghu_01", "Blue Dragonfly", "blue dragonfly"),
        ("dog_on_leash_gerald_g._01", "Dog on Leash", "dog"),
        ("a_simple_pig_01", "A simple pig", "pig"),
        ("simple_teddy_bear_01", "TeddyBear (small)", "teddy bear"),
        ("mug", "Clipart by Nicu Buculei - book_01", "mug"),
        ("mag1", "magnifying glass 1", "magnifying glass"),
        ("cavallo_architetto_franc_01", "Cavallo", "horse"),
        ("cavallo_architetto_franc_03", "Cavallo", "horse head"),
        ("mug_bw", "Clipart by Nicu Buculei", None),
        ("mug_2", "Mug (B and W)", None),
        ("mag2", "magnifying glass 2", None),
        ("don_t_panic", "Don't Panic!", None),
        ("aktion", "Part of the Flat Icon Collection (Wed Aug 25)", None),
        ("mug_dog_pig_bear", "mug dog pig bear", None),
    ],
)
def test_a_plain_name_is_told_from_a_collection(stem: str, title: str, name: str | None) -> None:
    assert called(stem, title, NOUNS) == name


@pytest.mark.parametrize(
    "name, kind",
    [
        ("monkey head", "monkey"),
        ("red peppers", "pepper"),
        ("blue couch", "sofa"),
        ("green mug", "cup"),
        ("slice of pizza", "pizza"),
        ("floppy disk", "floppy disk"),
        ("set-top box", "set-top box"),
    ],
)
def test_a_kind_is_the_head_noun_and_one_of_the_librarys(name: str, kind: str) -> None:
    assert kind_among(name, {"monkey", "pepper", "sofa", "cup", "floppy disk", "head"}) == kind


def test_a_background_a_silhouette_a_line_and_a_line_drawing_are_no_cut_outs() -> None:
    def page(colour: str, box: tuple[int, int, int, int] = (0, 0, 120, 120)) -> Image.Image:
        picture = Image.new("RGBA", (120, 120))
        picture.paste(colour, box)
        return picture

    good, card, white = page("#d22", (0, 0, 120, 60)), page("#eee"), page("white", (0, 0, 100, 120))
    good.paste("#28c", (30, 60, 90, 120))
    card.paste("#d22", (40, 40, 80, 80))
    white.paste("black", (0, 0, 50, 120))
    assert cut_out(good)
    assert not any(
        cut_out(picture) for picture in (card, white, page("black", (0, 0, 60, 120)), page("red", (0, 0, 4, 120)))
    )
    assert not cut_out(good.resize((80, 80)))


def test_the_larger_library_gains_training_alone(tmp_path: Path, packaged: ObjectLibrary) -> None:
    write(tmp_path / "svg", "tools/axe_peterm_.svg", svg(SUN, "axe", "Peter &amp; M"))
    assert clipart.build(tmp_path / "svg", PACKAGED, tmp_path / "out") == 1
    made = ObjectLibrary.open(tmp_path / "out")
    (gained,) = set(made.objects()) - set(packaged.objects())
    assert (gained.id, gained.name, gained.kind, gained.split) == ("clip/tools/axe_peterm_", "axe", "axe", "train")
    assert (gained.author, gained.licence, gained.tags) == ("Peter & M", "PD", ("tool", "drawing"))
    assert max(made.view(gained).size) == clipart.LONGEST and made.view(gained).getchannel("A").getextrema()[0] == 0
    assert made.backgrounds() == packaged.backgrounds()


def test_what_is_novel_or_unwanted_or_there_already_is_left_out(tmp_path: Path, packaged: ObjectLibrary) -> None:
    novel = packaged.objects("novel")[0].name
    for i, (inside, title) in enumerate(
        [("tools/a", novel), ("shapes/star", "axe"), ("tools/b", "axe"), ("tools/c", "axe")]
    ):
        write(tmp_path, f"{inside}.svg", svg(SUN if i > 1 else SUN.replace("60", str(50 + i)), title))
    (tmp_path / "tools" / "d.svg").symlink_to(tmp_path / "tools" / "b.svg")
    assert len(drawn(packaged, tmp_path)) == 1


def test_six_drawings_of_a_name_are_enough(tmp_path: Path, packaged: ObjectLibrary) -> None:
    for i in range(9):
        write(tmp_path, f"tools/axe_{i}.svg", svg(SUN.replace('r="40"', f'r="{20 + 2 * i}"'), "axe"))
    assert len(drawn(packaged, tmp_path)) == clipart.OF_ONE_NAME


def test_what_looks_like_a_held_out_object_is_left_out(
    tmp_path: Path, packaged: ObjectLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = packaged.view(packaged.objects("test")[0]).resize((150, 140))
    other = Image.new("RGBA", (150, 140))
    other.paste("#d22", (0, 0, 150, 70))
    other.paste("#28c", (40, 70, 110, 140))
    monkeypatch.setattr(clipart, "cut_out", lambda picture: True)
    write(tmp_path, "tools/axe.svg", svg(SUN, "axe"))
    for at, (picture, count) in enumerate([(shown, 0), (other, 1)]):
        (tmp_path / str(at)).mkdir()

        def paint(_: str, picture: Image.Image = picture) -> Image.Image:
            return picture

        assert len(clipart.clips(tmp_path, packaged, tmp_path / str(at), paint)) == count
    assert (look(shown) != look(other)).sum() >= ALIKE


def test_a_drawing_that_names_another_file_or_is_huge_is_skipped(tmp_path: Path, packaged: ObjectLibrary) -> None:
    held = io.BytesIO()
    Image.new("RGB", (8, 8), "green").save(held, "PNG")
    write(tmp_path, "secret.png", "")
    (tmp_path / "secret.png").write_bytes(held.getvalue())
    inside = base64.b64encode(held.getvalue()).decode()
    image = '<image width="20" height="20" xlink:href="{}"/>'
    hidden = f"<!DOCTYPE svg [<!ENTITY x \"<image &#120;link:&#104;ref='{tmp_path}/secret.png'/>\">]>"
    hostile = {
        "path": svg(SUN + image.format(tmp_path / "secret.png"), "axe"),
        "url": svg(SUN + image.format("file:///etc/passwd"), "axe"),
        "nested": svg(SUN + image.format("data:image/svg+xml;base64,PHN2Zy8+"), "axe"),
        "entity": svg(SUN + "&x;", "axe", before=hidden),
        "huge": svg(SUN + f"<!--{'x' * clipart.SIZE_LIMIT}-->", "axe"),
        "broken": svg(SUN, "axe")[:-9],
    }
    for name, document in hostile.items():
        write(tmp_path, f"tools/{name}.svg", document)
        if name != "huge":
            with pytest.raises(ValueError):
                painted(document)
    write(tmp_path, "tools/good.svg", svg(SUN + image.format(f"data:image/png;base64,{inside}"), "axe"))
    assert drawn(packaged, tmp_path) == ["clip/tools/good"]


def test_a_folder_without_clip_art_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to add"):
        clipart.build(tmp_path, PACKAGED, tmp_path / "out")

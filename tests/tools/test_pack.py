"""The packer's laws, on a tiny staging folder: same bytes twice, honest splits, no picture that may not ship."""

import json
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

from backgrounds import free_box
from colours import colour, flat_colour
from cutout import complaint
from pack import LICENCES, pack
from readmes import pictures
from splits import split_objects
from staging import crop, read_lines, write_lines, write_object
from unpack import unpack
from unrcc import entries

from perceptiongpt.data.objects import read_index

KINDS = {
    "car": 9,
    "lamp": 4,
    "apple": 2,
    "guitar": 1,
    "key": 1,
    "piano": 1,
    "chair": 3,
    "drum": 1,
    "rope": 2,
    "bell": 1,
}


def disc(rgb: tuple[int, int, int], side: int = 24) -> Image.Image:
    y, x = np.mgrid[:side, :side] - side // 2
    alpha = np.where(x**2 + y**2 < (side // 3) ** 2, 255, 0)
    return Image.fromarray(np.dstack([*(np.full((side, side), c) for c in rgb), alpha]).astype(np.uint8), "RGBA")


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    credit = {"tags": [], "source": "made here", "licence": "CC0-1.0", "author": "nobody"}
    lines = []
    for kind, count in KINDS.items():
        name = "piano keys" if kind == "piano" else kind
        for i in range(count):
            lines.append(write_object(folder, f"toy/{kind}-{i}", disc((20 * i, 90, 30)), name=name, kind=kind) | credit)
    write_lines(folder / "toys.jsonl", lines)
    scenes = []
    for i in range(10):
        (folder / "background").mkdir(exist_ok=True)
        Image.new("RGB", (16, 12), (i, 2 * i, 200)).save(folder / f"background/{i}.webp")
        scenes.append({"id": f"background/{i}", "file": f"background/{i}.webp"} | credit)
    write_lines(folder / "backgrounds.jsonl", scenes)
    return folder


def relabel(staging: Path, **fields: str) -> None:
    rows = [json.loads(line) for line in (staging / "toys.jsonl").read_text().splitlines()]
    write_lines(staging / "toys.jsonl", [rows[0] | fields, *rows[1:]])


def test_two_runs_write_the_same_bytes(staging: Path, tmp_path: Path) -> None:
    pack(staging, tmp_path / "a")
    for picture in staging.rglob("*.webp"):
        picture.touch()
    pack(staging, tmp_path / "b")
    for name in ("objects.zip", "objects.json.gz", "CREDITS.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_index_and_the_zip_name_the_same_pictures(staging: Path, tmp_path: Path) -> None:
    (staging / "forgotten.webp").write_bytes(b"not of the library")
    pack(staging, tmp_path)
    index = read_index(tmp_path)
    files = [v["file"] for o in index["objects"] for v in o["views"]] + [b["file"] for b in index["backgrounds"]]
    with zipfile.ZipFile(tmp_path / "objects.zip") as archive:
        assert archive.namelist() == sorted(files)
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    assert len(index["objects"]) == sum(KINDS.values()) and len(index["backgrounds"]) == 10


def test_seen_kinds_keep_two_objects_in_train_and_lend_one_to_test(staging: Path, tmp_path: Path) -> None:
    by_kind = defaultdict(list)
    for thing in pack(staging, tmp_path)["objects"]:
        by_kind[thing["kind"]].append(thing["split"])
    for kind, splits in by_kind.items():
        if "novel" in splits:
            assert set(splits) == {"novel"}
        elif KINDS[kind] >= 3:
            assert "test" in splits and splits.count("train") >= 2
        else:
            assert set(splits) == {"train"}
    assert by_kind["car"].count("test") == 1 and by_kind["car"].count("val") == 1


def test_a_test_object_never_appears_in_train(staging: Path, tmp_path: Path) -> None:
    files = defaultdict(set)
    index = pack(staging, tmp_path)
    for thing in index["objects"]:
        files[thing["split"]] |= {view["file"] for view in thing["views"]}
    assert not files["train"] & (files["test"] | files["val"] | files["novel"]) and not files["test"] & files["val"]
    assert {scene["split"] for scene in index["backgrounds"]} == {"train", "val", "test"}


def test_novel_kinds_are_never_said_of_other_objects(staging: Path, tmp_path: Path) -> None:
    objects = pack(staging, tmp_path)["objects"]
    novel = {thing["kind"] for thing in objects if thing["split"] == "novel"}
    assert novel and not novel & {thing["kind"] for thing in objects if thing["split"] != "novel"}
    # "key" is within "piano keys", so it can't be held out; a guitar can.
    bare = [{"id": k, "kind": k, "name": "piano keys" if k == "piano" else k, "source": "s"} for k in KINDS]
    assert split_objects(bare, everyday="key, guitar")["guitar"] == "novel"
    assert split_objects(bare, everyday="key, guitar")["key"] == "train"


def test_further_drawings_are_for_training_and_move_nobody(staging: Path, tmp_path: Path) -> None:
    before = {thing["id"]: thing for thing in pack(staging, tmp_path / "before")["objects"]}
    novel = next(thing["kind"] for thing in before.values() if thing["split"] == "novel")
    seen = [kind for kind in KINDS if before[f"toy/{kind}-0"]["split"] != "novel"]
    credit = {"tags": [], "source": "made again", "licence": "Apache-2.0", "author": "nobody"}
    drawn = [(f"noto/{kind}-{i}", kind, kind) for kind in seen for i in range(9)]
    drawn += [("noto/shown", novel, novel), ("twemoji/said", f"{novel}s in a box", "box")]
    lines = [write_object(staging, i, disc((9, 200, 90)), name=name, kind=kind) | credit for i, name, kind in drawn]
    write_lines(staging / "noto.jsonl", lines)
    after = {thing["id"]: thing for thing in pack(staging, tmp_path / "after")["objects"]}
    assert {i: thing for i, thing in after.items() if i.startswith("toy/")} == before
    added = {i: thing["split"] for i, thing in after.items() if i not in before}
    assert added == dict.fromkeys((i for i, _, kind in drawn if kind in seen), "train")
    with zipfile.ZipFile(tmp_path / "after" / "objects.zip") as archive:
        assert not {"noto/shown/0.webp", "twemoji/said/0.webp"} & set(archive.namelist())


def test_what_is_unpacked_is_what_was_staged(staging: Path, tmp_path: Path) -> None:
    pack(staging, tmp_path / "a")
    assert unpack(tmp_path / "a", tmp_path / "again") == {"toy": sum(KINDS.values()), "backgrounds": 10}
    staged = {line["id"]: line for line in read_lines(staging / "toys.jsonl")}
    assert {line["id"]: line for line in read_lines(tmp_path / "again" / "toy.jsonl")} == staged
    pack(tmp_path / "again", tmp_path / "b")
    for name in ("objects.zip", "objects.json.gz", "CREDITS.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_licence_that_may_not_ship_is_refused(staging: Path, tmp_path: Path) -> None:
    assert all(thing["licence"] in LICENCES for thing in pack(staging, tmp_path / "good")["objects"])
    relabel(staging, licence="CC-BY-SA-4.0")
    with pytest.raises(ValueError, match="CC-BY-SA"):
        pack(staging, tmp_path / "bad")


@pytest.mark.parametrize(
    ("fields", "said"), [({"id": "toy/car-1"}, "more than once"), ({"views": [{"file": "../x"}]}, "not in the staging")]
)
def test_a_broken_staging_folder_is_refused(staging: Path, tmp_path: Path, fields: dict, said: str) -> None:
    relabel(staging, **fields)
    with pytest.raises(ValueError, match=said):
        pack(staging, tmp_path / "out")


def test_everyone_whose_work_ships_is_credited(staging: Path, tmp_path: Path) -> None:
    relabel(staging, author="Ada | Lovelace", licence="CC-BY-3.0")
    pack(staging, tmp_path)
    assert "| toy/car-0 | car | Ada / Lovelace | CC-BY-3.0 | made here |" in (tmp_path / "CREDITS.md").read_text()


@pytest.mark.parametrize(
    ("rgb", "word"),
    [
        ((255, 0, 0), "red"), ((255, 140, 0), "orange"), ((250, 220, 20), "yellow"), ((0, 140, 0), "green"),
        ((30, 60, 230), "blue"), ((130, 30, 180), "purple"), ((255, 150, 200), "pink"), ((110, 65, 25), "brown"),
        ((10, 10, 10), "black"), ((250, 250, 250), "white"), ((128, 128, 128), "grey"), ((225, 205, 165), None),
    ],
)  # fmt: skip
def test_plain_colours_have_their_names(rgb: tuple[int, int, int], word: str | None) -> None:
    assert colour([disc(rgb)]) == word


@pytest.mark.parametrize(
    ("rgb", "word"),
    [
        ((221, 46, 68), "red"), ((193, 105, 79), "brown"), ((244, 144, 12), "orange"), ((255, 172, 51), None),
        ((255, 204, 77), "yellow"), ((119, 178, 85), "green"), ((85, 172, 238), "blue"), ((130, 174, 192), None),
        ((41, 47, 51), "black"), ((225, 232, 237), "white"), ((102, 117, 127), "grey"), ((192, 202, 51), None),
    ],
)  # fmt: skip
def test_a_drawn_colour_has_its_name_where_it_is_sure(rgb: tuple[int, int, int], word: str | None) -> None:
    assert flat_colour(disc(rgb)) == word


def test_a_drawing_half_black_half_white_is_neither() -> None:
    panda = disc((41, 47, 51))
    panda.paste(disc((250, 250, 250)).crop((12, 0, 24, 24)), (12, 0))
    assert flat_colour(panda) is None


def test_half_red_half_blue_has_no_colour() -> None:
    assert colour([disc((255, 0, 0)), disc((30, 60, 230))]) is None


def test_poor_masks_are_told_from_good_ones() -> None:
    good = np.zeros((50, 50), np.uint8)
    good[10:40, 10:40] = 255
    two = good.copy()
    two[20:30] = 0
    assert complaint(good) is None and "pieces" in complaint(two) and "tiny" in complaint(good * 0)
    assert "whole frame" in complaint(np.full((50, 50), 255, np.uint8)) and "soft" in complaint(good // 255 * 150)


def test_a_crop_fits_its_alpha() -> None:
    assert crop(disc((9, 9, 9), 90), 20).size == (20, 20)
    with pytest.raises(ValueError, match="transparent"):
        crop(Image.new("RGBA", (9, 9)), 20)


def test_the_free_box_is_the_largest_without_the_subject() -> None:
    subject = np.zeros((20, 30), bool)
    subject[:, 10] = True
    assert free_box(subject) == (11, 0, 30, 20)
    assert free_box(np.ones((20, 30), bool)) is None


def test_a_file_that_is_no_rcc_is_refused() -> None:
    with pytest.raises(ValueError, match="qres"):
        list(entries(b"PK\3\4 and so on, for a while"))


def test_only_files_that_every_block_sets_free_are_taken(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    for name in ("saw", "axe", "pot", "cup"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"tools/{name}.webp")
    blocks = [
        "Copyright:\n  Copyright 2011 Ada\nLicense: Public Domain\nComment: from https://a.b/saw\nFiles:\nsaw.webp\naxe.webp",
        "Copyright: Bob\nLicense: CC-BY-SA 4.0\nFiles: axe.webp\npot.webp",
        "Copyright: Eve\nLicense: CC0-1.0\nFiles: ../tools/cup.webp",
    ]
    (tmp_path / "tools/README").write_text("\n\n".join(blocks))
    (saw,) = pictures(tmp_path)
    assert (saw.key, saw.author, saw.licence, saw.url) == ("tools/saw", "Ada", "PD", "https://a.b/saw")

"""Sources by name and by path, and the commands that judge, compare and convert them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.cli import main
from perceptiongpt.data.objects import read_index, write_index
from perceptiongpt.sources import FORMATS, open_records, open_source, recognised

Capture = pytest.CaptureFixture[str]
OBJECTS = Path(__file__).parents[1] / "perceptiongpt" / "data" / "objects"


def coco(folder: Path, n: int = 4, seed: int = 0, **first: object) -> Path:
    """A sound COCO file of n pictures with two things each; `first` changes its first annotation."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for i in range(n):
        Image.fromarray(rng.integers(0, 255, (60, 80, 3)).astype(np.uint8)).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 80, "height": 60})
        for k in range(2):
            box = [10 + 30 * k, 10, 20, 30]
            annotations.append({"id": 2 * i + k, "image_id": i, "category_id": 1 + k, "bbox": box, "iscrowd": 0})
    annotations[0].update(first)
    categories = [{"id": 1, "name": "mug"}, {"id": 2, "name": "dog"}]
    (folder / "instances.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return folder / "instances.json"


def test_sound_data_pass_the_check_and_are_drawn(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "sheet.png"
    assert main(["data", "check", str(coco(tmp_path / "d")), "--host", "tiny:aya_vision", "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert "4 pictures, 8 things, 2 names" in told and "nothing wrong was found" in told
    with Image.open(out) as sheet:
        colours = {colour for _, colour in sheet.getcolors(1 << 24)}
    assert {(196, 236, 200), (230, 97, 0)} <= colours  # taught words, a region


def test_faulty_data_fail_the_check_and_each_fault_has_its_line(tmp_path: Path, capsys: Capture) -> None:
    path = coco(tmp_path / "d", bbox=[70, 10, 20, 30])
    assert main(["data", "check", str(path), "--host", "tiny:aya_vision", "-o", str(tmp_path / "s.png")]) == 1
    told = capsys.readouterr().out.splitlines()
    where = "instances.json:image 0, annotation 0"
    assert told[0] == f"{where}: box outside: box [70.0, 10.0, 90.0, 40.0] in a picture 80 wide and 60 high"
    assert "1 found wrong" in told


def test_lines_of_our_own_are_judged_one_by_one(tmp_path: Path, capsys: Capture) -> None:
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")

    def line(image: str, *box: float) -> str:
        answer = {"role": "assistant", "text": "Here{0}.", "regions": [{"box": box}]}
        return json.dumps({"image": image, "turns": [{"role": "user", "text": "Where?"}, answer]})

    rows = [
        line("a.png", 1, 2, 30, 40),
        line("a.png", 30, 2, 1, 40),
        line("none.png", 1, 2, 30, 40),
        line("a.png", 1, 2, 30),
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(rows))
    assert (
        main(["data", "check", str(tmp_path / "x.jsonl"), "--host", "tiny:aya_vision", "-o", str(tmp_path / "s.png")])
        == 1
    )
    told = capsys.readouterr().out.splitlines()
    assert [t.partition(": ")[2].partition(": ")[0] for t in told[:3]] == [
        "inverted box",
        "missing picture",
        "unreadable entry",
    ]
    assert [t.partition(":")[2].partition(":")[0].partition(",")[0] for t in told[:3]] == ["2", "3", "4"]


def test_shared_pictures_are_listed_and_fail(tmp_path: Path, capsys: Capture) -> None:
    one, two = coco(tmp_path / "one"), coco(tmp_path / "two", 2)
    other = coco(tmp_path / "other", seed=5)
    assert main(["data", "leakcheck", str(one), str(two)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told == [f"instances.json:image {i}  instances.json:image {i}  same look" for i in (0, 1)] + [
        "2 pictures are in both"
    ]
    assert main(["data", "leakcheck", str(one), str(other)]) == 0
    assert main(["data", "leakcheck", f"{one}:train", f"{one}:val"]) == 0


def test_data_are_converted_by_command(tmp_path: Path, capsys: Capture) -> None:
    path = coco(tmp_path / "d")
    assert main(["data", "convert", str(path), str(tmp_path / "y"), "--to", "yolo"]) == 0
    assert recognised(tmp_path / "y") == "yolo"
    assert len(open_source(str(tmp_path / "y"), 0)) == len(open_source(str(path), 0))
    (tmp_path / "bad.jsonl").write_text('{"turns": 1}\n')
    assert main(["data", "convert", str(tmp_path / "bad.jsonl"), str(tmp_path / "z"), "--to", "coco"]) == 2
    assert "bad.jsonl:1" in capsys.readouterr().err
    assert (
        main(["data", "convert", str(tmp_path / "bad.jsonl"), str(tmp_path / "z"), "--to", "coco", "--skip-bad"]) == 0
    )
    assert "left out bad.jsonl:1" in capsys.readouterr().err


def test_a_name_may_tell_the_format_and_the_split(tmp_path: Path) -> None:
    path = coco(tmp_path / "d", 40)
    train, val = (open_source(f"coco:{path}:{part}", 0) for part in ("train", "val"))
    assert len(train) + len(val) == len(open_source(str(path), 0))
    assert open_records(f"{path}:val")[1] == "val"


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_data_that_are_not_there_are_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        open_source(f"{kind}:{tmp_path / 'nowhere'}", 0)


def test_what_no_format_fits_is_refused_with_the_list(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"?")
    for name in (str(tmp_path / "x.bin"), str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(ValueError, match="coco, lvis, refcoco"):
            open_source(name, 0)


def test_scenes_are_composed_of_the_library_that_is_named(tmp_path: Path) -> None:
    listing = read_index(OBJECTS)
    cups = [o | {"name": "zither", "kind": "zither"} for o in listing["objects"] if o["split"] == "train"][:40]
    write_index(listing | {"objects": cups}, tmp_path)
    (tmp_path / "objects.zip").symlink_to(OBJECTS / "objects.zip")
    sample = open_source("scenes:train", 0, library=str(tmp_path))[0]
    assert {r.label for r in sample.meta["objects"]} == {"zither"}
    questions = open_source("questions:train", 0, library=str(tmp_path))
    assert any("zither" in turn.text for i in range(5) for turn in questions[i].turns)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_source("scenes:train", 0, library=str(tmp_path / "nowhere"))

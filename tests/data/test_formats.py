"""Data sets of others in small files of their official shapes: the same words, boxes and masks come out."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.data import flickr, genome, hub, lvis, refcoco, shards, yolo
from perceptiongpt.data.dialogues import Dialogues
from perceptiongpt.data.record import Fault, Record, strict

SIZE = (80, 60)


def said(line: str) -> None:
    pass


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, "red").save(path)
    return path


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", SIZE, "red").save(out, "JPEG")
    return out.getvalue()


def heard(records: list[Record]) -> dict[str, list[Any]]:
    """Each question of many dialogues with the boxes of its answer."""
    source = Dialogues(records)
    turns = [
        (a.text, b)
        for i in range(len(source))
        for a, b in zip(source[i].turns[::2], source[i].turns[1::2], strict=True)
    ]
    return {question: [r.box for r in answer.regions] for question, answer in turns}


# -- referring expressions ------------------------------------------------------------------------

INSTANCES = {
    "images": [{"id": 7, "file_name": "COCO_train2014_000000000007.jpg", "width": 80, "height": 60}],
    "annotations": [
        {
            "id": 11,
            "image_id": 7,
            "category_id": 1,
            "bbox": [10, 10, 20, 30],
            "segmentation": [[10, 10, 30, 10, 30, 40, 10, 40]],
        },
        {"id": 12, "image_id": 7, "category_id": 1, "bbox": [40, 10, 20, 30], "iscrowd": 0},
    ],
    "categories": [{"id": 1, "name": "person"}],
}
FILE = "COCO_train2014_000000000007_0.jpg"  # the refs' own file names carry a number that no picture has


def sentences(*texts: str) -> list[dict[str, Any]]:
    return [{"sent": t, "raw": t, "tokens": t.split(), "sent_id": i} for i, t in enumerate(texts)]


def referring(folder: Path, name: str, refs: list[dict[str, Any]]) -> Path:
    picture(folder / "images" / "train2014" / INSTANCES["images"][0]["file_name"])
    place = folder / "refcoco"
    place.mkdir()
    (place / "instances.json").write_text(json.dumps(INSTANCES))
    (place / name).write_bytes(pickle.dumps(refs, 2) if name.endswith(".p") else json.dumps(refs).encode())
    return place


def ref(split: str, ann_id: Any, *texts: str, **more: Any) -> dict[str, Any]:
    return {"split": split, "image_id": 7, "ann_id": ann_id, "file_name": FILE, "sentences": sentences(*texts), **more}


@pytest.mark.parametrize("name", ["refs(unc).p", "refs(umd).p", "refs(google).p"])
def test_expressions_of_refcoco_find_their_thing(tmp_path: Path, name: str) -> None:
    refs = [ref("val", 11, "left man", "man on the left"), ref("val", 12, "right man"), ref("testA", 11, "him")]
    place = referring(tmp_path, name, refs)
    (record,) = strict(refcoco.read(place, "val", said))
    assert record.image == tmp_path / "images" / "train2014" / INSTANCES["images"][0]["file_name"]
    assert record.phrases == (("left man", (0,)), ("man on the left", (0,)), ("right man", (1,)))
    assert record.things[0].box == (10, 10, 30, 40)
    assert record.things[0].region(SIZE).mask.sum() == 20 * 30
    found = heard([record])
    assert found["Where is left man?"] == [(10, 10, 30, 40)]
    assert found["Where is right man?"] == [(40, 10, 60, 40)]
    with pytest.raises(ValueError, match="no split 'testB'; choose testA, val"):
        list(refcoco.read(place, "testB", said))


def test_expressions_of_grefcoco_may_mean_several_things_or_none(tmp_path: Path) -> None:
    refs = [
        ref("train", [11, 12], "both men", no_target=False),
        ref("train", [-1], "the woman", no_target=True),
        ref("train", [12], "right man", no_target=False),
    ]
    (record,) = strict(refcoco.read(referring(tmp_path, "grefs(unc).json", refs), "train", said))
    assert dict(record.phrases) == {"both men": (0, 1), "the woman": (), "right man": (1,)}
    found = heard([record])
    assert found["Where are both men?"] == [(10, 10, 30, 40), (40, 10, 60, 40)]
    assert found["Where is the woman?"] == []


def test_a_hostile_refs_file_is_refused(tmp_path: Path) -> None:
    place = referring(tmp_path, "refs(unc).p", [])
    (place / "refs(unc).p").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match="hostile"):
        list(refcoco.read(place, "train", said))


def test_a_reference_to_an_unknown_annotation_is_a_fault(tmp_path: Path) -> None:
    (fault,) = refcoco.read(referring(tmp_path, "refs(unc).p", [ref("train", 99, "who")]), "train", said)
    assert isinstance(fault, Fault)
    assert (fault.where, fault.what) == ("refs(unc).p:image 7", "annotation 99 is not in instances.json")


# -- captions with boxes, regions with descriptions ----------------------------------------------

XML = """<annotation><filename>36979.jpg</filename><size><width>80</width><height>60</height><depth>3</depth></size>
<object><name>1</name><name>3</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>31</xmax><ymax>41</ymax></bndbox></object>
<object><name>1</name><bndbox><xmin>41</xmin><ymin>6</ymin><xmax>61</xmax><ymax>41</ymax></bndbox></object>
<object><name>2</name><scene>1</scene><nobndbox>0</nobndbox></object></annotation>"""
SENTENCE = "[/EN#1/people Two men] in [/EN#3/clothing red shirts] at [/EN#2/scene a game] .\n"


def entities(folder: Path, xml: str = XML) -> Path:
    for name, text in (("Annotations/36979.xml", xml), ("Sentences/36979.txt", SENTENCE), ("train.txt", "36979\n")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    picture(folder / "flickr30k-images" / "36979.jpg")
    return folder


def test_captions_of_flickr_entities_carry_their_boxes(tmp_path: Path) -> None:
    (record,) = strict(flickr.read(entities(tmp_path), "train", said))
    assert record.captions == (("Two men{0}{1} in red shirts{2} at a game.", (0, 1, 2)),)
    assert [t.box for t in record.things] == [(10, 5, 30, 40), (40, 5, 60, 40), (10, 5, 30, 40)]
    found = heard([record])
    assert found["Describe the picture and show each thing."] == [t.box for t in record.things]


@pytest.mark.parametrize(
    "head", ['<!DOCTYPE a [<!ENTITY b "bbbb">]>', "<!ENTITY x SYSTEM 'file:///etc/passwd'>", "<broken"]
)
def test_xml_that_declares_anything_is_a_fault(tmp_path: Path, head: str) -> None:
    (fault,) = flickr.read(entities(tmp_path, head + XML), "train", said)
    assert isinstance(fault, Fault)
    assert "36979.xml" in fault.what


def test_regions_of_visual_genome_are_described(tmp_path: Path) -> None:
    region = {"region_id": 5, "image_id": 1, "phrase": "A red cup", "x": 10, "y": 5, "width": 30, "height": 40}
    (tmp_path / "region_descriptions.json").write_text(json.dumps([{"id": 1, "regions": [region]}]))
    (tmp_path / "image_data.json").write_text(json.dumps([{"image_id": 1, "width": 80, "height": 60}]))
    picture(tmp_path / "VG_100K_2" / "1.jpg")
    (record,) = strict(genome.read(tmp_path, "", said))
    assert (record.size_wh, record.image.parent.name) == (SIZE, "VG_100K_2")
    turns = Dialogues([record])[0].turns
    assert (turns[0].regions[0].box, turns[1].text) == ((10, 5, 40, 45), "A red cup.")


def test_lvis_calls_absent_only_what_was_looked_for(tmp_path: Path) -> None:
    row = {"id": 1, "coco_url": "http://images.cocodataset.org/val2017/000000000001.jpg", "width": 80, "height": 60}
    data = {
        "images": [{**row, "neg_category_ids": [3], "not_exhaustive_category_ids": [2]}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [5, 5, 20, 20],
                "segmentation": [[5, 5, 25, 5, 25, 25, 5, 25]],
            },
            {
                "id": 2,
                "image_id": 1,
                "category_id": 2,
                "bbox": [40, 5, 20, 20],
                "segmentation": [[40, 5, 60, 5, 60, 25]],
            },
        ],
        "categories": [{"id": i, "name": n} for i, n in enumerate(["aerosol_can", "apple", "ashtray", "awning"], 1)],
    }
    (tmp_path / "lvis_v1_val.json").write_text(json.dumps(data))
    (record,) = strict(lvis.read(tmp_path / "lvis_v1_val.json", "", said))
    assert record.image == tmp_path / "val2017/000000000001.jpg"
    found = heard([record])
    assert found["Where is the aerosol can?"] == [(5, 5, 25, 25)]
    asked = " ".join(found)
    assert "ashtray" in asked and "awning" not in asked
    assert "apple" not in asked  # there may be more of them than are annotated


# -- YOLO ------------------------------------------------------------------------


def yolo_folder(folder: Path, labels: str, names: str = "[red_mug, dog]") -> Path:
    picture(folder / "images" / "train" / "a.jpg")
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "labels" / "train" / "a.txt").write_text(labels)
    (folder / "data.yaml").write_text(f"path: /somewhere/else\ntrain: images/train\nnames: {names}\n")
    return folder


def test_yolo_boxes_and_outlines_are_shares_of_the_picture(tmp_path: Path) -> None:
    text = "0 0.5 0.5 0.25 0.5\n1 0.125 0.25 0.25 0.25 0.25 0.5 0.125 0.5\n"
    (record,) = strict(yolo.read(yolo_folder(tmp_path, text, "{0: red_mug, 1: dog}"), "train", said))
    mug, dog = record.things
    assert (mug.name, mug.box, mug.shape) == ("red mug", (30, 15, 50, 45), None)
    assert (dog.name, dog.box) == ("dog", (10, 15, 20, 30))
    assert dog.mask(SIZE).sum() == 10 * 15


@pytest.mark.parametrize(
    "line", ["7 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.1", "0 a b c d", "0 nan 0 0 0", "0.5 0.5 0.5 0.1 0.1"]
)
def test_a_broken_yolo_line_is_a_fault_with_its_place(tmp_path: Path, line: str) -> None:
    rows = list(yolo.read(yolo_folder(tmp_path, f"0 0.5 0.5 0.2 0.2\n{line}\n"), "train", said))
    assert [r.where for r in rows if isinstance(r, Fault)] == ["a.txt:2"]
    assert [len(r.things) for r in rows if isinstance(r, Record)] == [1]


def test_a_yaml_that_runs_code_or_leads_away_is_refused(tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path / "data", "")
    (folder / "data.yaml").write_text("names: !!python/object/apply:os.system ['true']\ntrain: images\n")
    with pytest.raises(ValueError, match="not YAML"):
        list(yolo.read(folder, "train", said))
    (folder / "data.yaml").write_text("names: [a]\ntrain: ../..\n")
    with pytest.raises(ValueError, match="outside"):
        list(yolo.read(folder, "train", said))
    (folder / "data.yaml").write_text("names: [a]\nval: images\n")
    with pytest.raises(ValueError, match="no split 'train'; choose val"):
        list(yolo.read(folder, "train", said))


# -- shards and data sets of the hub -------------------------------------------------------------

OURS = {
    "turns": [
        {"role": "user", "text": "Where is the mug?"},
        {"role": "assistant", "text": "The mug{0}.", "regions": [{"box": [1, 2, 30, 40]}]},
    ]
}


def tar(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as out:
        for name, raw in members:
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            out.addfile(info, io.BytesIO(raw))
    return path


def test_shards_are_read_without_unpacking(tmp_path: Path) -> None:
    swift = {
        "messages": [{"role": "user", "content": "<image>Find the dog."}, {"role": "assistant", "content": "<bbox>"}],
        "objects": {"bbox": [[0.5, 0.5, 1, 1]], "bbox_type": "norm1"},
    }
    row = json.dumps(OURS).encode()
    tar(tmp_path / "s-0.tar", ("a/0.jpg", jpeg()), ("a/0.json", row), ("a/1.png", jpeg()), ("a/1.txt", b"a red wall"))
    tar(tmp_path / "s-1.tar", ("2.json", json.dumps(swift).encode()), ("2.jpg", jpeg()))
    for path in (tmp_path, tmp_path / "s-{0..1}.tar"):
        records = list(strict(shards.read(path, "", said)))
        assert [r.where for r in records] == ["s-0.tar:a/0", "s-0.tar:a/1", "s-1.tar:2"]
        assert records[0].things[0].box == (1, 2, 30, 40)
        assert records[2].things[0].box == (40, 30, 80, 60)
        assert [r.size() for r in records] == [SIZE] * 3
    assert Dialogues([records[1]])[0].turns[1].text == "A red wall."


def test_a_hostile_tar_reads_and_writes_nothing_outside(tmp_path: Path) -> None:
    link = tarfile.TarInfo("b.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path = tar(tmp_path / "x.tar", ("../../evil.jpg", jpeg()), ("../../evil.json", json.dumps(OURS).encode()))
    with tarfile.open(path, "a") as out:
        out.addfile(link)
        info = tarfile.TarInfo("b.json")
        info.size = 2
        out.addfile(info, io.BytesIO(b"{}"))
    rows = list(shards.read(path, "", said))
    assert [type(r) for r in rows] == [Record, Fault]
    assert rows[0].size() == SIZE
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("raw", [b"no tar at all", b"", b"\x1f\x8b\x08 pressed"])
def test_what_is_no_plain_tar_is_a_fault(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(raw)
    (fault,) = shards.read(tmp_path / "x.tar", "", said)
    assert isinstance(fault, Fault)


@pytest.mark.parametrize(
    ("box", "told"),
    [([10, 5, 20, 30], "width, height in pixels"), ([50, 40, 70, 60], "x1, y1"), ([0.5, 0.5, 0.25, 0.25], "shares")],
)
def test_objects_of_a_data_set_are_read_as_their_numbers_say(tmp_path: Path, box: list[float], told: str) -> None:
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "objects": {
                "bbox": datasets.List(datasets.List(datasets.Value("float32"))),
                "category": datasets.List(datasets.ClassLabel(names=["red_mug"])),
            },
        }
    )
    rows = [{"image": Image.new("RGB", SIZE), "objects": {"bbox": [box], "category": [0]}}]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "set"))
    lines: list[str] = []
    (record,) = strict(hub.read(tmp_path / "set", "train", lines.append))
    assert told in lines[0]
    wanted = {"width, height in pixels": (10, 5, 30, 35), "x1, y1": (50, 40, 70, 60), "shares": (40, 30, 60, 45)}[told]
    assert (record.things[0].name, record.things[0].box) == ("red mug", wanted)
    assert Dialogues([record])[0].image is not None
    assert np.asarray(record.size()).tolist() == list(SIZE)

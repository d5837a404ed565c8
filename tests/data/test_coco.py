"""COCO instances as dialogues, on a small file of the official shape made here."""

import json

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.core.masks import encode_rle
from perceptiongpt.data.coco import read
from perceptiongpt.data.dialogues import VARIANTS, Dialogues, is_val
from perceptiongpt.data.record import strict


def opened(path, part="all"):
    return Dialogues(list(strict(read(path))), 0, part)


def rle(x0: int, y0: int, x1: int, y1: int) -> dict:
    mask = np.zeros((60, 80), bool)
    mask[y0:y1, x0:x1] = True
    return encode_rle(mask)


def write(folder, **changes):
    (folder / "pics").mkdir()
    Image.new("RGB", (80, 60), "red").save(folder / "pics" / "1.jpg")
    data = {
        "images": [{"id": 1, "file_name": "pics/1.jpg", "width": 80, "height": 60}],
        "categories": [{"id": 5, "name": "dog"}, {"id": 7, "name": "cat"}, {"id": 9, "name": "cup"}],
        "annotations": [
            {
                "image_id": 1,
                "category_id": 5,
                "bbox": [10, 10, 20, 20],
                "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]],
            },
            {"image_id": 1, "category_id": 7, "bbox": [40, 5, 20, 30], "segmentation": rle(40, 5, 60, 35)},
            {"image_id": 1, "category_id": 7, "bbox": [5, 35, 30, 20]},
        ],
        **changes,
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(data))
    return path


def test_classes_become_questions_with_their_own_regions(tmp_path):
    source = opened(write(tmp_path))
    assert len(source) == VARIANTS
    heard = set()
    for i in range(len(source)):
        for question, answer in zip(source[i].turns[::2], source[i].turns[1::2], strict=True):
            words = question.text.lower()
            heard |= {name for name in ("dog", "cats", "cup") if name in words}
            for region in answer.regions:
                assert region.label in ("dog", "cat") and region.label in words
            if "cup" in words and ";" not in words:
                assert answer.text == "There is no cup." and not answer.regions
            assert not question.regions or answer.text in ("A dog.", "A cat.")
    assert heard == {"dog", "cats", "cup"}


def test_a_group_is_told_from_left_to_right_and_masks_are_where_they_are_known(tmp_path):
    source = opened(write(tmp_path))
    cats = [
        t.regions
        for i in range(VARIANTS)
        for t in source[i].turns
        if len([r for r in t.regions if r.label == "cat"]) == 2
    ]
    pairs = [[r for r in regions if r.label == "cat"] for regions in cats]
    assert pairs and all(a.box[0] < b.box[0] for a, b in pairs)
    assert all(a.mask is None and b.mask.sum() == 20 * 30 for a, b in pairs)


def test_the_same_item_is_the_same_dialogue(tmp_path):
    path = write(tmp_path)
    again = [[t.text for t in opened(path)[i].turns] for i in range(VARIANTS)]
    assert again == [[t.text for t in opened(path)[i].turns] for i in range(VARIANTS)]


def test_a_crowd_is_neither_asked_for_nor_called_absent(tmp_path):
    crowd = [{"image_id": 1, "category_id": 9, "bbox": [0, 0, 80, 60], "iscrowd": 1, "segmentation": rle(0, 0, 80, 60)}]
    source = opened(write(tmp_path, annotations=crowd))
    assert not any("cup" in t.text for i in range(VARIANTS) for t in source[i].turns)


def test_the_parts_share_no_picture(tmp_path):
    share = np.mean([is_val(str(i)) for i in range(4000)])
    assert 0.12 < share < 0.18
    path = write(tmp_path)
    assert len(opened(path, "train")) + len(opened(path, "val")) == len(opened(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"id": 1, "file_name": "../x.jpg", "width": 8, "height": 6}]}, "outside"),
        ({"categories": []}, "lacks the field or category 5"),
        ({"images": [{"id": 1}]}, "file_name"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        opened(write(tmp_path, **changes))


def test_a_file_that_is_not_json_is_refused(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text("not json")
    with pytest.raises(ValueError, match="is not JSON"):
        opened(path)


def test_what_was_not_looked_for_is_not_called_absent(tmp_path):
    row = {"id": 1, "file_name": "pics/1.jpg", "width": 80, "height": 60, "masks": "persons only"}
    source = opened(write(tmp_path, images=[row]))
    assert not any("cup" in t.text for i in range(len(source)) for t in source[i].turns)


def test_an_annotation_of_no_picture_ends_the_reading_with_its_place(tmp_path):
    stray = [{"id": 77, "image_id": 9, "category_id": 5, "bbox": [1, 1, 5, 5]}]
    with pytest.raises(ValueError, match=r"instances.json:annotation 77: its picture 9 is not among the images"):
        opened(write(tmp_path, annotations=stray))


def test_captions_of_the_official_file_are_answers(tmp_path):
    path = write(tmp_path, annotations=[{"id": 4, "image_id": 1, "caption": "a dog and two cats"}], categories=[])
    assert opened(path)[0].turns[1].text == "A dog and two cats."


def test_the_pictures_of_a_split_are_found_beside_the_annotations(tmp_path):
    (tmp_path / "val2017").mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "val2017" / "1.jpg")
    (tmp_path / "annotations").mkdir()
    path = tmp_path / "annotations" / "instances_val2017.json"
    path.write_text(
        json.dumps(
            {
                **json.loads(write(tmp_path).read_text()),
                "images": [{"id": 1, "file_name": "1.jpg", "width": 80, "height": 60}],
            }
        )
    )
    assert opened(path)[0].image == tmp_path / "val2017" / "1.jpg"


def test_panoptic_things_are_parts_of_a_picture_of_ids(tmp_path):
    ids = np.zeros((60, 80, 3), np.uint8)
    ids[10:30, 5:25] = (1, 2, 0)  # 1 + 2 * 256
    ids[40:] = (9, 0, 0)
    (tmp_path / "panoptic_val").mkdir()
    Image.fromarray(ids).save(tmp_path / "panoptic_val" / "1.png")
    segments = [
        {"id": 513, "category_id": 5, "bbox": [5, 10, 20, 20]},
        {"id": 9, "category_id": 6, "bbox": [0, 40, 80, 20]},
    ]
    data = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 80, "height": 60}],
        "annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": segments}],
        "categories": [{"id": 5, "name": "dog", "isthing": 1}, {"id": 6, "name": "grass", "isthing": 0}],
    }
    path = tmp_path / "panoptic_val.json"
    path.write_text(json.dumps(data))
    (record,) = strict(read(path))
    assert [t.name for t in record.things] == ["dog"]
    mask = record.things[0].region((80, 60)).mask
    assert mask.sum() == 400 and mask[10:30, 5:25].all()

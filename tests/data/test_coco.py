"""COCO instances as dialogues, on a small file of the official shape made here."""

import json

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.core.masks import encode_rle
from perceptiongpt.data.coco import VARIANTS, Coco, is_val


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
    source = Coco(write(tmp_path))
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
    assert heard == {"dog", "cats", "cup"}


def test_a_group_is_told_from_left_to_right_and_masks_are_where_they_are_known(tmp_path):
    source = Coco(write(tmp_path))
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
    again = [[t.text for t in Coco(path)[i].turns] for i in range(VARIANTS)]
    assert again == [[t.text for t in Coco(path)[i].turns] for i in range(VARIANTS)]


def test_a_crowd_is_neither_asked_for_nor_called_absent(tmp_path):
    crowd = [{"image_id": 1, "category_id": 9, "bbox": [0, 0, 80, 60], "iscrowd": 1, "segmentation": rle(0, 0, 80, 60)}]
    source = Coco(write(tmp_path, annotations=crowd))
    assert not any("cup" in t.text for i in range(VARIANTS) for t in source[i].turns)


def test_the_parts_share_no_picture(tmp_path):
    share = np.mean([is_val(i) for i in range(4000)])
    assert 0.12 < share < 0.18
    path = write(tmp_path)
    assert len(Coco(path, "train")) + len(Coco(path, "val")) == len(Coco(path))


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
        Coco(write(tmp_path, **changes))


def test_a_file_that_is_not_json_is_refused(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text("not json")
    with pytest.raises(ValueError, match="is not JSON"):
        Coco(path)

"""Damaged annotation files: one sentence or a fault with its place, whatever stands where; never a trace."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from perceptiongpt.data import coco, dialects, genome, lvis, refcoco
from perceptiongpt.data.check import check
from perceptiongpt.data.dialogues import Dialogues
from perceptiongpt.data.record import Record

JUNK = (
    None,
    -1,
    0,
    1e300,
    "",
    "x",
    "../../x",
    [],
    {},
    [[]],
    [1, 2],
    {"size": [9, 9], "counts": "zz"},
    True,
    "{0}",
    [None],
)

ROW = {"id": 1, "file_name": "a.png", "width": 80, "height": 60, "coco_url": "http://x/v/a.png"}
THING = {
    "id": 3,
    "image_id": 1,
    "category_id": 2,
    "bbox": [5, 5, 20, 20],
    "iscrowd": 0,
    "segmentation": [[5, 5, 25, 5, 25, 25]],
}
COCO = {"images": [ROW], "annotations": [THING], "categories": [{"id": 2, "name": "dog"}]}
LVIS = {**COCO, "images": [{**ROW, "neg_category_ids": [2], "not_exhaustive_category_ids": [2]}]}
REFS = [{"split": "train", "image_id": 1, "ann_id": [3], "sentences": [{"sent": "a dog"}], "no_target": False}]
GENOME = [{"id": 1, "regions": [{"region_id": 1, "phrase": "a dog", "x": 1, "y": 2, "width": 30, "height": 40}]}]
TALK = [
    {"from": "human", "value": "<image>Where [0.1, 0.2, 0.3, 0.4]?"},
    {"from": "gpt", "value": '[{"bbox_2d": [1, 2, 3, 4], "label": "a"}]'},
]
LINES = [
    {"image": "a.png", "id": "x", "conversations": TALK},
    {
        "img_path": "a.png",
        "target": {"boxes": [[1, 2, 30, 40]]},
        "conversations": [TALK[0], {"from": "gpt", "value": "<boxes>", "boxes_seq": [[0]]}],
    },
    {
        "messages": [{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": "<bbox>"}],
        "images": ["a.png"],
        "objects": {"ref": [], "bbox": [[1, 2, 30, 40]]},
    },
    {
        "image": "a.png",
        "turns": [
            {"role": "user", "text": "Hm?"},
            {"role": "assistant", "text": "{0}", "regions": [{"box": [1, 2, 30, 40], "label": "a"}]},
        ],
    },
]
KINDS: dict[str, tuple[Any, Any, str]] = {
    "coco": (coco.read, COCO, "x.json"),
    "lvis": (lvis.read, LVIS, "x.json"),
    "refcoco": (refcoco.read, REFS, "grefs(unc).json"),
    "genome": (genome.read, GENOME, "region_descriptions.json"),
    "dialects": (dialects.read, LINES, "x.json"),
}


def spots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from spots(value[key])


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_values_are_refused_or_told_with_their_place(kind: str, tmp_path: Path) -> None:
    read, whole, name = KINDS[kind]
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    (tmp_path / "instances.json").write_text(json.dumps(COCO))
    for number in range(len(list(spots(whole)))):
        for junk in JUNK:
            broken = copy.deepcopy(whole)
            container, key = list(spots(broken))[number]
            container[key] = copy.deepcopy(junk)
            (tmp_path / name).write_text(json.dumps(broken))
            try:
                rows = list(read(tmp_path / name, "train" if kind == "refcoco" else "", str))
                check(rows)
                source = Dialogues([r for r in rows if isinstance(r, Record)])
                samples = [source[i] for i in range(min(2, len(source)))]
                assert all(s.turns for s in samples)
            except (ValueError, OSError) as error:
                said = str(error)
                assert "\n" not in said and (name in said or "instances.json" in said or "a.png" in said), (
                    key,
                    junk,
                    said,
                )


def test_damaged_bytes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    draw = random.Random(0)
    whole = json.dumps(COCO).encode()
    for _ in range(200):
        raw = bytearray(whole)
        raw[draw.randrange(len(raw))] = draw.randrange(256)
        (tmp_path / "x.json").write_bytes(bytes(raw[: draw.randint(len(raw) - 40, len(raw))]))
        try:
            list(coco.read(tmp_path / "x.json"))
        except ValueError as error:
            assert "x.json" in str(error) and "\n" not in str(error)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match="is not JSON"):
        list(coco.read(tmp_path / "x.json"))

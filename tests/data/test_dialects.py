"""Dialogues of other programs: recognised, their numbers read as pixels, the reading told aloud."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt.data.dialects import read
from perceptiongpt.data.readings import READINGS, from_pixels, reading_of, to_pixels
from perceptiongpt.data.record import Fault, Record, strict

BOX = (40.0, 25.0, 120.0, 75.0)  # in a picture 200 wide and 100 high


def chat(question: str, answer: str, keys: str = "from value", **more: Any) -> tuple[dict[str, Any], ...]:
    who, what = keys.split()
    names = ("human", "gpt") if who == "from" else ("user", "assistant")
    return {who: names[0], what: question, **more}, {who: names[1], what: answer, **more}


def llava(question: str, answer: str) -> dict[str, Any]:
    return {"image": "a.jpg", "conversations": chat(question, answer)}


SWIFT = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        *chat("<image>Find <ref-object>.", "It is here: <bbox>.", "role content"),
    ],
    "images": ["a.jpg"],
}
SHIKRA = {"img_path": "a.jpg", "boxes": [[0, 0, 9, 9], list(BOX)]}
QWEN = json.dumps([{"bbox_2d": list(BOX), "label": "red mug"}])

LINES: dict[str, tuple[dict[str, Any], str]] = {
    "swift, pixels": ({**SWIFT, "objects": {"ref": ["the mug"], "bbox": [list(BOX)]}}, "pixels of the picture"),
    "swift, shares": (
        {**SWIFT, "objects": {"ref": ["the mug"], "bbox": [[0.2, 0.25, 0.6, 0.75]], "bbox_type": "norm1"}},
        "shares (0 to 1) of the picture's width",
    ),
    "shikra, talk": (
        {
            "img_path": "a.jpg",
            "target": {"boxes": [[0, 0, 9, 9], list(BOX)]},
            "conversations": [
                {"from": "human", "value": "Where is <ph_st>the mug<ph_ed>?"},
                {"from": "gpt", "value": "<ph_st>The mug<ph_ed><boxes>.", "boxes_seq": [[1]]},
            ],
        },
        "pixels of the picture",
    ),
    "shikra, made": (
        {
            **SHIKRA,
            "question": "Where is it?",
            "cot_with_ans": "<ph_st>The mug<ph_ed> here.",
            "answer_boxes_seq": [[1]],
        },
        "pixels of the picture",
    ),
    "llava, square": (llava("<image>\nWhere?", "There [0.2, 0.375, 0.6, 0.625]."), "padded to a square"),
    "llava, shares": (llava("<image>\nWhere?", "There [0.2, 0.25, 0.6, 0.75] [0, 0, 1, 1]."), "padding of a square"),
    "qwen, pixels": (llava("<image>\nFind it.", f"```json\n{QWEN}\n```"), "nothing contradicts"),
    "qwen, thousandths": (
        llava(
            "Find it.",
            '[{"bbox_2d": [200, 250, 600, 750], "label": "mug"}, {"bbox_2d": [0, 0, 1000, 1000], "label": "all"}]',
        ),
        "outside their pictures",
    ),
    "qwen 2": (
        {
            "messages": chat(
                "<image>Find it.",
                "<|object_ref_start|>mug<|object_ref_end|><|box_start|>(200,250),(600,750)<|box_end|>",
                "role content",
            ),
            "images": ["a.jpg"],
        },
        "as Qwen2-VL writes them",
    ),
}


def write(folder: Path, *rows: Any, name: str = "x.jsonl") -> Path:
    Image.new("RGB", (200, 100)).save(folder / "a.jpg")
    (folder / name).write_text("\n".join(json.dumps(r) if not isinstance(r, str) else r for r in rows))
    return folder / name


@pytest.mark.parametrize("name", LINES)
def test_a_box_of_every_dialect_is_the_same_pixels(tmp_path: Path, name: str) -> None:
    row, told = LINES[name]
    lines: list[str] = []
    (record,) = strict(read(write(tmp_path, row), "", lines.append))
    (place, *_) = record.talk[1][2]
    assert record.things[place].box == pytest.approx(BOX)
    assert any(told in line for line in lines)
    assert [role for role, *_ in record.talk] == ["user", "assistant"]
    assert not any(mark in text for _, text, _ in record.talk for mark in ("<", "[", "bbox"))


def test_names_and_words_stand_where_they_stood(tmp_path: Path) -> None:
    rows = [LINES[name][0] for name in ("swift, pixels", "shikra, talk", "qwen, pixels")]
    texts = [[text for _, text, _ in r.talk] for r in strict(read(write(tmp_path, *rows), "", str))]
    assert texts == [
        ["Find the mug.", "It is here: {0}."],
        ["Where is the mug?", "The mug{0}."],
        ["Find it.", "Red mug{0}."],
    ]


def test_a_shown_box_stands_in_the_question(tmp_path: Path) -> None:
    (record,) = strict(read(write(tmp_path, llava("What is at [0.1, 0.3, 0.2, 0.5]?", "A {mug}.")), "", str))
    assert [(text, places) for _, text, places in record.talk] == [("What is at {0}?", (0,)), ("A (mug).", ())]


def test_an_expression_of_shikra_is_to_be_found(tmp_path: Path) -> None:
    row = {"img_path": "a.jpg", "expression": "the mug", "bbox": list(BOX)}
    (record,) = strict(read(write(tmp_path, row), "", str))
    assert (record.phrases, record.things[0].box) == ((("the mug", (0,)),), BOX)


def test_the_reading_may_be_told_instead(tmp_path: Path) -> None:
    path = write(tmp_path, LINES["qwen, pixels"][0])
    (record,) = strict(read(path, "norm1000", str))
    assert record.things[0].box == pytest.approx((8, 2.5, 24, 7.5))
    with pytest.raises(ValueError, match="no reading 'yxyx'; choose pixels"):
        list(read(path, "yxyx", str))


def test_a_list_in_one_json_file_is_read_as_lines_are(tmp_path: Path) -> None:
    path = write(tmp_path, name="x.json")
    path.write_text(json.dumps([LINES["llava, square"][0]]))
    (record,) = strict(read(path, "", str))
    assert (record.where, record.things[0].box) == ("x.json:entry 1", pytest.approx(BOX))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "broken JSON"),
        ([1, 2], "wanted a dialogue"),
        ({"image": "a.jpg"}, "lacks 'conversations'"),
        ({**SWIFT, "images": ["a.jpg", "b.jpg"], "objects": {"bbox": [[1, 2, 3, 4]]}}, "2 pictures"),
        ({**SWIFT, "objects": {"ref": ["x"], "bbox": []}}, "more <bbox> than entries"),
        ({**SWIFT, "objects": {"ref": ["x"], "bbox": [[1, 2, 3]]}}, "not four numbers"),
        ({**SWIFT, "objects": {"ref": ["x"], "bbox": [[1, 2, 3, float("inf")]]}}, "Infinity"),
        ({**SWIFT, "objects": {"bbox_type": "yxyx"}}, "wanted real or norm1"),
        ({**LINES["shikra, talk"][0], "target": {"boxes": []}}, "list index"),
        ({"image": "../../a.jpg", "conversations": chat("Where?", "Here.")}, "outside"),
        ({"image": "a.jpg", "conversations": chat("Where?", "Here.")[:1]}, "user and assistant in turn"),
        ({"image": "a.jpg", "turns": [{"role": "user", "text": "Where {0}?"}]}, "0 regions"),
        ({"image": "a.jpg", "turns": [], "imgae": 1}, "unknown key 'imgae'"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_fault_or_ends_the_reading(tmp_path: Path, row: Any, why: str) -> None:
    path = write(tmp_path, LINES["shikra, talk"][0], row)
    try:
        rows = list(read(path, "", str))
    except ValueError as error:  # what isn't JSON ends the reading
        assert "x.jsonl:2" in str(error) and why in str(error)
        return
    assert isinstance(rows[0], Record)
    assert isinstance(rows[1], Fault)
    assert rows[1].where == "x.jsonl:2" and why in rows[1].what


sides = st.integers(20, 4000)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(READINGS)), st.tuples(sides, sides), st.tuples(*[st.floats(0, 1)] * 4))
def test_every_reading_has_its_inverse(reading: str, size: tuple[int, int], shares: tuple[float, ...]) -> None:
    box = tuple(v * size[i % 2] for i, v in enumerate(shares))
    assert to_pixels(from_pixels(box, reading, size), reading, size) == pytest.approx(box, abs=1e-6)


def test_readings_of_numbers_worked_by_hand() -> None:
    assert to_pixels((0.5, 0.5), "square", (200, 100)) == (100, 50)
    assert to_pixels((0.0, 0.25, 1.0, 0.75), "square", (200, 100)) == (0, 0, 200, 100)
    assert to_pixels((500, 500), "norm1000", (200, 100)) == (100, 50)
    assert to_pixels((196, 112), "resized", (200, 100)) == (200, 100)  # 7 x 28 and 4 x 28
    many = [((0.0, 0.0, 900.0, 990.0), (4000, 3000))] * 20
    assert reading_of("qwen", many)[0] == "norm1000"  # large pictures, and never beyond 1000
    assert reading_of("qwen", many[:3])[0] == "pixels"
    assert reading_of("qwen", [((0.0, 0.0, 1200.0, 900.0), (4000, 3000))])[0] == "pixels"

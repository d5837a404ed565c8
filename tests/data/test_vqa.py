"""Official question files are read as they are published: small files of the same shape, made here."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.vqa import read_vqa


def packed() -> str:
    file = io.BytesIO()
    Image.effect_noise((8, 6), 50).convert("RGB").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def write(folder: Path, name: str, data: Any) -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def rows(samples: list[Any]) -> list[tuple[str, str, str, list[str], str]]:
    return [(Path(s.image).name, s.turns[0].text, s.turns[1].text, s.meta["answers"], s.meta["kind"]) for s in samples]


@pytest.mark.parametrize(
    "name",
    ["v2_OpenEnded_mscoco_val2014_questions.json", "OpenEnded_mscoco_val2014_questions.json"],
)
def test_vqa_and_okvqa_put_questions_and_annotations_together(name: str, tmp_path: Path) -> None:
    asked = {"image_id": 42, "question": "What is {this}?", "question_id": 420}
    told = [{"answer": a, "answer_id": n, "answer_confidence": "yes"} for n, a in enumerate(["cat", "dog", "dog"])]
    annotation = {"question_id": 420, "image_id": 42, "answers": told, "answer_type": "other"}
    path = write(tmp_path, name, {"data_subtype": "val2014", "questions": [asked]})
    beside = name.replace("OpenEnded_", "").replace("questions", "annotations")
    write(tmp_path, beside, {"annotations": [annotation]})
    expected = ("COCO_val2014_000000000042.jpg", "What is (this)?", "dog", ["cat", "dog", "dog"], "other")
    assert rows(read_vqa("vqav2", path)) == [expected]
    (tmp_path / beside).unlink()  # a test file has no answers
    assert read_vqa("okvqa", path)[0].meta["answers"] == []


def test_gqa_is_read_by_its_question_ids(tmp_path: Path) -> None:
    row = {"imageId": "n7", "question": "Is it red?", "answer": "yes", "types": {"semantic": "attr"}}
    (only,) = read_vqa("gqa", write(tmp_path, "val_balanced_questions.json", {"0123": row}))
    assert rows([only]) == [("n7.jpg", "Is it red?", "yes", ["yes"], "attr")]
    assert only.id == "0123"


def test_aokvqa_keeps_choices_and_direct_answers(tmp_path: Path) -> None:
    row = {"image_id": 9, "question": "What?", "question_id": "q", "direct_answers": ["ox", "cow", "cow"]}
    more = {"choices": ["ox", "cow", "cat", "dog"], "correct_choice_idx": 1, "rationales": []}
    (only,) = read_vqa("aokvqa", write(tmp_path, "aokvqa_v1p0_val.json", [{**row, **more}]))
    assert rows([only]) == [("000000000009.jpg", "What?", "cow", ["ox", "cow", "cow"], "")]
    assert (only.meta["choices"], only.meta["right"]) == (["ox", "cow", "cat", "dog"], 1)


def test_llava_dialogues_lose_the_pictures_mark_and_keep_their_turns(tmp_path: Path) -> None:
    said = [("human", "<image>\nWhat is it?"), ("gpt", "A cup."), ("human", "Where?"), ("gpt", "On {it}.")]
    row = {"id": "x", "image": "a/b.jpg", "conversations": [{"from": f, "value": v} for f, v in said]}
    text = {"id": "y", "conversations": row["conversations"][2:]}
    first, second = read_vqa("llava", write(tmp_path, "llava.json", [row, text]))
    assert [t.text for t in first.turns] == ["What is it?", "A cup.", "Where?", "On (it)."]
    assert first.image == tmp_path / "a/b.jpg"
    assert second.image is None


def test_mmbench_holds_its_pictures_and_may_name_anothers(tmp_path: Path) -> None:
    head = "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\n"
    body = (
        f"3\tWhich?\tLook.\tcat\tdog\t\tnan\tB\tkinds\t{packed()}\n1003\tWhich one?\tnan\tdog\tcat\t\t\tA\tkinds\t3\n"
    )
    first, second = read_vqa("mmbench", write(tmp_path, "mmbench_dev.tsv", head + body))
    assert first.turns[0].text == "Look. Which? A. cat B. dog Answer with a letter."
    assert (first.turns[1].text, first.meta["choices"]) == ("B", ["cat", "dog"])
    assert open_picture(first.image).size == open_picture(second.image).size == (8, 6)
    with pytest.raises(ValueError, match="takes the picture of row '9'"):
        read_vqa("mmbench", write(tmp_path, "odd.tsv", head + "1\tWhich?\t\ta\tb\t\t\tA\tk\t9\n"))
    with pytest.raises(ValueError, match="no base64"):
        read_vqa("mmbench", write(tmp_path, "odd.tsv", head + "1\tWhich?\t\ta\tb\t\t\tA\tk\t" + "?" * 80 + "\n"))


def test_seedbench_leaves_out_films(tmp_path: Path) -> None:
    row: dict[str, Any] = {f"choice_{c}": f"{c} thing" for c in "abcd"}
    row |= {"question": "What?", "answer": "C", "data_id": "p1", "question_id": "7", "question_type_id": 2}
    data = {
        "question_type": {"Scene Understanding": 1, "Instance Identity": 2},
        "questions": [{**row, "data_type": "image"}, {**row, "data_type": "video", "data_id": "v.mp4"}],
    }
    (only,) = read_vqa("seedbench", write(tmp_path, "SEED-Bench.json", data))
    asked = "What? A. a thing B. b thing C. c thing D. d thing Answer with a letter."
    assert rows([only]) == [("p1", asked, "C", ["C"], "Instance Identity")]


def test_daquar_is_split_by_picture_and_a_set_of_answers_is_one_answer(tmp_path: Path) -> None:
    questions = ["how many chairs are there?", "what color is it?", "what is it?"]
    data = [
        {"image": f"images/image{n}.jpg", "question": q, "answers": ["desk", "pen"] if q == questions[2] else ["2"]}
        for n in range(60)
        for q in questions
    ]
    path = write(tmp_path, "questions.json", data)
    train, val = read_vqa("daquar", path, "train"), read_vqa("daquar", path, "val")
    assert len(train) + len(val) == 180 and 15 < len(val) < 60
    assert not {s.image for s in train} & {s.image for s in val}
    assert [s.meta["kind"] for s in train[:3]] == ["count", "colour", "thing"]
    assert train[2].turns[1].text == "desk, pen"


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        ("gqa", "{", "is not JSON"),
        ("gqa", {"1": {"question": "a"}}, "lacks the field or category 'imageId'"),
        ("gqa", [1], "another kind than it should"),
        ("vqav2", {"questions": []}, "no questions of part 'all'"),
        ("daquar", [{"image": "../../x.jpg", "question": "what?", "answers": ["a"]}], "lies outside"),
        ("magic", {}, "choose one of"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(kind: str, data: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=why):
        read_vqa(kind, write(tmp_path, "q.json", data))
    with pytest.raises(FileNotFoundError, match="is not there"):
        read_vqa("gqa", tmp_path / "no.json")
    with pytest.raises(ValueError, match="wanted train, val or all"):
        read_vqa("gqa", tmp_path / "q.json", "test")

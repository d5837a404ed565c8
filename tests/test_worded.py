"""Questions that want words, ranked phrases, shown regions: asked of a model, scored from files, compared, reported."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from perceptiongpt import cli
from perceptiongpt.answers import Said
from perceptiongpt.compare import compared
from perceptiongpt.core.packed import Packed
from perceptiongpt.evaluate import evaluate
from perceptiongpt.foreign import read_predictions, truth
from perceptiongpt.judging import Judged, judged, measured
from perceptiongpt.model.perception import PerceptionModel
from perceptiongpt.predict import Eye
from perceptiongpt.questions import Question, questions_of
from perceptiongpt.report import report, worth
from perceptiongpt.tables import table, to_json

Make = Callable[..., Any]


def picture(file: Path, colour: str = "teal") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 60), colour).save(file)


def write(file: Path, rows: Any) -> Path:
    """A JSON file, or JSON lines for a list in a .jsonl."""
    text = "\n".join(map(json.dumps, rows)) if file.suffix == ".jsonl" else json.dumps(rows)
    file.write_text(text, encoding="utf-8")
    return file


def vqav2(folder: Path) -> str:
    people = {1: ["red"] * 3 + ["blue"] * 7, 2: ["2"] * 10, 3: ["yes"] * 9 + ["no"]}
    asked = [{"image_id": 7 + n // 3, "question": f"What is {n}?", "question_id": n} for n in people]
    told = [
        {"question_id": n, "image_id": 7, "answers": [{"answer": a} for a in answers], "answer_type": kind}
        for (n, answers), kind in zip(people.items(), ("other", "number", "yes/no"), strict=True)
    ]
    for n in (7, 8):
        picture(folder / "val2014" / f"COCO_val2014_{n:012d}.jpg")
    write(folder / "v2_mscoco_val2014_annotations.json", {"annotations": told})
    file = write(folder / "v2_OpenEnded_mscoco_val2014_questions.json", {"data_subtype": "val2014", "questions": asked})
    return f"vqa:vqav2:{file}"


def gqa(folder: Path) -> str:
    row = {"imageId": "n7", "answer": "dog", "types": {"semantic": "obj"}}
    rows = {str(n): {**row, "question": f"Which animal is {n}?"} for n in range(4)}
    picture(folder / "images" / "n7.jpg")
    return f"vqa:gqa:{write(folder / 'val_balanced_questions.json', rows)}:all"


def pope(folder: Path) -> str:
    labels = ("yes", "no", "yes", "no")
    rows = [
        {
            "question_id": n,
            "image": "COCO_val2014_000000000007.jpg",
            "text": f"Is there a {n} in the image?",
            "label": k,
        }
        for n, k in enumerate(labels)
    ]
    picture(folder / "COCO_val2014_000000000007.jpg")
    file = folder / "coco_pope_adversarial.json"
    file.write_text("\n".join(map(json.dumps, rows)))
    return f"vqa:pope:{file}"


def mmbench(folder: Path) -> str:
    packed = io.BytesIO()
    Image.effect_noise((8, 6), 50).convert("RGB").save(packed, "PNG")
    image = base64.b64encode(packed.getvalue()).decode()
    head = "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\n"
    rows = f"1\tWhich?\t\tcat\tdog\tcow\t\tB\tanimals\t{image}\n2\tHow many?\t{'so ' * 300}\t1\t2\t\t\tA\tcounts\t1\n"
    (folder / "mmbench_dev.tsv").write_text(head + rows)
    return f"vqa:mmbench:{folder / 'mmbench_dev.tsv'}"


def seedbench(folder: Path) -> str:
    row = {"data_type": "image", "data_id": "7.jpg", "question_type_id": 1, "choice_a": "cat", "choice_b": "dog"}
    rows = [{**row, "question": f"Which is {n}?", "question_id": f"q{n}", "answer": "AB"[n]} for n in range(2)]
    picture(folder / "7.jpg")
    data = {"question_type": {"Scene": 1}, "questions": rows}
    return f"vqa:seedbench:{write(folder / 'SEED-Bench.json', data)}"


def daquar(folder: Path) -> str:
    rows = [
        {"image": "7.jpg", "question": "what is on the table?", "answers": ["dog", "chair"]},
        {"image": "7.jpg", "question": "how many chairs are there?", "answers": ["2"]},
    ]
    picture(folder / "7.jpg")
    return f"vqa:daquar:{write(folder / 'questions.json', rows)}"


def flickr(folder: Path) -> str:
    boxes = {"1": [(11, 6, 31, 41), (41, 6, 61, 41)], "3": [(11, 6, 31, 41)]}
    objects = "".join(
        f"<object><name>{n}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for n, found in boxes.items()
        for a, b, c, d in found
    )
    size = "<size><width>80</width><height>60</height><depth>3</depth></size>"
    told = "[/EN#1/people Two men] in [/EN#3/clothing red shirts] at [/EN#2/scene a game] .\n"
    for name, text in (
        ("Annotations/7.xml", f"<annotation>{size}{objects}</annotation>"),
        ("Sentences/7.txt", told * 2),
        ("test.txt", "7\n"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    picture(folder / "flickr30k-images" / "7.jpg")
    return f"flickr30k:{folder}:test"


def refcoco(folder: Path) -> str:
    """gRefCOCO's form: an expression for one thing, for two and for none."""
    annotations = [
        {"id": 11 + i, "image_id": 7, "category_id": 1, "bbox": [10 + 30 * i, 10, 20, 30], "iscrowd": 0, "area": 600}
        | {"segmentation": [[10 + 30 * i, 10, 30 + 30 * i, 10, 30 + 30 * i, 40, 10 + 30 * i, 40]]}
        for i in range(2)
    ]
    images = [{"id": 7, "file_name": "7.jpg", "width": 80, "height": 60}]
    names = [{"id": 1, "name": "man"}]
    write(folder / "instances.json", {"images": images, "annotations": annotations, "categories": names})
    told = [([11], "left man", False), ([12], "right man", False), ([11, 12], "both", False), ([-1], "dog", True)]
    refs = [
        {"ref_id": i, "image_id": 7, "ann_id": ids, "split": "val", "no_target": none, "sentences": [{"sent": sent}]}
        for i, (ids, sent, none) in enumerate(told)
    ]
    write(folder / "grefs(unc).json", refs)
    picture(folder / "7.jpg")
    return f"refcoco:{folder}:val"


def genome(folder: Path) -> str:
    region = {"image_id": 7, "x": 10, "y": 5, "width": 30, "height": 40}
    told = ("a small red cup here", "one blue dog on a mat")
    regions = [{**region, "region_id": n, "phrase": phrase} for n, phrase in enumerate(told)]
    write(folder / "region_descriptions.json", [{"id": 7, "regions": regions}])
    picture(folder / "VG_100K" / "7.jpg")
    return f"describe:genome:{folder}:all"


EVERY = (vqav2, gqa, pope, mmbench, seedbench, daquar, genome, flickr, refcoco)


def of(data: str) -> list[Question]:
    return [q for one in questions_of(data)[0] for q in one.questions]


def numbers(questions: Sequence[Question], said: Sequence[str], **how: Any) -> dict[str, Any]:
    return judged(measured([Judged(q, Said(s)) for q, s in zip(questions, said, strict=True)], **how))


@pytest.mark.parametrize("data", EVERY, ids=lambda f: f.__name__)
def test_the_truth_earns_all_and_silence_nothing(data: Make, tmp_path: Path) -> None:
    questions = of(data(tmp_path))
    right = judged(measured(truth(questions)[0]))
    silent = numbers(questions, [""] * len(questions))
    chief = {flickr: "phrases.any_r5", refcoco: "gres.giou", genome: "captions.cider", pope: "pope.f1"}
    part, _, field = chief.get(data, "choice.accuracy" if data in (mmbench, seedbench) else "vqa.accuracy").partition(
        "."
    )
    most = 10.0 if data is genome else 1.0
    assert right[part][field] == pytest.approx(most)
    assert silent[part][field] == (0.25 if data is refcoco else 0.0)  # gRefCOCO: nothing is right where nothing is
    json.loads(to_json(right))
    assert table(silent)


def test_vqav2_is_scored_as_published_and_by_kind(tmp_path: Path) -> None:
    found = numbers(of(vqav2(tmp_path)), ["Red.", "two", "no"])
    # 3 of 10 say red: 0.9; all say 2, but where all agree the official program compares as it stands: "two" is wrong
    assert found["vqa"]["by_kind"] == {
        "number": {"accuracy": 0.0, "n": 1},
        "other": {"accuracy": 0.9, "n": 1},
        "yes/no": {"accuracy": 0.3, "n": 1},
    }
    assert found["vqa"]["accuracy"] == pytest.approx(0.4)
    assert (found["vqa"]["wups90"], found["rec"], found["gres"]) == (None, None, None)
    assert found["counts"] == {"expressions": 3, "single": 0, "group": 0, "none": 0, "words": 3, "pictures": 2}
    low, high = found["intervals"]["vqa.accuracy"]
    assert 0 <= low <= 0.4 <= high <= 1


def test_daquar_counts_sets_of_words_and_their_likeness(tmp_path: Path) -> None:
    def likeness(a: str, b: str) -> float:
        return 1.0 if a == b else 0.95 if {a, b} == {"dog", "cat"} else 0.2

    found = numbers(of(daquar(tmp_path)), ["chair, cat", "3"], similarity=likeness)
    assert found["vqa"]["exact"] == found["vqa"]["accuracy"] == 0.0
    assert found["vqa"]["wups90"] == pytest.approx((0.95 + 0.02) / 2)
    assert found["vqa"]["wups0"] == pytest.approx((0.95 + 0.2) / 2)
    assert numbers(of(daquar(tmp_path)), ["chair, dog", "two"])["vqa"]["exact"] == 1.0


def test_pope_tells_its_five_numbers(tmp_path: Path) -> None:
    found = numbers(of(pope(tmp_path)), ["Yes.", "Yes, a dog.", "No", "perhaps"])  # TP 1, FP 1, FN 1
    assert {k: found["pope"][k] for k in ("accuracy", "precision", "recall", "f1", "yes_ratio", "invalid")} == {
        "accuracy": 0.25,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "yes_ratio": 0.5,
        "invalid": 0.25,
    }
    assert found["pope"]["by_kind"] == {"adversarial": {"accuracy": 0.25, "n": 4}}


def test_circular_evaluation_asks_every_rotation(tmp_path: Path) -> None:
    questions = of(mmbench(tmp_path))
    assert [(q.id, q.answers[0], q.choices[0]) for q in questions] == [
        ("1-0", "B", "cat"),
        ("1-1", "A", "dog"),
        ("1-2", "C", "cow"),
        ("2-0", "A", "1"),
        ("2-1", "B", "2"),
    ]
    assert "A. dog B. cow C. cat" in questions[1].phrase
    found = numbers(questions, ["B", "A", "(C) cat", "A", "A"])["choice"]
    assert (found["circular"], found["accuracy"]) == (0.5, 0.8)
    cut = numbers(questions[:4], ["B", "A", "C", "A"])["choice"]
    assert cut["circular"] == 1.0  # the second question wasn't asked in every rotation
    assert numbers(of(seedbench(tmp_path)), ["A", "the cat"])["choice"]["circular"] is None


def test_flickr_phrases_are_counted_under_both_protocols(tmp_path: Path) -> None:
    questions = of(flickr(tmp_path))
    assert [(q.phrase, q.kind, len(q.targets)) for q in questions[:2]] == [
        ("Two men", "people", 2),
        ("red shirts", "clothing", 1),
    ]
    first, whole, far = Packed((10, 5, 30, 40)), Packed((10, 5, 60, 40)), Packed((0, 50, 9, 59))
    said = [(far, first), (far,), (whole,), (first,)]
    found = judged(measured([Judged(q, Said("", s)) for q, s in zip(questions, said, strict=True)]))["phrases"]
    # One man has 0.4 of the box around both, and the box around both 0.4 of one man.
    assert (found["any_r1"], found["any_r5"], found["any_r10"]) == (0.25, 0.5, 0.5)
    assert (found["merged_r1"], found["merged_r5"]) == (0.5, 0.5)
    assert found["by_kind"]["clothing"] == {"any_r1": 0.5, "n": 2}


def test_expressions_of_grefcoco_are_asked_as_they_stand(tmp_path: Path) -> None:
    told = [(q.phrase, q.kind, len(q.targets), q.category) for q in of(refcoco(tmp_path))]
    assert told == [
        ("left man", "phrase", 1, "man"),
        ("right man", "phrase", 1, "man"),
        ("both", "group", 2, "man"),
        ("dog", "none", 0, None),
    ]


def test_composed_pictures_are_asked_about_in_words() -> None:
    for data, judge in (("questions:test:3", "vqa"), ("captions:test:3", "captions")):
        asked, words = questions_of(data)
        one, again = next(asked), next(questions_of(data)[0])
        assert words == f"{data.rpartition(':')[0]} seed 3"
        assert [(q.phrase, q.answers) for q in one.questions] == [(q.phrase, q.answers) for q in again.questions]
        assert {(q.judge, q.points) for q in one.questions} == {(judge, False)}


# -- asked of a model, and told of ------------------------------------------------------------------------


@pytest.mark.parametrize("data", [vqav2, mmbench, genome, flickr], ids=lambda f: f.__name__)
def test_a_model_is_asked_and_reported_on(data: Make, tmp_path: Path, model_folder: Path, capsys: Any) -> None:
    name, out = data(tmp_path), tmp_path / "out"
    words = ["evaluate", str(model_folder), "--data", name, "--out", str(out), "--max-new-tokens", "4"]
    assert cli.main(words) == 0
    capsys.readouterr()
    read = json.loads((out / "metrics.json").read_text())
    part = {vqav2: "vqa", mmbench: "choice", genome: "captions", flickr: "phrases"}[data]
    assert read[part]["n"] == len(of(name))
    page = (out / "report.html").read_text()
    assert page.count("<img src=") == len(of(name))
    assert f"{part} by kind of question" in page
    assert cli.main(["score", str(out / "answers.jsonl"), "--data", name, "--json", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text())[part] == read[part]
    assert cli.main(["compare", str(out / "answers.jsonl"), str(out / "answers.jsonl"), "--data", name]) == 0
    assert f"{part}." in capsys.readouterr().out


def test_a_model_that_only_asks_answers_in_words(
    equipped: Callable[..., PerceptionModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    only = equipped("aya_vision", points=False, lora_targets="none", ask={"width": 32, "depth": 1, "replies": 3})
    eye = Eye(only, "asker")
    pairs = evaluate(eye, questions_of(vqav2(tmp_path))[0], 3, show=False, max_new_tokens=4)
    assert judged(measured(pairs))["vqa"]["n"] == 3
    monkeypatch.setattr("perceptiongpt.measuring.open_eye", lambda model, told: eye)
    out = ["--out", str(tmp_path / "out"), "--max-new-tokens", "4"]
    assert cli.main(["evaluate", "m", "--data", f"{gqa(tmp_path)}", *out]) == 0
    assert cli.main(["evaluate", "m", "--data", refcoco(tmp_path), *out]) == 2
    assert "only answers in words" in capsys.readouterr().err


def test_answers_in_words_are_read_from_files_of_others(tmp_path: Path) -> None:
    questions = of(vqav2(tmp_path))
    results = write(tmp_path / "results.json", [{"question_id": 2, "answer": "2"}, {"question_id": 3, "answer": 5}])
    pairs, reading = read_predictions(results, questions)
    assert ([p.said.text for p in pairs], [p.said.readable for p in pairs]) == (["", "2", ""], [True, True, False])
    assert reading["form"] == "words"
    lines = write(tmp_path / "lines.jsonl", [{"id": 1, "text": "red"}, {"id": 2, "response": "3"}])
    assert [p.said.text for p in read_predictions(lines, questions)[0]] == ["red", "3", ""]
    for rows in ([{"answer": "x"}], [5], [{"question_id": 99, "answer": "x"}]):
        with pytest.raises(ValueError, match="id"):
            read_predictions(write(tmp_path / "broken.json", rows), questions)
    with pytest.raises(ValueError, match="leave --format out"):
        read_predictions(lines, questions, "qwen")


def test_two_models_answers_in_words_are_compared(tmp_path: Path) -> None:
    questions = of(pope(tmp_path))
    first, second = (
        measured([Judged(q, Said(s)) for q, s in zip(questions, said, strict=True)])
        for said in (["no"] * 4, ["yes", "no", "yes", "no"])
    )
    row = compared(first, second)["numbers"]["pope.accuracy"]
    assert (row["first"], row["second"], row["difference"]) == (0.5, 1.0, 0.5)


def test_the_report_shows_words_beside_the_truth(tmp_path: Path) -> None:
    name = genome(tmp_path)
    asked = list(questions_of(name)[0])
    rows = measured([Judged(q, Said("a small red <b>cup</b>")) for one in asked for q in one.questions])
    page = report({**judged(rows), "protocol": {}}, rows, asked, "words")
    assert "a small red &lt;b&gt;cup" in page and "true: one blue dog on a mat" in page
    assert worth(rows[0]) > worth(rows[1]) == 0.0


NOWHERE = """vqa:llava:x.json vqa:nothing:x.json vqa:gqa:no.json vqa: describe:genome:no:all describe:coco:no.json
refcoco:no:val flickr30k:no:test coco:no.json:val questions:nowhere questions:test:x"""


@pytest.mark.parametrize("data", NOWHERE.split())
def test_data_in_words_that_is_not_there_is_refused(data: str, capsys: Any) -> None:
    assert cli.main(["score", "answers.jsonl", "--data", data]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1

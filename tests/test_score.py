"""Foreign predictions: each notation lands on the pixels it means, what is unreadable is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiongpt import cli
from perceptiongpt.compare import compared
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.masks import encode_rle
from perceptiongpt.core.packed import Packed
from perceptiongpt.foreign import read_predictions
from perceptiongpt.judging import judged, measure
from perceptiongpt.questions import Question

WH = (200, 100)
BOX = (20.0, 10.0, 100.0, 60.0)
MUG = Question("p-0", "the mug", "name", (Packed(BOX),), WH)
CUP = Question("p-1", "the cup", "name", (Packed(BOX),), WH)
NONE = Question("p-2", "the dragon", "none", (), WH)


def said(tmp_path: Path, *texts: str, form: str | None = None, coordinates: str | None = None, **extra: Any) -> Any:
    file = tmp_path / "said.jsonl"
    rows = [{"id": f"p-{i}", "text": text, **extra} for i, text in enumerate(texts)]
    file.write_text("\n".join(json.dumps(r) for r in rows))
    return read_predictions(file, [MUG, CUP, NONE][: len(texts)], form, coordinates)


@pytest.mark.parametrize(
    ("text", "told", "within"),
    [
        ('```json\n[{"bbox_2d": [100, 100, 500, 600], "label": "mug"}]\n```', {}, 1e-9),
        ('{"bbox_2d": [40, 30, 200, 180]}', {"coordinates": "resized", "input_size": [400, 300]}, 1e-9),
        ('{"bbox_2d": [20, 10, 100, 60]}', {"coordinates": "pixels"}, 1e-9),
        ('{"bbox_2d": [99.9, 99.9, 499.5, 599.4]}', {"coordinates": "0-999"}, 1e-9),
        ("mug<loc_100><loc_100><loc_500><loc_600>", {}, 0.11),  # the middle of a bin of 0.2 x 0.1 pixels
        ("<loc0102><loc0102><loc0614><loc0512> mug", {}, 0.1),  # y first
        ("The mug[0.100,0.300,0.500,0.550] is red.", {}, 1e-9),  # of the square: 50 pixels above and below
        ("The mug[0.1,0.1,0.5,0.6]", {"coordinates": "0-1"}, 1e-9),
    ],
    ids=["qwen", "qwen2.5", "pixels", "0-999", "florence", "paligemma", "shikra", "0-1"],
)
def test_a_notation_lands_on_the_pixels_that_it_means(tmp_path: Path, text: str, told: dict, within: float) -> None:
    (pair,), reading = said(tmp_path, text, **told)
    assert np.allclose(pair.said.regions[0].box, BOX, atol=within, rtol=0)
    assert pair.said.readable
    assert reading["coordinates"]


@pytest.mark.parametrize(
    "text",
    [
        "I cannot see any mug.",
        '{"bbox_2d": [100, 100, 500]}',
        '{"bbox_2d": [500, 600, 100, 100]}',  # corners the wrong way round
        '{"bbox_2d": [1e999, 0, 1, 1]}',
        '{"bbox_2d": "here"}',
        "x" * 100_001,
        '{"bbox_2d": [1, 1, 2, 2]}' * 1001,
        "",
    ],
    ids=range(8),
)
def test_what_cannot_be_read_counts_as_wrong(tmp_path: Path, text: str) -> None:
    pairs, _ = said(tmp_path, '{"bbox_2d": [100, 100, 500, 600]}', text, form="qwen")
    result = judged([measure(p) for p in pairs])
    assert (result["rec"]["acc50"], result["rec"]["invalid"], result["unreadable"]) == (0.5, 0.5, 1)


def test_an_empty_list_says_that_there_is_none(tmp_path: Path) -> None:
    pairs, _ = said(tmp_path, '{"bbox_2d": [100, 100, 500, 600]}', "[]", "[]", form="qwen")
    result = judged([measure(p) for p in pairs])
    assert (result["rejection"]["n_acc"], result["rejection"]["t_acc"], result["unreadable"]) == (1.0, 0.5, 0)


def test_unanswered_questions_count_as_answered_with_nothing(tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    file.write_text('{"id": "p-0", "text": "[{\\"bbox_2d\\": [100, 100, 500, 600]}]"}\n')
    pairs, reading = read_predictions(file, [MUG, CUP])
    assert judged([measure(p) for p in pairs])["rec"]["acc50"] == 0.5
    assert reading["answered"].startswith("1 of 2")


def test_coco_results_belong_to_questions_by_picture_and_category(tmp_path: Path) -> None:
    mask = np.zeros(WH[::-1], bool)
    mask[10:60, 20:100] = True
    truth = Question("7-3", "all the mugs", "class", (Packed(BOX, encode_rle(mask)),), WH, "mug", 0)
    rows = [
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 9, 9], "score": 0.1},
        {"image_id": 7, "category_id": 3, "bbox": [20, 10, 80, 50], "score": 0.9, "segmentation": encode_rle(mask)},
        {"image_id": 8, "category_id": 3, "bbox": [0, 0, 9, 9], "score": 0.5},
    ]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(rows))
    pairs, reading = read_predictions(file, [truth])
    result = judged([measure(p) for p in pairs])
    assert (result["rec"]["acc90"], result["res"]["miou"], result["detection"]["ap"]) == (1.0, 1.0, 1.0)
    assert reading["form"] == "coco"
    for broken in ({"bbox": [0, 0, -5, 5]}, {"bbox": "no"}, {"segmentation": {"size": [3, 3], "counts": "?"}}, {}):
        file.write_text(json.dumps([{"image_id": 7, "category_id": 3, "score": 0.5, **broken}]))
        with pytest.raises(ValueError, match="row 0 is no COCO result"):
            read_predictions(file, [truth])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no notation"),
        ("hello", "no notation"),
        ("[", "not JSON"),
        ('{"text": "<loc_1>"}', "no id"),
        ('{"id": "x-9", "text": "<loc_1>"}', "answers none"),
        ('{"id": "p-0", "regions": 5}', "the answer to p-0"),
        ('{"id": "p-0", "regions": [{"box": [5, 5, 1, 1]}]}', "the answer to p-0"),
        ('{"id": "p-0", "regions": [{"box": [0, 0, NaN, 1]}]}', "not a JSON number"),
        ('{"id": "p-0", "regions": [{"box": [0, 0, 1e400, 1]}]}', "the answer to p-0"),
        ('{"id": "p-0", "regions": [{"box": [0, 0, ' + "9" * 400 + ", 1]}]}", "the answer to p-0"),
        ('{"id": "p-0", "regions": ' + "[" * 9999 + "]" * 9999 + "}", "broken JSON"),
        ('{"id": "p-0", "regions": []}\n{"id": "p-1", "reg', "file:2: broken JSON"),
        ('{"id": "p-0", "regions": [{"mask": {"size": [99999999, 99999999], "counts": "a"}}]}', "over the limit"),
        ('[{"id": "p-0", "image_id": 7, "bbox": [1, 1, ' + "9" * 400 + ", 5]}]", "row 0 is no COCO result"),
    ],
)
def test_files_that_break_their_form_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_predictions(file, [MUG])


def test_formats_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_predictions(tmp_path / "no", [MUG])
    (tmp_path / "file").write_text("{}")
    with pytest.raises(ValueError, match="wanted one of"):
        read_predictions(tmp_path / "file", [MUG], "csv")
    with pytest.raises(ValueError, match="wanted one of"):
        read_predictions(tmp_path / "file", [MUG], "qwen", "inches")


# -- the command line ------------------------------------------------------------------------


def folder(at: Path) -> Path:
    """Two pictures with one thing each, and a question for nothing, as `data scenes` writes them."""
    (at / "images").mkdir(parents=True)
    lines = []
    for number, x in enumerate((10, 90)):
        Image.new("RGB", WH, "navy").save(at / f"images/{number}.png")
        mask = np.zeros(WH[::-1], bool)
        mask[20:60, x : x + 50] = True
        for k, kind in enumerate(("name", "none")):
            row: dict[str, Any] = {"id": f"{number}-{k}", "image": f"images/{number}.png", "phrase": f"the {kind}"}
            there = kind == "name"
            row |= {"kind": kind, "boxes": [[x, 20, x + 50, 60]] * there, "masks": [encode_rle(mask)] * there}
            lines.append(json.dumps(row))
    (at / "expressions.jsonl").write_text("\n".join(lines) + "\n")
    for name in ("samples.jsonl", "annotations.json"):
        (at / name).write_text("")
    return at


def test_a_folder_given_as_predictions_is_scored_with_its_own_truth(tmp_path: Path, capsys: Any) -> None:
    data, numbers = folder(tmp_path / "data"), tmp_path / "numbers.json"
    assert (
        cli.main(["score", str(data), "--data", str(data), "--json", str(numbers), "--out", str(tmp_path / "o")]) == 0
    )
    read = json.loads(numbers.read_text())
    assert (read["rec"]["acc50"], read["res"]["miou"], read["rejection"]["n_acc"]) == (1.0, 1.0, 1.0)
    assert read["protocol"]["form"] == "truth"
    assert {f.name for f in (tmp_path / "o").iterdir()} == {"metrics.json", "protocol.json", "report.html"}
    assert "REC  acc50 1.0000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "hold no questions"),
        ("{}", "other keys"),
        ("[1]", "other keys"),
        ({"boxes": 5}, "another kind"),
        ({"boxes": [[0, 0, 1e999, 1]], "masks": [None]}, "not four finite numbers"),
        ({"boxes": [[0, 0, int("9" * 400), 1]], "masks": [None]}, "another kind"),
        ({"boxes": [[0, 0, 1, 1]]}, "zip"),
        ({"phrase": 5}, "no text"),
        ({"image": "../0.png"}, "lies outside"),
        ({"image": "images/9.png"}, "does not exist"),
    ],
)
def test_a_data_folder_that_is_broken_is_refused_in_a_sentence(
    tmp_path: Path, capsys: Any, line: str | dict[str, Any], why: str
) -> None:
    data = folder(tmp_path / "data")
    sound = {"id": "0-0", "image": "images/0.png", "phrase": "it", "kind": "name", "boxes": [], "masks": []}
    text = line if isinstance(line, str) else json.dumps({**sound, **line}).replace("Infinity", "1e999")
    (data / "expressions.jsonl").write_text(text)
    assert cli.main(["score", str(data), "--data", str(data)]) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert why in told


def test_comparing_tells_the_paired_difference_and_shows_where(tmp_path: Path, capsys: Any) -> None:
    data, page = folder(tmp_path / "data"), tmp_path / "page.html"
    answer = Answer("The name.", (Region(box=(10, 20, 60, 60)),), WH).to_dict()
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps({"id": "0-0", "phrase": "the name", **answer}) + "\n")
    words = ["compare", str(file), str(data), "--data", str(data), "-o", str(page), "--json", str(tmp_path / "c.json")]
    assert cli.main(words) == 0
    row = json.loads((tmp_path / "c.json").read_text())["numbers"]["rec.acc50"]
    assert (row["first"], row["second"], row["difference"], row["interval"]) == (0.5, 1.0, 0.5, [0.0, 1.0])
    assert "may be chance" in capsys.readouterr().out
    html = page.read_text()
    assert html.count("data:image/jpeg") == 4  # the two phrases with a thing: no masks in the first file, none at all
    assert "the none" not in html


def test_answers_to_other_questions_are_not_compared() -> None:
    from perceptiongpt.answers import Said
    from perceptiongpt.judging import Judged

    one, other = ([measure(Judged(q, Said("")))] for q in (MUG, CUP))
    with pytest.raises(ValueError, match="other questions"):
        compared(one, other)

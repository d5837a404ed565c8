"""The default model's table: each row beside its target, from the public evaluate, the same again, in its own marks."""

from __future__ import annotations

import json
import runpy
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from perceptiongpt.answers import Said
from perceptiongpt.card import data_hash
from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.judging import Judged
from perceptiongpt.questions import questions_of

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "default_model.py"


@pytest.fixture(scope="module")
def bench() -> dict[str, Any]:
    """The names in benchmarks/default_model.py."""
    return runpy.run_path(str(BENCHMARK), run_name="default_model")


def test_a_quick_run_fills_every_row_and_the_page_and_goes_on(
    bench: dict[str, Any], model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "card.md"
    page.write_text("# Card\n\nBefore.\n", encoding="utf-8")
    words = ["--quick", "--model", str(model_folder), "--threads", str(torch.get_num_threads())]
    words += ["--out", str(tmp_path / "parts"), "--json", str(tmp_path / "out.json"), "--page", str(page)]
    assert bench["main"](words) == 0
    told = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [row["what"] for row in told["rows"]] == [row[3] for row in bench["ROWS"]]
    assert all(row["met"] in (None, True, False) for row in told["rows"])
    by = {row["key"]: row for row in told["rows"]}
    assert by["groups: group.f1"]["n"] == 8 and len(by["groups: group.f1"]["detail"]) == 8
    assert by["photos-all: acc50"]["n"] == by["photos: rec.acc50"]["n"] + by["photos-novel: rec.acc50"]["n"] > 0
    assert len(told["commands"]) == len(bench["sources"]("val")) + 1
    assert by["cost: download"]["value"] > 1
    assert by["questions: vqa.exact"]["value"] is not None
    assert told["split"] == "val" and "scenes:test" not in json.dumps(told["commands"])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Card\n\nBefore.\n") and text.count("default_model: begin") == 1
    answers = tmp_path / "parts" / "scenes-val-1" / "answers.jsonl"
    before = answers.read_bytes()
    assert bench["main"](words) == 0  # again: nothing is asked twice, nothing stands twice
    assert answers.read_bytes() == before
    assert page.read_text(encoding="utf-8").count("default_model: begin") == 1
    assert "wanted" in capsys.readouterr().out


def test_rows_stand_beside_their_targets_by_hand(bench: dict[str, Any]) -> None:
    parts: dict[str, Any] = {row[0]: {"values": {}, "data": row[0]} for row in bench["ROWS"]}
    parts["scenes"]["values"] = {
        "rec": {"acc50": 0.88, "acc75": 0.7499, "n": 10},
        "calibration": {"ece": 0.031, "n": 10},
        "intervals": {"rec.acc50": [0.8, 0.9]},
        "by_kind": {"name": {"acc50": 0.9, "miou": 0.1, "n": 4}},
    }
    parts["cost"]["values"] = {"download": 40.0, "seconds": 1.01, "calls": 15}
    rows = {row["key"]: row for row in bench["rows_of"](parts)}
    assert rows["scenes: rec.acc50"]["met"] is True and rows["scenes: rec.acc50"]["interval"] == [0.8, 0.9]
    assert rows["scenes: rec.acc50"]["detail"] == {"name": {"value": 0.9, "n": 4}}
    assert rows["scenes: rec.acc75"]["met"] is False
    assert rows["scenes: calibration.ece"]["met"] is False
    assert (rows["cost: download"]["met"], rows["cost: seconds"]["met"]) == (True, False)
    assert rows["groups: group.f1"]["met"] is False  # what was not measured has not been reached
    assert rows["scenes: calibration.aurc"]["met"] is None


def test_kinds_that_others_taught_are_not_called_novel(bench: dict[str, Any]) -> None:
    by = {"zebra": {"acc50": 1.0, "n": 6}, "crab": {"acc50": 0.5, "n": 2}, "anchor": {"acc50": 0.0, "n": 2}}
    coco, imagenet = bench["NAMED_BY_COCO"], bench["NAMED_BY_IMAGENET"]
    assert bench["without"](coco, by) == {"acc50": 0.25, "n": 4}
    assert bench["without"](coco + imagenet, by) == {"acc50": 0.0, "n": 2}
    assert bench["without"](coco, {}) == {"acc50": None, "n": 0}
    novel = {thing.kind for thing in ObjectLibrary.open().objects("novel")}
    assert novel >= {*coco, *imagenet}  # a misspelt one would be asked about all the same


def test_photographs_of_several_parts_are_one_row_by_hand(bench: dict[str, Any]) -> None:
    known, novel = {"rec": {"acc50": 1.0, "n": 12}}, {"rec": {"acc50": 0.6, "n": 20}}
    assert bench["pooled"](known, novel) == {"acc50": 0.75, "n": 32}
    assert bench["pooled"](known, {"rec": {"acc50": None, "n": 0}}) == {"acc50": None, "n": 12}


def test_a_page_keeps_what_stands_around_the_marks(bench: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n" + bench["MARK"][0] + "\nold\n" + bench["MARK"][1] + "\nbelow\n", encoding="utf-8")
    bench["write_into"](page, "new")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("above\n") and text.endswith("\nbelow\n") and "new" in text and "old" not in text


@pytest.mark.parametrize("split", ["val", "test"])
def test_every_part_asks_the_same_each_time(bench: dict[str, Any], split: str) -> None:
    def hashed(data: str) -> str:
        asked = (q for one in questions_of(data)[0] for q in one.questions)
        return data_hash(Judged(q, Said("")) for q in islice(asked, 3))

    sources = bench["sources"](split)
    assert {row[0] for row in bench["ROWS"]} == {*sources, "photos-all", "cost"}
    assert [hashed(data) for data in sources.values()] == [hashed(data) for data in sources.values()]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--n", "0"], "at least 1"),
        (["--json", "no/such/folder/out.json"], "make it first"),
        (["--page", "no-such-page.md"], "name one that is"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    words: list[str], why: str, bench: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench["main"](words) == 2
    assert why in capsys.readouterr().err

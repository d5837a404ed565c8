"""The evaluator: the truth scores 1, silence scores 0, what is said of nothing is counted, groups stay apart."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.masks import encode_rle, mask_to_box
from perceptiongpt.data.scenes import Scenes
from perceptiongpt.evaluate import Asked, Question, evaluate, folder_questions, protocol, questions_of, table, to_json
from perceptiongpt.predict import Eye

SIZE = (60, 40)


def thing(x: int, y: int, w: int = 12, h: int = 10) -> Region:
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[y : y + h, x : x + w] = True
    return Region(box=mask_to_box(mask), mask=mask)


LEFT, RIGHT, LOW = thing(2, 3), thing(40, 5), thing(20, 25, 20, 12)
ASKED = (
    Asked(
        Image.new("RGB", SIZE, "navy"),
        (
            Question("the left thing", "place", (LEFT,)),
            Question("the low thing", "place", (LOW,)),
            Question("all the things", "group", (LEFT, RIGHT, LOW)),
            Question("the dragon", "none", ()),
        ),
    ),
    Asked(Image.new("RGB", SIZE, "olive"), (Question("the thing", "name", (RIGHT,)), Question("no thing", "none", ()))),
)


class Oracle:
    """Stands where a model would: answers each phrase by a rule on its truth, and counts how often it looked."""

    name = "oracle"

    def __init__(self, rule: Callable[[tuple[Region, ...]], Sequence[Region]]) -> None:
        self.rule, self.looks, self.batches = rule, 0, []
        self.truth = {q.phrase: q.targets for asked in ASKED for q in asked.questions}

    def look(self, picture: Any) -> Any:
        self.looks += 1
        return self

    def many(self, count: int) -> Any:
        self.batches.append(count)
        return self

    def segment(self, phrases: list[str]) -> list[Answer]:
        return [Answer("said", tuple(self.rule(self.truth[p])), SIZE) for p in phrases]


def test_the_truth_scores_one_everywhere() -> None:
    oracle = Oracle(lambda true: true)
    result = evaluate(oracle, ASKED, 100, show=False)
    assert {result["rec"][k] for k in ("acc50", "acc75", "acc90", "miou")} == {1.0}
    assert result["res"]["miou"] == result["res"]["ciou"] == 1.0
    assert result["rec"]["invalid"] == 0.0
    assert result["rejection"] == {"n_acc": 1.0, "t_acc": 1.0, "n_none": 2, "n_some": 4}
    assert result["group"] == {"f1": 1.0, "n": 1}
    assert result["counts"] == {"expressions": 6, "single": 3, "group": 1, "none": 2}
    assert result["by_kind"]["place"] == {"acc50": 1.0, "miou": 1.0, "n": 2}
    assert (oracle.looks, oracle.batches) == (2, [4, 2])  # a picture is looked at once


def test_silence_scores_nothing_but_the_none() -> None:
    result = evaluate(Oracle(lambda true: ()), ASKED, 100, show=False)
    assert result["rec"]["acc50"] == result["res"]["miou"] == result["res"]["ciou"] == 0.0
    assert result["rec"]["invalid"] == 1.0
    assert (result["rejection"]["n_acc"], result["rejection"]["t_acc"]) == (1.0, 0.0)
    assert result["group"]["f1"] == 0.0


def test_only_the_first_region_counts_for_one_target() -> None:
    wrong_first = evaluate(Oracle(lambda true: (thing(50, 30, 5, 5), *true)), ASKED, 100, show=False)
    right_first = evaluate(Oracle(lambda true: (*true, thing(50, 30, 5, 5))), ASKED, 100, show=False)
    assert wrong_first["rec"]["acc50"] == 0.0
    assert right_first["rec"]["acc50"] == 1.0
    assert right_first["group"]["f1"] == pytest.approx(2 * 3 / (4 + 3))
    assert right_first["rejection"]["n_acc"] == 0.0


def test_an_empty_mask_is_an_answer_of_none() -> None:
    empty = Region(box=(0, 0, 1, 1), mask=np.zeros((SIZE[1], SIZE[0]), bool))
    result = evaluate(Oracle(lambda true: (empty,)), ASKED, 100, show=False)
    assert (result["rejection"]["n_acc"], result["rejection"]["t_acc"]) == (1.0, 0.0)


def test_a_group_box_counts_once() -> None:
    result = evaluate(Oracle(lambda true: true[:1] * 3), ASKED, 100, show=False)
    assert result["group"]["f1"] == pytest.approx(2 * 1 / (3 + 3))


@pytest.mark.parametrize(("n", "batch", "batches"), [(3, 8, [3]), (5, 2, [2, 2, 1]), (4, 8, [4])])
def test_as_many_are_asked_as_wanted(n: int, batch: int, batches: list[int]) -> None:
    oracle = Oracle(lambda true: true)
    result = evaluate(oracle, ASKED, n, batch, show=False)
    assert result["counts"]["expressions"] == n
    assert oracle.batches == batches


def test_a_progress_bar_changes_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    plain, shown = (evaluate(Oracle(lambda true: true), ASKED, 5, show=show) for show in (False, True))
    assert {**plain, "seconds": 0} == {**shown, "seconds": 0}
    told = capsys.readouterr()
    assert "5/5" in told.err
    assert told.out == ""


def test_a_model_is_judged_through_the_public_predictor(eye: Eye) -> None:
    result = evaluate(eye, ASKED, 6, show=False)
    result["protocol"] = protocol(eye, "two pictures", result)
    read = json.loads(to_json(result))
    assert 0 <= read["rec"]["miou"] < 1
    assert read["protocol"]["model"] == "talkative"
    assert "top-1" in table(result)
    answers = [eye.segment(a.picture, q.phrase) for a in ASKED for q in a.questions]
    said = [a for a in answers if a.masks.any()]  # an empty mask says that nothing is there
    assert read["rejection"]["n_acc"] * 2 + 4 - read["rejection"]["t_acc"] * 4 == pytest.approx(6 - len(said))


def test_nothing_to_judge_is_null_and_still_prints() -> None:
    only_none = (replace(ASKED[1], questions=ASKED[1].questions[1:]),)
    result = evaluate(Oracle(lambda true: true), only_none, 5, show=False)
    assert result["rec"] is None
    assert result["group"]["f1"] is None
    assert json.loads(to_json(result))["rejection"]["t_acc"] is None
    assert "none" in table(result)
    with pytest.raises(ValueError, match="nothing to ask"):
        evaluate(Oracle(lambda true: true), (), 5, show=False)
    with pytest.raises(ValueError, match="at least 1"):
        evaluate(Oracle(lambda true: true), ASKED, 0, show=False)


def write_folder(folder: Path) -> Path:
    """The questions above as `data scenes` would write them."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for number, asked in enumerate(ASKED):
        file = f"images/{number:06d}.png"
        asked.picture.save(folder / file)
        for k, q in enumerate(asked.questions):
            boxes, masks = [list(t.box) for t in q.targets], [encode_rle(t.mask) for t in q.targets]
            row = {"id": f"{number}-{k}", "image": file, "phrase": q.phrase, "kind": q.kind, "boxes": boxes}
            lines.append(json.dumps({**row, "masks": masks}))
    (folder / "expressions.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "samples.jsonl").write_text("")
    (folder / "annotations.json").write_text("{}")
    return folder


def test_a_folder_gives_the_questions_that_were_written(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "scenes")
    assert [len(a.questions) for a in folder_questions(Scenes(folder))] == [4, 2]
    asked, words = questions_of(str(folder))
    oracle = Oracle(lambda true: true)
    assert evaluate(oracle, asked, 100, show=False)["res"]["miou"] == 1.0
    assert (oracle.looks, words) == (2, "scenes")


def test_scenes_are_made_from_their_seed() -> None:
    def first(data: str, seed: int | None = None) -> tuple[bytes, list[str], str]:
        made, words = questions_of(data, seed)
        asked = next(made)
        packed = io.BytesIO()
        asked.picture.save(packed, "PNG")
        return packed.getvalue(), [q.phrase for q in asked.questions], words

    one = first("scenes:test")
    assert one == first("scenes:test:1") == first("scenes:test", 1)
    assert one[0] != first("scenes:test:2")[0]
    assert one[2] == "scenes:test seed 1"


@pytest.mark.parametrize("data", ["scenes:nowhere", "scenes:test:x", "no/such/folder", "scenes"])
def test_data_that_is_not_there_is_refused(data: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError)):
        questions_of(data)

"""The evaluator: the truth scores 1, silence scores 0, what is said of nothing is counted, nothing is asked twice."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiongpt import cli
from perceptiongpt.answers import AnswerFile
from perceptiongpt.card import data_hash, model_hash, protocol, run_card
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.masks import encode_rle, mask_to_box
from perceptiongpt.core.packed import Packed, pack
from perceptiongpt.data.scenes import Scenes
from perceptiongpt.evaluate import Workers, evaluate, teacher_forced
from perceptiongpt.judging import judged, measure
from perceptiongpt.model.settings import GROWN
from perceptiongpt.predict import Eye
from perceptiongpt.questions import Asked, Question, expression_questions, questions_of
from perceptiongpt.tables import table, to_json

ROOT = Path(__file__).parents[1]
SIZE = (60, 40)


def thing(x: int, y: int, w: int = 12, h: int = 10) -> Region:
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[y : y + h, x : x + w] = True
    return Region(box=mask_to_box(mask), mask=mask)


LEFT, RIGHT, LOW = thing(2, 3), thing(40, 5), thing(20, 25, 20, 12)


def question(id: str, phrase: str, kind: str, *targets: Region) -> Question:
    return Question(id, phrase, kind, tuple(pack(t) for t in targets), SIZE)


ASKED = (
    Asked(
        Image.new("RGB", SIZE, "navy"),
        (
            question("a-0", "the left thing", "place", LEFT),
            question("a-1", "the low thing", "place", LOW),
            question("a-2", "all the things", "group", LEFT, RIGHT, LOW),
            question("a-3", "the dragon", "none"),
        ),
    ),
    Asked(
        Image.new("RGB", SIZE, "olive"),
        (question("b-0", "the thing", "name", RIGHT), question("b-1", "no thing", "none")),
    ),
)


class Oracle:
    """Stands where a model would: answers each phrase by a rule on its truth, and counts how often it looked."""

    name = "oracle"

    def __init__(self, rule: Callable[[tuple[Region, ...]], Sequence[Region]], dies_after: int = 99) -> None:
        self.rule, self.left = rule, dies_after
        self.looked: list[int] = []
        self.asked: list[list[str]] = []
        self.rows: list[Sequence[int]] = []
        self.truth = {q.phrase: tuple(t.region() for t in q.targets) for asked in ASKED for q in asked.questions}

    def look(self, pictures: list[Any]) -> Any:
        self.looked.append(len(pictures))
        return self

    def pick(self, rows: Sequence[int]) -> Any:
        self.rows.append(rows)
        return self

    def segment(self, phrases: list[str], max_new_tokens: int) -> list[Answer]:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.asked.append(phrases)
        return [Answer("said", tuple(self.rule(self.truth[p])), SIZE) for p in phrases]


def numbers(oracle: Oracle, asked: Sequence[Asked] = ASKED, n: int = 100) -> dict[str, Any]:
    return judged([measure(pair) for pair in evaluate(oracle, asked, n, show=False)])


def test_the_truth_scores_one_everywhere() -> None:
    oracle = Oracle(lambda true: true)
    result = numbers(oracle)
    assert {result["rec"][k] for k in ("acc50", "acc75", "acc90", "miou")} == {1.0}
    assert result["res"]["miou"] == result["res"]["ciou"] == 1.0
    assert result["rec"]["invalid"] == 0.0
    assert result["rejection"].pop("curve")[0] == {"wanted": 1.0, "threshold": 1.0, "t_acc": 1.0, "n_acc": 1.0}
    assert result["rejection"] == {"n_acc": 1.0, "t_acc": 1.0, "n_none": 2, "n_some": 4, "best_n_acc_at_t_acc_95": 1.0}
    assert result["group"] == {"f1": 1.0, "n": 1, "by_count": {"3": {"f1": 1.0, "n": 1}}}
    assert result["gres"] == {"giou": 1.0, "ciou": 1.0, "n": 6}
    assert result["grec"] == {"pr": 1.0, "n": 6}
    assert result["presence"] == {"mcc": 1.0, "cgf1": 1.0}
    assert result["counts"] == {"expressions": 6, "single": 3, "group": 1, "none": 2, "words": 0, "pictures": 2}
    assert result["by_kind"]["place"] == {"acc50": 1.0, "miou": 1.0, "n": 2}
    assert result["by_size"] == {"small": {"acc50": 1.0, "miou": 1.0, "n": 3}}
    assert result["intervals"]["rec.acc50"] == [1.0, 1.0]


def test_silence_scores_nothing_but_the_none() -> None:
    result = numbers(Oracle(lambda true: ()))
    assert result["rec"]["acc50"] == result["res"]["miou"] == result["res"]["ciou"] == 0.0
    assert result["rec"]["invalid"] == 1.0
    assert (result["rejection"]["n_acc"], result["rejection"]["t_acc"]) == (1.0, 0.0)
    assert result["group"]["f1"] == 0.0


def test_one_pixel_to_the_side_costs_what_it_must() -> None:
    def shifted(true: tuple[Region, ...]) -> list[Region]:
        masks = [np.roll(np.asarray(t.mask), 1, axis=1) for t in true]
        return [Region(box=mask_to_box(m), mask=m) for m in masks]

    result = numbers(Oracle(shifted))
    ious = [11 / 13, 19 / 21, 11 / 13]  # a box 12 wide shares 11 of 13 columns, one 20 wide 19 of 21
    assert result["rec"]["miou"] == result["res"]["miou"] == pytest.approx(sum(ious) / 3, abs=1e-6)
    assert (result["rec"]["acc75"], result["rec"]["acc90"]) == (1.0, pytest.approx(1 / 3, abs=1e-6))
    assert result["res"]["ciou"] == pytest.approx((110 + 228 + 110) / (130 + 252 + 130), abs=1e-6)


def test_the_whole_picture_as_answer_scores_the_things_share_of_it() -> None:
    whole = Region(box=(0, 0, *SIZE), mask=np.ones((SIZE[1], SIZE[0]), bool))
    result = numbers(Oracle(lambda true: (whole,)))
    shares = [120 / 2400, 240 / 2400, 120 / 2400]
    assert result["rec"]["miou"] == result["res"]["miou"] == pytest.approx(sum(shares) / 3, abs=1e-6)
    assert result["rec"]["acc50"] == 0.0
    assert result["rejection"]["n_acc"] == 0.0


def test_answers_to_other_questions_are_near_chance() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, [45, 28], (400, 2))
    asks = [question(f"{i}-0", f"thing {i}", "name", thing(*xy)) for i, xy in enumerate(corners)]
    asked = [Asked(ASKED[0].picture, (q,)) for q in asks]
    shuffled = Oracle(lambda true: true)
    order = rng.permutation(400)
    shuffled.truth = {f"thing {i}": (thing(*corners[k]),) for i, k in enumerate(order)}
    result = numbers(shuffled, asked, 400)
    # Two such boxes overlap by half where they are at most about 3 px apart: roughly 1 pair in 25.
    assert result["rec"]["acc50"] < 0.1
    assert 0.0 < result["rec"]["miou"] < 0.15


def test_only_the_first_region_counts_for_one_target() -> None:
    wrong_first = numbers(Oracle(lambda true: (thing(50, 30, 5, 5), *true)))
    right_first = numbers(Oracle(lambda true: (*true, thing(50, 30, 5, 5))))
    assert wrong_first["rec"]["acc50"] == 0.0
    assert right_first["rec"]["acc50"] == 1.0
    assert right_first["group"]["f1"] == pytest.approx(2 * 3 / (4 + 3), abs=1e-6)
    assert right_first["rejection"]["n_acc"] == 0.0


def test_an_empty_mask_is_an_answer_of_none() -> None:
    empty = Region(box=(0, 0, 1, 1), mask=np.zeros((SIZE[1], SIZE[0]), bool))
    result = numbers(Oracle(lambda true: (empty,)))
    assert (result["rejection"]["n_acc"], result["rejection"]["t_acc"]) == (1.0, 0.0)


def test_a_group_box_counts_once() -> None:
    result = numbers(Oracle(lambda true: true[:1] * 3))
    assert result["group"]["f1"] == pytest.approx(2 * 1 / (3 + 3), abs=1e-6)


def test_pictures_are_seen_once_and_phrases_of_like_length_asked_together() -> None:
    oracle = Oracle(lambda true: true)
    pairs = evaluate(oracle, ASKED, 100, 4, show=False)
    assert oracle.looked == [2]
    assert oracle.asked == [
        ["no thing", "the thing", "the dragon", "the low thing"],
        ["the left thing", "all the things"],
    ]
    assert oracle.rows == [[1, 1, 0, 0], [0, 0]]
    assert [p.question.id for p in pairs] == ["a-0", "a-1", "a-2", "a-3", "b-0", "b-1"]


@pytest.mark.parametrize("n", [1, 3, 5])
def test_as_many_are_asked_as_wanted(n: int) -> None:
    oracle = Oracle(lambda true: true)
    assert len(evaluate(oracle, ASKED, n, show=False)) == n
    assert sum(map(len, oracle.asked)) == n


def test_after_a_kill_no_answer_is_computed_twice_and_the_numbers_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    whole = numbers(Oracle(lambda true: true[:1]))
    killed = Oracle(lambda true: true[:1], dies_after=2)
    with pytest.raises(KeyboardInterrupt):
        evaluate(killed, ASKED, 100, 2, AnswerFile(file), show=False)
    with file.open("a") as torn:
        torn.write('{"id": "a-3", "phr')  # the machine went down in the middle of a line
    again = Oracle(lambda true: true[:1])
    pairs = evaluate(again, ASKED, 100, 2, AnswerFile(file), show=False)
    assert judged([measure(p) for p in pairs]) == whole
    once = sorted(phrase for phrases in killed.asked + again.asked for phrase in phrases)
    assert once == sorted(q.phrase for a in ASKED for q in a.questions)
    assert again.looked == [1]  # the other picture has all its answers
    done = Oracle(lambda true: true, dies_after=0)
    assert judged([measure(p) for p in evaluate(done, ASKED, 100, 2, AnswerFile(file), show=False)]) == whole
    assert done.looked == []


def test_answers_of_other_data_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    evaluate(Oracle(lambda true: true), ASKED, 100, kept=AnswerFile(file), show=False)
    other = (Asked(ASKED[0].picture, (question("a-0", "another thing", "name", LEFT),)),)
    with pytest.raises(ValueError, match="the data changed"):
        evaluate(Oracle(lambda true: true), other, 100, kept=AnswerFile(file), show=False)
    file.write_text('{"id": "a-0"}\n')
    with pytest.raises(ValueError, match=r"answers\.jsonl:1: no answer"):
        AnswerFile(file)


def test_a_progress_bar_changes_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    plain, shown = (
        [judged([measure(p)]) for p in evaluate(Oracle(lambda true: true), ASKED, 5, show=show)]
        for show in (False, True)
    )
    assert plain == shown
    told = capsys.readouterr()
    assert "5/5" in told.err
    assert told.out == ""


def test_a_model_is_judged_through_the_public_predictor(eye: Eye) -> None:
    pairs = evaluate(eye, ASKED, 6, show=False)
    result = judged([measure(p) for p in pairs])
    result["protocol"] = protocol(run_card(eye, "two pictures", 48, 32), pairs, seed=0)
    read = json.loads(to_json(result))
    assert 0 <= read["rec"]["miou"] < 1
    card = read["protocol"]
    assert card["model"] == "talkative"
    assert card["template"] == "Where is PHRASE?"
    assert (card["n"], card["max_new_tokens"]) == (6, 48)
    assert len(card["model_sha256"]) == len(card["data_sha256"]) == 64
    assert set(card["versions"]) >= {"torch", "transformers", "pycocotools"}
    assert "top-1" in table(result)
    answers = [eye.segment(a.picture, q.phrase, max_new_tokens=48) for a in ASKED for q in a.questions]
    said = [a for a in answers if a.masks.any()]  # an empty mask says that nothing is there
    assert read["rejection"]["n_acc"] * 2 + 4 - read["rejection"]["t_acc"] * 4 == pytest.approx(6 - len(said))


def test_the_card_tells_of_looks_that_were_left_out(eye: Eye, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run_card(eye, "x", 48, 32)
    monkeypatch.setattr(eye, "without", ["looks_sliced", "looks_mirrored"])
    given = run_card(eye, "x", 48, 32)
    assert "without" not in told and given == {**told, "without": ["looks_mirrored", "looks_sliced"]}


def test_hashes_tell_models_and_data_apart(eye: Eye) -> None:
    pairs = evaluate(Oracle(lambda true: true), ASKED, 6, show=False)
    assert data_hash(pairs) == data_hash(list(pairs)) != data_hash(pairs[:5])
    before = model_hash(eye.model)
    assert before == model_hash(eye.model)
    first = next(iter(eye.model.added().values()))
    kept = first.data.clone()
    first.data.view(-1)[0] += 1
    assert model_hash(eye.model) != before
    first.data.copy_(kept)
    settings = eye.model.settings
    try:
        told = {before}
        for name in (n for n, added in GROWN.items() if not added):  # no weight, and other answers
            eye.model.settings = replace(settings, enumerates=True, **{name: True})
            told.add(model_hash(eye.model))
        assert len(told) == 1 + sum(not added for added in GROWN.values())
    finally:
        eye.model.settings = settings


def test_workers_answer_as_one_process_does(model_folder: Path, eye: Eye) -> None:
    alone = evaluate(eye, ASKED, 6, show=False)
    shared = evaluate(None, ASKED, 6, show=False, ask=Workers(1, {"model": model_folder, "device": "cpu"}, 1))
    assert [p.said.text for p in shared] == [p.said.text for p in alone]
    assert judged([measure(p) for p in shared]) == judged([measure(p) for p in alone])


def test_teacher_forcing_gives_a_region_for_each_true_one(eye: Eye) -> None:
    forced = teacher_forced(eye, ASKED, 100)
    assert [len(p.said.regions) for p in forced] == [1, 1, 3, 1]  # what isn't there is not told of
    result = judged([measure(p) for p in forced])
    assert result["rec"]["n"] == 3
    assert result["rec"]["invalid"] == 0.0


def test_nothing_to_judge_is_null_and_still_prints() -> None:
    only_none = (replace(ASKED[1], questions=ASKED[1].questions[1:]),)
    result = numbers(Oracle(lambda true: true), only_none)
    assert result["rec"] is None
    assert result["group"]["f1"] is None
    assert json.loads(to_json(result))["rejection"]["t_acc"] is None
    assert "none" in table(result)
    with pytest.raises(ValueError, match="nothing to ask"):
        evaluate(Oracle(lambda true: true), (), 5, show=False)
    with pytest.raises(ValueError, match="at least 1"):
        evaluate(Oracle(lambda true: true), ASKED, 0, show=False)


def write_folder(folder: Path, questions: Sequence[Asked] = ASKED) -> Path:
    """Questions, by default those above, as `data scenes` would write them."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for number, asked in enumerate(questions):
        file = f"images/{number:06d}.png"
        asked.picture.save(folder / file)
        for k, q in enumerate(asked.questions):
            boxes, masks = [list(t.box) for t in q.targets], [t.rle for t in q.targets]
            row = {"id": f"{number}-{k}", "image": file, "phrase": q.phrase, "kind": q.kind, "boxes": boxes}
            lines.append(json.dumps({**row, "masks": masks}))
    (folder / "expressions.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "samples.jsonl").write_text("")
    (folder / "annotations.json").write_text("{}")
    return folder


def test_a_process_that_was_killed_goes_on_where_it_stood(tmp_path: Path, model_folder: Path) -> None:
    phrases = [question(f"a-{k}", f"thing {k}", "name", LEFT if k % 2 else LOW) for k in range(24)]
    data = write_folder(tmp_path / "data", [Asked(ASKED[0].picture, tuple(phrases))])

    def words(out: str) -> list[str]:
        told = ["evaluate", str(model_folder), "--data", str(data), "--out", str(tmp_path / out)]
        return [*told, "--batch", "1", "--max-new-tokens", "12", "--threads", "1"]

    def answered(out: str) -> list[str]:
        file = tmp_path / out / "answers.jsonl"
        return file.read_text().splitlines() if file.is_file() else []

    with subprocess.Popen([sys.executable, "-m", "perceptiongpt", *words("killed")], cwd=ROOT) as run:
        while len(answered("killed")) < 2:
            assert run.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    before = answered("killed")
    assert 2 <= len(before) < 24
    assert cli.main(words("killed")) == cli.main(words("whole")) == 0
    numbers, whole = (json.loads((tmp_path / out / "metrics.json").read_text()) for out in ("killed", "whole"))
    assert numbers == whole
    # Every answer that is computed is a line: none is there twice, and those from before the kill stand as they stood.
    after = answered("killed")
    assert [json.loads(line)["id"] for line in after] == [json.loads(line)["id"] for line in answered("whole")]
    assert len({json.loads(line)["id"] for line in after}) == len(after) == 24
    assert after[: len(before) - 1] == before[:-1]  # the last may have been cut short


def test_a_folder_gives_the_questions_that_were_written(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "scenes")
    assert [len(a.questions) for a in expression_questions(Scenes(folder).asked)] == [4, 2]
    asked, words = questions_of(str(folder))
    oracle = Oracle(lambda true: true)
    assert numbers(oracle, asked)["res"]["miou"] == 1.0
    assert (oracle.looked, words) == ([2], "scenes")


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


@pytest.mark.parametrize(
    "data", ["scenes:nowhere", "scenes:test:x", "no/such/folder", "scenes", "coco:f.json", "coco:no.json:val"]
)
def test_data_that_is_not_there_is_refused(data: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError)):
        questions_of(data)


def test_photographs_are_asked_for_their_classes_and_one_they_lack(tmp_path: Path) -> None:
    Image.new("RGB", SIZE).save(tmp_path / "7.png")
    square = [[10, 10, 20, 10, 20, 20, 10, 20]]
    rows = [(1, [2, 3, 12, 10], 0), (1, [40, 5, 12, 10], 0), (2, [10, 10, 10, 10], 0), (3, [0, 0, 30, 30], 1)]
    annotations = [
        {"id": i, "image_id": 7, "category_id": c, "bbox": box, "area": 100, "iscrowd": crowd, "segmentation": square}
        for i, (c, box, crowd) in enumerate(rows)
    ]
    names = [{"id": i, "name": n} for i, n in enumerate(("dog", "cup", "person", "kite"), 1)]
    images = [{"id": 7, "file_name": "7.png", "width": SIZE[0], "height": SIZE[1]}]
    file = tmp_path / "instances.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": names}))
    (asked,) = questions_of(f"coco:{file}:all")[0]
    told = {q.phrase: (q.kind, len(q.targets), q.category) for q in asked.questions}
    # the crowd of people has no truth: it is neither asked for nor said to be absent
    assert told == {"all the dogs": ("class", 2, "dog"), "the cup": ("name", 1, "cup"), "the kite": ("none", 0, "kite")}
    result = numbers_of_truth(asked)
    assert (result["detection"]["ap"], result["detection"]["n"]) == (1.0, 3)  # the two dogs, too
    assert (result["rec"]["n"], result["rec"]["acc50"]) == (1, 1.0)


def numbers_of_truth(asked: Asked) -> dict[str, Any]:
    oracle = Oracle(lambda true: true)
    oracle.truth = {q.phrase: tuple(Region(t.box, t.region().mask) for t in q.targets) for q in asked.questions}
    return numbers(oracle, [asked])


def test_packed_regions_measure_as_arrays_do() -> None:
    assert (pack(LEFT).area, Packed(box=(0, 0, 4, 5)).area) == (120.0, 20.0)
    assert (pack(LEFT).region().mask == LEFT.mask).all()
    assert encode_rle(LEFT.mask) == pack(LEFT).rle

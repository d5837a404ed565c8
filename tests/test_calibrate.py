"""Calibrating: a known distortion is found again, errors don't grow, and a model's config gets what was found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.special import expit, log_expit

from perceptiongpt.answers import Said
from perceptiongpt.calibrate import ALIKE, MORE, TINTED, calibrate, count_end, group_end, likelihood
from perceptiongpt.cli import main
from perceptiongpt.core.masks import encode_rle
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.core.packed import Packed
from perceptiongpt.data.words import NUMBERS
from perceptiongpt.judging import Judged, Measure, judged, measured
from perceptiongpt.metrics.calibration import calibration, platt, platt_by_side, stands_for
from perceptiongpt.model import store
from perceptiongpt.predict import Eye, load
from perceptiongpt.questions import Asked, Question
from perceptiongpt.tinted import named_colour

THING, ASIDE = (10.0, 10.0, 30.0, 30.0), (40.0, 10.0, 60.0, 30.0)


def scored(temperature: float, bias: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores, and what is right as often as sigmoid(logit / temperature + bias) says."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, n)
    return expit(z), rng.random(n) < expit(z / temperature + bias)


def rows(scores: list[float | None], right: list[bool], there: list[bool]) -> list[Measure]:
    """A question a score; None: nothing said. What is there but wrong has its box aside."""
    pairs = []
    for n, (score, hit, some) in enumerate(zip(scores, right, there, strict=True)):
        question = Question(f"p-{n}", "the x", "name" if some else "none", (Packed(THING),) if some else (), (80, 60))
        said = () if score is None else (Packed(THING if hit else ASIDE, score=score),)
        pairs.append(Judged(question, Said("", said)))
    return measured(pairs)


# -- the fit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("temperature", "bias"), [(0.5, 0.0), (1.0, 0.7), (2.5, -0.5), (4.0, 0.3)])
def test_a_known_temperature_is_found_within_five_percent(temperature: float, bias: float) -> None:
    a, b = platt(*scored(temperature, bias, 60_000))
    assert 1 / a == pytest.approx(temperature, rel=0.05)
    assert b == pytest.approx(bias, abs=0.05)


@settings(max_examples=25)
@given(st.floats(0.2, 5), st.floats(-2, 2), st.integers(0, 99))
def test_neither_likelihood_nor_calibration_gets_worse_on_the_fitted(temp: float, bias: float, seed: int) -> None:
    score, right = scored(temp, bias, 8000, seed)
    a, b = platt(score, right)
    z = np.log(score / (1 - score))
    loss = [-log_expit(np.where(right, 1, -1) * (x * z + y)).mean() for x, y in ((1, 0), (a, b))]
    assert loss[1] <= loss[0] + 1e-9
    before, after = (calibration(s.tolist(), right.tolist())["ece"] for s in (score, expit(a * z + b)))
    assert after <= max(before, 0.03)  # of 8,000 that are calibrated already the bins alone are up to 0.021 off


@pytest.mark.parametrize(("above", "below", "b"), [(1.8, 0.6, 0.5), (0.4, 1.5, -0.3), (1.0, 0.5, 1.5)])
def test_known_slopes_of_either_side_are_found_and_calibrate(above: float, below: float, b: float) -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(0, 2, 60_000)
    true = expit(above * z.clip(min=0) + below * z.clip(max=0) + b)
    right = rng.random(len(z)) < true
    found = platt_by_side(expit(z).tolist(), right.tolist())
    assert found == (
        pytest.approx(above, rel=0.08), pytest.approx(below, rel=0.08), pytest.approx(b, abs=0.08)
    )  # fmt: skip
    told = OperatingPoint(temperature=1 / found[0], below=1 / found[1], bias=found[2]).scores(torch.tensor(z))
    assert calibration(told.tolist(), right.tolist())["ece"] < 0.015


@settings(max_examples=25)
@given(st.floats(0.2, 5), st.floats(-2, 2), st.integers(0, 99))
def test_a_third_number_that_earns_nothing_is_left_out_and_never_harms(temp: float, bias: float, seed: int) -> None:
    score, right = scored(temp, bias, 2000, seed)
    a, b = platt(score, right)
    above, below, c = platt_by_side(score, right)
    z, sign = np.log(score / (1 - score)), np.where(right, 1, -1)
    high, low = z.clip(min=0), z.clip(max=0)
    platts, bents = (-log_expit(sign * (x * high + y * low + w)).sum() for x, y, w in ((a, a, b), (above, below, c)))
    assert (above, below, c) == (a, a, b) or platts - bents > np.log(2000) / 2


def test_most_scores_of_one_temperature_are_told_by_one() -> None:
    bends = sum(len(set(platt_by_side(*scored(1.5, 0.4, 1000, seed))[:2])) == 2 for seed in range(40))
    assert bends <= 4


@pytest.mark.parametrize(("scores", "right"), [([], []), ([0.2, 0.9], [True, True]), ([0.2, 0.9], [False, False])])
def test_what_cannot_be_fitted_is_refused(scores: list[float], right: list[bool]) -> None:
    with pytest.raises(ValueError, match="nothing can be calibrated"):
        platt(scores, right)
    with pytest.raises(ValueError, match="nothing can be calibrated"):
        platt_by_side(scores, right)


def test_scores_that_tell_all_and_scores_of_zero_and_one_stay_finite() -> None:
    for scores in ([0.0, 1.0, 0.9], [1.0, 0.0, 0.1]):
        a, b = platt(scores, [False, True, True])
        assert 0.01 <= a <= 100 and abs(b) <= 100


@pytest.mark.parametrize(("share", "score"), [(1.0, 0.1), (0.75, 0.2), (0.7, 0.2), (0.5, 0.3), (0.2, 0.4), (0.0, 0.4)])
def test_the_least_score_is_the_largest_at_which_the_share_is_found(share: float, score: float) -> None:
    assert stands_for([0.3, 0.1, 0.4, 0.2], share) == score


# -- the choice ------------------------------------------------------------------------------------------------------


def test_what_is_left_out_keeps_the_wanted_share_and_no_higher_score_does() -> None:
    rng = np.random.default_rng(3)
    there = rng.random(800) < 0.6
    raw = np.round(expit(rng.normal(np.where(there, 1.0, -1.5), 1.2)), 4)
    right = there & (rng.random(800) < raw)
    point, found = calibrate(rows(raw.tolist(), right.tolist(), there.tolist()), 0.95)
    scores = point.scores(torch.logit(torch.tensor(raw[there]), 5e-5)).numpy()
    assert found["rejection"]["t_acc"] == np.mean(scores >= point.min_score) >= 0.95
    assert np.mean(scores >= point.min_score + 2e-3) < 0.95
    assert found["rejection"]["n_acc"] > 0.3
    assert found["calibrated"]["ece"] < found["raw"]["ece"]
    assert found["calibrated"]["aurc"] == pytest.approx(found["raw"]["aurc"], abs=1e-3)  # the order is the same


def test_where_the_model_says_none_too_often_nothing_more_is_left_out() -> None:
    point, found = calibrate(rows([None, 0.9, 0.2, 0.4], [False, True, False, True], [True] * 4), 0.95)
    assert point.min_score == 0
    assert found["rejection"]["t_acc"] == 0.75


def test_what_is_absent_counts_as_wrong_and_a_group_by_its_first_box() -> None:
    both = (Packed(ASIDE), Packed(THING))
    group = Judged(
        Question("q-0", "the xs", "group", both, (80, 60)), Said("", tuple(replace(b, score=0.6) for b in both))
    )
    found = judged([*rows([0.8, 0.7], [True, True], [True, False]), *measured([group])])["calibration"]
    assert found["n"] == 3
    assert [(b["score"], b["right"]) for b in found["reliability"]] == [(0.6, 1.0), (0.7, 0.0), (0.8, 1.0)]


def test_data_without_anything_there_choose_no_score() -> None:
    with pytest.raises(ValueError, match="ask for nothing that is there"):
        calibrate(rows([0.5, 0.6], [False, False], [False, False]), 0.95)


@pytest.mark.parametrize(("inside", "agree"), [((10, 10, 30, 30), 0.6), ((12, 12, 28, 28), 1.0)])
def test_the_better_one_of_box_and_mask_is_believed(inside: tuple[int, int, int, int], agree: float) -> None:
    """Masks that know the thing's rim exactly give the boxes; masks that are worse than the boxes don't."""
    mask = np.zeros((60, 80), bool)
    mask[inside[1] : inside[3], inside[0] : inside[2]] = True
    loose = (9.0, 9.0, 33.0, 33.0) if agree < 1 else THING
    said = [Packed(loose, encode_rle(mask), score=0.6), Packed(ASIDE, score=0.4)]
    question = Question("p-0", "the x", "name", (Packed(THING, encode_rle(mask)),), (80, 60))
    point, _ = calibrate(measured([Judged(question, Said("", (one,))) for one in said]), 0.95)
    assert point.agree == pytest.approx(agree)


@pytest.mark.parametrize(("weak", "more"), [((0.2, 0.12), 0.25), ((0.58, 0.1), 0.6), ((), 0.1)])
def test_a_group_that_is_enumerated_ends_where_it_is_best(weak: tuple[float, ...], more: float) -> None:
    """Of two things both are found with 0.9 and 0.7; what comes after them is wrong."""
    both = (Packed(THING), Packed(ASIDE))
    said = [Packed(THING, score=0.9), Packed(ASIDE, score=0.7), *(Packed((0, 0, 5, 5), score=s) for s in weak)]
    group = Judged(Question("q-0", "the xs", "group", both, (80, 60)), Said("", tuple(said)))
    single = [row.pair for row in rows([0.8, 0.3], [True, False], [True] * 2)]
    assert group_end([group, *single]) == more
    assert group_end(single) == OperatingPoint().more


def test_what_comes_after_the_end_of_a_group_is_not_found_however_sure_it_is() -> None:
    both = (Packed(THING), Packed(ASIDE))
    said = [Packed(THING, score=0.9), Packed((0, 0, 5, 5), score=0.3), Packed(ASIDE, score=0.95)]
    group = Judged(Question("q-0", "the xs", "group", both, (80, 60)), Said("", tuple(said)))
    assert group_end([group]) == 0.1  # both are found only with what scores less between them


def test_a_groups_end_is_chosen_with_boxes_as_they_can_be_drawn() -> None:
    """The second thing's box is too tall; the rim of its mask has an IoU of 0.7 with it and of 0.67 with the truth."""
    low, rim, tall = (40.0, 10.0, 60.0, 26.0), (40, 10, 60, 34), (40.0, 10.0, 60.0, 44.0)
    mask = np.zeros((60, 80), bool)
    mask[rim[1] : rim[3], rim[0] : rim[2]] = True
    said = (Packed(THING, score=0.9), Packed(tall, encode_rle(mask), score=0.3))
    group = Judged(Question("q-0", "the xs", "group", (Packed(THING), Packed(low)), (80, 60)), Said("", said))
    bare = replace(group, said=Said("", (said[0], replace(said[1], rle=None))))
    assert group_end([group]) == 0.1 and group_end([bare]) == 0.35


def test_numbers_are_told_where_they_are_right_and_groups_end_where_they_are_best() -> None:
    """A third thing of 0.5 is there in groups that are looked for, and mostly not where a number is asked for."""
    there = tuple(Packed((20.0 * n, 0.0, 20.0 * n + 10, 10.0)) for n in range(3))
    said = Said("", tuple(Packed(t.box, score=s) for t, s in zip(there, (0.9, 0.8, 0.5), strict=True)))
    group = Judged(Question("g-0", "the xs", "group", there, (80, 60)), said)
    question = Question("c-0", "How many?", "count", (), (80, 60), answers=("Two.",))
    counts = [(Judged(question, said), number) for number in (2, 2, 3)]
    assert group_end([group]) == 0.1 and count_end(counts) == (0.55, pytest.approx(2 / 3))


def test_where_answers_ended_is_told_in_calibrated_scores() -> None:
    given = rows([0.8, 0.3, 0.4, 0.6], [True, False, False, True], [True] * 4)
    point, _ = calibrate(given, 0.5, more=0.2, counted=0.6, alike=8.0)
    assert point.alike == 8.0
    plain = OperatingPoint(temperature=point.temperature, bias=point.bias, below=point.below)
    wanted = plain.scores(torch.logit(torch.tensor([0.2, 0.6]))).tolist()
    assert [point.more, point.counted] == pytest.approx(wanted, abs=1e-4)
    assert calibrate(given, 0.5)[0] == replace(point, more=OperatingPoint().more, counted=0.0, alike=0.0)


def test_answers_are_likelier_by_as_much_as_their_scores_tell_of_them() -> None:
    right = [True, True, False, True, False, False] * 20

    def told(scores: list[float]) -> float:
        return likelihood([row.pair for row in rows([*scores] * 20, right, [True] * 120)])

    guess, blurred, clear = (
        told([0.5, 0.6] * 3),
        told([0.7, 0.4, 0.6, 0.8, 0.3, 0.2]),
        told([0.7, 0.8, 0.4, 0.9, 0.6, 0.2]),
    )
    assert guess < blurred < clear < 0 and guess == pytest.approx(np.log(0.5), abs=0.07)
    assert told([0.97, 0.99, 0.9, 0.995, 0.95, 0.8]) > blurred  # far too sure, but calibrated first
    with pytest.raises(ValueError):
        likelihood([row.pair for row in rows([0.5, 0.6], [True, True], [True, True])])


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["scenes:test", "scenes:novel:3", "refcoco:somewhere:testA", "made/test"])
def test_a_test_split_is_refused_before_anything_is_read(capsys: pytest.CaptureFixture[str], data: str) -> None:
    assert main(["calibrate", "nowhere", "--data", data]) == 2
    assert "is a test split" in capsys.readouterr().err


def written(folder: Path, eye: Eye, photo: Image.Image) -> Path:
    """Six questions as `data scenes` writes them; in the first two a random model's own box is the truth."""
    photo_at, lines = folder / "images/0.png", []
    photo_at.parent.mkdir(parents=True)
    photo.save(photo_at)
    for n, kind in enumerate(["name"] * 4 + ["none"] * 2):
        said = [r.box for r in eye.segment(photo, f"thing {n}", max_new_tokens=48)]
        assert said
        boxes = [] if kind == "none" else [said[0] if n < 2 else (0, 0, 2, 2)]
        row = {"id": f"0-{n}", "image": "images/0.png", "phrase": f"thing {n}", "kind": kind, "boxes": boxes}
        lines.append(json.dumps({**row, "masks": [encode_rle(np.ones((40, 50), bool))] * len(boxes)}))
    for name, text in (("expressions", "\n".join(lines)), ("samples", "")):
        (folder / f"{name}.jsonl").write_text(text)
    (folder / "annotations.json").write_text("{}")
    return folder


def test_a_model_is_calibrated_in_its_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, eye: Eye, photo: Image.Image
) -> None:
    folder = store.save(eye.model, tmp_path / "model", "tiny:aya_vision")
    files, before = sorted(folder.iterdir()), json.loads((folder / "config.json").read_text())
    data = str(written(tmp_path / "data", eye, photo))
    assert main(["calibrate", str(folder), "--data", data, "--device", "cpu", "--t-acc", "0.75"]) == 0
    told = capsys.readouterr().out
    assert "ECE" in told and "AURC" in told and "(n 4), N-acc" in told
    assert sorted(folder.iterdir()) == files
    after = json.loads((folder / "config.json").read_text())
    assert {k: v for k, v in after.items() if k != store.OPERATING} == before
    point = load(folder, device="cpu").operating
    assert point != OperatingPoint() and point.min_score > 0
    numbers = tmp_path / "numbers.json"
    asked = ["evaluate", str(folder), "--data", data, "--device", "cpu", "--out", str(tmp_path / "run")]
    assert main([*asked, "--json", str(numbers)]) == 0
    measured_again = json.loads(numbers.read_text())
    assert f"T-acc {measured_again['rejection']['t_acc']:.4f}" in told  # evaluate measures what was promised
    assert f"N-acc {measured_again['rejection']['n_acc']:.4f}" in told
    assert measured_again["protocol"]["operating_point"] == asdict(point)
    card = tmp_path / "run/run.json"
    kept = json.loads(card.read_text())
    strict = [*asked, "--min-score", "0"]
    assert main(strict) == 2  # answers with another least score are of another run, whichever came first
    assert "another min_score" in capsys.readouterr().err
    assert main([*strict[:-3], str(tmp_path / "strict"), *strict[-2:]]) == 0
    told = json.loads((tmp_path / "strict/run.json").read_text())
    assert told == {**kept, "min_score": 0.0}  # what was asked for stands beside the model's own point
    shutil.copy(tmp_path / "strict/run.json", card)
    assert main(asked) == 2
    assert "another min_score" in capsys.readouterr().err
    for junk in (5, None, [1]):
        card.write_text(json.dumps({**kept, "operating_point": junk}))
        assert main(asked) == 2
        assert "another operating_point" in capsys.readouterr().err
    del kept["operating_point"]["agree"]  # as runs of before it have none
    card.write_text(json.dumps(kept))
    assert main(asked) == (0 if point.agree == 1 else 2)


@pytest.mark.parametrize("composed", [True, False])
def test_a_model_that_enumerates_is_asked_where_to_end_before_it_is_calibrated(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    equipped: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    composed: bool,
) -> None:
    """Groups and numbers are asked for as they are found, down to the least; the rest as a user would get it."""
    model = equipped("aya_vision", enumerates=True, looks_closer=True, looks_sliced=True, follows_edges=True)
    folder = store.save(model, tmp_path / "m", "tiny:aya_vision")
    asked: list[tuple[Any, ...]] = []

    def answering(eye: Eye, questions: Iterator[Asked], n: int, *_: Any) -> list[Judged]:
        """Two surely found of what there is and one more, less surely; every other single thing is missed. Of what is
        asked for a number, one alone but with some `alike`, then as many as there are."""
        some = list(islice((q for one in questions for q in one.questions), n))
        assert eye.as_found or not (eye.does("follows_edges") or eye.does("looks_sliced"))
        asked.append((eye.as_found, eye.does("looks_closer"), eye.operating, {q.kind for q in some}, len(some)))
        said = []
        for i, q in enumerate(some):
            boxes = [Packed(t.box) for t in q.targets[:3]] or [Packed((0, 0, 1, 1))] * 3
            if len(q.targets) < 2 and q.points:
                boxes = [Packed((0, 0, 1, 1))] if i % 2 else boxes[:1]
            if q.kind == "count" and q.answers[0] != "None.":
                many = NUMBERS.index(q.answers[0].lower().rstrip(".")) if eye.operating.alike == 8.0 else 1
                boxes = [Packed((0, 0, 1, 1))] * many
            scores = (0.7 - 0.2 * (i % 2), *[0.65] * 9)
            said.append(Said("", tuple(replace(b, score=s) for b, s in zip(boxes, scores, strict=False))))
        return [Judged(q, one) for q, one in zip(some, said, strict=True)]

    monkeypatch.setattr("perceptiongpt.evaluate.evaluate", answering)
    data = "scenes:val:3"
    if not composed:
        data = str(tmp_path / "data")
        assert main(["data", "scenes", data, "--split", "val", "--n", "8"]) == 0
    assert main(["calibrate", str(folder), "--data", data, "--n", "96", "--device", "cpu"]) == 0
    assert "more " in capsys.readouterr().out
    first, last = asked[0], asked[-1]
    each = [0.0, *ALIKE] if composed else [0.0]
    assert [one[:3] for one in asked[:-1]] == [(True, False, OperatingPoint(more=min(MORE), alike=a)) for a in each]
    assert last[:2] == (False, True)
    more, counted = last[2].more, last[2].counted
    assert last[2] == OperatingPoint(more=more, counted=counted, alike=8.0 if composed else 0.0)
    if composed:
        assert first[3:] == ({"group"}, 12) and asked[1][3:] == ({"count"}, 32) and counted in MORE
    assert (counted > 0) is composed
    point = load(folder, device="cpu").operating
    told = replace(point, min_score=0.0).scores(torch.logit(torch.tensor([more])))
    assert point.more == pytest.approx(told.item(), abs=1e-4)


@pytest.mark.parametrize(("helps", "tinted"), [(6.0, 6.0), (12.0, 12.0), (99.0, 0.0)])
def test_what_a_colour_weighs_is_what_makes_answers_likeliest(
    tmp_path: Path, equipped: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, helps: float, tinted: float
) -> None:
    """Only what is asked for by a colour is asked again, and `helps` alone tells what is right of it."""
    model = equipped("aya_vision", echoes=True, region_colours=True)
    folder = store.save(model, tmp_path / "m", "tiny:aya_vision")
    asked: list[tuple[float, bool, set[str]]] = []

    def answering(eye: Eye, questions: Iterator[Asked], n: int, *_: Any) -> list[Judged]:
        some = list(islice((q for one in questions for q in one.questions), n))
        coloured = {q.id for q in some if named_colour(q.phrase)}
        asked.append((eye.operating.tinted, coloured == {q.id for q in some}, coloured))
        said = []
        for q in some:
            right = bool(q.targets) and len(q.phrase) % 3 > 0
            score = (0.8 if right else 0.3) if eye.operating.tinted == helps else 0.5
            box = q.targets[0].box if right else (0.0, 0.0, 1.0, 1.0)
            said.append(Judged(q, Said("", (Packed(box, score=score),))))
        return said

    monkeypatch.setattr("perceptiongpt.evaluate.evaluate", answering)
    assert main(["calibrate", str(folder), "--data", "scenes:val:3", "--n", "60", "--device", "cpu"]) == 0
    assert [one[:2] for one in asked] == [(0.0, False), *((t, True) for t in TINTED)]
    assert asked[0][2] == asked[1][2] == asked[2][2] != set()
    assert load(folder, device="cpu").operating.tinted == tinted


def test_a_model_that_is_always_right_is_left_as_it_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, eye: Eye, photo: Image.Image
) -> None:
    folder = store.save(eye.model, tmp_path / "model", "tiny:aya_vision")
    before = (folder / "config.json").read_bytes()
    data = written(tmp_path / "data", eye, photo)
    assert main(["calibrate", str(folder), "--data", str(data), "--n", "2", "--device", "cpu"]) == 2
    assert "right, so nothing can be calibrated" in capsys.readouterr().err
    assert (folder / "config.json").read_bytes() == before

"""Which regions stay in an answer: those that score enough, nothing twice in a group, and words where none is left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.batch import Regions
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.hosts import open_host
from perceptiongpt.model import pointing, store
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import Heard
from perceptiongpt.predict import Eye, load
from perceptiongpt.talk import Talk
from perceptiongpt.telling import kept, left_to_right

BOXES = [[0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2], [0.31, 0.3, 0.2, 0.2]]  # cxcywh; IoU of first and last is 0.90


def answered(labels: list[str], logits: list[float], boxes: list[list[float]]) -> tuple[Answer, Spoken]:
    scores = torch.tensor(logits)
    regions = tuple(
        Region(point=(n, 0), score=float(s), label=label, span=(0, len(label)))
        for n, (s, label) in enumerate(zip(scores.sigmoid(), labels, strict=True))
    )
    blank = torch.zeros(len(logits), 4, 4)
    return Answer("All of them.", regions, (50, 40)), Spoken([], [], Regions(torch.tensor(boxes), blank, blank, scores))


@pytest.fixture
def pointed(eye: Eye) -> Iterator[Eye]:
    """The talkative model with another operating point."""
    eye.operating = OperatingPoint(temperature=0.5, bias=-0.2)
    yield eye
    eye.operating = OperatingPoint()


# -- scores ----------------------------------------------------------------------------------------------------------


def test_calibrated_scores_keep_the_order_of_regions(eye: Eye, photo: Image.Image) -> None:
    raw = eye.segment(photo, "the red circle")
    try:
        eye.operating = OperatingPoint(temperature=0.5, bias=-0.2)
        calibrated = eye.segment(photo, "the red circle")
    finally:
        eye.operating = OperatingPoint()
    assert len(raw) > 1 and calibrated.text == raw.text
    odds = np.log(raw.score / (1 - raw.score))
    assert calibrated.score == pytest.approx(1 / (1 + np.exp(-(odds / 0.5 - 0.2))), abs=1e-4)
    assert np.array_equal(np.argsort(raw.score, kind="stable"), np.argsort(calibrated.score, kind="stable"))


def test_the_operating_point_in_a_folder_is_the_models_own(
    model_folder: Path, tmp_path: Path, pointed: Eye, photo: Image.Image
) -> None:
    folder = store.save(pointed.model, tmp_path / "model", "tiny:aya_vision")
    config = json.loads((folder / "config.json").read_text())
    assert store.OPERATING not in config  # what is saved has other weights than what was calibrated
    point = OperatingPoint(temperature=0.5, bias=-0.2, min_score=0.3)
    told = {"temperature": 0.5, "bias": -0.2, "min_score": 0.3}
    (folder / "config.json").write_text(json.dumps({**config, store.OPERATING: told}))
    assert load(folder, device="cpu").operating == point
    assert load(folder, device="cpu").least() == 0.3
    asked = load(folder, device="cpu", min_score=0.0)
    assert asked.operating == point and asked.least() == 0 and asked.least(0.5) == 0.5
    with pytest.raises(ValueError, match="min_score is 3"):
        load(folder, device="cpu", min_score=3)


def test_born_values_and_no_least_score_give_the_same_bits(eye: Eye, photo: Image.Image) -> None:
    seen = eye.look(photo)
    plain, told = seen.segment("the red circle"), seen.segment("the red circle", min_score=0)
    assert (plain.text, plain.label) == (told.text, told.label)
    assert np.array_equal(plain.xyxy, told.xyxy) and np.array_equal(plain.masks, told.masks)
    assert np.array_equal(plain.score, told.score)


# -- whose box -------------------------------------------------------------------------------------------------------


def test_a_box_drawn_round_its_mask_is_the_same_with_and_without_masks(eye: Eye, photo: Image.Image) -> None:
    seen, born = eye.look(photo), eye.look(photo).segment("the red circle")
    try:
        eye.operating = OperatingPoint(agree=0.0)  # always
        whole, bare = seen.segment("the red circle"), seen.detect("the red circle")
    finally:
        eye.operating = OperatingPoint()
    assert np.array_equal(whole.xyxy, bare.xyxy) and np.array_equal(whole.masks, born.masks)
    filled = [n for n, mask in enumerate(whole.masks) if mask.any()]
    assert filled and not np.array_equal(whole.xyxy[filled], born.xyxy[filled])
    for n in filled:
        ys, xs = np.nonzero(whole.masks[n])
        rim = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert whole.xyxy[n] == pytest.approx(rim, abs=0.08 * max(photo.size))  # a cell of the tiny map is this large


def test_specks_are_left_out_of_masks_and_boxes_are_drawn_round_the_rest(eye: Eye) -> None:
    canvas = eye.model.backbone.canvas((160, 160))
    masks = torch.full((1, 16, 16), -4.0)
    masks[:, 2:8, 2:8] = masks[:, 14:, 14:] = 4.0
    found = Regions(torch.tensor([[0.31, 0.31, 0.4, 0.4]]), masks, torch.zeros(1, 2, 2), torch.zeros(1))
    (box,), logits = canvas.found_out(found, 0.5)
    mask = canvas.masks_out(logits)[0]
    assert box == pytest.approx((20, 20, 80, 80), abs=3)
    assert mask[20:80, 20:80].mean() > 0.9 and not mask[100:, 100:].any()
    (bare,), _ = canvas.found_out(found, 1.0)
    assert bare == pytest.approx((17.6, 17.6, 81.6, 81.6), abs=0.1)


# -- a least score ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["segment", "detect", "point"])
@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("the red circle", "There is no red circle."),
        ("all the apples", "There are no apples."),
        ("the red mug; a cat", "No red mug; no cat."),
    ],
)
def test_where_no_region_is_left_words_say_that_there_is_none(
    eye: Eye, photo: Image.Image, verb: str, phrase: str, words: str
) -> None:
    answer = getattr(eye.look(photo), verb)(phrase, min_score=1.0)
    assert len(answer) == 0
    assert answer.text == words
    assert answer.to_dict()["regions"] == []


def test_a_least_score_drops_regions_and_leaves_words_alone(eye: Eye, photo: Image.Image) -> None:
    seen = eye.look([photo, photo])
    for verb in ("segment", "ask"):
        whole, same = getattr(seen, verb)("the red circle")
        middle = float(np.sort(whole.score)[1])
        some = getattr(seen, verb)("the red circle", min_score=middle)[0]
        assert 0 < len(some) < len(whole) and some.text == whole.text == same.text
        assert [r.span for r in some] == [r.span for r in whole if r.score >= middle]
        assert all(r.score >= middle for r in some)


def test_an_answer_in_words_stays_though_its_regions_go(eye: Eye, photo: Image.Image) -> None:
    seen = eye.look(photo)
    for verb, words in (("ask", ("what is it",)), ("caption", ())):
        whole = getattr(seen, verb)(*words)
        bare = getattr(seen, verb)(*words, min_score=1.0)
        assert len(whole) > 0 and len(bare) == 0 and bare.text == whole.text


def test_the_models_own_least_score_may_be_overridden(pointed: Eye, photo: Image.Image) -> None:
    pointed.operating = OperatingPoint(min_score=1.0)
    assert len(pointed.segment(photo, "the red circle")) == 0
    assert len(pointed.segment(photo, "the red circle", min_score=0)) > 0
    pointed.min_score = 0.0
    assert len(pointed.segment(photo, "the red circle")) > 0
    assert len(pointed.segment(photo, "the red circle", min_score=1)) == 0


def test_a_talk_leaves_regions_out_and_remembers_what_was_said(eye: Eye, photo: Image.Image) -> None:
    talk, other = Talk(eye), Talk(eye)
    bare, whole = talk.say("where", photo, min_score=1.0), other.say("where", photo)
    assert len(bare) == 0 < len(whole) and bare.text == whole.text
    assert len(talk.turns[-1].regions) == len(whole)


@pytest.mark.parametrize("score", [2, -0.1, float("nan"), "0.5"])
def test_a_least_score_that_is_none_is_refused(eye: Eye, photo: Image.Image, score: object) -> None:
    with pytest.raises(ValueError, match=r"min_score is .*; wanted a number from 0 to 1"):
        eye.segment(photo, "x", min_score=score)


# -- all of them -----------------------------------------------------------------------------------------------------


def test_a_group_holds_nothing_twice_and_keeps_the_surer_one() -> None:
    answer, said = answered(["All the apples"] * 3, [0.0, -1.0, 1.0], BOXES)
    assert [r.point[0] for r in kept(answer, said, "all the apples", 0.0)] == [1, 2]  # in the order of speaking
    assert kept(answer, said, "all the apples", 0.0).text == answer.text


def test_where_things_were_looked_at_closer_the_finer_boxes_tell_what_is_twice() -> None:
    far, near = [[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.1, 0.1]], [[0.5, 0.5, 0.2, 0.2]] * 2
    same, apart = [(5.0, 5.0, 20.0, 20.0)] * 2, [(5.0, 5.0, 20.0, 20.0), (30.0, 5.0, 45.0, 20.0)]
    for decoded, finer, left in ((far, same, [1]), (near, apart, [0, 1])):
        answer, said = answered(["All the apples"] * 2, [0.0, 1.0], decoded)
        looked = replace(answer, regions=tuple(replace(r, box=b) for r, b in zip(answer, finer, strict=True)))
        assert [r.point[0] for r in kept(looked, said, "all the apples", 0.0)] == left


def test_a_part_of_a_surer_thing_of_a_group_is_left_out_and_what_it_is_part_of_stays() -> None:
    large, inside, partly = [0.5, 0.5, 0.4, 0.4], [0.5, 0.4, 0.1, 0.1], [0.72, 0.5, 0.1, 0.1]  # partly: 0.3 of it
    for sure, left in (([1.0, 0.0, 0.0], [0, 2]), ([0.0, 1.0, 0.0], [0, 1, 2])):
        answer, said = answered(["All the apples"] * 3, sure, [large, inside, partly])
        assert [r.point[0] for r in kept(answer, said, "all the apples", 0.0)] == left


def test_surer_is_what_both_looks_score_higher() -> None:
    answer, said = answered(["All the apples"] * 2, [0.0, 1.0], [BOXES[0]] * 2)
    looked = replace(answer, regions=tuple(replace(r, score=s) for r, s in zip(answer, (0.9, 0.4), strict=True)))
    assert [r.point[0] for r in kept(looked, said, "all the apples", 0.0)] == [0]


def test_of_equals_the_first_said_is_kept() -> None:
    answer, said = answered(["All the apples"] * 3, [0.0] * 3, [BOXES[0]] * 3)
    assert [r.point[0] for r in kept(answer, said, "all the apples", 0.0)] == [0]


@pytest.mark.parametrize(
    ("phrase", "labels"),
    [
        ("the apple", ["the apple"] * 3),  # one thing is meant: the predictor counts nothing
        ("the apples; the dogs", ["the apples"] * 3),  # distinct phrases may mean one thing
        (None, ["the apples"] * 3),  # a question or a caption
        ("all the apples", ["red apples", "apples", "green apples"]),
    ],
)
def test_regions_are_twice_only_in_a_group_and_of_one_name(phrase: str | None, labels: list[str]) -> None:
    answer, said = answered(labels, [0.0, 0.0, 1.0], BOXES)
    assert len(kept(answer, said, phrase, 0.0)) == 3


def test_an_answer_holds_thirty_two_regions_at_most(eye: Eye, photo: Image.Image) -> None:
    row = eye.model.vis_row.detach().clone()
    seen = eye.look(photo)
    try:
        with torch.no_grad():
            eye.model.vis_row.copy_(1e3 * row.sign())
            loud = [seen.ask(q, max_new_tokens=80) for q in ("a", "b", "c", "where", "what is it")]
    finally:
        eye.model.vis_row.data.copy_(row)
    assert max(map(len, loud)) == 32


# -- the order -------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(1, 3),
)
def test_regions_of_one_breath_come_from_left_to_right_and_breaths_stay(
    told: list[tuple[int, int, int]], k: int
) -> None:
    """Of each region: how many words stand before it, its picture, where it lies."""
    places, at = [], -1
    for words, _, _ in told:
        at += words + k
        places.append(at)
    n = len(told)
    boxes = torch.tensor([[x / 10, 0.5, 0.1, 0.1] for _, _, x in told])
    marks = torch.arange(n, dtype=torch.float32)
    regions = Regions(boxes, marks.view(n, 1, 1), marks.view(n, 1, 1), marks)
    heard = [Heard(mark.view(1, 1), None) for mark in marks]  # what each was decoded from stays with it
    shades = [mark.view(1) for mark in marks]
    said = Spoken([7] * 40, places, regions, [p for _, p, _ in told], heard=list(heard), shades=list(shades))
    found = left_to_right(said, k)
    order = [int(s) for s in found.regions.scores]
    breath = np.cumsum([words > 0 for words, _, _ in told])
    wanted = sorted(range(n), key=lambda i: (breath[i], told[i][1], told[i][2], i))
    assert order == wanted and found.places == places and found.pictures == [told[i][1] for i in wanted]
    assert [h is heard[i] for h, i in zip(found.heard, wanted, strict=True)] == [True] * n
    assert [s is shades[i] for s, i in zip(found.shades, wanted, strict=True)] == [True] * n
    assert torch.equal(found.regions.boxes, boxes[wanted]) and torch.equal(found.regions.masks[:, 0, 0], marks[wanted])


def test_a_model_that_enumerates_is_asked_at_its_operating_point_and_answers_from_left_to_right(
    tmp_path: Path,
    equipped: Callable[..., Any],
    stir: Callable[..., Any],
    photo: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pointing, "SAME", 1.0)  # random weights say one box again and again
    folder = store.save(stir(equipped("aya_vision")), tmp_path / "model", "tiny:aya_vision")
    plain = Eye(store.load(folder, *open_host("tiny:aya_vision")))
    grown = Eye(store.load(folder, *open_host("tiny:aya_vision"), {"enumerates": True}))
    heard: list[Spoken] = []
    hear = grown.hear

    def listening(*given: Any, **how: Any) -> list[Spoken]:
        heard.extend(hear(*given, **how))
        return heard[-1:]

    monkeypatch.setattr(grown, "hear", listening)
    several, looked = 0, grown.look(photo)
    for seed in range(8):
        row = 2 * torch.randn(plain.model.vis_row.shape, generator=torch.Generator().manual_seed(seed))
        for one in (plain, grown):
            one.model.vis_row.data.copy_(row)
        for more in (1.0, 0.0):
            grown.operating = OperatingPoint(more=more)
            answer = grown.segment(photo, "all circles", max_new_tokens=16)
            places, x = heard[-1].places, heard[-1].regions.boxes[:, 0].tolist()
            pairs = [(x[n - 1], x[n]) for n in range(1, len(places)) if places[n] == places[n - 1] + 1]
            assert more == 0 or not pairs
            assert all(left <= right for left, right in pairs)
            several += len(pairs)
        grown.operating = OperatingPoint(more=0.0, counted=1.0)  # in words only what is sure
        for say in (
            lambda **how: looked.ask("How many circles?", **how),
            looked.caption,
            lambda **how: Talk(grown).say("How many circles?", photo, **how),
        ):
            say(max_new_tokens=16)
            assert not any(one + 1 == other for one, other in pairwise(heard[-1].places))
        grown.operating = OperatingPoint(more=0.0)
        # Nothing was refused, and what it was given is as it is born.
        other = plain.segment(photo, "all circles", max_new_tokens=16)
        assert other.text == answer.text and sorted(other.xyxy.tolist()) == sorted(answer.xyxy.tolist())
    assert several

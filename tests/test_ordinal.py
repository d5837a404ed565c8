"""Laws of ordinals: what a phrase counts, from which side, and that its answer lies where the row's one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt import predict
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.data.words import ORDINALS, plural
from perceptiongpt.model.generate import MOST_REGIONS
from perceptiongpt.ordinal import Ordinal, ordinal
from perceptiongpt.predict import Eye
from perceptiongpt.telling import Request

SIDES = ("left", "right", "top", "bottom")


@pytest.mark.parametrize(
    ("phrase", "counts"),
    [
        ("the third mug from the right", Ordinal("all the mugs", 2, "right")),
        ("Second red box from left.", Ordinal("all the red boxes", 1, "left")),
        ("the 3rd cup of tea from the top", Ordinal("all the cups of tea", 2, "top")),
        ("the 10th man from the bottom", Ordinal("all the men", 9, "bottom")),
        (" THE  second Woman from the left! ", Ordinal("all the women", 1, "left")),
        ("the first mug from the left", None),  # which its place tells
        ("the 1st mug from the top", None),
        ("the second mug", None),  # from which side?
        ("the third from the left", None),  # of what?
        ("the third mug from the door", None),
        ("the second mugs from the left", None),
        ("the second mug from the left of the shelf", None),
        ("the second mug in the third row from the top", None),
        ("the second mug from the left from the top", None),
        ("the second left mug from the top", None),
        ("the second mug, counted from the left", None),
        ("the second mug and the box from the left", None),
        ("the second mug or box from the left", None),
        ("the second to last mug from the left", None),
        ("the second one from the left", None),
        ("the mug second from the left", None),
        ("the second mug from the left; the box", None),
        ("the box; the second mug from the left", None),
        ("the leftmost mug", None),
        ("the secondary mug from the left", None),
        ("", None),
    ],
)
def test_a_phrase_counts_from_a_side_or_not_at_all(phrase: str, counts: Ordinal | None) -> None:
    assert ordinal(phrase) == counts


@given(st.sampled_from(ORDINALS[1:]), st.sampled_from(["mug", "office chair", "box", "woman"]), st.sampled_from(SIDES))
def test_every_ordinal_of_a_noun_counts_in_the_row_of_all(nth: str, noun: str, side: str) -> None:
    found = ordinal(f"the {nth} {noun} from the {side}")
    assert found == Ordinal(f"all the {plural(noun)}", ORDINALS.index(nth), side)


def at(x: float, y: float = 20.0, score: float | None = 0.9, **parts: Any) -> Region:
    """A region whose middle is there."""
    return Region(box=(x - 2, y - 2, x + 2, y + 2), score=score, **parts)


@given(st.lists(st.integers(2, 47), min_size=1, max_size=9, unique=True), st.integers(0, 9), st.sampled_from(SIDES))
def test_the_nth_is_that_one_in_order_of_middles(middles: list[int], place: int, side: str) -> None:
    across = side in ("left", "right")
    regions = [at(m, 20, m / 50) if across else at(20, m, m / 50) for m in middles]
    found = Ordinal("all the mugs", place, side).of(regions)
    if place >= len(middles):
        assert found is None
        return
    counted = sorted(middles, reverse=side in ("right", "bottom"))[: place + 1]
    assert found is not None and found.box == (at(counted[-1]) if across else at(20, counted[-1])).box
    assert found.score == min(counted) / 50  # those before it must be there, too


def test_without_scores_it_has_none_and_what_has_no_box_is_not_counted() -> None:
    row = [at(30, score=None), Region(point=(1.0, 1.0)), at(10, score=None)]
    second = Ordinal("all the mugs", 1, "left").of(row)
    assert second is not None and second.box == row[0].box and second.score is None
    assert Ordinal("all the mugs", 2, "left").of(row) is None


class Shelf:
    """An eye that finds three mugs in any order, and that takes every other phrase for one thing far off."""

    def __init__(self, eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
        self.eye, self.photo, self.asked, self.most = eye, photo, list[str | None](), list[int]()
        self.others: tuple[Region, ...] | None = None  # what every other phrase is taken for, if not for one thing
        self.mugs = [self.whole(x, score) for x, score in ((30, 0.8), (10, 0.9), (20, 0.7))]
        self.alone = self.whole(40, 0.6, y=35)
        monkeypatch.setattr(eye, "operating", OperatingPoint(min_score=0.2))
        monkeypatch.setattr(eye.model, "settings", replace(eye.model.settings, enumerates=True))
        monkeypatch.setattr(predict, "looked", self.looked)

    @staticmethod
    def whole(x: float, score: float, y: float = 20.0) -> Region:
        mask = np.zeros((40, 50), bool)
        mask[int(y), int(x)] = True
        return at(x, y, score, mask=mask, point=(x, y))

    def looked(
        self, _: Any, said: Any, request: Request, __: Any, seen: Any, further: Any, most: int
    ) -> tuple[Answer, Any]:
        self.asked.append(request.label)
        self.most.append(most)
        held = ("box", request.box), ("mask", request.mask), ("point", request.point)
        gone: dict[str, Any] = {name: None for name, wanted in held if not wanted}
        others = (self.alone,) if self.others is None else self.others
        found = self.mugs if request.label == "all the mugs" else others
        regions = tuple(replace(r, label=request.label, span=(0, 3), **gone) for r in found)
        return Answer("The.", regions, self.photo.size), said


@pytest.fixture
def shelf(eye: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    return Shelf(eye, photo, monkeypatch)


def test_the_answer_lies_where_the_row_has_it_and_says_what_it_said(shelf: Shelf) -> None:
    (found,) = answer = shelf.eye.segment(shelf.photo, "the second mug from the right")
    there = shelf.mugs[2]
    assert (found.box, found.point) == (there.box, there.point) and np.array_equal(found.mask, there.mask)
    assert (found.label, found.span) == ("the second mug from the right", (0, 3))
    assert found.score == 0.7  # it is less sure than the one before it
    assert answer.text == "The." and 1e-6 < answer.timings["row"] < answer.timings["total"]
    assert shelf.asked == ["the second mug from the right", "all the mugs"]


def test_it_has_the_parts_that_were_asked_for(shelf: Shelf) -> None:
    (point,) = shelf.eye.point(shelf.photo, "the second mug from the left")
    assert point.box is None and point.mask is None and point.point == shelf.mugs[2].point
    (box,) = shelf.eye.detect(shelf.photo, "the second mug from the left", max_regions=1)
    assert box.mask is None and box.box == shelf.mugs[2].box
    assert shelf.most == [MOST_REGIONS, MOST_REGIONS, 1, MOST_REGIONS]  # one of its own, not of the row


def test_too_few_in_the_row_and_the_answer_stays(shelf: Shelf) -> None:
    (found,) = answer = shelf.eye.segment(shelf.photo, "the fourth mug from the left")
    assert found.box == shelf.alone.box and found.score == shelf.alone.score and "row" in answer.timings


def test_what_is_left_out_of_answers_counts_all_the_same(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.mugs = [shelf.whole(10, 0.3), shelf.whole(20, 0.9), shelf.whole(30, 0.9)]
    for least in (0.0, 0.25, 0.8):  # as `--min-score` is
        monkeypatch.setattr(shelf.eye, "min_score", least)
        stay = shelf.eye.segment(shelf.photo, "the second mug from the left").regions
        assert [r.box for r in stay] == ([shelf.mugs[1].box] if least < 0.3 else [])  # the third mug never
    monkeypatch.setattr(shelf.eye, "operating", OperatingPoint(min_score=0.5))  # the first is none of the row
    (found,) = shelf.eye.segment(shelf.photo, "the second mug from the left")
    assert found.box == shelf.mugs[2].box


@pytest.mark.parametrize("many", [0, 2])
def test_an_answer_of_none_or_of_several_stays(shelf: Shelf, many: int) -> None:
    shelf.others = (shelf.alone, shelf.whole(5, 0.5))[:many]
    answer = shelf.eye.segment(shelf.photo, "the second mug from the left")
    assert len(answer) == many and shelf.asked == ["the second mug from the left"] and "row" not in answer.timings


def test_each_row_is_asked_about_its_own_picture_as_the_answer_was(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[tuple[int, ...], dict[str, Any]]]()
    whole = predict.SeenAll.segment

    def segment(seen: predict.SeenAll, phrase: Any, **how: Any) -> list[Answer]:
        asked.append((seen.rows, how))
        return whole(seen, phrase, **how)

    monkeypatch.setattr(predict.SeenAll, "segment", segment)
    seen = shelf.eye.look([shelf.photo, shelf.photo, shelf.photo])
    seen.pick([2, 0, 1]).segment(["the box", "the second mug from the left", "the third mug from the top"], seed=3)
    (first, _), (rows, how) = asked
    assert first == (2, 0, 1) and rows == (0, 1) and how["seed"] == 3


def test_what_is_too_unsure_is_left_out(shelf: Shelf) -> None:
    assert len(shelf.eye.segment(shelf.photo, "the third mug from the left", min_score=0.69)) == 1
    assert len(shelf.eye.segment(shelf.photo, "the third mug from the left", min_score=0.71)) == 0


def test_a_batch_asks_for_the_rows_it_needs_and_for_no_other(shelf: Shelf) -> None:
    phrases = ["the box", "the third mug from the left", "all the mugs"]
    one, third, all_of_them = shelf.eye.look([shelf.photo]).pick([0, 0, 0]).segment(phrases)
    assert shelf.asked == [*phrases, "all the mugs"]
    assert [r.box for r in one] == [shelf.alone.box] and [r.box for r in third] == [shelf.mugs[0].box]
    assert len(all_of_them) == 3 and "row" not in one.timings and "row" not in all_of_them.timings


@pytest.mark.parametrize("how", ["found", "alone"])
def test_a_model_without_rows_counts_none(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "found":
        monkeypatch.setattr(shelf.eye, "as_found", True)
    else:
        settings = replace(shelf.eye.model.settings, enumerates=False)
        monkeypatch.setattr(shelf.eye.model, "settings", settings)
    (found,) = shelf.eye.segment(shelf.photo, "the second mug from the left")
    assert found.box == shelf.alone.box and shelf.asked == ["the second mug from the left"]


@pytest.mark.parametrize(
    ("phrase", "place", "side"), [("the second mug from the left", 1, "left"), ("the third mug from the top", 2, "top")]
)
def test_a_real_model_answers_with_the_one_of_its_row(
    equipped: Callable[..., Any], photo: Image.Image, phrase: str, place: int, side: str
) -> None:
    model = equipped("aya_vision", enumerates=True)
    with torch.no_grad():  # a row of `<vis>` so loud that it says regions
        model.vis_row.copy_(0.5 * torch.randn(model.vis_row.shape, generator=torch.Generator().manual_seed(0)))
    seen = Eye(model).look(photo)
    wanted = Ordinal("all the mugs", place, side).of(seen.segment("all the mugs").regions)
    (found,) = seen.segment(phrase, max_regions=1)
    assert wanted is not None and found.box == wanted.box and found.score == wanted.score
    assert found.point == wanted.point and np.array_equal(found.mask, wanted.mask)

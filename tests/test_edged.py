"""Answers of a model that follows edges: every verb's masks are drawn to the picture's, once, and no score moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiongpt import looks
from perceptiongpt.card import model_hash
from perceptiongpt.core.answer import Region
from perceptiongpt.core.edges import to_edges
from perceptiongpt.predict import Eye
from perceptiongpt.talk import Talk

PHRASE = "the red circle"
MARK = (1.0, 2.0, 3.0, 4.0)


@pytest.fixture
def following(eye: Eye, monkeypatch: pytest.MonkeyPatch) -> Eye:
    set_to(eye, monkeypatch, follows_edges=True)
    return eye


def marked(region: Region, picture: Image.Image) -> Region:
    """In the place of `to_edges`: a model of random weights outlines all or nothing, which has no edge."""
    return region if region.mask is None else replace(region, mask=~region.mask, box=MARK)


def set_to(eye: Eye, monkeypatch: pytest.MonkeyPatch, **how: bool) -> None:
    monkeypatch.setattr(eye.model, "settings", replace(eye.model.settings, **how))


def test_what_a_model_finds_is_drawn_to_the_edges(
    following: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "to_edges", marked)
    drawn = following.segment(photo, PHRASE)
    set_to(following, monkeypatch, follows_edges=False)
    plain = following.segment(photo, PHRASE)
    assert len(drawn) == len(plain) > 0 and drawn.text == plain.text
    for region, before in zip(drawn, plain, strict=True):
        wanted = marked(before, photo)
        assert region.box == wanted.box != before.box and np.array_equal(region.mask, wanted.mask)
        assert (region.score, region.point, region.label) == (before.score, before.point, before.label)
    assert "edges" in drawn.timings and "edges" not in plain.timings


@pytest.mark.parametrize("closer", [True, False])
def test_a_box_is_the_same_with_and_without_its_mask(
    following: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch, closer: bool
) -> None:
    monkeypatch.setattr(looks, "to_edges", marked)
    set_to(following, monkeypatch, looks_closer=closer)
    for phrase in (PHRASE, "all the circles"):
        whole, boxes = following.segment(photo, phrase), following.detect(photo, phrase)
        assert np.array_equal(whole.xyxy, boxes.xyxy) and all(region.mask is None for region in boxes)
        assert all(region.box == MARK for region in boxes) and len(boxes)


def test_each_region_is_drawn_once_in_its_own_picture(
    following: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = list[tuple[float, Any]]()

    def edge(region: Region, picture: Image.Image) -> Region:
        drawn.append((region.score or 0.0, picture.size))
        return region

    monkeypatch.setattr(looks, "to_edges", edge)
    other = photo.resize((33, 47))
    one, two = following.look([photo, other]).segment(PHRASE)
    assert [size for _, size in drawn] == [photo.size] * len(one) + [other.size] * len(two)
    assert [score for score, _ in drawn] == [r.score for answer in (one, two) for r in answer]


def test_in_a_talk_too_each_in_its_picture(following: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    other, sizes = photo.resize((33, 47)), list[Any]()

    def edge(region: Region, picture: Image.Image) -> Region:
        sizes.append(picture.size)
        return to_edges(region, picture)

    monkeypatch.setattr(looks, "to_edges", edge)
    talk = Talk(following)
    first, second = talk.say("where", photo), talk.say("and where", other)
    pictures = (photo.size, other.size)
    assert sizes == [pictures[region.picture] for answer in (first, second) for region in answer] and sizes
    assert [r.box for r in talk.turns[1].regions] == [r.box for r in first]  # what was shown is what is remembered


def test_an_eye_that_shows_what_was_found_at_first_draws_nothing(following: Eye, photo: Image.Image) -> None:
    seen = following.look(photo)
    following.as_found = True
    try:
        assert "edges" not in following.segment(photo, PHRASE).timings
        assert "edges" not in seen.segment(PHRASE).timings
        early = following.look(photo)
    finally:
        following.as_found = False
    assert "edges" not in early.segment(PHRASE).timings  # its pixels were not kept


def test_a_point_alone_costs_no_drawing(following: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    point = following.point(photo, PHRASE)
    set_to(following, monkeypatch, follows_edges=False)
    assert [r.point for r in point] == [r.point for r in following.point(photo, PHRASE)]
    assert all(region.mask is None and region.box is None for region in point)


def test_a_talk_may_be_shown_as_found_for_a_turn(following: Eye, photo: Image.Image) -> None:
    talk = Talk(following)
    following.as_found = True
    try:
        first = talk.say("where", photo)
    finally:
        following.as_found = False
    assert "edges" not in first.timings and "edges" in talk.say("and where", photo.resize((33, 47))).timings


def test_answers_with_edges_and_without_are_of_two_models(following: Eye, monkeypatch: pytest.MonkeyPatch) -> None:
    with_edges = model_hash(following.model)
    set_to(following, monkeypatch, follows_edges=False)
    assert model_hash(following.model) != with_edges

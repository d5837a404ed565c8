"""Laws of drawn shapes: the truth is exact, unique and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from perceptiongpt.core.masks import mask_to_box
from perceptiongpt.data.shapes import COLOURS, shapes


def test_the_mask_is_exactly_the_pixels_of_that_colour() -> None:
    for sample in shapes(40, seed=0):
        pixels = np.asarray(sample.image)
        for answer in sample.turns[1::2]:
            (region,) = answer.regions
            colour = COLOURS[region.label.split()[0]]
            assert (pixels[region.mask] == colour).all()
            assert region.box == mask_to_box(region.mask)
            assert region.mask.sum() >= 20


def test_each_question_names_one_shape_and_no_two_in_a_picture_are_alike() -> None:
    samples = shapes(60, seed=1)
    counts = set()
    for sample in samples:
        asked = [turn.text for turn in sample.turns[::2]]
        assert len(set(asked)) == len(asked)
        masks = [turn.regions[0].mask for turn in sample.turns[1::2]]
        assert np.sum(masks, axis=0).max() == 1  # nothing covers anything
        counts.add(len(asked))
        for question, answer in zip(sample.turns[::2], sample.turns[1::2], strict=True):
            assert question.text == f"Where is the {answer.regions[0].label}?"
            assert answer.text == "It is {0}."
    assert counts == {1, 2, 3}


def test_together_all_of_a_picture_are_asked_for_at_last_from_left_to_right() -> None:
    for apart, sample in zip(shapes(20, seed=2), shapes(20, seed=2, together=True), strict=True):
        count = len(apart.turns) // 2
        assert [t.text for t in sample.turns[: 2 * count]] == [t.text for t in apart.turns]
        if count == 1:
            assert len(sample.turns) == 2
            continue
        question, answer = sample.turns[2 * count :]
        assert question.text == "Where are all the shapes?" and answer.text.count("{") == count
        middles = [r.box[0] + r.box[2] for r in answer.regions]
        assert middles == sorted(middles) and len(middles) == count


def test_the_same_seed_draws_the_same_and_another_seed_something_else() -> None:
    a, b, c = (shapes(5, seed=s) for s in (3, 3, 4))
    assert all((np.asarray(x.image) == np.asarray(y.image)).all() for x, y in zip(a, b, strict=True))
    assert any((np.asarray(x.image) != np.asarray(y.image)).any() for x, y in zip(a, c, strict=True))
    assert shapes(2, seed=3)[1].turns[0].text == a[1].turns[0].text  # n changes nothing


def test_the_side_is_kept_and_a_tiny_one_is_refused() -> None:
    assert shapes(1, seed=0, side=96)[0].image.size == (96, 96)
    with pytest.raises(ValueError, match="side of at least 16"):
        shapes(1, seed=0, side=8)

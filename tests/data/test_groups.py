"""Questions for all of a kind: 1 to 8 in turn, all of them to be seen, the same for the same seed."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from perceptiongpt.core.masks import decode_rle
from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.data.question import Asked
from perceptiongpt.data.scene_compose import BIGGEST_CROWD, LEAST_AREA, LEAST_VISIBLE
from perceptiongpt.data.scenes import make_scene
from perceptiongpt.questions import LARGEST_GROUP, group_questions, questions_of


@pytest.fixture(scope="module")
def asked(library: ObjectLibrary) -> list[Asked]:
    return list(islice(group_questions(library, "train", 1), 2 * LARGEST_GROUP))


def test_one_to_eight_are_meant_in_turn_from_left_to_right(asked: list[Asked]) -> None:
    questions = [one.questions[0] for one in asked]
    assert [len(q.targets) for q in questions] == 2 * [*range(1, LARGEST_GROUP + 1)]
    assert {q.kind for q in questions} == {"group"}
    for q in questions:
        assert q.phrase.startswith("the " if len(q.targets) == 1 else "all the ")
        middles = [t.box[0] + t.box[2] for t in q.targets if t.box]
        assert middles == sorted(middles)


def test_each_of_eight_is_seen_and_none_shares_a_pixel(library: ObjectLibrary, asked: list[Asked]) -> None:
    masks = np.asarray([decode_rle(t.rle) for t in asked[7].questions[0].targets if t.rle])
    assert len(masks) == 8 and masks.sum(0).max() == 1
    assert (masks.mean((1, 2)) >= LEAST_AREA).all()
    scene = make_scene(library, "train", 1, 7, (8, 10), most=0, alike=8)
    assert all(o.visible_share >= LEAST_VISIBLE for o in scene.objects if o.askable)


def test_the_same_seed_asks_the_same(library: ObjectLibrary, asked: list[Asked]) -> None:
    again = list(islice(group_questions(library, "train", 1), 4))
    for one, other in zip(asked, again, strict=False):
        assert one.picture.tobytes() == other.picture.tobytes()
        a, b = one.questions[0], other.questions[0]
        assert (a.id, a.phrase, [t.rle for t in a.targets]) == (b.id, b.phrase, [t.rle for t in b.targets])
    other = next(group_questions(library, "train", 2))
    assert other.picture.tobytes() != asked[0].picture.tobytes()


def test_a_crowd_larger_than_a_picture_holds_is_refused(library: ObjectLibrary) -> None:
    with pytest.raises(ValueError, match="wanted 1 and alike <= least"):
        make_scene(library, "train", 0, 0, (2, 4), alike=3)
    with pytest.raises(ValueError, match="wanted 1 and alike"):
        make_scene(library, "train", 0, 0, (1, BIGGEST_CROWD + 1))


def test_questions_of_chosen_kinds_are_all_of_those(library: ObjectLibrary) -> None:
    found, words = questions_of("questions:train:3:count+colour", library=library)
    kinds = {q.kind for one in islice(found, 12) for q in one.questions}
    assert kinds == {"count", "colour"} and words == "questions:train seed 3 count+colour"
    with pytest.raises(ValueError, match="no kinds of question"):
        questions_of("questions:train:3:taste", library=library)
    with pytest.raises(ValueError, match="no kinds of question"):
        questions_of("scenes:train:3:count", library=library)

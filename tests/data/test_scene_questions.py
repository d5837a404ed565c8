"""Laws of questions on scenes: every answer is true of the picture, and no kind gives itself away by its answer."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.scene_questions import KINDS, QuestionStream, captioned, questions
from perceptiongpt.data.scene_referents import Referents
from perceptiongpt.data.scene_talk import where
from perceptiongpt.data.scenes import make_scene
from perceptiongpt.data.words import NUMBERS

FALSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def test_questions_have_the_one_right_answer(library: ObjectLibrary) -> None:
    answers: dict[str, Counter[str]] = {k: Counter() for k in KINDS}
    for n in range(30):
        scene = make_scene(library, "train", 3, n)
        who = Referents(scene.objects, scene.image.size)
        for kind, exchanges in questions(scene, library, "train", np.random.default_rng(n)).items():
            for asked, answered in exchanges:
                answers[kind][answered.text] += 1
                words, told = asked.text, answered.text.rstrip(".").lower()
                here = [(o.kind.lower(), where(who, i)) for i, o in enumerate(scene.objects)]
                if kind == "presence":
                    noun = words.removeprefix("Is there a").removeprefix("n").strip(" ?")
                    assert (told == "yes") == any(noun in (o.name, o.kind) for o in scene.objects)
                elif kind == "place":
                    noun = words.removeprefix("Where in the picture is the ").rstrip("?")
                    assert where(who, who.only(noun)).strip() == told
                elif kind in ("here", "detail") and words.startswith("What is"):
                    place = words.removeprefix("What is").removesuffix(" of the picture?")
                    assert (told, place) in here and [p for _, p in here].count(place) == 1
                elif kind == "relation":
                    relation = next(r for r in FALSE if f" {r} " in words)
                    a, b = words.removeprefix("Is the ").rstrip("?").split(f" {relation} the ")
                    i, k = who.only(a), who.only(b)
                    axis = who.x if relation in ("left of", "right of") else who.y
                    before = axis[i] < axis[k]
                    assert (told == "yes") == (before == (relation in ("left of", "above")))
    assert all(sum(c.values()) for k, c in answers.items() if k != "detail")
    for kind in ("presence", "relation"):
        share = answers[kind]["Yes."] / sum(answers[kind].values())
        assert 0.35 < share < 0.65


def test_a_stream_repeats_itself_and_mixes_its_kinds(library: ObjectLibrary) -> None:
    stream = QuestionStream("train", 0, 20, library)
    one, again = stream[7], stream[7]
    assert one.image == again.image and [t.text for t in one.turns] == [t.text for t in again.turns]
    assert open_picture(one.image).size[0] >= 200
    kinds = Counter(k for s in stream for k in s.meta["kinds"])
    assert set(kinds) >= set(KINDS) - {"detail"}
    assert max(kinds.values()) < 0.5 * sum(kinds.values())
    assert all(len(s.turns) == 2 * len(s.meta["kinds"]) <= 8 for s in stream)
    only = QuestionStream("train", 0, 5, library, kinds=("count",), most=2)
    assert {k for s in only for k in s.meta["kinds"]} == {"count"}
    with pytest.raises(IndexError, match="there are 20"):
        stream[20]


def test_captions_are_words_alone(library: ObjectLibrary) -> None:
    for sample in QuestionStream("train", 0, 5, library, captions=True):
        assert sample.meta["kinds"] == ["caption"] and not sample.turns[1].regions
    scene = make_scene(library, "train", 0, 0)
    (exchange,) = captioned(scene, np.random.default_rng(0))["caption"]
    assert any(o.kind.split()[-1] in exchange[1].text for o in scene.objects)


def test_pointing_first_asks_and_answers_the_same_and_shows_what_it_is_about(library: ObjectLibrary) -> None:
    plain, pointing = (QuestionStream("train", 0, 24, library, pointing=p) for p in (False, True))
    shown = Counter[str]()
    for one, other in zip(plain, pointing, strict=True):
        assert one.image == other.image and one.meta["kinds"] == other.meta["kinds"]
        objects = other.meta["objects"]
        assert len(objects) == len(other.meta["colours"]) > 0
        for kind, answer, again in zip(one.meta["kinds"], one.turns[1::2], other.turns[1::2], strict=True):
            assert re.sub(r"\{\d\}", "", again.text).strip() == answer.text and not answer.regions
            here = [r for r in again.regions if not r.nowhere]
            shown[kind] += len(here)
            assert all(any(r.box == o.box for o in objects) for r in here)
            if kind == "count":
                number = NUMBERS.index(answer.text.rstrip(".").lower())
                assert len(here) == number and len(again.regions) == max(2, number)
                assert [r.box[0] + r.box[2] for r in here] == sorted(r.box[0] + r.box[2] for r in here)
            elif kind == "colour":
                (thing,) = here
                known = dict(zip([o.box for o in objects], other.meta["colours"], strict=True))
                assert known[thing.box] == answer.text.rstrip(".").lower()
    assert all((shown[kind] > 0) == (kind in ("count", "colour", "place", "here", "detail")) for kind in shown)
    assert shown["count"] and shown["colour"] and shown["here"]

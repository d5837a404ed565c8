"""Records become dialogues: only what can be used is asked, and the same each time."""

from __future__ import annotations

import pytest
from PIL import Image

from perceptiongpt.data.dialogues import VARIANTS, Dialogues
from perceptiongpt.data.record import Fault, Record, Thing, strict

IMAGE = Image.new("RGB", (80, 60))
BOX = (10.0, 10.0, 40.0, 30.0)


def record(*things: Thing, key: str = "a", **more) -> Record:
    return Record(IMAGE, f"x:{key}", key, (80, 60), things, **more)


def texts(source: Dialogues) -> list[list[str]]:
    return [[t.text for t in source[i].turns] for i in range(len(source))]


def test_a_dialogue_is_the_same_whoever_asks() -> None:
    rows = [record(Thing(BOX, name="dog"), known=["dog", "cat"], key=k) for k in "abc"]
    assert texts(Dialogues(rows, 3)) == texts(Dialogues(rows, 3))
    assert texts(Dialogues(rows, 3)) != texts(Dialogues(rows, 4))
    assert len(Dialogues(rows)) == 3 * VARIANTS


@pytest.mark.parametrize(
    "bad", [Thing((40, 10, 10, 30), name="dog"), Thing((90, 10, 99, 30), name="dog"), Thing(name="dog")]
)
def test_what_cannot_be_used_is_not_asked(bad: Thing) -> None:
    rows = record(Thing(BOX, name="cat"), bad, known=["cat", "dog"], phrases=(("him", (1,)), ("it", (0,))))
    heard = " ".join(t for sample in texts(Dialogues([rows])) for t in sample).lower()
    assert "cat" in heard and "dog" not in heard and "him" not in heard


def test_a_record_without_a_question_gives_way_to_the_next() -> None:
    rows = [record(key="a"), record(key="b", phrases=(("the dog", ()),))]
    assert {s for sample in texts(Dialogues(rows)) for s in sample[1:2]} == {"There is no dog."}
    with pytest.raises(ValueError, match="hold anything to ask"):
        Dialogues([record()])[0]


def test_talk_stays_as_it_stands() -> None:
    row = record(Thing(BOX), talk=(("user", "Where?", ()), ("assistant", "Here{0}.", (0,))))
    assert texts(Dialogues([row])) == [["Where?", "Here{0}."]]


def test_braces_in_words_of_others_are_no_places() -> None:
    row = record(Thing(BOX), phrases=(("the {0} mug", (0,)),), told=((0, "a {x}"),))
    for i in range(VARIANTS):
        for turn in Dialogues([row])[i].turns:
            assert "{x}" not in turn.text


def test_the_first_fault_ends_strict_reading() -> None:
    with pytest.raises(ValueError, match=r"x\.json:3: broken"):
        list(strict([record(), Fault("x.json:3", "broken")]))

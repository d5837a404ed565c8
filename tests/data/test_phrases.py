"""Laws of asking and answering: places in order, words repeated, articles right, canonical half of the time."""

from __future__ import annotations

import numpy as np
import pytest

from perceptiongpt.core.answer import Region
from perceptiongpt.data import phrases, words
from perceptiongpt.data.sample import PLACE, Turn


@pytest.mark.parametrize(
    ("phrase", "question", "n", "answer"),
    [
        ("the red mug", "Where is the red mug?", 1, "The red mug{0}."),
        ("red mug", "Where is red mug?", 1, "Red mug{0}."),
        ("all the apples", "Where are all the apples?", 3, "All the apples{0}{1}{2}."),
        ("both dogs", "Where are both dogs?", 2, "Both dogs{0}{1}."),
        ("the bus next to the chairs", "Where is the bus next to the chairs?", 1, "The bus next to the chairs{0}."),
        ("the red mug", "Where is the red mug?", 0, "There is no red mug."),
        ("a red mug", "Where is a red mug?", 0, "There is no red mug."),
        ("all the apples", "Where are all the apples?", 0, "There are no apples."),
        ("the scissors", "Where are the scissors?", 0, "There are no scissors."),
        ("  the   mug ", "Where is the mug?", 1, "The mug{0}."),
    ],
)
def test_the_answer_repeats_the_phrase_and_then_the_places(phrase: str, question: str, n: int, answer: str) -> None:
    assert phrases.ask_region(phrase) == question
    assert phrases.answer_region(phrase, n) == answer
    Turn("assistant", answer, tuple(Region(box=(0, 0, 1, 1)) for _ in range(n)))  # refuses places that don't fit


def test_a_users_braces_never_become_places() -> None:
    assert not PLACE.findall(phrases.ask_region("the {0} mug"))
    assert len(PLACE.findall(phrases.answer_region("the {7} mug", 1))) == 1


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_phrase_is_refused(empty: str) -> None:
    with pytest.raises(ValueError, match="name what to look for"):
        phrases.ask_region(empty)


def test_the_canonical_question_is_heard_half_of_the_time_and_all_others_too() -> None:
    rng = np.random.default_rng(0)
    heard = [phrases.ask("region", rng, phrase="the cup") for _ in range(2000)]
    assert 0.45 < heard.count(phrases.ask_region("the cup")) / len(heard) < 0.55
    assert len(set(heard)) == len(phrases.QUESTIONS["region"])


@pytest.mark.parametrize("task", phrases.QUESTIONS)
def test_every_template_is_filled_and_the_first_is_what_predict_asks(task: str) -> None:
    rng = np.random.default_rng(1)
    asked = {phrases.ask(task, rng, phrase="the cup", noun="cup", nouns="cups") for _ in range(400)}
    assert len(asked) == len(phrases.QUESTIONS[task]) >= 6
    shown = task in ("what", "describe")
    assert all(PLACE.findall(a) == (["0"] if shown else []) for a in asked)
    assert not any("{" in a.replace("{0}", "") for a in asked)
    canonical = {
        "region": phrases.ask_region("the cup"),
        "list": "Find: the cup.",
        "point": phrases.ask_point("the cup"),
        "what": "What is {0}?",
        "describe": phrases.ask_describe(),
        "caption": phrases.ask_caption(),
        "grounded": phrases.ask_grounded(),
        "count": "How many cups are there?",
        "colour": "What colour is the cup?",
        "presence": "Is there a cup?",
    }
    assert canonical[task] in asked


def test_a_list_is_answered_in_its_own_order_and_says_what_is_missing() -> None:
    assert phrases.join_list(["the cup", "all the dogs", "a cat"]) == "the cup; all the dogs; a cat"
    assert phrases.answer_list([("the cup", 1), ("all the dogs", 2), ("the cat", 0)]) == (
        "The cup{0}; all the dogs{1}{2}; no cat."
    )


def test_the_same_seed_asks_the_same() -> None:
    def draw() -> list[str]:
        rng = np.random.default_rng(7)
        return [phrases.as_users_say(phrases.ask("region", rng, phrase="the cup"), rng) for _ in range(20)]

    assert draw() == draw()


def test_phrases_are_heard_with_and_without_their_article() -> None:
    rng = np.random.default_rng(2)
    said = [phrases.as_users_say("the cup", rng) for _ in range(500)]
    assert set(said) == {"the cup", "cup"}
    assert 0.1 < said.count("cup") / 500 < 0.3
    assert phrases.as_users_say("all the cups", rng) == "all the cups"


def test_a_caption_counts_its_places_on() -> None:
    things = [("a dog", 1), ("two apples", 2), ("a red chair", 1)]
    assert phrases.say_caption(things, places=True) == "A dog{0}, two apples{1}{2} and a red chair{3}."
    assert phrases.say_caption(things[:2], places=False) == "A dog and two apples."


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("apple", "apples"),
        ("office chair", "office chairs"),
        ("knife", "knives"),
        ("bus", "buses"),
        ("cherry", "cherries"),
        ("toy", "toys"),
        ("goldfish", "goldfish"),
        ("fireman", "firemen"),
        ("mouse", "mice"),
        ("glass", "glasses"),
        ("scissors", "scissors"),
        ("potato", "potatoes"),
        ("piano", "pianos"),
        ("human", "humans"),
        ("cup of bubble tea", "cups of bubble tea"),
    ],
)
def test_many_of_a_noun_are_called_as_english_does(one: str, many: str) -> None:
    assert words.plural(one) == many


@pytest.mark.parametrize(
    ("noun", "said"),
    [("apple", "an apple"), ("cup", "a cup"), ("unicorn", "a unicorn"), ("hourglass", "an hourglass"),
     ("umbrella", "an umbrella"), ("scissors", "scissors"), ("orange chair", "an orange chair")],
)  # fmt: skip
def test_a_noun_takes_the_article_that_its_sound_wants(noun: str, said: str) -> None:
    assert words.with_article(noun) == said


@pytest.mark.parametrize(
    ("noun", "name", "certain", "possible"),
    [
        ("chair", "office chair", True, True),
        ("chair", "chair", True, True),
        ("table", "table lamp", False, True),  # nobody should have to guess
        ("chair", "armchair", False, True),
        ("cup", "mug", False, True),
        ("dog", "hot air balloon", False, False),
        ("apple", "apples", False, True),
        ("car", "carrot", False, False),
        ("key", "padlock with a key", False, True),
        ("cup", "cup of bubble tea", True, True),
    ],
)
def test_what_a_noun_names_and_what_it_might_name(noun: str, name: str, certain: bool, possible: bool) -> None:
    assert words.is_called(noun, name) is certain
    assert words.may_mean(noun, (name,)) is possible


@pytest.mark.parametrize(
    ("phrase", "many"),
    [
        ("all the apples", True),
        ("both dogs", True),
        ("the two mugs", True),
        ("the office chairs on the left", True),
        ("the bus", False),
        ("the pliers", False),
        ("The third pliers from the left", False),
        ("scissors above the green books", False),
        ("all the pliers", True),
        ("the two scissors", True),
    ],
)
def test_what_is_one_thing_in_the_plural_is_asked_for_as_one_and_spoken_of_as_many(phrase: str, many: bool) -> None:
    assert words.asks_for_many(phrase) is many
    said = phrases._be(phrase)
    assert said == ("is" if phrase == "the bus" else "are")

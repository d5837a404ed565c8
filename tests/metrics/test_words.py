"""Answers in words: VQAv2, POPE, CircularEval, SEED and CIDEr on rows worked out by hand from their definitions."""

import math

import pytest

from perceptiongpt.metrics.answers import (
    chosen_option,
    normalised,
    pope,
    vqa_accuracy,
    yes_or_no,
)
from perceptiongpt.metrics.captions import cider, meteor


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("Two dogs.", "2 dogs"),
        ("The  red   ball", "red ball"),
        ("dont know", "don't know"),
        ("1,000", "1000"),
        ("yes, it is", "yes it is"),
        ("red/blue", "red blue"),
        ("3.5", "3.5"),
        ("none", "0"),
        ("\tAn apple\n", "apple"),
    ],
)
def test_answers_are_compared_without_articles_marks_and_number_words(said: str, plain: str) -> None:
    assert normalised(said) == plain


def test_vqa_accuracy_on_rows_worked_by_hand():
    # 2 of 10 say it: for those two 1 other says so, 1/3; for the other eight 2 others, 2/3 -> (2/3 + 16/3) / 10 = 0.6
    assert vqa_accuracy(["2"], [["2", "two"] + ["3"] * 8])["accuracy"] == pytest.approx(0.6)
    # 3 of 10: three times 2/3, seven times 1 -> 0.9; 4 or more: 1
    assert vqa_accuracy(["red"], [["red"] * 3 + ["blue"] * 7])["accuracy"] == pytest.approx(0.9)
    assert vqa_accuracy(["red", "Red."], [["red"] * 4 + ["blue"] * 6] * 2)["accuracy"] == 1.0
    assert vqa_accuracy(["green"], [["red"] * 10])["accuracy"] == 0.0
    # 1 of 10: nine times 1/3, once 0 -> 0.3
    assert vqa_accuracy(["x"], [["x"] + ["y"] * 9])["accuracy"] == pytest.approx(0.3)


def test_pope_on_rows_worked_by_hand():
    said = ["Yes, there is.", "yes", "No.", "There is not", "a dog"]
    true = [True, False, False, True, True]  # TP 1, FP 1, TN 1, FN 1 and one that says neither
    got = pope(said, true)
    assert (got["accuracy"], got["precision"], got["recall"]) == (2 / 5, 1 / 2, pytest.approx(1 / 3))
    assert got["f1"] == pytest.approx(2 * 0.5 / 3 / (0.5 + 1 / 3))
    assert (got["yes_ratio"], got["invalid"], got["n"]) == (2 / 5, 1 / 5, 5)
    assert yes_or_no("nothing, yesterday") is None


OPTIONS = {"A": "a cat", "B": "a dog", "C": "two dogs"}


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("B", "B"),
        ("(C)", "C"),
        ("The answer is B.", "B"),
        ("A. a cat", "A"),
        ("A dog", "B"),
        ("I see a cat", "A"),
        ("Bananas", None),
        ("D", None),
        ("", None),
        ("The answer is A", "A"),
    ],
)
def test_the_option_that_an_answer_means(said: str, letter: str | None) -> None:
    assert chosen_option(said, OPTIONS) == letter


def test_cider_on_rows_worked_by_hand():
    people = [["a red cat"], ["one blue dog"]]  # every n-gram is in one of two: idf = log 2
    assert cider(["a red cat", "one blue dog"], people) == pytest.approx([7.5, 7.5])  # no 4-grams in three words
    # "a red dog" of "a red cat": 2 of 3 words ("dog" is in the other), 1 of 2 pairs, 0 of 1 triples
    assert cider(["a red dog", "x"], people) == pytest.approx([10 * (2 / 3 + 1 / 2) / 4, 0])
    # twice as long: one pair more in length, clipped counts
    drop = math.exp(-1 / (2 * 36))
    grams = [3 / (3**0.5 * 4**0.5), 2 / (2**0.5 * 3**0.5), 1 / (1 * 2**0.5)]
    # "cats" is in no caption: its idf is log(2 / max(1, 0)) = log 2 as well
    assert cider(["a red cat cats", "x"], people) == pytest.approx([10 * drop * sum(grams) / 4, 0])
    assert cider(["a red cat"], [["a red cat"]]) == [0.0]  # a corpus of one: nothing is rare


def test_meteor_on_rows_worked_by_hand():
    # 3 of 3 words match in one piece: precision and recall 1, a ninth of fragmentation cubed: 1 - .5 (1/3)^3
    # "cats" has the stem of "cat"; "green" matches nothing: precision 2/3, recall 2/3, two pieces of two words
    said, people = ["a red cat", "a green cats", ""], [["x y", "a red cat"], ["a red cat"], ["a cat"]]
    assert meteor(said, people) == pytest.approx([1 - 0.5 / 27, 2 / 3 * 0.5, 0.0])

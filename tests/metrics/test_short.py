"""Judges of short answers against numbers worked by hand, and WordNet's similarity on a small tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from perceptiongpt.metrics.answers import normalised, vqa_accuracy
from perceptiongpt.metrics.short import exact, judged, wilson, wups
from perceptiongpt.wordnet import WordNet

#        entity 1
#     /          \
#  animal 2     thing 3
#   /   \          |
# dog 4  cat 5   chair 6 -> armchair 7
TREE = {
    1: ("entity", 0),
    2: ("animal", 1),
    3: ("thing", 1),
    4: ("dog", 2),
    5: ("cat", 2),
    6: ("chair", 3),
    7: ("armchair", 6),
}


@pytest.fixture
def nouns(tmp_path: Path) -> WordNet:
    """The tree in WordNet's database format, its licence before it; a cat is a chair, too."""
    licence = "  1 This software and database is being provided to you\n"
    data, index = [], []
    for at, (word, above) in TREE.items():
        pointers = f"001 @ {above:08d} n 0000" if above else "000"
        data.append(f'{at:08d} 03 n 01 {word} 0 {pointers} | a {word}; it "is" one')
        senses = [at, 6] if word == "cat" else [at]
        index.append(f"{word} n {len(senses)} 1 @ {len(senses)} 0 " + " ".join(f"{s:08d}" for s in senses))
    (tmp_path / "data.noun").write_text(licence + "\n".join(data) + "\n", encoding="utf-8")
    (tmp_path / "index.noun").write_text(licence + "\n".join(index) + "\n", encoding="utf-8")
    return WordNet(tmp_path)


def test_answers_are_compared_as_the_task_compares_them() -> None:
    assert normalised("  The Red-ish   car! ") == "red ish car"
    assert normalised("Two dogs, 1,000 cats and 2.5 mice.") == "2 dogs 1000 cats and 2.5 mice"
    assert normalised("don't") == normalised("dont")
    assert exact("A dog.", ["dog"]) == 1 and exact("", [""]) == 0 and exact("dogs", ["dog"]) == 0


def test_one_true_answer_is_right_or_wrong() -> None:
    assert vqa_accuracy(["red", "Blue."], [["red"], ["blue"]])["accuracy"] == 1
    assert vqa_accuracy(["green", ""], [["red"], [""]])["accuracy"] == 0


def test_an_answer_of_several_things_is_a_set() -> None:
    assert exact("Table, chair", ["chair, table"]) == 1 and exact("chair", ["chair, table"]) == 0


def test_wu_and_palmers_similarity_is_that_of_the_tree(nouns: WordNet) -> None:
    like = nouns.similarity
    assert like("dog", "dog") == 1
    assert like("dog", "animal") == pytest.approx(2 * 2 / (3 + 2))
    assert like("dog", "armchair") == pytest.approx(2 * 1 / (3 + 4))
    assert like("armchair", "chair") == pytest.approx(2 * 3 / (4 + 3))
    assert like("cat", "dog") == pytest.approx(2 * 2 / 6)  # as an animal, the better of its senses
    assert like("cats", "chairs") == 1
    assert like("blorp", "dog") == 0 and like("blorp", "blorp") == 1


def test_wups_counts_sets_both_ways_and_a_tenth_below_its_threshold(nouns: WordNet) -> None:
    like = nouns.similarity
    assert wups("dog", "dog", like) == 1
    assert wups("dog", "cat", like) == pytest.approx(0.1 * 4 / 6)
    assert wups("armchair", "chair", like, threshold=0.8) == pytest.approx(6 / 7)
    assert wups("chair, dog", "dog, chair", like) == 1
    assert wups("dog", "dog, chair", like) == pytest.approx(0.1 * like("dog", "chair"))  # the chair was not said
    assert wups("", "dog", like) == 0


def test_numbers_stand_beside_the_majority_answer_and_their_interval() -> None:
    rows = [("2", ["two"], "count"), ("red", ["blue"], "colour"), ("", ["2"], "count"), ("cat", ["cat"], "thing")]
    told = judged(rows, seen=["2", "2", "cat"])
    assert (told["accuracy"], told["majority"], told["majority_answer"], told["n"]) == (0.5, 0.5, "2", 4)
    assert told["by_kind"]["count"] == {"accuracy": 0.5, "n": 2}
    assert told["wups90"] is None
    low, high = wilson(2, 4)
    assert (round(low, 3), round(high, 3)) == (0.150, 0.850)
    assert told["interval"] == [low, high]
    with pytest.raises(ValueError, match="at least one question"):
        judged([])


def test_a_folder_that_is_no_wordnet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no index\.noun"):
        WordNet(tmp_path)
    for name in ("index.noun", "data.noun"):
        (tmp_path / name).write_text("what is this\n", encoding="utf-8")
    with pytest.raises(ValueError, match="not in WordNet's format"):
        WordNet(tmp_path)

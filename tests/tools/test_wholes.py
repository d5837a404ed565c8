"""Which whole photographs are held out and which are trained on: no piece of one is on both sides."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

from detector import agreement
from wholes import Told, lines, wanted


def test_no_photograph_is_trained_on_and_held_out() -> None:
    def thing(key: str, split: str, name: str) -> dict:
        told = {"split": split, "name": name, "kind": name.split()[-1], "tags": ["thing", "photograph"]}
        return {"id": f"photo/{key}", **told}

    listing = {
        "objects": [
            thing("a/1", "train", "red fish"),
            thing("a/2", "test", "Silver fish"),
            thing("a/3", "novel", "crab"),
            thing("a/4", "test", "fish"),
            {**thing("a/5", "test", "cup"), "id": "emoji/cup"},
            thing("a/6", "train", "mill"),
            thing("a/7", "train", "cow"),
        ],
        "backgrounds": [
            {"id": "background/a/4", "split": "train"},
            {"id": "background/a/3", "split": "test"},
            {"id": "background/a/6", "split": "val"},
            {"id": "background/a/7", "split": "train"},
        ],
    }
    assert wanted(listing) == {
        "a/1": Told("train", "red fish", "fish", "thing"),
        "a/2": Told("test", "silver fish", "fish", "thing"),
        "a/3": Told("novel", "crab", "crab", "thing"),
        "a/7": Told("train", "cow", "cow", "thing"),
    }


def test_each_noun_is_asked_for_with_the_tight_box_of_the_mask() -> None:
    alpha = np.zeros((20, 30), np.uint8)
    alpha[4:9, 10:22] = 200
    alpha[0, 0] = 90  # too soft to be a part
    made = lines(Image.new("RGB", (30, 20)), Image.fromarray(alpha), "a/2", "silver fish", "fish", "images/a_2.webp")
    assert [row["phrase"] for row in made] == ["the silver fish", "the fish"]
    assert [row["boxes"] for row in made] == 2 * [[[10.0, 4.0, 22.0, 9.0]]]
    assert [row["id"] for row in made] == ["a_2-0", "a_2-1"]
    assert len(lines(Image.new("RGB", (30, 20)), Image.fromarray(alpha), "c", "crab", "crab", "x")) == 1


def test_agreement_is_the_best_overlap_of_boxes_in_shares_of_the_picture() -> None:
    mask = np.zeros((20, 40), bool)
    mask[5:15, 10:30] = True
    exact, half, far = [0.25, 0.25, 0.75, 0.75], [0.25, 0.25, 0.5, 0.75], [0.8, 0.8, 0.9, 0.9]
    assert agreement([[0, 0.9, *far], [3, 0.3, *half]], mask) == 0.5
    assert agreement([[0, 0.9, *half], [3, 0.3, *exact]], mask) == 1.0
    assert agreement([], mask) == agreement([[0, 0.9, *far]], mask) == 0.0

"""Which whole photographs are held out: neither the thing nor what is beside it was trained on."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "objects"))

from wholes import held_out, lines


def test_only_what_training_never_saw_is_held_out() -> None:
    def thing(key: str, split: str, name: str) -> dict[str, str]:
        return {"id": f"photo/{key}", "split": split, "name": name, "kind": name.split()[-1]}

    listing = {
        "objects": [
            thing("a/1", "train", "red fish"),
            thing("a/2", "test", "Silver fish"),
            thing("a/3", "novel", "crab"),
            thing("a/4", "test", "fish"),
            {**thing("a/5", "test", "cup"), "id": "emoji/cup"},
        ],
        "backgrounds": [{"id": "background/a/4", "split": "train"}, {"id": "background/a/3", "split": "test"}],
    }
    assert held_out(listing) == {
        "a/2": ("test", "silver fish", "fish"),
        "a/3": ("novel", "crab", "crab"),
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

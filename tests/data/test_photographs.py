"""The photographs that ship: free, small, with masks that fit; some to train on, the rest held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt.core.masks import decode_rle, mask_to_box
from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.data.photographed import LEAST_SHOWN, PHOTOGRAPHS, VARIANTS, Photographs, photographs, piece
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.question import Asked
from perceptiongpt.questions import expression_questions, questions_of
from perceptiongpt.sources import open_source

HELD_OUT = ("val", "test", "novel")


@pytest.fixture(scope="module")
def asked() -> dict[str, list[Asked]]:
    held = {split: list(questions_of(f"photos:{split}")[0]) for split in HELD_OUT}
    return held | {"train": list(expression_questions(PHOTOGRAPHS / "train.jsonl"))}


def test_truth_lies_in_its_photograph(asked: dict[str, list[Asked]]) -> None:
    for ones in asked.values():
        assert ones
        for one in ones:
            size = open_picture(one.picture).size
            for q in one.questions:
                (target,) = q.targets
                assert q.size_wh == size and target.rle is not None
                mask = decode_rle(target.rle)
                assert mask.shape == size[::-1] and mask_to_box(mask) == target.box
                assert 0.02 <= mask.mean() <= 0.9


def test_photographs_are_trained_on_or_held_out(asked: dict[str, list[Asked]]) -> None:
    library = ObjectLibrary.open()
    trained = {o.id.removeprefix("photo/").replace("/", "_") for o in library.objects("train")}
    trained |= {b.id.removeprefix("background/").replace("/", "_") for b in library.backgrounds("train")}
    kinds = {n for o in library.objects("train") for n in (o.name, o.kind)}
    names: list[str] = []
    for split, ones in asked.items():
        stems = {Path(str(one.picture)).stem for one in ones}
        assert stems <= trained if split == "train" else not stems & trained
        names += stems
        if split == "novel":
            assert not {q.phrase.removeprefix("the ") for one in ones for q in one.questions} & kinds
    assert len(names) == len(set(names))  # no photograph is in two splits
    beside = {
        b.id.removeprefix("background/").replace("/", "_") for s in ("val", "test") for b in library.backgrounds(s)
    }
    assert not {Path(str(one.picture)).stem for one in asked["train"]} & beside


def test_every_photograph_is_credited_and_all_are_small() -> None:
    images = {file.stem for file in (PHOTOGRAPHS / "images").iterdir()}
    rows = [line.split(" | ") for line in (PHOTOGRAPHS / "CREDITS.md").read_text(encoding="utf-8").splitlines()]
    credited = {row[0].removeprefix("| "): row[2] for row in rows if len(row) == 4 and row[0] != "| photograph"}
    assert set(credited) == images
    assert set(credited.values()) <= {"PD", "CC0-1.0"}
    assert sum(file.stat().st_size for file in PHOTOGRAPHS.rglob("*") if file.is_file()) < 5_000_000


@pytest.mark.parametrize("name", ["photos:train", "photos:all", "photos:", "photos:../objects/objects"])
def test_photographs_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="photos:val, photos:test or photos:novel"):
        questions_of(name)


# -- to train on -----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(8, 60), st.integers(8, 60), st.integers(0, 999))
def test_a_piece_shows_its_thing_where_the_mask_is(width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    x, y = int(rng.integers(width - 4)), int(rng.integers(height - 4))
    mask[y : y + 4, x : x + 4] = True
    whole = Image.fromarray(np.where(mask[..., None], (255, 40, 40), (20, 20, 200)).astype(np.uint8))
    image, part = piece(whole, mask, rng)
    assert image.size == part.shape[::-1] and part.sum() >= LEAST_SHOWN * mask.sum()
    assert ((np.asarray(image)[..., 0] > np.asarray(image)[..., 2]) == part).all()


def test_photographs_are_asked_for_what_they_show_and_what_others_of_another_sort_show() -> None:
    source = open_source("photos:train", 3)
    assert isinstance(source, Photographs) and len(source) == VARIANTS * len(source.photographs)
    tags = {noun: one.tag for one in source.photographs for noun in one.nouns}
    there = absent = 0
    for i in range(0, len(source), 17):
        one, sample = source.photographs[i % len(source.photographs)], source[i]
        nouns = {r.label for turn in sample.turns for r in turn.regions}
        assert nouns <= set(one.nouns)
        there += bool(nouns)
        for turn in sample.turns:
            missed = turn.text.removeprefix("There is no ").rstrip(".")
            if turn.text.startswith("There is no ") and missed in tags:
                assert tags[missed] != one.tag
                absent += 1
    assert there > 100 and absent > 20
    again = open_source("photos:train", 3)[40]
    assert again.turns[0].text == source[40].turns[0].text
    assert np.array_equal(np.asarray(again.image), np.asarray(source[40].image))
    assert open_source("photos:train", 4)[40].turns != again.turns


def test_photographs_that_are_asked_are_not_trained_on() -> None:
    with pytest.raises(ValueError, match="write photos:train"):
        open_source("photos:test", 0)
    with pytest.raises(IndexError, match="there are"):
        source = Photographs(PHOTOGRAPHS / "train.jsonl")
        source[len(source)]
    assert all(len(one.nouns) in (1, 2) and one.mask.any() for one in photographs(PHOTOGRAPHS / "train.jsonl"))

"""The photographs that ship: free, small, with masks that fit, and held out of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from perceptiongpt.core.masks import decode_rle, mask_to_box
from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.question import Asked
from perceptiongpt.questions import PHOTOGRAPHS, questions_of

SPLITS = ("val", "test", "novel")


@pytest.fixture(scope="module")
def asked() -> dict[str, list[Asked]]:
    return {split: list(questions_of(f"photos:{split}")[0]) for split in SPLITS}


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


def test_no_photograph_was_trained_on(asked: dict[str, list[Asked]]) -> None:
    library = ObjectLibrary.open()
    trained = {o.id.removeprefix("photo/").replace("/", "_") for o in library.objects("train")}
    trained |= {b.id.removeprefix("background/").replace("/", "_") for b in library.backgrounds("train")}
    kinds = {n for o in library.objects("train") for n in (o.name, o.kind)}
    names: list[str] = []
    for split, ones in asked.items():
        stems = {Path(str(one.picture)).stem for one in ones}
        assert not stems & trained
        names += stems
        if split == "novel":
            assert not {q.phrase.removeprefix("the ") for one in ones for q in one.questions} & kinds
    assert len(names) == len(set(names))  # no photograph is in two splits


def test_every_photograph_is_credited_and_all_are_small() -> None:
    images = {file.stem for file in (PHOTOGRAPHS / "images").iterdir()}
    rows = [line.split(" | ") for line in (PHOTOGRAPHS / "CREDITS.md").read_text(encoding="utf-8").splitlines()]
    credited = {row[0].removeprefix("| "): row[2] for row in rows if len(row) == 4 and row[0] != "| photograph"}
    assert set(credited) == images
    assert set(credited.values()) <= {"PD", "CC0-1.0"}
    assert sum(file.stat().st_size for file in PHOTOGRAPHS.rglob("*") if file.is_file()) < 5_000_000


@pytest.mark.parametrize("name", ["photos:train", "photos:", "photos:../objects/objects"])
def test_photographs_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="photos:val, photos:test or photos:novel"):
        questions_of(name)

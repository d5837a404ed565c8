"""The laws of a colour that is asked for: which one a phrase means, and that what has another scores less for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perceptiongpt.core.batch import Regions
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.data.objects import COLOURS
from perceptiongpt.data.words import RELATIONS
from perceptiongpt.model.align import name_vectors
from perceptiongpt.model.generate import Spoken
from perceptiongpt.predict import Eye
from perceptiongpt.tinted import named_colour, tinted

Make = Callable[..., Any]


@pytest.fixture
def seeing(equipped: Make, stir: Make) -> Eye:
    """A model whose echo hears colours."""
    return Eye(stir(equipped("aya_vision", echoes=True, region_colours=True)))


@pytest.mark.parametrize(
    ("phrase", "colour"),
    [
        ("the red mug", "red"),
        ("The RED mug.", "red"),
        ("all the gray mugs", "grey"),
        ("the two leftmost green boots", "green"),
        ("the mug left of the red box", None),
        ("the red mug left of the blue box", "red"),
        ("the red and white ball", None),  # two
        ("the red mug; the blue box", None),  # several things
        ("the bored rat", None),  # words whole
        ("the mug", None),
        ("", None),
    ],
)
def test_a_phrase_means_the_colour_of_what_it_asks_for(phrase: str, colour: str | None) -> None:
    assert named_colour(phrase) == colour


@given(st.sampled_from(COLOURS), st.sampled_from(sorted(RELATIONS)), st.sampled_from(COLOURS))
def test_what_is_told_of_something_else_does_not_count(colour: str, word: str, other: str) -> None:
    assert named_colour(f"the {colour} mug {word} the {other} box") == colour
    assert named_colour(f"the mug {word} the {other} box") is None


def of_colours(eye: Eye, *words: str) -> Spoken:
    """Regions as sure as each other, whose shades are these colours' own words, ten times as long."""
    n = len(words)
    blank = torch.zeros(n, 4, 4)
    shades = list(10 * name_vectors(eye.model, words))
    return Spoken([], [], Regions(torch.full((n, 4), 0.5), blank, blank, torch.ones(n)), shades=shades)


@pytest.mark.parametrize("weight", [2.0, 9.0])
def test_what_has_another_colour_scores_less_and_what_has_it_as_before(seeing: Eye, weight: float) -> None:
    seeing.operating = OperatingPoint(tinted=weight)
    said = of_colours(seeing, *COLOURS)
    words = torch.nn.functional.normalize(name_vectors(seeing.model, COLOURS), dim=-1)
    for n, colour in enumerate(COLOURS):
        found = tinted(seeing, said, f"the {colour} mug")
        assert torch.allclose(found.regions.scores, 1 - weight * (1 - words @ words[n]), atol=1e-5)
        assert found.regions.scores.argmax() == n and torch.equal(found.regions.boxes, said.regions.boxes)


def test_without_a_weight_a_colour_or_shades_nothing_changes(seeing: Eye) -> None:
    said = of_colours(seeing, "red", "blue")
    assert tinted(seeing, said, "the red mug") is said  # as it is born
    seeing.operating = OperatingPoint(tinted=9.0)
    assert tinted(seeing, said, "the mug") is said and tinted(seeing, said, None) is said
    bare = Spoken([], [], said.regions)
    assert tinted(seeing, bare, "the red mug") is bare
    grey = Spoken([], [], said.regions, shades=[torch.zeros_like(s) for s in said.shades])  # a model that counts none
    assert torch.equal(tinted(seeing, grey, "the red mug").regions.scores, said.regions.scores)


def test_answers_are_told_of_it(seeing: Eye, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perceptiongpt.model.generate._choose", lambda *_: torch.tensor([seeing.model.vis_id]))
    seen, told = seeing.look(photo), dict[tuple[float, str], float]()
    for weight in (0.0, 50.0):
        seeing.operating = OperatingPoint(tinted=weight)
        for phrase in ("the mug", *(f"the {c} mug" for c in COLOURS)):
            (region,) = seen.segment(phrase, max_new_tokens=1)
            told[weight, phrase] = region.score or 0.0
    plain, coloured = zip(*((told[0.0, p], told[50.0, p]) for w, p in told if w), strict=True)
    assert plain[0] == coloured[0]
    lost = [a - b for a, b in zip(plain, coloured, strict=True)]
    assert min(lost) == 0 and sum(x > 0.01 for x in lost) >= len(COLOURS) - 1  # all but the one that it is

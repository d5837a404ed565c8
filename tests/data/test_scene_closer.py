"""Laws of pieces of scenes: what they show is what the scene shows there, and what they don't is nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from perceptiongpt.data.objects import ObjectLibrary
from perceptiongpt.data.scene_closer import MOST, THERE, closer_sample, cut
from perceptiongpt.data.scene_referents import Expression, Scene
from perceptiongpt.data.scenes import SceneStream, make_scene
from perceptiongpt.sources import open_source


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    library = ObjectLibrary.open()
    return [make_scene(library, "val", 7, i) for i in range(12)]


def test_a_thing_cut_to_a_piece_is_its_mask_there(scenes: list[Scene]) -> None:
    thing = scenes[0].objects[-1]
    height, width = thing.mask.shape
    whole = cut(thing, (0, 0, width, height))
    assert np.array_equal(whole.mask, thing.mask) and whole.box == thing.box
    x0, y0, x1, y1 = (int(v) for v in thing.box)
    inside = cut(thing, (x0, y0, x1, y1))
    assert inside.mask.sum() == thing.mask.sum() and inside.box == (0, 0, x1 - x0, y1 - y0)


def test_what_is_asked_is_there_whole_enough_or_nowhere(scenes: list[Scene]) -> None:
    made = [(s, sample) for s in scenes if (sample := closer_sample(s, np.random.default_rng(1))) is not None]
    assert len(made) > 8
    there = nowhere = 0
    for scene, sample in made:
        assert isinstance(sample.image, Image.Image)
        width, height = sample.image.size
        assert 1 <= len(sample.turns) // 2 <= MOST and width <= scene.image.width and height <= scene.image.height
        masks = [o.mask for o in sample.meta["objects"]]
        assert len(sample.meta["colours"]) == len(masks)
        for turn in sample.turns[1::2]:
            (region,) = turn.regions
            assert region.mask.shape == (height, width)
            if region.mask.any():
                there += 1
                assert any(np.array_equal(region.mask, m) for m in masks)
                assert region.box is not None and np.flatnonzero(region.mask.any(1))[0] == region.box[1]
            else:
                nowhere += 1
        whole = {o.name: o.mask.sum() for o in scene.objects if [p.name for p in scene.objects].count(o.name) == 1}
        shown = [(o.label, o.mask.sum()) for o in sample.meta["objects"] if o.label in whole]
        assert all(THERE * whole[name] <= size <= whole[name] for name, size in shown)
    assert there >= len(made) and nowhere > 0


def test_a_scene_that_means_no_single_thing_has_no_piece(scenes: list[Scene]) -> None:
    none = [Expression("the unicorn", "absent", ()), Expression("all the cups", "group", (0, 1))]
    assert closer_sample(Scene(scenes[0].image, scenes[0].objects, tuple(none)), np.random.default_rng(0)) is None


def test_a_stream_of_pieces_is_the_same_whoever_asks() -> None:
    stream = open_source("closer:val:9", 4)
    assert isinstance(stream, SceneStream) and len(stream) == 9
    one, again = stream[3], open_source("closer:val:9", 4)[3]
    assert one.image.tobytes() == again.image.tobytes() and [t.text for t in one.turns] == [t.text for t in again.turns]
    assert stream[4].image.tobytes() != one.image.tobytes()

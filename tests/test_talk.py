"""A dialogue goes on: turn 2 reads what turn 1 found, several pictures are told apart, words alone need none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from perceptiongpt.core.answer import Region
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.model.perception import equip
from perceptiongpt.model.zoo import HOSTS
from perceptiongpt.predict import Eye
from perceptiongpt.talk import Talk

KINDS = ("llava", "qwen3_vl", "llava_next", "gemma3", "idefics3", "mistral3", "paligemma")


def talkative(family: str) -> Eye:
    model = equip(*HOSTS[family](), decoder_width=32, decoder_depth=1)
    with torch.no_grad():
        model.vis_row.copy_(0.5 * torch.randn(model.vis_row.shape, generator=torch.Generator().manual_seed(0)))
    return Eye(model, family)


def noise(size_wh: tuple[int, int], seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size_wh[::-1], 3)).astype(np.uint8))


@pytest.mark.parametrize("family", KINDS)
def test_a_talk_goes_on_over_turns_and_pictures(family: str) -> None:
    talk = Talk(talkative(family))
    talk.say("hello", max_new_tokens=3)
    first = talk.say("what is in", noise((40, 30), 0), max_new_tokens=5)
    talk.say("and in this", noise((20, 60), 1), region=Region(box=(1, 2, 9, 20), picture=1), max_new_tokens=5)
    last = talk.say("the left", max_new_tokens=6)
    assert [t.role for t in talk.turns] == ["user", "assistant"] * 4
    assert [t.pictures for t in talk.turns[::2]] == [0, 1, 1, 0]
    assert first.more_wh == () and last.more_wh == ((20, 60),)
    sizes = [(40, 30), (20, 60)]
    for answer in (first, last):
        for region in answer:
            width, height = sizes[region.picture]
            assert region.mask.shape == (height, width) and 0 <= region.box[2] <= width


def test_a_region_of_turn_one_is_felt_in_turn_two() -> None:
    told: list[Any] = []
    for box in ((1, 1, 8, 8), (20, 10, 39, 29)):
        talk = Talk(talkative("aya_vision"))
        talk.say("where is the red", noise((40, 30), 0), max_new_tokens=4)
        found = Region(box=box)
        talk.turns[-1] = Turn("assistant", "here {0}", (found,))
        eye, held = talk.eye, talk.eye.model.backbone
        rendered = eye.renderer.asking([*talk.turns, Turn("user", "why")], [held.spelled(talk.canvases[0])])
        assert rendered.regions == [found] and rendered.asked == [False]
        told.append([talk.say("and it is in", max_new_tokens=4).regions, talk.turns[-1].text])
    boxes = [[r.box for r in regions] for regions, _ in told]
    assert told[0][1] != told[1][1] or boxes[0] != boxes[1]


def test_each_region_lies_in_the_picture_in_which_it_scores_highest() -> None:
    eye = talkative("aya_vision")
    pictures = [noise((40, 30), seed) for seed in range(3)]
    talk = Talk(eye)
    answer = talk.say("where is the red", *pictures, max_new_tokens=12)
    assert len(answer) > 1
    alone = eye.look(pictures)
    said = talk.turns[-1]
    assert said.regions == answer.regions and len(alone) == 3
    assert {r.picture for r in answer} <= {0, 1, 2} and all(r.score is not None for r in answer)


def test_a_sample_about_two_pictures_trains(renderer, batch) -> None:
    model = talkative("qwen2_vl").model
    turns = (
        Turn("user", "what is {0} in", (Region(box=(1, 1, 9, 9)),)),
        Turn("assistant", "a circle {0}", (Region(box=(2, 2, 20, 20)),)),
        Turn("user", "and in this", pictures=1),
        Turn("assistant", "here {0} and there {1}", (Region(box=(1, 1, 9, 40), picture=1), Region(box=(3, 3, 9, 9)))),
    )
    two = Sample(noise((40, 30), 0), turns, more=(noise((20, 60), 1),))
    one = Sample(noise((64, 48), 2), turns[:2])
    given = batch(model, [one, two])
    assert given.pictures.tolist() == [1, 2] and given.picture.tolist() == [0, 0, 1, 1, 2, 1]
    assert model.picture_of(given).tolist() == [0, 2]
    out = model(given)
    assert len(out.regions.boxes) == 4 and out.logits.isfinite().all()
    alone = model(batch(model, [two]))
    assert torch.allclose(out.regions.boxes[1:], alone.regions.boxes, atol=1e-4)


@pytest.mark.parametrize(
    ("turns", "more", "said"),
    [
        ((Turn("user", "x", pictures=3), Turn("assistant", "y")), (), "turns show"),
        ((Turn("user", "x"), Turn("assistant", "y", pictures=1)), (), "turns show"),
        ((Turn("user", "x"), Turn("assistant", "{0}", (Region(box=(0, 0, 1, 1), picture=1),))), (), "picture 1"),
    ],
)
def test_pictures_that_are_not_there_are_refused(turns, more, said) -> None:
    with pytest.raises(ValueError, match=said):
        Sample(noise((9, 9), 0), turns, more=more)


def test_what_cannot_be_said_leaves_the_talk_as_it_was() -> None:
    talk = Talk(talkative("llava"))
    for wrong in ({"region": Region(box=(0, 0, 1, 1))}, {"region": Region(box=(0, 0, 1, 1), picture=4)}):
        with pytest.raises(ValueError, match="picture"):
            talk.say("what", **wrong)
    with pytest.raises(ValueError, match="picture 4"):
        talk.say("what", noise((9, 9), 0), region=Region(box=(0, 0, 1, 1), picture=4))
    assert talk.turns == [] and talk.canvases == []

"""What the arms of asking keep of a frozen host gives the numbers that whole rows give."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from perceptiongpt.data.collate import collate
from perceptiongpt.data.render import Renderer
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.hosts import open_host
from perceptiongpt.model.perception import equip
from perceptiongpt.predict import Eye

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "kept_prefixes.py"


def pictured(seed: int, *asked: str) -> Sample:
    picture = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 56, 3), np.uint8))
    turns = [t for q in asked for t in (Turn("user", q), Turn("assistant", f"It is {len(q)}."))]
    return Sample(picture, tuple(turns), str(seed), {"kinds": ["word"] * len(asked)})


@pytest.fixture(scope="module")
def kept_and_model() -> tuple[Any, Any, list[Sample]]:
    torch.manual_seed(0)
    model = equip(*open_host("tiny:llava", device="cpu"), points=False, lora_targets="none", ask={"static_tokens": 4})
    model.eval()
    with torch.no_grad():
        model.asker.gate.fill_(0.7)  # open, so that the picture is felt
        model.asker.fusion.load_state_dict(model.asker.static.fusion.state_dict())
    samples = [pictured(0, "what colour is it?", "how many are there?"), pictured(1, "where?")]
    return runpy.run_path(str(BENCHMARK), run_name="kept_prefixes")["Kept"](model, samples, size=1), model, samples


def test_the_loss_of_kept_rows_is_that_of_whole_rows(kept_and_model: tuple[Any, Any, list[Sample]]) -> None:
    kept, model, samples = kept_and_model
    single = [Sample(s.image, s.turns[i : i + 2], s.id) for s in samples for i in range(0, len(s.turns), 2)]
    renderer = Renderer(model.backbone.processor, **model.spelling())
    with torch.no_grad():
        whole = model(collate(single, renderer, model.backbone, np.random.default_rng(0)))
        expected = F.cross_entropy(whole.logits, whole.targets)
        assert torch.allclose(kept.loss(model, kept.rows, 0), expected, atol=1e-5)
        assert torch.allclose(kept.whole_loss(model, kept.rows, 0), expected, atol=1e-5)


def test_kept_rows_are_answered_as_the_predictor_answers(kept_and_model: tuple[Any, Any, list[Sample]]) -> None:
    kept, model, samples = kept_and_model
    said, looked = kept.answers(model, kept.rows, most=4)
    found = [
        a
        for s in samples
        for q in s.turns[::2]
        for a in Eye(model).look(list(s.pictures)).ask(q.text, max_new_tokens=4)
    ]
    assert said == [a.text for a in found]
    assert len(looked) == 3 and all(float(one.sum()) == pytest.approx(1.0) for one in looked)


def test_replies_without_the_host_are_those_that_the_host_hears(kept_and_model: tuple[Any, Any, list[Sample]]) -> None:
    kept, model, _ = kept_and_model
    kept.ask(model)
    with torch.no_grad():
        assert torch.allclose(kept.replies(model, kept.rows), kept.opened(model, kept.rows)[3], atol=1e-5)
        assert float(kept.likeness(model, kept.rows, 0)) > 0


def test_the_static_arm_learns_from_the_tokens_that_the_host_reads(
    kept_and_model: tuple[Any, Any, list[Sample]],
) -> None:
    kept, _, samples = kept_and_model
    torch.manual_seed(0)
    host = open_host("tiny:llava", device="cpu")
    model = equip(*host, points=False, lora_targets="none", ask={"static_tokens": 4, "arm": "static"})
    look = model.backbone.look(
        model.backbone.pixels([model.backbone.canvas(s.image.size).view(s.image) for s in samples])
    )
    with torch.no_grad():
        kept_maps, kept.maps = kept.maps, model.asker.static.fusion(look.layers)
        replies = kept.replies(model, kept.rows) * model.asker.scale
        kept.maps = kept_maps
        read, _, _ = model.asker.look(look)
    for row, reply in zip(kept.rows, replies, strict=True):
        assert torch.allclose(reply, read[row.picture].float(), atol=1e-5)

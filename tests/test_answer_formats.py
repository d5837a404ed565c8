"""Every answer format learns, is stored and is read by the public predictor: one interface, five ways to say where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from perceptiongpt.answers import answer_row, said_of
from perceptiongpt.core.batch import ANSWER_FORMATS
from perceptiongpt.core.objective import parts
from perceptiongpt.data import phrases
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.judging import Judged, judged, measure
from perceptiongpt.model.adapt import choose_trainable, trainable_report
from perceptiongpt.model.perception import PerceptionModel
from perceptiongpt.model.store import load, save
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.predict import Eye
from perceptiongpt.questions import Question

SPELLED = [name for name in ANSWER_FORMATS if name != "vis"]
Make = Callable[..., Any]


@pytest.fixture(params=SPELLED)
def spelled(request: pytest.FixtureRequest) -> str:
    return request.param


def spoken(model: PerceptionModel, ids: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the model say these tokens and end."""
    end = model.backbone.processor.tokenizer.eos_token_id
    plan, head, calls = [*ids, end], model.head, iter(range(10_000))

    def forced(states: torch.Tensor) -> torch.Tensor:
        logits = head(states)
        column = plan[min(next(calls), len(plan) - 1)]
        kept = logits[:, column].clone()
        assert bool(kept.isfinite().all())  # a format's own tokens can be said
        logits[:] = float("-inf")
        logits[:, column] = kept
        return logits

    monkeypatch.setattr(model, "head", forced)


def test_every_format_learns_by_gradients_that_reach_what_trains(
    family: str, spelled: str, equipped: Make, sample: Make, batch: Make
) -> None:
    model = equipped(family, answer_format=spelled, lora_targets="attention")
    choose_trainable(model)
    samples = [sample(said=["box+mask"]), sample(said=["mask", "box"], shown=["box"], seed=1)]
    fed = batch(model, samples)
    assert not len(fed.boxes)  # nothing is written beside the words
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.Adam(trained.values(), 5e-3)
    losses, felt = [], set()
    for _ in range(6):
        loss = parts(model(fed), fed)["text"]
        optimiser.zero_grad()
        loss.backward()
        felt |= {n for n, p in trained.items() if p.grad is not None and bool((p.grad != 0).any())}
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert felt == set(trained)
    assert not any(n.startswith(("encoder", "decoder", "vis_row", "fusion")) for n in trained)
    assert ("locations" in trained) == (ANSWER_FORMATS[spelled] > 0) == ("locations" in trainable_report(model))


def test_an_answer_in_every_format_is_read_by_the_predictor(
    family: str, spelled: str, equipped: Make, monkeypatch: pytest.MonkeyPatch, picture: Make, region: Make
) -> None:
    model = equipped(family, answer_format=spelled)
    eye, photo, true = Eye(model), picture(), region("box+mask")
    canvas = model.backbone.canvas(photo.size)
    turns = (Turn("user", phrases.ask_region("the red")), Turn("assistant", "the red {0} in", (true,)))
    rendered = eye.renderer.training(Sample(photo, turns), model.backbone.spelled(canvas), (canvas,))
    taught = [i for i in rendered.labels if i != -100]
    end = model.backbone.processor.tokenizer.eos_token_id
    spoken(model, [i for i in taught if i != end], monkeypatch)
    answer = eye.segment(photo, "the red", max_new_tokens=200)
    assert answer.readable and len(answer) == 1
    assert answer.text.replace(" ", "") == "theredin"
    assert np.abs(np.subtract(answer[0].box, true.box)).max() < 0.1
    assert (answer[0].mask is not None) == (spelled == "polygon")
    assert answer[0].mask is None or (answer[0].mask == true.mask).mean() > 0.98
    asked = eye.renderer.asking(turns[:1], model.backbone.spelled(canvas), (canvas,)).ids
    assert rendered.ids[: len(asked)] == asked


def test_what_cannot_be_read_counts_as_wrong_even_where_nothing_is_there(
    spelled: str, equipped: Make, monkeypatch: pytest.MonkeyPatch, picture: Make
) -> None:
    model = equipped(answer_format=spelled)
    eye = Eye(model)
    words = eye.renderer.words("the [ red")
    spoken(model, [*words, *([model.location_id] * 3 if ANSWER_FORMATS[spelled] else [])], monkeypatch)
    answer = eye.segment(picture(), "the red", max_new_tokens=60)
    assert not answer.readable and not len(answer)
    said = said_of(answer_row("a-0", "the red", answer))
    result = judged([measure(Judged(Question("a-0", "the red", "none", (), (40, 30)), said))])
    assert (result["unreadable"], result["rejection"]["n_acc"]) == (1, 0.0)


def test_a_model_of_every_format_is_stored_whole(
    family: str, spelled: str, equipped: Make, stir: Make, tmp_path: Path, sample: Make, batch: Make
) -> None:
    model = equipped(family, answer_format=spelled, lora_targets="all")
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "host." not in name or ".lora_" in name:
                p.add_(0.05 * torch.randn_like(p))
    folder = save(model, tmp_path / "model", f"tiny:{family}")
    again = load(folder, *FAMILIES[family]())
    assert again.settings.answer_format == spelled
    fed = batch(model, [sample(said=["box"])])
    with torch.no_grad():
        assert torch.allclose(model(fed).logits, again(fed).logits, atol=1e-6)


def test_text_alone_never_says_a_place(equipped: Make, sample: Make, prompts: Make) -> None:
    from perceptiongpt.model.generate import generate

    model = equipped(answer_format="bins")
    with torch.no_grad():
        model.locations.mul_(50.0)  # loud
    prompt = prompts(model, [sample(seed=-1), sample()])
    seen = model.see(prompt.pixels)
    mute, loud = generate(model, prompt, seen, [-1, 0], temperature=5.0, seed=0, max_new_tokens=30)
    assert max(mute.ids) < model.location_id <= max(loud.ids)


def test_an_unknown_format_is_refused(equipped: Make, eye: Eye, photo: Image.Image) -> None:
    with pytest.raises(ValueError, match="wanted one of vis, numerals"):
        equipped(answer_format="smoke")

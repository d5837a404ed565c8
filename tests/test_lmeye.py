"""Laws of asking from outside: it learns from questions, the host stays as it was, and one sees where it looked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from a_pyramid import network
from PIL import Image

from perceptiongpt.config import Rates, Run, Stage
from perceptiongpt.core.answer import Answer
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.draw import paint
from perceptiongpt.model import store
from perceptiongpt.model.adapt import choose_trainable, detach
from perceptiongpt.model.interactive import AskSettings
from perceptiongpt.model.parts import detach_asker, detach_pointing
from perceptiongpt.model.perception import PerceptionModel, equip
from perceptiongpt.model.settings import GROWN
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.predict import Eye
from perceptiongpt.presets import preset
from perceptiongpt.train import train

Make = Callable[..., Any]
ASK = {"width": 32, "depth": 1, "replies": 3}
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 220)}


def asker(family: str = "aya_vision", points: bool = False, **ask: Any) -> PerceptionModel:
    lora = "all" if points else "none"
    return equip(*FAMILIES[family](), points=points, lora_targets=lora, decoder_width=32, ask={**ASK, **ask}).eval()


def question(colour: str, seed: int) -> Sample:
    """A noisy picture of one colour, which is asked for."""
    noise = np.random.default_rng(seed).integers(-30, 30, (48, 48, 3))
    pixels = np.clip(np.asarray(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    return Sample(Image.fromarray(pixels), (Turn("user", "what is it?"), Turn("assistant", f" {colour}")))


QUESTIONS = [question(c, s) for c in COLOURS for s in range(8)]


def right(model: PerceptionModel) -> float:
    """Share of unseen pictures whose colour is told."""
    asked = [question(c, 100 + s) for c in COLOURS for s in range(4)]
    seen = Eye(model).look([s.image for s in asked if s.image is not None])
    said = seen.ask([s.turns[0].text for s in asked], max_new_tokens=1)
    return float(np.mean([a.text == s.turns[1].text.strip() for a, s in zip(said, asked, strict=True)]))


def run(out: Path, *stages: Stage) -> Run:
    return Run(name="asks", host="tiny:aya_vision", out=str(out), stages=stages, save_every=1000, log_every=1000)


def test_asking_learns_what_the_static_path_does_not_tell_and_the_host_stays_as_it_was(tmp_path: Path) -> None:
    model = asker(static_tokens=1, request_dropout=0.0)
    before = {n: v.clone() for n, v in model.host.state_dict().items()}
    rates = Rates(heads=2e-3, rows=5e-2)
    stages = (
        Stage(aim="align", steps=5, batch=6, rates=rates),
        Stage(aim="ask", steps=100, batch=6, warmup=5, rates=rates),
    )
    train(run(tmp_path / "run", *stages), model, Mix([(QUESTIONS, 1.0)], 0), say=lambda _: None)
    after = model.host.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)
    learnt = right(model)
    assert learnt >= 0.9
    with torch.no_grad():
        model.asker.gate.zero_()
    assert right(model) <= learnt - 0.25  # what the picture told came through the gate


# -- two plug-ins of one model ------------------------------------------------------------------------


def stirred(model: PerceptionModel) -> PerceptionModel:
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if not n.startswith("host.") or ".lora_" in n:
                p.add_(0.05 * torch.randn(p.shape, generator=drawn))
    return model


def same(one: PerceptionModel, other: PerceptionModel, prefix: str = "") -> bool:
    ours, theirs = ({n: p for n, p in m.added().items() if n.startswith(prefix)} for m in (one, other))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def told(model: PerceptionModel) -> tuple[str, Any]:
    answer = Eye(model).ask(QUESTIONS[0].image, "what is it?", max_new_tokens=6)
    return answer.text, answer.xyxy.tolist()


def test_a_model_that_asks_and_points_is_stored_whole_and_in_its_parts(family: str, tmp_path: Path) -> None:
    both = stirred(asker(family, points=True))
    for only in (None, "points", "ask"):
        store.save(both, tmp_path / str(only), f"tiny:{family}", only=only)
    whole = store.load(tmp_path / "None", *FAMILIES[family]())
    assert same(both, whole)
    assert told(whole) == told(both)
    asks = store.load(tmp_path / "ask", *FAMILIES[family]())
    assert same(both, asks, "asker.") and all(n.startswith("asker.") for n in asks.added())
    points = store.load(tmp_path / "points", *FAMILIES[family]())
    assert points.asker is None and not any(n.startswith("asker.") for n in points.added())
    joined = store.add_asking(points, tmp_path / "ask")
    assert same(both, joined)
    assert told(joined) == told(both)
    detach_pointing(both)
    assert told(both) == told(asks)
    detach_asker(joined)
    assert told(joined) == told(store.load(tmp_path / "points", *FAMILIES[family]()))


def test_what_regions_were_given_later_goes_with_them(tmp_path: Path) -> None:
    network().save_pretrained(tmp_path / "network")
    more: dict[str, Any] = {name: True for name in GROWN} | {"pyramid": str(tmp_path / "network"), "read_window": 4}
    both = equip(*FAMILIES["aya_vision"](), **more, lora_targets="all", decoder_width=32, ask=ASK).eval()
    store.save(both, tmp_path / "asks", "x", only="ask")
    asks = store.load(tmp_path / "asks", *FAMILIES["aya_vision"]())
    detach_pointing(both)
    assert both.settings == asks.settings and not any(getattr(both.settings, name) for name in GROWN)
    assert both.backbone.pyramid is None and both.backbone.palette is None  # nothing looks at them any more
    assert {n for n, _ in both.added().items()} == {n for n, _ in asks.added().items()}
    (tmp_path / "asks" / f"{store.LATER}.gz").write_bytes(b"")
    with pytest.raises(store.StoreError, match=f"{store.LATER} is there.* remove it"):
        store.load(tmp_path / "asks", *FAMILIES["aya_vision"]())


def test_detached_a_model_that_asked_leaves_the_host_as_it_was(family: str) -> None:
    host, processor = FAMILIES[family]()
    names, before = [n for n, _ in host.named_modules()], {n: v.clone() for n, v in host.state_dict().items()}
    trains = [p.requires_grad for p in host.parameters()]
    model = equip(host, processor, decoder_width=32, lora_targets="all", ask=ASK)
    choose_trainable(model, "all")
    assert detach(model) is host
    assert [n for n, _ in host.named_modules()] == names
    assert [p.requires_grad for p in host.parameters()] == trains
    assert all(torch.equal(v, before[n]) for n, v in host.state_dict().items())


@pytest.mark.parametrize("aim", ["align", "ask", "all"])
@pytest.mark.parametrize("arm", ["full", "unasked", "constant", "static"])
def test_each_aim_trains_what_it_says_and_nothing_of_the_host(arm: str, aim: str, tmp_path: Path) -> None:
    model = stirred(asker(arm=arm, static_tokens=4, request_dropout=0.5))
    if (arm, aim) == ("static", "ask"):
        with pytest.raises(ValueError, match="nothing to train"):
            choose_trainable(model, aim)
        return
    before = {n: p.clone() for n, p in model.named_parameters()}
    stage = Stage(aim=aim, steps=3, batch=4, warmup=1)
    train(run(tmp_path / "run", stage), model, Mix([(QUESTIONS, 1.0)], 0), say=lambda _: None)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    static = {n for n in model.added() if n.startswith("asker.static.")}
    assert moved == {"align": static, "ask": model.added().keys() - static, "all": set(model.added())}[aim]


def test_a_host_in_bfloat16_asks() -> None:
    host, processor = FAMILIES["aya_vision"]()
    eye = Eye(equip(host.to(torch.bfloat16), processor, ask=ASK))
    picture = QUESTIONS[0].image
    assert picture is not None
    assert isinstance(eye.ask(picture, "what is it?", max_new_tokens=2).text, str)


def test_an_arm_answers_what_it_claims_to_test(family: str) -> None:
    free = {} if family == "qwen2_5_vl" else {"static_tokens": 1}
    first, other = QUESTIONS[0].image, QUESTIONS[-1].image
    assert first is not None and other is not None

    def replies(model: PerceptionModel, *words: str) -> torch.Tensor:
        kept: list[torch.Tensor] = []
        asker: Any = model.asker
        true = asker.reply

        def listening(*given: Any) -> Any:
            kept.append(true(*given)[0])
            return true(*given)

        asker.reply = listening
        Eye(model).look([first, other]).ask(list(words), max_new_tokens=1)
        del asker.reply
        return kept[0]

    full = stirred(asker(family, **free))
    same_words, others = replies(full, "what is it?", "what is it?"), replies(full, "what is it?", "where is the red")
    assert torch.allclose(same_words[0], others[0], atol=1e-5) and not torch.allclose(same_words[1], others[1])
    full.asker.shuffled = True
    assert not torch.allclose(replies(full, "what is it?", "where is the red")[0], others[0])
    unasked = stirred(asker(family, arm="unasked", **free))
    a, b = replies(unasked, "what is it?", "what is it?"), replies(unasked, "what is it?", "where is the red")
    assert torch.equal(a, b) and not torch.allclose(a[0], a[1])  # it feels the picture and not the question
    assert sum(p.numel() for p in unasked.added().values()) == sum(p.numel() for p in full.added().values())
    constant = stirred(asker(family, arm="constant", **free))
    c = replies(constant, "what is it?", "where is the red")
    assert torch.equal(c[0], c[1])


def test_dropped_requests_are_a_function_of_the_batch_and_only_of_training() -> None:
    model = stirred(asker(request_dropout=0.5))
    asks, states = model.asker.train(), torch.randn(64, model.backbone.width)
    sources, picture = torch.randn(1, 9, 32), torch.zeros(64, dtype=torch.long)
    one, again, other = (asks.reply(states, sources, picture, seed)[0] for seed in (5, 5, 6))
    free = asks.eval().reply(states, sources, picture, 5)[0]
    assert torch.equal(one, again) and not torch.equal(one, other)
    kept = (one == free).flatten(1).all(1)
    assert 16 < int(kept.sum()) < 48


# -- seen and refused ------------------------------------------------------------------------


def test_one_sees_where_a_request_looked() -> None:
    model = stirred(asker())
    picture = QUESTIONS[0].image.resize((60, 40))
    answer = Eye(model).ask(picture, "what is it?", max_new_tokens=3)
    assert [look.shape for look in answer.looked] == [(40, 60)]
    assert answer.looked[0].max() == pytest.approx(1)
    assert "looked" not in answer.to_dict()
    look = np.zeros((40, 60), np.float32)
    look[:, :20] = 1
    painted = paint(picture, Answer("", (), (60, 40), looked=(look,)))
    plain = paint(picture, Answer("", (), (60, 40)))
    dimmed = np.asarray(plain).astype(int).sum(-1) - np.asarray(painted).astype(int).sum(-1)
    assert dimmed[:, 300:].mean() > dimmed[:, :100].mean() + 50
    with pytest.raises(ValueError, match="a look of shape"):
        Answer("", (), (60, 40), looked=(look.T,))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"replies": 0}, "ask.replies is 0"),
        ({"width": 30}, "multiple of 4"),
        ({"network": "magic"}, "rvii, linear"),
        ({"arm": "best"}, "ask.arm"),
        ({"static_tokens": 5}, "square number"),
        ({"arm": "static"}, "set static_tokens"),
        ({"request_dropout": 1.0}, "share from 0"),
        ({"forced": 1}, "true or false"),
    ],
)
def test_settings_of_asking_that_cannot_be_are_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        AskSettings(**wrong)


def test_a_plugin_for_another_width_or_without_a_part_is_refused(tmp_path: Path) -> None:
    points = equip(*FAMILIES["llava"](), decoder_width=32, lora_targets="none").eval()
    store.save(asker("llava"), tmp_path / "ask", "tiny:llava")
    store.save(points, tmp_path / "points", "tiny:llava")
    config = (tmp_path / "ask/config.json").read_text().replace('"width": 32', '"width": 64')
    (tmp_path / "ask/config.json").write_text(config)
    with pytest.raises(store.StoreError, match=r"wanted .*made for another host or other settings"):
        store.add_asking(points, tmp_path / "ask")
    assert points.asker is None
    with pytest.raises(store.StoreError, match="has shape"):
        store.load(tmp_path / "ask", *FAMILIES["llava"]())
    with pytest.raises(store.StoreError, match="no asking plug-in"):
        store.add_asking(points, tmp_path / "points")
    with pytest.raises(store.StoreError, match="made for a host with"):
        store.add_asking(equip(*FAMILIES["aya_vision"](), lora_targets="none"), tmp_path / "points")
    with pytest.raises(store.StoreError, match="no part that asks"):
        store.save(points, tmp_path / "x", "tiny:llava", only="ask")
    with pytest.raises(ValueError, match="asks already"):
        from perceptiongpt.model.parts import attach_asker

        attach_asker(asker("llava"), AskSettings())
    with pytest.raises(ValueError, match="static_tokens=0"):
        asker("qwen2_5_vl", static_tokens=4)
    with pytest.raises(ValueError, match="does one of them"):
        equip(*FAMILIES["llava"](), points=False)


def test_the_two_stages_are_presets_that_freeze_the_host() -> None:
    align, instruct = preset("lmeye_align"), preset("lmeye_instruct")
    assert [s.aim for s in (*align.stages, *instruct.stages)] == ["align", "ask"]
    assert instruct.start == f"{align.out}/model"
    assert align.settings == instruct.settings
    small = {**align.settings, "ask": {**align.settings["ask"], "width": 16}}
    model = equip(*FAMILIES["aya_vision"](), **small)
    for stage in (align.stages[0], instruct.stages[0]):
        choose_trainable(model, replace(stage).aim)
        assert not any(p.requires_grad for p in model.host.parameters())
        assert not any(m.training for m in model.host.modules())

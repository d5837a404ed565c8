"""Laws of training: the same seed gives the same losses, a killed run goes on with them, and it learns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perceptiongpt.config import Rates, Run, Stage, Weights
from perceptiongpt.core.boxes import iou_xyxy
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.data.shapes import shapes
from perceptiongpt.feed import POOL, Batches, TrainError, feed, named_regions
from perceptiongpt.model.perception import PerceptionModel, equip
from perceptiongpt.model.settings import GROWN, Settings
from perceptiongpt.model.store import load, read_config
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.predict import PACKAGED, Eye
from perceptiongpt.presets import preset
from perceptiongpt.rates import schedule
from perceptiongpt.sources import open_source
from perceptiongpt.train import train

Make = Callable[..., Any]
SETTINGS = {
    "decoder_width": 16,
    "decoder_depth": 1,
    "read_window": 6,
    "trained_host_modules": ("model.multi_modal_projector",),
}
STAGES = (
    Stage(aim="name", steps=3, batch=2, keep=8),
    Stage(aim="words", steps=4, batch=2, accumulate=2),
    Stage(aim="all", steps=5, batch=2, rates=Rates(heads=1e-3, adapter=1e-3)),
)


def a_run(out: Path, **changes: Any) -> Run:
    made = Run(
        name="test", host="tiny:aya_vision", out=str(out), stages=STAGES, settings=SETTINGS, log_every=1, save_every=2
    )
    return replace(made, **changes)


def fresh(family: str = "aya_vision", **settings: Any) -> PerceptionModel:
    return equip(*FAMILIES[family](), **{**SETTINGS, **settings})


def drawn() -> Mix:
    return Mix([(shapes(12, seed=0), 1.0)], seed=0)


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def silent(_: str) -> None:
    pass


class Killed(Exception):
    """Stands for a kill: no code of ours expects it."""


def killer(at: str) -> Callable[[str], None]:
    def say(line: str) -> None:
        if line.startswith(at):
            raise Killed

    return say


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    train(a_run(out), fresh(), drawn(), silent)
    return out


def test_a_run_writes_its_model_its_log_and_its_settings(unbroken: Path) -> None:
    rows = log(unbroken)
    steps = [(number, step) for number, stage in enumerate(STAGES) for step in range(stage.steps)]
    assert [(r["stage"], r["step"]) for r in rows] == steps
    assert set(rows[0]) == {"stage", "step", "name", "norm"}
    assert {"text", "box_l1", "box_giou", "mask_bce", "mask_dice", "cell", "score", "cycle", "norm"} <= set(rows[-1])
    assert json.loads((unbroken / "run.json").read_text())["stages"][2]["rates"]["adapter"] == 1e-3
    assert load(unbroken / "model", *FAMILIES["aya_vision"]()).settings.decoder_width == 16
    assert {p.name for p in unbroken.iterdir()} == {"model", "checkpoint", "log.jsonl", "run.json", "tensorboard"}


def test_the_same_seed_gives_the_same_losses_and_another_others(unbroken: Path, tmp_path: Path) -> None:
    train(a_run(tmp_path / "same"), fresh(), drawn(), silent)
    assert log(tmp_path / "same") == log(unbroken)
    train(a_run(tmp_path / "other", seed=1, stages=STAGES[2:]), fresh(), drawn(), silent)
    assert log(tmp_path / "other")[0] != log(unbroken)[7]


@pytest.mark.parametrize("at", ["name 1/", "words 2/", "all 1/", "all 4/", "all 5/"])
def test_a_killed_run_goes_on_with_the_same_losses(at: str, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Killed):
        train(a_run(out), fresh(), drawn(), killer(at))
    made = train(a_run(out), fresh(), drawn(), silent, resume=True)
    assert log(out) == log(unbroken)  # bit for bit, each step once
    one, other = (load(f, *FAMILIES["aya_vision"]()) for f in (made, unbroken / "model"))
    theirs = dict(other.named_parameters())
    assert all(torch.equal(p, theirs[n]) for n, p in one.named_parameters())


@pytest.mark.parametrize("aim", ["apart", "outline"])
def test_what_learns_from_kept_maps_goes_on_with_the_same_losses_and_validates_nothing(
    aim: str, tmp_path: Path
) -> None:
    grown = {"tells_apart": True, "looks_closer": aim == "outline", "refines": aim == "outline"}
    changes = {"stages": (Stage(aim=aim, steps=5, batch=2, keep=4),), "settings": {**SETTINGS, **grown}}
    whole, out = tmp_path / "whole", tmp_path / "run"
    train(a_run(whole, **changes), fresh(**grown), drawn(), silent, questions=[None])  # type: ignore[list-item]
    with pytest.raises(Killed):
        train(a_run(out, **changes), fresh(**grown), drawn(), killer(f"{aim} 4/"))
    made = train(a_run(out, **changes), fresh(**grown), drawn(), silent, resume=True)
    assert log(out) == log(whole) and set(log(out)[0]) == {"stage", "step", aim, "norm"}
    assert getattr(load(made, *FAMILIES["aya_vision"]()).decoder, aim).out.weight.any()


def test_one_run_teaches_every_part_that_ships(tmp_path: Path) -> None:
    whole, shipped = preset("whole_light"), read_config(PACKAGED)["settings"]
    assert Settings(**whole.settings) == Settings(**shipped)
    model = equip(*FAMILIES["aya_vision"](), **{**whole.settings, **SETTINGS, "lora_vision_layers": 1, "pyramid": ""})
    born = {name: parameter.detach().clone() for name, parameter in model.added().items()}
    stages = tuple(replace(stage, steps=2, batch=2, keep=4) for stage in whole.stages)
    samples = Mix([(open_source("alike:train", 0, silent), 1.0)], seed=0)  # several in one breath
    train(a_run(tmp_path / "whole", stages=stages, weights=whole.weights), model, samples, silent)
    assert len({line["stage"] for line in log(tmp_path / "whole")}) == len(stages)
    learnt = {name for name, parameter in model.added().items() if not torch.equal(parameter, born[name])}
    parts = [part for setting, added in GROWN.items() if setting != "pyramid" for part in added]
    assert [part for part in parts if not any(name.startswith(part) for name in learnt)] == []


def test_a_run_that_is_done_stays_done(unbroken: Path, tmp_path: Path) -> None:
    before = log(unbroken)
    assert train(a_run(unbroken), fresh(), drawn(), silent, resume=True) == unbroken / "model"
    assert log(unbroken) == before


def test_a_resumed_run_wants_the_settings_it_was_made_with(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Killed):
        train(a_run(out, stages=STAGES[2:]), fresh(), drawn(), killer("all 4/"))
    other = {**SETTINGS, "vis_tokens": 2}
    with pytest.raises(TrainError, match="filler"):
        train(a_run(out, stages=STAGES[2:], settings=other), fresh(vis_tokens=2), drawn(), silent, resume=True)


def test_a_folder_in_use_is_refused(unbroken: Path) -> None:
    before = log(unbroken)
    with pytest.raises(TrainError, match="already holds a run"):
        train(a_run(unbroken), fresh(), drawn(), silent)
    assert log(unbroken) == before


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_parts(tmp_path: Path) -> None:
    model = fresh()
    with torch.no_grad():
        model.decoder.box.mlp[-1].bias.fill_(float("nan"))
    with pytest.raises(TrainError, match=r"step 0 of stage 0.*box_l1.*nan"):
        train(a_run(tmp_path / "run", stages=STAGES[2:]), model, drawn(), silent)
    assert not (tmp_path / "run" / "model").exists()


def test_what_trains_is_said_aloud(tmp_path: Path) -> None:
    said: list[str] = []
    train(a_run(tmp_path / "run", stages=STAGES[2:]), fresh(), drawn(), said.append)
    told = "\n".join(said)
    assert "What trains:" in told and "low-rank adapter" in told and " % of " in told
    assert "all 5/5" in told and "box_giou" in told


@pytest.mark.parametrize("aim", ["name", "apart", "words", "talk", "all"])
def test_a_batch_with_text_alone_trains(family: str, aim: str, tmp_path: Path) -> None:
    mixed = shapes(4, seed=0)
    words = [Sample(None, (Turn("user", "what is red?"), Turn("assistant", f"a square {i}"))) for i in range(4)]
    source = [s for pair in zip(words, mixed, strict=True) for s in pair]
    projector = "model.visual.merger" if family == "qwen2_5_vl" else "model.multi_modal_projector"
    run = a_run(tmp_path / "run", stages=(Stage(aim=aim, steps=2, batch=4, keep=8),))
    model, samples = fresh(family, trained_host_modules=(projector,), tells_apart=True), Mix([(source, 1.0)], seed=0)
    if family == "qwen2_5_vl" and aim in ("name", "apart"):
        with pytest.raises(ValueError, match="differ in size"):
            train(run, model, samples, silent)
        return
    train(run, model, samples, silent)
    assert len(log(tmp_path / "run")) == 2


def test_a_narrow_host_trains_and_its_whole_modules_are_kept_in_float32(tmp_path: Path) -> None:
    host, processor = FAMILIES["aya_vision"]()
    model = equip(host.bfloat16(), processor, **SETTINGS)
    made = train(a_run(tmp_path / "run", settings={}), model, drawn(), silent)  # settings of a plug-in that was loaded
    assert {p.dtype for p in host.get_submodule("model.multi_modal_projector").parameters()} == {torch.float32}
    host, processor = FAMILIES["aya_vision"]()
    again = load(made, host.bfloat16(), processor)
    answer = Eye(again).segment(shapes(1, 0)[0].image, "the red circle")
    assert isinstance(answer.text, str)


def test_every_sample_of_a_pool_is_dealt_once_and_a_batch_is_a_function_of_its_number(renderer: Make) -> None:
    model = fresh()
    source = shapes(64, seed=0)
    made = [Batches(Mix([(source, 1.0)], 0), renderer(model), model.backbone, 2, 5, 32) for _ in range(2)]
    forwards = [made[0][k].batch for k in range(32)]
    backwards = [made[1][k].batch for k in reversed(range(32))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert torch.equal(a.input_ids, b.input_ids) and torch.equal(a.boxes, b.boxes)
    pictures = torch.cat([b.pixels["pixel_values"] for b in forwards]).flatten(1)
    assert len(pictures.unique(dim=0)) == 64


def test_a_stage_goes_on_in_the_data_where_the_one_before_it_ended(tmp_path: Path) -> None:
    class Told(Mix):
        def instead(self, i: int, again: int) -> Sample:
            asked.append(i)
            return super().instead(i, again)

    asked: list[int] = []
    samples = Told([(shapes(12, seed=0), 1.0)], seed=0)
    train(a_run(tmp_path / "run"), fresh(), samples, silent)
    assert asked == list(range(16 + 16 + 16))  # pools of eight batches of two, for each stage
    asked.clear()
    train(a_run(tmp_path / "run", stages=(*STAGES, STAGES[1])), fresh(), samples, silent, resume=True)
    assert asked == list(range(48, 64))
    asked.clear()
    long = (replace(STAGES[1], steps=9, accumulate=1), STAGES[1])
    train(a_run(tmp_path / "long", stages=long), fresh(), samples, silent)
    assert asked == list(range(2 * 2 * POOL + 2 * POOL))  # nine batches are two pools


def test_what_stands_in_for_a_bad_sample_of_a_later_stage_is_not_one_of_the_first(renderer: Make) -> None:
    class Told(Mix):
        def instead(self, i: int, again: int) -> Sample:
            asked.append((i, again))
            found = super().instead(i, again)
            return replace(found, image=b"no picture") if i == 101 and not again else found

    asked: list[tuple[int, int]] = []
    model, samples = fresh(), Told([(shapes(64, seed=0), 1.0)], 0)
    batches = Batches(samples, renderer(model), model.backbone, 2, 0, 8, skip_bad=True, begin=100)
    assert len([bad for fed in feed(batches, 0, 0) for bad in fed.bad]) == 1
    assert sorted(asked[:16]) == [(i, 0) for i in range(100, 116)]
    assert len(asked) == 17 and 100 <= asked[16][0] < 116 and asked[16][1] == 1


def test_pictures_keep_their_names_when_text_stands_between(renderer: Make) -> None:
    model = fresh()
    (one,) = shapes(1, seed=0)
    words = Sample(None, (Turn("user", "what?"), Turn("assistant", "red")))
    batches = Batches(Mix([([words, one], 1.0)], 0), renderer(model), model.backbone, 2, 0, 8)
    for k in range(8):
        batch, named = batches[k].batch, batches[k].named
        assert len(named) == len(batch.pixels.get("pixel_values", ()))
        assert all(name and mask.any() for group in named for name, mask in group)
    assert named_regions(one)[0].label is not None


def test_what_a_loading_process_made_may_be_kept_without_an_open_file_each(renderer: Make) -> None:
    model = fresh()
    batches = Batches(Mix([(shapes(64, seed=0), 1.0)], 3), renderer(model), model.backbone, 4, 3, 12)
    batches = replace(batches, colours=True)
    given = feed(batches, 0, 1)
    kept = [next(given)]
    before = len(os.listdir("/dev/fd"))
    kept += given
    assert sum(len(group) for fed in kept for group in fed.named) > 50
    assert len(os.listdir("/dev/fd")) < before + 20
    for there, here in zip(kept, feed(batches, 0, 0), strict=True):
        for one, other in ((there.named, here.named), (there.coloured, here.coloured)):
            for (name, mask), (same, alike) in zip(chain(*one), chain(*other), strict=True):
                assert name == same and torch.equal(mask, alike)


def test_looks_are_learnt_where_they_are_wanted_and_colours_where_they_are_told(renderer: Make, tmp_path: Path) -> None:
    model = fresh(enumerates=True, region_features=True)
    told = [replace(s, meta={"objects": named_regions(s), "colours": ["red", None]}) for s in shapes(6, seed=0)]
    plain = Batches(Mix([(told, 1.0)], 0), renderer(model), model.backbone, 2, 0, 2)
    assert not any(plain[0].coloured)
    coloured = replace(plain, colours=True)[0].coloured
    assert [[name for name, _ in group] for group in coloured] == [["red"], ["red"]]
    before = model.encoder.look[1].weight.detach().clone()
    run = a_run(tmp_path / "run", stages=STAGES[1:], weights=Weights(look=0.3, name=0.2))
    train(run, model, Mix([(told, 1.0)], 0), silent)
    assert all(row["look"] > 0 for row in log(tmp_path / "run"))
    assert not torch.equal(before, model.encoder.look[1].weight)


def test_a_learnt_match_is_taught_by_names(tmp_path: Path) -> None:
    model = fresh(read_window=4, learns_match=True)
    run = a_run(tmp_path / "run", stages=STAGES[1:], weights=Weights(match=0.3))
    train(run, model, drawn(), silent)
    assert all(row["match"] > 0 for row in log(tmp_path / "run"))
    assert model.decoder.pointer.asked[1].weight.abs().max() > 0


@pytest.mark.parametrize(("part", "setting"), [("look", "region_features"), ("match", "learns_match")])
def test_what_a_plug_in_does_not_carry_cannot_be_taught_to_it(part: str, setting: str, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=rf"set settings\.{setting}=true"):
        train(a_run(tmp_path / "run", weights=Weights(**{part: 0.3})), fresh(), drawn(), silent)
    assert not (tmp_path / "run").exists()


def test_a_batch_of_questions_in_words_alone_teaches_a_model_that_points(tmp_path: Path) -> None:
    turns = (Turn("user", "what is green?"), Turn("assistant", "the square"))
    asked = [replace(sample, turns=turns) for sample in shapes(4, seed=0)]
    train(a_run(tmp_path / "run", stages=STAGES[-1:]), fresh(), Mix([(asked, 1.0)], 0), silent)
    assert log(tmp_path / "run")[-1]["box_l1"] == 0.0 < log(tmp_path / "run")[-1]["text"]


def test_the_rate_warms_up_and_falls() -> None:
    rates = [schedule(step, 100, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[10] == 1.0
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert 0.05 < rates[-1] < 0.06
    assert schedule(0, 10, 0) == 1.0


def test_it_learns_to_point_on_unseen_pictures(tmp_path: Path) -> None:
    """A random host learns to answer with boxes on pictures it never saw, in under a minute of one thread."""
    threads = torch.get_num_threads()
    run = replace(preset("tiny"), out=str(tmp_path / "run"), threads=1)
    host, processor = FAMILIES["aya_vision"]()
    made = train(run, equip(host, processor, **run.settings), Mix([(shapes(2000, seed=1), 1.0)], seed=0), silent)
    torch.set_num_threads(threads)
    eye = Eye(load(made, *FAMILIES["aya_vision"]()))
    ious = []
    for unseen in shapes(30, seed=99):
        asked = [t.text for t in unseen.turns[::2]]
        answers = eye.look(unseen.image).many(len(asked)).ask(asked, max_new_tokens=12)
        for answer, turn in zip(answers, unseen.turns[1::2], strict=True):
            true_xyxy = torch.tensor(turn.regions[0].box)
            ious.append(float(iou_xyxy(torch.tensor(answer[0].box), true_xyxy)) if len(answer) else 0.0)
    assert len(ious) > 40
    assert np.mean(ious) > 0.5

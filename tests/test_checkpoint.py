"""Nothing is lost: a kill at any moment, a full disk or a number that is none leave the run where it can go on."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_train import Killed, a_run, drawn, fresh, killer, log, silent

from perceptiongpt.checkpoint import changes
from perceptiongpt.config import Rates, Stage
from perceptiongpt.feed import TrainError
from perceptiongpt.train import train

ROOT = Path(__file__).parents[1]
ALL = (Stage(steps=5, batch=2, rates=Rates(heads=1e-3, adapter=1e-3)),)


def weights(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (out / "model").rglob("*.safetensors")}


def test_runs_killed_by_the_system_end_with_the_same_weights(tmp_path: Path) -> None:
    words = ["--kills", "3", "--steps", "4", "--json", str(tmp_path / "out.json")]
    script = [sys.executable, str(ROOT / "benchmarks/kill_resume.py"), *words]
    run = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, env=None)
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads((tmp_path / "out.json").read_text())["identical"] == 3


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(a_run(tmp_path / "whole", stages=ALL), fresh(), drawn(), silent)
    out, rename = tmp_path / "run", Path.rename
    seen: list[str] = []

    def dying(self: Path, target: Any) -> Any:
        if "-old-" in str(target):
            seen.append(Path(self).name)
        if len(seen) == 3 and "-old-" not in str(target):  # the old one is aside, the new one not yet in its place
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dying)
    with pytest.raises(KeyboardInterrupt):
        train(a_run(out, stages=ALL, save_every=1), fresh(), drawn(), silent)
    monkeypatch.setattr(Path, "rename", rename)
    name = seen[-1]
    assert not (out / name).exists()
    train(a_run(out, stages=ALL, save_every=1), fresh(), drawn(), silent, resume=True)
    assert weights(out) == weights(tmp_path / "whole")
    assert log(out) == log(tmp_path / "whole")
    assert not list(out.glob(".*"))


def test_a_full_disk_leaves_the_checkpoint_before_it_whole(tmp_path: Path) -> None:
    train(a_run(tmp_path / "whole", stages=ALL), fresh(), drawn(), silent)
    out = tmp_path / "run"
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def filling(line: str) -> None:
        if line.startswith("all 4/"):  # after the checkpoint of step 2: no file may grow beyond a few kilobytes
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))

    try:
        with pytest.raises(TrainError, match=r"could not be written.*stands.*make room.*--resume"):
            train(a_run(out, stages=ALL), fresh(), drawn(), filling)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert json.loads((out / "checkpoint/state.json").read_text())["step"] == 2
    train(a_run(out, stages=ALL), fresh(), drawn(), silent, resume=True)
    assert weights(out) == weights(tmp_path / "whole")
    assert not list(out.glob(".*"))


def test_every_generator_goes_on_where_it_stood(tmp_path: Path) -> None:
    def noisy() -> Any:
        model = fresh()

        def disturb(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            noise = 0.1 * torch.randn(()) + 0.1 * random.random() + 0.1 * np.random.rand()
            return (args[0] + noise, *args[1:])

        model.decoder.box.register_forward_pre_hook(disturb)
        return model

    train(a_run(tmp_path / "whole", stages=ALL), noisy(), drawn(), silent)
    out = tmp_path / "run"
    with pytest.raises(Killed):
        train(a_run(out, stages=ALL), noisy(), drawn(), killer("all 4/"))
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    train(a_run(out, stages=ALL), noisy(), drawn(), silent, resume=True)
    assert log(out) == log(tmp_path / "whole")
    assert weights(out) == weights(tmp_path / "whole")


def test_settings_that_changed_are_said_when_a_run_goes_on(tmp_path: Path) -> None:
    out, said = tmp_path / "run", list[str]()
    with pytest.raises(Killed):
        train(a_run(out, stages=ALL), fresh(), drawn(), killer("all 4/"))
    other = (replace(ALL[0], rates=replace(ALL[0].rates, heads=5e-4)),)
    train(a_run(out, stages=other, clip=2.0), fresh(), drawn(), said.append, resume=True)
    told = [line for line in said if line.startswith("Changed since this run began: ")]
    assert sorted(line.partition("began: ")[2] for line in told) == [
        "clip: 1.0 -> 2.0",
        "stages.0.rates.heads: 0.001 -> 0.0005",
    ]


def test_changes_name_the_setting_and_both_values() -> None:
    before = {"a": 1, "b": {"c": [1, 2]}, "settings": {"x": 1}, "old": 1}
    now = {"a": 1, "b": {"c": [1, 3]}, "settings": {"y": 2}, "new": 1}
    assert sorted(changes(before, now)) == ["b.c.1: 2 -> 3", "settings.x: 1 -> null", "settings.y: null -> 2"]


def test_a_loss_that_is_not_finite_names_its_samples(tmp_path: Path) -> None:
    model = fresh()
    with torch.no_grad():
        model.decoder.box.mlp[-1].bias.fill_(float("nan"))
    with pytest.raises(TrainError, match=r"box_l1.*on the samples .*shapes"):
        train(a_run(tmp_path / "run", stages=ALL), model, drawn(), silent)


def test_a_broken_checkpoint_is_refused_in_a_sentence(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Killed):
        train(a_run(out, stages=ALL), fresh(), drawn(), killer("all 4/"))
    (out / "checkpoint/parameters.safetensors").write_bytes(b"\xff" * 50)
    with pytest.raises(TrainError, match="cannot be read"):
        train(a_run(out, stages=ALL), fresh(), drawn(), silent, resume=True)

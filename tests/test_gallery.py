"""Laws of kept pictures: they are looked at once, whoever kills the run, and by a stage that shares them not again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from perceptiongpt import gallery
from perceptiongpt.config import Rates, Run, Stage
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.shapes import shapes
from perceptiongpt.feed import POOL, TrainError, begin
from perceptiongpt.model.align import Gallery
from perceptiongpt.model.instances import Instances
from perceptiongpt.model.perception import equip
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.train import train

PROJECTOR = "model.multi_modal_projector"
SETTINGS: dict[str, Any] = {
    "decoder_width": 16,
    "decoder_depth": 1,
    "trained_host_modules": (PROJECTOR,),
    "tells_apart": True,
    "looks_closer": True,
    "refines": True,
}
KEEP = 11  # batches of two
FAST = Rates(heads=1e-2, host=1e-2)


def a_stage(aim: str = "apart", **changes: Any) -> Stage:
    return replace(Stage(aim=aim, steps=4, batch=2, keep=2 * KEEP, rates=FAST), **changes)


def a_run(out: Path, *stages: Stage, **changes: Any) -> Run:
    made = Run(name="test", host="tiny:aya_vision", out=str(out), stages=stages, settings=SETTINGS, save_every=1)
    return replace(made, log_every=1, **changes)


def trained(run: Run, say: Callable[[str], None] = lambda _: None, resume: bool = False) -> list[dict[str, Any]]:
    """The log of a run on drawn shapes."""
    model = equip(*FAMILIES["aya_vision"](), **SETTINGS)
    train(run, model, Mix([(shapes(64, seed=0), 1.0)], seed=run.seed), say, resume)
    return [json.loads(line) for line in (Path(run.out) / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many batches were looked at so far is its length; a file holds two."""
    seen: list[int] = []
    monkeypatch.setattr(gallery, "TOGETHER", 2)
    for kind in (Gallery, Instances):

        def look(*args: Any, of: Any = kind.look) -> Any:
            seen.append(1)
            return of(*args)

        monkeypatch.setattr(kind, "look", staticmethod(look))
    return seen


class Killed(Exception):
    """Stands for a kill: no code of ours expects it."""


def killer(at: str, said: list[str] | None = None) -> Callable[[str], None]:
    def say(line: str) -> None:
        if said is not None:
            said.append(line)
        if line.startswith(at):
            raise Killed

    return say


@pytest.mark.parametrize(("aim", "workers"), [("name", 0), ("apart", 1), ("outline", 0)])
def test_a_run_that_was_killed_looks_at_the_rest_alone_and_goes_on_with_the_same_losses(
    aim: str, workers: int, looks: list[int], tmp_path: Path
) -> None:
    unbroken = trained(a_run(tmp_path / "unbroken", a_stage(aim), workers=workers))
    assert len(looks) == KEEP and len({line[aim] for line in unbroken}) == 4
    run = a_run(tmp_path / "killed", a_stage(aim), workers=workers)
    with pytest.raises(Killed):
        trained(run, killer("Looked at 14"))
    assert len(looks) == KEEP + 7
    said: list[str] = []
    with pytest.raises(Killed):
        trained(run, killer(f"{aim} 2/", said), resume=True)
    assert len(looks) == KEEP + 7 + 1 + 5  # the first again, and all but the six that three files hold
    assert f"Looking once at 22 pictures, 12 of them kept in {tmp_path / 'killed' / 'gallery'}" in said
    assert trained(run, resume=True) == unbroken
    assert len(looks) == KEEP + 7 + 1 + 5 + 1
    assert not (tmp_path / "killed" / "gallery").exists()  # nothing needs it any more


def test_a_stage_that_shares_the_pictures_of_the_one_before_it_looks_at_none(
    looks: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def picks(seen: Any, *args: Any) -> Any:
        made.append(seen)
        return gallery.picks(seen, *args)

    monkeypatch.setattr("perceptiongpt.train.picks", picks)
    trained(a_run(tmp_path / "both", a_stage("apart"), a_stage("outline")))
    assert len(looks) == KEEP + 1  # the first of them is, to see that nothing else has changed
    one, other = made
    assert (one.part, other.part) == ("apart", "outline") and len(one) == 2 * KEEP
    for field in ("cells", "halved", "owner", "boxes", "picture"):
        assert torch.equal(getattr(one, field), getattr(other, field))
    looks.clear()
    trained(a_run(tmp_path / "other", a_stage("apart"), a_stage("outline", batch=4)))
    assert len(looks) == KEEP + 1 + KEEP // 2  # one, to see that they are others
    looks.clear()
    trained(a_run(tmp_path / "more", a_stage("name"), a_stage("apart")))
    assert len(looks) == KEEP + 1 + KEEP


def test_a_stage_that_needs_no_kept_pictures_keeps_none(looks: list[int], tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", a_stage("apart"), a_stage("all"))
    with pytest.raises(Killed):
        trained(run, killer("apart 4/"))
    assert (tmp_path / "run" / "gallery").exists()
    with pytest.raises(Killed):
        trained(run, killer("all 2/"), resume=True)
    assert len(looks) == KEEP + 1 and not (tmp_path / "run" / "gallery").exists()


def test_stages_share_pictures_or_go_on_after_them() -> None:
    name, words, apart, outline = map(a_stage, ("name", "words", "apart", "outline"))
    small, stages = replace(outline, keep=8), (name, words, words, apart, outline, replace(apart, keep=8), words)
    assert [begin(stages, i) // (2 * POOL) for i in range(7)] == [0, 2, 3, 4, 4, 6, 7]
    assert begin((apart, small), 1) == begin((name, apart), 1) == 4 * POOL  # of another number, by another eye
    assert begin((apart, replace(outline, batch=4)), 1) == 4 * POOL


@pytest.mark.parametrize("what", ["seed", "data", "eyes", "file", "gap", "overlap", "names", "many", "note", "keep"])
def test_what_is_kept_of_others_or_spoilt_is_looked_at_again(what: str, looks: list[int], tmp_path: Path) -> None:
    others: dict[str, dict[str, Any]] = {"seed": {"seed": 1}, "data": {"data": (("mine.jsonl", 1.0),)}}
    changes = others.get(what, {})
    stage = a_stage(keep=12 if what == "keep" else 2 * KEEP)
    unbroken = trained(a_run(tmp_path / "unbroken", stage, **changes))
    with pytest.raises(Killed):
        trained(a_run(tmp_path / "run", a_stage()), killer("apart 1/"))
    folder = tmp_path / "run" / "gallery"
    assert len(list(folder.glob("*.safetensors"))) == KEEP // 2 + 1
    if what == "eyes":
        path = folder / "000000-000002.safetensors"
        stored = gallery.load_file(path)
        gallery.save_file({**stored, "0|cells": stored["0|cells"] * 1.1}, path)
    elif what == "file":
        (folder / "000004-000006.safetensors").write_bytes(b"\xff" * 64)
    elif what == "gap":
        (folder / "000004-000006.safetensors").unlink()
    elif what == "overlap":
        shutil.copy(folder / "000004-000006.safetensors", folder / "000003-000005.safetensors")
    elif what == "names":
        path = folder / "000004-000006.safetensors"
        gallery.save_file({k: v for k, v in gallery.load_file(path).items() if k != "1|cells"}, path)
    elif what == "many":
        (folder / "000004-000006.safetensors").rename(folder / "000004-999999.safetensors")
    elif what == "note":
        (folder / "plan.json").write_text("[")
    looks.clear()
    assert trained(a_run(tmp_path / "run", stage, **changes), resume=True) == unbroken
    again = {"seed": KEEP, "data": KEEP, "eyes": 1 + KEEP, "note": KEEP, "keep": 1, "overlap": 1}
    assert len(looks) == again.get(what, 1 + KEEP - 4)


def test_a_full_disk_is_a_sentence_and_leaves_no_half_a_file(
    looks: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(stored: Any, path: Path) -> None:
        path.write_bytes(b"half")
        if path.parent.name == "gallery" and path.name.startswith(".000002"):
            raise OSError(28, "No space left on device")
        save(stored, path)

    save = gallery.save_file
    monkeypatch.setattr(gallery, "save_file", full)
    with pytest.raises(TrainError, match=r"^000002-000004.*could not be written .*No space left.*add --resume$"):
        trained(a_run(tmp_path / "run", a_stage()))
    assert {p.name for p in (tmp_path / "run" / "gallery").iterdir()} == {"plan.json", "000000-000002.safetensors"}
    monkeypatch.setattr(gallery, "save_file", save)
    looks.clear()
    trained(a_run(tmp_path / "run", a_stage()), resume=True)
    assert len(looks) == 1 + KEEP - 2


def test_looks_of_other_shapes_or_values_are_not_alike() -> None:
    a = {"seen": torch.ones(4, 4), "owner": torch.arange(3)}
    assert gallery._alike({**a, "seen": a["seen"] * 1.01}, a)
    assert not gallery._alike({**a, "seen": a["seen"] * 1.05}, a)
    assert not gallery._alike({**a, "owner": torch.tensor([0, 1, 1])}, a)
    assert not gallery._alike({**a, "seen": a["seen"][:3]}, a)
    assert not gallery._alike({"seen": a["seen"]}, a) and gallery._alike({}, {})

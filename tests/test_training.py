"""From somebody's own annotations to a model that is used at once: the command, its flags, what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
import types
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from PIL import Image
from test_train import a_run, drawn, fresh, log, silent

from perceptiongpt import cli, config
from perceptiongpt.cli import parser
from perceptiongpt.config import Rates, Run, Stage
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.data.sample import Sample, Turn
from perceptiongpt.data.shapes import shapes
from perceptiongpt.feed import TrainError, feed
from perceptiongpt.hub import FILES
from perceptiongpt.model.perception import equip
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.predict import PACKAGED, load
from perceptiongpt.presets import preset
from perceptiongpt.train import train
from perceptiongpt.training import opened, run_of, whole_modules
from perceptiongpt.validate import exchanges, judged, validate

Capture = pytest.CaptureFixture[str]
ALL = (Stage(steps=4, batch=2, rates=Rates(heads=1e-3, adapter=1e-3)),)
SMALL = ["--set", "settings.decoder_width=16", "--set", "settings.decoder_depth=1"]


def written(folder: Path, count: int = 24) -> Path:
    """Drawn shapes as COCO instances with pictures beside them."""
    folder.mkdir()
    names = sorted({str(r.label) for s in shapes(count, 0) for t in s.turns for r in t.regions})
    rows: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    rows["categories"] = [{"id": i, "name": f"my {n}"} for i, n in enumerate(names, 1)]
    for i, sample in enumerate(shapes(count, 0)):
        sample.image.save(folder / f"{i}.png")
        rows["images"].append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64})
        for r in {r.label: r for t in sample.turns for r in t.regions}.values():
            assert r.box is not None
            x0, y0, x1, y1 = r.box
            rows["annotations"].append(
                {
                    "id": len(rows["annotations"]),
                    "image_id": i,
                    "category_id": 1 + names.index(str(r.label)),
                    "iscrowd": 0,
                }
                | {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
            )
    (folder / "mine.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder / "mine.json"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on somebody's own data, by the command line."""
    place = tmp_path_factory.mktemp("own")
    data = written(place / "data")
    words = ["train", "--data", f"{data},2", "--host", "tiny:aya_vision", "--out", str(place / "mine"), "--steps", "6"]
    told = [*words, "--batch", "2", "--recompute", "--set", "val_questions=6", "--set", "workers=0", *SMALL]
    assert cli.main(told) == 0
    return place / "mine"


def test_one_command_makes_a_model_that_every_verb_uses(trained: Path, capsys: Capture) -> None:
    left = {"best", "checkpoint", "log.jsonl", "model", "plot.png", "run.json", "tensorboard"}
    assert {p.name for p in trained.iterdir()} == left
    with Image.open(trained / "plot.png") as plot:
        assert plot.width > 600
    assert list((trained / "tensorboard").glob("events*"))
    rows = log(trained)
    assert len(rows) == 6
    assert [r["step"] for r in rows if "val_score" in r] == [1, 3, 5]
    picture = trained.parent / "data/0.png"
    assert cli.main(["segment", str(picture), "the circle", "--model", str(trained), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "mine"
    run = json.loads((trained / "run.json").read_text())
    assert run["data"] == [[f"{trained.parent}/data/mine.json:train", 2.0]]
    assert run["val"] == [f"{trained.parent}/data/mine.json:val"]


def test_a_trained_model_goes_on_with_new_names_in_stages(tmp_path: Path, capsys: Capture) -> None:
    data = written(tmp_path / "data")
    words = ["train", "--data", f"{data}:train", "--batch", "2", "--set", "workers=0"]
    projector = ["--set", 'settings.trained_host_modules=["model.multi_modal_projector"]']
    first = [*words, "--host", "tiny:aya_vision", "--steps", "1", *SMALL, *projector]
    assert cli.main([*first, "--out", str(tmp_path / "one")]) == 0
    assert "begins with the bare host tiny:aya_vision" in capsys.readouterr().out
    assert cli.main([*words, "--model", str(tmp_path / "one"), "--steps", "4", "--out", str(tmp_path / "two")]) == 0
    told = capsys.readouterr().out
    assert f"goes on from {tmp_path / 'one'}" in told
    assert [line.split(": ")[1] for line in told.splitlines() if line.startswith("Stage ")] == [
        "name, 8 steps of 8",
        "words, 3 steps of 2",
        "all, 1 steps of 2",
    ]
    assert load(tmp_path / "two", device="cpu").model.settings == load(tmp_path / "one", device="cpu").model.settings


def test_the_card_is_filled_in_by_the_run(trained: Path) -> None:
    card = (trained / "best/README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: perceptiongpt\n")
    for told in ("# mine", "`mine.json:train`, weight 2", "6 steps of 2", "low-rank adapter", "| after step |", "Best"):
        assert told in card
    assert str(trained.parent) not in card  # no path of the machine that trained it


def test_a_model_goes_to_a_hub_and_comes_back(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub as hub

    shelf = tmp_path / "shelf"
    (trained / "best/notes.bin").write_bytes(b"not ours to send")

    def upload(self: Any, repo_id: str, folder_path: Path, allow_patterns: list[str], **_: Any) -> str:
        files = [f.relative_to(folder_path).as_posix() for f in Path(folder_path).rglob("*") if f.is_file()]
        for name in hub.utils.filter_repo_objects(files, allow_patterns=allow_patterns):
            (shelf / repo_id / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder_path) / name, shelf / repo_id / name)
        return f"shelf/{repo_id}"

    def download(repo_id: str, local_dir: Path, allow_patterns: list[str], **_: Any) -> str:
        shutil.copytree(shelf / repo_id, local_dir, dirs_exist_ok=True)
        return str(local_dir)

    monkeypatch.setattr(hub.HfApi, "create_repo", lambda *_, **__: None)
    monkeypatch.setattr(hub.HfApi, "upload_folder", upload)
    monkeypatch.setattr(hub.HfApi, "model_info", lambda *_, **__: types.SimpleNamespace(siblings=[]))
    monkeypatch.setattr(hub, "snapshot_download", download)
    assert cli.main(["push", str(trained), "me/mine"]) == 0
    sent = {p.relative_to(shelf / "me/mine").as_posix() for p in (shelf / "me/mine").rglob("*") if p.is_file()}
    assert {"README.md", "config.json", "perception.safetensors", "adapter/adapter_model.safetensors"} <= sent
    assert "notes.bin" not in sent
    assert cli.main(["pull", "me/mine", str(tmp_path / "back")]) == 0
    ours, theirs = (dict(load(f, device="cpu").model.named_parameters()) for f in (trained, tmp_path / "back"))
    assert all(torch.equal(p, theirs[n]) for n, p in ours.items())
    (shelf / "me/mine/config.json").write_text("{}")
    assert cli.main(["pull", "me/mine", str(tmp_path / "broken")]) == 2
    assert not (tmp_path / "broken").exists()
    (trained / "best/notes.bin").unlink()


def test_a_model_as_it_is_packaged_goes_out_whole() -> None:
    files = [f.relative_to(PACKAGED).as_posix() for f in PACKAGED.rglob("*") if f.is_file()]
    assert list(filter_repo_objects(files, allow_patterns=FILES)) == files


# -- flags ------------------------------------------------------------------------


def told(*words: str) -> Run:
    return run_of(parser().parse_args(["train", *words]))


def test_flags_become_a_run_and_nothing_is_lost_on_the_way() -> None:
    run = told("--data", "a,b.json", "--data", "c.json:train,0.5", "--host", "h", "--batch", "4", "--accumulate", "3")
    assert run.data == (("a,b.json", 1.0), ("c.json:train", 0.5))
    assert (run.host, run.start, run.stages[0].batch, run.stages[0].accumulate) == ("h", None, 4, 3)
    assert run.settings["lora_targets"] == "all" and run.settings["follows_edges"] is True
    assert told("--data", "a", "--set", "clip=3").clip == 3.0
    own = ("--data", "a", "--host", "h", "--set")
    assert told(*own, "settings.follows_edges=false").settings["follows_edges"] is False
    for spelled in ("settings.answer_format=numerals", "settings.points=false"):  # they have no `<vis>` to decode
        assert "follows_edges" not in told(*own, spelled).settings
    assert "follows_edges" not in told("--data", "a").settings  # the model that it goes on from says
    assert told("--data", "a").start == "default"
    twice = told("--data", "a", "--rate", "2").stages[0].rates
    assert twice.heads == 2 * told("--data", "a").stages[0].rates.heads
    assert told("tiny") == preset("tiny")


@pytest.mark.parametrize("tune", ["lora", "full", "frozen"])
def test_what_of_the_host_learns_is_what_was_asked(tune: str, tmp_path: Path) -> None:
    run = told("--data", "shapes", "--host", "tiny:aya_vision", "--tune", tune, "--steps", "1", *SMALL)
    host, processor = FAMILIES["aya_vision"]()
    before = {n: p.detach().clone() for n, p in host.named_parameters()}
    settings = dict(run.settings)
    if tune == "full":
        settings["trained_host_modules"] = whole_modules(host)
    made = equip(host, processor, **settings)
    run = config.replace(run, out=str(tmp_path / "run"), settings=settings)
    train(run, made, drawn(), silent)
    after = {n.replace(".base_layer", ""): p for n, p in host.named_parameters() if ".lora_" not in n}
    moved = {n for n, p in before.items() if not torch.equal(p, after[n])}
    assert bool(moved) == (tune == "full")
    assert all("language_model" in n or "lm_head" in n for n in moved)
    assert any(".lora_" in n for n, p in host.named_parameters() if p.requires_grad) == (tune == "lora")
    assert load(tmp_path / "run", device="cpu").model.settings == made.settings


def test_a_rate_of_zero_freezes_its_group(tmp_path: Path) -> None:
    model, said = fresh(), list[str]()
    before = {n: p.detach().clone() for n, p in model.named_parameters() if ".lora_" in n}
    stages = (Stage(steps=2, batch=2, rates=Rates(adapter=0.0)),)
    train(a_run(tmp_path / "run", stages=stages), model, drawn(), said.append)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters() if n in before)
    assert not any("low-rank adapter" in line for line in said)


def test_what_a_stage_freezes_by_name_keeps_still_and_the_rest_learns(tmp_path: Path) -> None:
    model = fresh()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    stages = (Stage(steps=2, batch=2, frozen=("encoder.box", "vis_row")),)
    train(a_run(tmp_path / "run", stages=stages), model, drawn(), silent)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert any(n.startswith("encoder.mask") for n in moved) and any(n.startswith("decoder.") for n in moved)
    assert not any(n.startswith(("encoder.box", "vis_row")) for n in moved)


def test_a_name_that_no_parameter_has_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    stages = (Stage(steps=2, batch=2, frozen=("encoder.boxes",)),)
    with pytest.raises(ValueError, match=r"encoder\.boxes"):
        train(a_run(tmp_path / "run", stages=stages), fresh(), drawn(), silent)
    assert not (tmp_path / "run").exists()


def test_talk_teaches_what_is_read_and_said_and_leaves_decoders_alone(tmp_path: Path) -> None:
    model, said = fresh(), list[str]()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    run = a_run(tmp_path / "run", stages=(Stage(aim="talk", steps=3, batch=2),))
    train(run, model, drawn(), said.append)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert any(n.startswith("encoder.") for n in moved) and any(".lora_" in n for n in moved)
    assert not any(n.startswith(("decoder.", "fusion")) for n in moved)
    assert any("text" in line and "box_l1" not in line for line in said)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "neither data nor a preset"),
        (["tiny", "--data", "x.json"], "the one or the other"),
        (["tiny", "--steps", "9"], "--set stages.0.steps"),
        (["--data", "x.json,0"], "no weight"),
        (["--data", "x.json,-1"], "no weight"),
        (["--data", "no/such.json"], "no source"),
        (["--data", "x.json", "--tune", "full"], "give --host"),
        (["--data", "x.json", "--tune", "half"], "invalid choice"),
        (["--data", "x.json", "--steps", "0"], "at least 1"),
        (["--data", "x.json", "--rate", "nan"], "not a positive number"),
        (["--data", "x.json", "--model", "no/such"], "not a perceptiongpt model folder"),
        (["--data", "shapes:8", "--host", "tiny:no"], "no tiny host"),
        (["--data", "shapes:8", "--host", "tiny:llava", "--val", "nothing"], "no source"),
        (["tiny", "--set", "patience=-1"], "patience"),
        (["nothing"], "no preset"),
    ],
)
def test_bad_flags_of_training_end_in_a_sentence(words: list[str], why: str, capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "run"
    try:
        code = cli.main(["train", *words, "--out", str(out)])
    except SystemExit as ended:
        code = int(str(ended.code))
    said = capsys.readouterr().err
    assert code == 2
    assert why in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_what_is_missing_is_asked_for_by_name(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    assert cli.main(["train", "--data", "shapes:8", "--qlora"]) == 2
    assert "pip install bitsandbytes" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="pip install wandb"):
        train(a_run(tmp_path / "run", stages=ALL, wandb="mine"), fresh(), drawn(), silent)


def test_wandb_hears_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, set[str]]] = []
    board = types.SimpleNamespace(log=lambda values, step: heard.append((step, set(values))), finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **_: board))
    train(a_run(tmp_path / "run", stages=ALL, wandb="mine"), fresh(), drawn(), silent)
    assert [step for step, _ in heard] == [0, 1, 2, 3]
    assert {"text", "box_l1", "norm"} <= heard[0][1]


def test_without_the_extra_a_run_goes_on_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perceptiongpt.progress import summary

    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said: list[str] = []
    train(a_run(tmp_path / "run", stages=ALL), fresh(), drawn(), said.append)
    assert any("tensorboardX is not installed" in line for line in said)
    assert "matplotlib is not installed" in summary(tmp_path / "run")
    assert not (tmp_path / "run/tensorboard").exists()


# -- bad samples ------------------------------------------------------------------------


def jsonl(folder: Path) -> Path:
    """Eight samples, of which line 3 names a picture that is none and line 5 is no sample."""
    rows = []
    for i, sample in enumerate(shapes(8, 0)):
        sample.image.save(folder / f"{i}.png")
        turns = [
            {"role": t.role, "text": t.text, "regions": [{"box": list(r.box), "label": r.label} for r in t.regions]}
            for t in sample.turns
        ]
        rows.append(json.dumps({"image": f"{i}.png", "turns": turns}))
    (folder / "2.png").write_bytes(b"not a picture")
    rows[4] = '{"image": "4.png", "turns": [{"role": "user"}]}'
    (folder / "mine.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder / "mine.jsonl"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_sample_is_named_by_file_and_line_or_passed_over_and_counted(workers: int, tmp_path: Path) -> None:
    from perceptiongpt.data.mix import Mix

    data, said = jsonl(tmp_path), list[str]()
    strict = a_run(tmp_path / "run", stages=ALL, data=((f"{data}:all", 1.0),), workers=workers)
    with pytest.raises(ValueError, match=r"mine.jsonl:5: .*"):
        opened(strict, silent, divide=True)
    lenient = config.replace(strict, skip_bad=True)
    run, sources, _ = opened(lenient, said.append, divide=True)
    assert len(sources[0][0]) == 7
    assert "1 entries that cannot be read are left out" in said[0] and "mine.jsonl:5" in said[0]
    with pytest.raises(TrainError, match=r"mine.jsonl:3: .*--skip-bad"):
        train(config.replace(run, skip_bad=False), fresh(), Mix(sources, 0), silent)
    train(config.replace(run, out=str(tmp_path / "lenient")), fresh(), Mix(sources, 0), said.append)
    assert len(log(tmp_path / "lenient")) == 4
    assert any(line.startswith("1 bad samples were passed over: ") and "mine.jsonl:3" in line for line in said)
    kept = json.loads((tmp_path / "lenient/checkpoint/state.json").read_text())["bad"]
    assert len(kept) == 1


def test_data_of_which_nothing_can_be_used_ends_the_run(renderer: Any) -> None:
    from perceptiongpt.data.mix import Mix
    from perceptiongpt.feed import Batches

    model = fresh()
    broken = [Sample(b"no picture", (Turn("user", "a"), Turn("assistant", "b")), where="x.jsonl:1")]
    batches = Batches(Mix([(broken, 1.0)], 0), renderer(model), model.backbone, 2, 0, 2, skip_bad=True)
    with pytest.raises(TrainError, match=r"in a row cannot be used, the last: x.jsonl:1"):
        next(feed(batches, 0, 0))


# -- validation ------------------------------------------------------------------------


def test_answers_are_judged_by_hand_worked_rows() -> None:
    def said(*boxes: tuple[float, ...]) -> Answer:
        return Answer("red.", tuple(Region(box=b) for b in boxes), (100, 100))

    one, two = (0, 0, 10, 10), (50, 50, 60, 60)
    true = Turn("assistant", "{0} and {1}", (Region(box=one), Region(box=two)))
    assert judged(said(two, one), true) == {"score": 1.0, "iou": 1.0, "acc50": 1.0}
    assert judged(said(one), true) == {"score": 0.5, "iou": 0.5, "acc50": 0.5}
    assert judged(said(), true) == {"score": 0.0, "iou": 0.0, "acc50": 0.0}
    assert judged(said((80, 80, 90, 90), (0, 0, 5, 10), one, two), true)["iou"] == pytest.approx(0.25)  # two count
    assert judged(said(), Turn("assistant", "Red")) == {"score": 1.0, "words": 1.0}
    assert judged(said(one), Turn("assistant", "red")) == {"score": 0.0, "words": 0.0}
    assert judged(said(), Turn("assistant", "blue")) == {"score": 0.0, "words": 0.0}


def test_validation_asks_the_same_questions_and_leaves_training_as_it_was() -> None:
    source = shapes(10, 0)
    asked = exchanges([source], 5, 0)
    assert [a.asked.text for a in asked] == [a.asked.text for a in exchanges([source], 5, 0)]
    assert len(asked) == 5
    model = fresh().train()
    model.host.eval()
    modes = [m.training for m in model.modules()]
    found = validate(model, asked)
    assert len(found["score"]) == 5 and all(0 <= v <= 1 for v in found["score"])
    assert [m.training for m in model.modules()] == modes
    with pytest.raises(ValueError, match="no question about a picture"):
        exchanges([[Sample(None, (Turn("user", "a"), Turn("assistant", "b")))]], 5, 0)


def test_a_host_of_half_precision_is_validated_while_its_projector_is_whole() -> None:
    host, processor = FAMILIES["aya_vision"]()
    model = equip(host.bfloat16(), processor, decoder_width=16, trained_host_modules=("model.multi_modal_projector",))
    model.host.model.multi_modal_projector.float()  # as training does
    assert len(validate(model, exchanges([shapes(3, 0)], 3, 0))["score"]) == 3


def test_the_best_is_kept_and_a_run_without_progress_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.4, 0.3, 0.2, 0.9])
    monkeypatch.setattr("perceptiongpt.train.validate", lambda *_: {"score": [next(scores)], "words": []})
    run = a_run(tmp_path / "run", stages=(Stage(steps=9, batch=2),), val_every=1, patience=2, save_every=100)
    said: list[str] = []
    made = train(run, fresh(), drawn(), said.append, questions=exchanges([shapes(2, 0)], 1, 0))
    assert made == tmp_path / "run/best"
    assert [r["val_score"] for r in log(tmp_path / "run")] == [0.1, 0.4, 0.3, 0.2]
    assert any("2 validations in a row" in line for line in said)
    best, last = (load(tmp_path / "run" / n, device="cpu").model for n in ("best", "model"))
    assert not torch.equal(best.vis_row, last.vis_row)
    before = log(tmp_path / "run")
    train(run, fresh(), drawn(), silent, resume=True, questions=exchanges([shapes(2, 0)], 1, 0))
    assert log(tmp_path / "run") == before  # a run that stopped stays stopped


def test_recomputing_changes_no_loss(tmp_path: Path) -> None:
    for name, recompute in (("kept", False), ("again", True)):
        train(a_run(tmp_path / name, stages=ALL, recompute=recompute), fresh(), drawn(), silent)
    assert log(tmp_path / "kept") == log(tmp_path / "again")
    model, calls = fresh(), []
    layer = model.host.get_decoder().layers[0]
    layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    train(a_run(tmp_path / "counted", stages=(Stage(steps=1, batch=2),), recompute=True), model, drawn(), silent)
    assert len(calls) == 2  # forward, and once more in the backward pass


def test_a_run_is_told_whole_in_its_folder(trained: Path) -> None:
    told = json.loads((trained / "run.json").read_text())
    assert set(told) == set(asdict(Run(name="x")))
    assert told["recompute"] is True

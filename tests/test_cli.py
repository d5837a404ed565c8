"""The command line: exactly one JSON object, painted files, the way from training to asking, and a quick --help."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perceptiongpt import cli
from perceptiongpt.core.masks import decode_rle, encode_rle
from perceptiongpt.predict import Eye

Capture = pytest.CaptureFixture[str]


def said(capsys: Capture, *words: object) -> str:
    """What a command that succeeds prints on stdout."""
    assert cli.main([str(w) for w in words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("detect", "P", "the red circle"),
        ("segment", "P", "the red circle"),
        ("point", "P", "the red circle"),
        ("ask", "P", "What is this?"),
        ("ask", "P", "What is this?", "--box", "1,2,30,20"),
        ("ask", "P", "What is this?", "--point", "10,20"),
        ("caption", "P"),
        ("caption", "P", "--plain"),
        ("describe", "P", "--box", "1,2,30,20.5"),
    ],
    ids=" ".join,
)
def test_json_is_exactly_one_object_on_stdout(
    words: tuple[str, ...], capsys: Capture, photo_file: Path, model_folder: Path
) -> None:
    told = [photo_file if w == "P" else w for w in words]
    read = json.loads(said(capsys, *told, "--json", "--model", model_folder))
    assert set(read) == {"text", "image", "regions", "timings", "model"}
    assert read["image"] == {"width": 50, "height": 40}
    assert read["model"] == "talkative"
    assert set(read["timings"]) == {"vision", "prefill", "decode", "heads", "total"}
    for region in read["regions"]:
        assert set(region) == {"label", "box", "mask", "point", "score", "span"}
        assert (region["box"] is None) == (words[0] == "point")
        assert (region["mask"] is None) == (words[0] in ("point", "detect"))
        if region["mask"]:
            assert decode_rle(region["mask"]).shape == (40, 50)


def test_people_get_a_sentence_and_a_table(capsys: Capture, photo_file: Path, model_folder: Path, eye: Eye) -> None:
    out = said(capsys, "segment", photo_file, "the red circle", "--model", model_folder)
    answer = eye.segment(photo_file, "the red circle")
    assert out.split()[0] == answer.text.split()[0][: len(out.split()[0])]
    assert out.replace("\n", "").isprintable()  # what a model says never steers a terminal
    assert f"{len(answer)} regions" in out
    assert sum("mask" in line for line in out.splitlines()) == len(answer)


def test_regions_below_the_least_score_are_left_out(capsys: Capture, photo_file: Path, model_folder: Path) -> None:
    words = ("segment", photo_file, "the red circle", "--model", model_folder, "--json")
    scores = [r["score"] for r in json.loads(said(capsys, *words))["regions"]]
    middle = sorted(scores)[len(scores) // 2]
    kept = [r["score"] for r in json.loads(said(capsys, *words, "--min-score", middle - 1e-4))["regions"]]
    assert 0 < len(kept) < len(scores)
    assert kept == [s for s in scores if s >= middle]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_painted_answer_is_written_whole(
    capsys: Capture, photo_file: Path, model_folder: Path, suffix: str
) -> None:
    out = photo_file.parent / f"out{suffix}"
    said(capsys, "segment", photo_file, "the red circle", "-o", out, "--json", "--model", model_folder)
    with Image.open(out) as painted:
        painted.load()
        assert painted.width >= 320
    assert sorted(p.name for p in out.parent.iterdir()) == sorted([out.name, photo_file.name])


@pytest.mark.parametrize("form", ["L", "1", "P", "RGB", "RGBA", "I;16", "json"])
def test_a_mask_is_read_from_every_form(
    capsys: Capture, photo_file: Path, model_folder: Path, eye: Eye, form: str
) -> None:
    from perceptiongpt.data.maskfile import read_mask

    mask = np.zeros((40, 50), bool)
    mask[5:20, 3:30] = True
    file = photo_file.parent / ("mask.json" if form == "json" else "mask.png")
    if form == "json":
        file.write_text(json.dumps(encode_rle(mask)))
    elif form == "I;16":
        Image.fromarray(mask.astype(np.uint16)).save(file)
    elif form == "RGBA":
        Image.fromarray(np.stack([mask * 0, mask * 0, mask * 0, mask * 255], -1).astype(np.uint8)).save(file)
    elif form == "P":
        indexed = Image.fromarray(mask.astype(np.uint8), "P")
        indexed.putpalette([0, 0, 0] * 256)  # the indices count, whatever their colours
        indexed.save(file)
    else:
        Image.fromarray(mask.astype(np.uint8)).point(lambda v: v * 255).convert(form).save(file)
    assert (read_mask(file, (50, 40)) == mask).all()
    if form in ("L", "json"):
        out = said(capsys, "describe", photo_file, "--mask", file, "--json", "--model", model_folder)
        from perceptiongpt import Region

        assert json.loads(out)["text"] == eye.look(photo_file).describe(Region(mask=mask)).text


def test_what_train_makes_can_be_asked_and_judged(capsys: Capture, tmp_path: Path, photo_file: Path) -> None:
    settings = ("stages.0.steps=2", "stages.0.batch=2", 'data=[["shapes:8", 1.0]]', f"out={tmp_path / 'run'}")
    changes = [word for s in settings for word in ("--set", s)]
    out = said(capsys, "train", "tiny", *changes)
    assert "What trains" in out
    model = tmp_path / "run" / "model"
    assert str(model) in out.splitlines()[-1]
    assert json.loads(said(capsys, "segment", photo_file, "the red circle", "--model", model, "--json"))["text"] != ""
    numbers, folder = tmp_path / "numbers.json", tmp_path / "evaluated"
    out = said(
        capsys, "evaluate", model, "--data", "scenes:test:3", "--n", 3, "--json", numbers, "--batch", 2, "--out", folder
    )
    read = json.loads(numbers.read_text())
    assert read["counts"]["expressions"] == 3
    assert {"rec", "res", "rejection", "protocol"} <= set(read)
    assert read["protocol"]["data"] == "scenes:test seed 3"
    assert "protocol:" in out
    assert {f.name for f in folder.iterdir()} == {
        "answers.jsonl",
        "run.json",
        "metrics.json",
        "protocol.json",
        "report.html",
    }
    again = said(capsys, "evaluate", model, "--data", "scenes:test:3", "--n", 3, "--out", folder)
    assert again.splitlines()[:3] == out.splitlines()[:3]
    refused = cli.main(["evaluate", str(model), "--data", "scenes:test:4", "--n", "3", "--out", str(folder)])
    assert (refused, "another data" in capsys.readouterr().err) == (2, True)
    said(capsys, "score", folder / "answers.jsonl", "--data", "scenes:test:3", "--n", 3, "--json", tmp_path / "s.json")
    scored = json.loads((tmp_path / "s.json").read_text())
    assert {k: v for k, v in scored.items() if k != "protocol"} == {k: v for k, v in read.items() if k != "protocol"}


def test_scenes_are_written_and_shown(capsys: Capture, tmp_path: Path) -> None:
    from perceptiongpt.questions import questions_of

    out = tmp_path / "scenes"
    said(capsys, "data", "scenes", out, "--split", "val", "--n", 2, "--seed", 5)
    assert next(questions_of(str(out))[0]).questions
    sheet = tmp_path / "sheet.png"
    said(capsys, "data", "show", out / "samples.jsonl", "-o", sheet, "--n", 2)
    with Image.open(sheet) as painted:
        assert painted.width > 900


def test_fetch_prints_where_the_host_is(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(source: str) -> Path:
        asked.append(source)
        return tmp_path

    monkeypatch.setattr("perceptiongpt.fetch.fetch", fetch)
    assert said(capsys, "fetch").strip() == str(tmp_path)
    said(capsys, "fetch", "--from-hub")
    assert asked == ["packages", "hub"]


def test_an_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def interrupted(told: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("perceptiongpt.commands.fetch", interrupted)
    assert cli.main(["fetch"]) == 130
    assert capsys.readouterr().err == ""


def test_a_fault_of_ours_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(told: object) -> None:
        raise AssertionError("ours")

    monkeypatch.setattr("perceptiongpt.commands.fetch", faulty)
    with pytest.raises(AssertionError, match="ours"):
        cli.main(["fetch"])


def test_help_answers_at_once_and_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "numpy", "PIL", "peft", "tqdm", "scipy")
    script = (
        "import sys, perceptiongpt; from perceptiongpt.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as stop: code = stop.code\n"
        f"print('HEAVY', [m for m in {heavy!r} if m in sys.modules], code)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "HEAVY [] 0"
    took = []
    for _ in range(3):  # the best of three: other work shares this machine
        started = time.perf_counter()
        run = subprocess.run([sys.executable, "-m", "perceptiongpt", "--help"], capture_output=True, text=True)
        took.append(time.perf_counter() - started)
        assert run.returncode == 0
    assert min(took) < 0.5
    verbs = "detect segment point ask caption describe train evaluate data fetch"
    assert all(verb in run.stdout for verb in verbs.split())


def test_the_lazy_names_are_the_real_ones() -> None:
    import perceptiongpt
    from perceptiongpt.core.answer import Answer
    from perceptiongpt.hosts import equip
    from perceptiongpt.predict import load

    assert (perceptiongpt.Answer, perceptiongpt.equip, perceptiongpt.load) == (Answer, equip, load)
    assert set(perceptiongpt.__all__) <= set(dir(perceptiongpt))
    with pytest.raises(AttributeError, match="it has Answer"):
        _ = perceptiongpt.Anwser

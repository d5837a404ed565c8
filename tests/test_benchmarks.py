"""Benchmarks run, print each figure beside its target and write them as JSON. Never a time: machines differ."""

from __future__ import annotations

import argparse
import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.hosts import open_host
from perceptiongpt.model.perception import equip
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.predict import Eye, load

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def segment_call() -> dict[str, Any]:
    """The names in benchmarks/segment_call.py."""
    return runpy.run_path(str(BENCHMARKS / "segment_call.py"), run_name="segment_call")


@pytest.fixture
def written(segment_call: dict[str, Any], model_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """What a quick run on a tiny model writes."""
    words = ["--quick", "--model", str(model_folder), "--threads", str(torch.get_num_threads())]
    assert segment_call["main"]([*words, "--json", str(tmp_path / "out.json")]) == 0
    return json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))


def test_a_segment_call_is_measured_whole_and_in_parts(segment_call: dict[str, Any], written: dict[str, Any]) -> None:
    figures = written["figures"]
    assert set(figures) >= {row[0] for row in segment_call["ROWS"]}
    assert {"benchmark", "model", "calls", "warm_ups", "at_most", "machine", "command"} <= set(written)
    assert set(written["at_most"]) <= set(figures)
    assert (written["model"], written["benchmark"]) == ("talkative", "segment_call")
    assert all(figures[name] > 0 for name in ("seconds", "vision", "prefill", "decode", "heads", "help", "peak_memory"))
    assert 0 < figures["heads_share"] < 100
    assert figures["tokens_a_region"] == 1
    assert figures["regions"] > 0
    assert {"cores", "torch", "dtype", "threads"} <= set(written["machine"])
    assert "--quick" in written["command"]
    table = segment_call["table"](written)
    assert table.count("wanted <=") == len(written["at_most"])


def test_the_same_expressions_are_asked_of_large_pictures_with_and_without_slices(
    model_folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = runpy.run_path(str(BENCHMARKS / "large_pictures.py"), run_name="large_pictures")["main"]
    folder, made = tmp_path / "slicing", tmp_path / "out.json"
    shutil.copytree(model_folder, folder)
    quick = ["--quick", "--threads", str(torch.get_num_threads()), "--json", str(made), "--model"]
    assert main([*quick, str(folder)]) == 2 and "looks at no slices" in capsys.readouterr().err
    config = json.loads((folder / "config.json").read_text())
    config["settings"]["looks_sliced"] = True
    (folder / "config.json").write_text(json.dumps(config))
    asked = list[tuple[bool, Any]]()

    def segment(eye: Eye, picture: Any, phrase: str) -> Answer:
        asked.append((eye.does("looks_sliced"), (picture.size, phrase)))
        right = Region((0, 0, *picture.size), score=0.9)
        return Answer("", (right,), timings={"slices": 1.0}) if asked[-1][0] else Answer("")

    monkeypatch.setattr(Eye, "segment", segment)
    monkeypatch.setattr("perceptiongpt.core.boxes.iou_xyxy", lambda *_: torch.tensor(0.6))
    assert main([*quick, str(folder)]) == 0
    assert [a for s, a in asked if s] == [a for s, a in asked if not s] and len(asked) > 4
    assert all(max(size) >= 3 * 288 for _, (size, _) in asked)
    figures = json.loads(made.read_text())["figures"]
    assert (figures["acc50_whole"], figures["acc50_slices"], figures["acc75_slices"]) == (0, 1, 0)
    assert (figures["better"], figures["worse"]) == (figures["expressions"], 0) and figures["looked"] == 1
    assert "acc50_slices" in capsys.readouterr().out


def test_the_trained_share_counts_every_part_that_learns(segment_call: dict[str, Any]) -> None:
    grown = {"tells_apart": True, "looks_closer": True, "refines": True}
    plain, refining = (equip(*FAMILIES["aya_vision"](), decoder_width=16, **more) for more in ({}, grown))
    added = [sum(p.numel() for p in model.added().values()) for model in (plain, refining)]
    told = [segment_call["trained_shares"](model)["trained"] for model in (plain, refining)]
    assert told[1] - told[0] == added[1] - added[0] > 0


def test_calls_that_look_closer_are_measured_among_others(segment_call: dict[str, Any]) -> None:
    def segment(picture: Any, phrase: str) -> Any:
        asked.append(phrase)
        return SimpleNamespace(timings={"closer": 0.0 if len(asked) % 2 else 0.25})

    asked: list[str] = []
    eye = SimpleNamespace(segment=segment, model=SimpleNamespace(settings=SimpleNamespace(looks_closer=True)))
    told = segment_call["closer_calls"](eye, 3, 2)
    assert told["closer"] == 0.25 and told["seconds_closer"] > 0
    assert len(asked) >= 7 and all(asked)
    eye.model.settings.looks_closer = False
    assert segment_call["closer_calls"](eye, 3, 2) == {"seconds_closer": None, "closer": None}


def test_the_share_that_trains_is_counted_with_and_without_the_projector(
    segment_call: dict[str, Any], equipped: Callable[..., Any]
) -> None:
    model = equipped(trained_host_modules=("model.multi_modal_projector",))
    told = segment_call["trained_shares"](model)
    projector = sum(p.numel() for p in model.host.get_submodule("model.multi_modal_projector").parameters())
    added = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("host.") or ".lora_" in n)
    assert told["trained_host_modules"] == projector
    assert told["trained"] == added + projector
    assert told["parameters"] == sum(p.numel() for p in model.parameters())
    assert told["trained_share"] == pytest.approx(100 * (added + projector) / told["parameters"])
    assert told["trained_share_without_host_modules"] == pytest.approx(100 * added / told["parameters"])


def test_a_missed_target_is_said_aloud(segment_call: dict[str, Any]) -> None:
    figures = {row[0]: 99.0 for row in segment_call["ROWS"]}
    result = {"figures": figures, "machine": {}, "model": "m", "calls": 1, "warm_ups": 0, "command": "c"}
    limits = [row[3] for row in segment_call["ROWS"] if row[3] is not None]
    assert segment_call["table"](result).count("MISSED") == len(limits) > 0
    result["figures"] = dict.fromkeys(figures, 0.0)
    assert "MISSED" not in segment_call["table"](result)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--model", "no/such/model"], "not a perceptiongpt model folder"),
        (["--threads", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    words: list[str], why: str, segment_call: dict[str, Any], capsys: Capture
) -> None:
    assert segment_call["main"](words) == 2
    told = capsys.readouterr()
    assert why in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_asking_and_judging_are_measured_together(model_folder: Path, tmp_path: Path, capsys: Capture) -> None:
    evaluation = runpy.run_path(str(BENCHMARKS / "evaluation.py"), run_name="evaluation")
    judged = evaluation["judging"](2000, 50, tmp_path)
    assert 0 < judged["ap"] < 1
    assert 0.2 < judged["miou"] < 1
    asked = evaluation["asking"](str(model_folder), 6, 2, torch.get_num_threads())
    assert asked["ratio"] == pytest.approx(asked["batched"] / asked["alone"])
    told = evaluation["table"]({"figures": {**judged, **asked, "ratio": 2.9, "seconds": 61.0}})
    assert told.count("MISSED") == 2
    assert evaluation["main"](["--n", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_the_loop_is_measured_against_bare_steps(tmp_path: Path, capsys: Capture) -> None:
    bench = runpy.run_path(str(BENCHMARKS / "train_overhead.py"), run_name="train_overhead")
    assert bench["main"](["--quick", "--json", str(tmp_path / "out.json")]) == 0
    told = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert min(told[k] for k in ("ratio", "ratio_processor", "loop_seconds", "bare_seconds", "making_seconds")) > 0
    assert "wanted <= 1.1" in capsys.readouterr().out
    assert bench["main"](["--steps", "2"]) == 2


@pytest.mark.parametrize(
    "name",
    [
        "ask_cost",
        "equipped_cost",
        "evaluation",
        "kill_resume",
        "own_data",
        "read_coco",
        "segment_call",
        "speed",
        "train_overhead",
    ],
)
def test_a_missing_folder_is_refused_before_anything_is_measured(name: str, tmp_path: Path, capsys: Capture) -> None:
    assert run_benchmark(name, "--json", str(tmp_path / "no" / "out.json")) == 2
    told = capsys.readouterr()
    assert told.err == f"{name}: the folder {tmp_path / 'no'} is not there; make it first\n"
    assert told.out == ""


def test_a_bare_file_name_is_written_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_benchmark("read_coco", "--quick", "--json", "out.json") == 0
    told = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert told["command"] == "python benchmarks/read_coco.py --quick --json out.json"
    assert {"cores", "architecture", "python", "torch", "transformers"} <= set(told["machine"])


def test_every_benchmark_has_a_paragraph() -> None:
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    names = [f.name for f in BENCHMARKS.glob("*.py")]
    assert names
    assert not [name for name in names if f"`{name}`" not in page]


# -- asking ------------------------------------------------------------------------


def run_benchmark(name: str, *words: str) -> int:
    return runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name=name)["main"](list(words))


def test_what_asking_costs_is_measured_in_one_pass_and_in_two(tmp_path: Path, capsys: Capture) -> None:
    threads = str(torch.get_num_threads())
    words = [
        "--quick",
        "--host",
        "tiny:llava",
        "--tokens",
        "3",
        "--threads",
        threads,
        "--json",
        str(tmp_path / "out.json"),
    ]
    assert run_benchmark("ask_cost", *words) == 0
    told = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert told["ratio_cached"] == told["figures"]["cached"] / told["figures"]["plain"] > 0
    assert told["ratio_two_pass"] == told["figures"]["two_pass"] / told["figures"]["plain"] > 0
    assert "wanted <= 1.15" in capsys.readouterr().out
    assert run_benchmark("ask_cost", "--tokens", "0") == 2
    assert run_benchmark("ask_cost", "--host", "tiny:none") == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_the_arms_are_trained_scored_and_put_into_the_page(tmp_path: Path, capsys: Capture) -> None:
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nAbove.\n", encoding="utf-8")
    words = ["--quick", "--host", "tiny:aya_vision", "--width", "16", "--threads", str(torch.get_num_threads())]
    words += ["--out", str(tmp_path / "out"), "--results", str(page), "--json", str(tmp_path / "out.json")]
    assert run_benchmark("lmeye_arms", *words) == 0
    told = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert {r: set(by) for r, by in told["results"].items()} == {r: set("abcde") for r in ("tokens", "grid")}
    assert all(one["n"] == 24 for by in told["results"].values() for ones in by.values() for one in ones)
    first = page.read_text(encoding="utf-8")
    assert first.startswith("# Results\n\nAbove.\n") and "| (e) full, requests shuffled |" in first
    kept = {f: f.stat().st_mtime_ns for f in (tmp_path / "out").glob("*-0.json")}
    assert len(kept) == 6
    assert run_benchmark("lmeye_arms", *words) == 0  # what is done is not done again, nor is the page's table doubled
    assert kept == {f: f.stat().st_mtime_ns for f in (tmp_path / "out").glob("*-0.json")}
    assert page.read_text(encoding="utf-8") == first
    assert run_benchmark("lmeye_arms", *words, "--network", "linear") == 2
    assert "holds another experiment" in capsys.readouterr().err


def test_an_interval_of_the_arms_holds_the_share_it_was_drawn_from() -> None:
    names = runpy.run_path(str(BENCHMARKS / "lmeye_arms.py"), run_name="lmeye_arms")
    hits = np.random.default_rng(0).random((3, 1000)) < 0.7
    low, high = names["interval"](hits.astype(float))
    assert low < 0.7 < high and high - low < 0.06


# -- speed and claims ------------------------------------------------------------------------


def test_speed_is_measured_and_every_target_stands_beside_its_figure(
    model_folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    speed = runpy.run_path(str(BENCHMARKS / "speed.py"), run_name="speed")
    eye = load(model_folder, device="cpu")
    figures = speed["loop_against_generate"](eye, speed["PICTURE"], 5, 1)
    figures |= speed["call_against_floor"](eye, open_host("tiny:aya_vision", device="cpu")[0], speed["PICTURE"], 1)
    figures |= speed["questions"](eye, speed["PICTURE"], 3, 1)
    figures["batches"] = speed["batches"](eye, speed["PICTURE"], (1, 2), 1)
    threads = torch.get_num_threads()
    figures |= speed["memory_of_objects"](str(model_folder), 3, 48, threads)
    told = argparse.Namespace(tokens=4, rounds=1)
    figures["large"] = speed["large"](told, {"small": (256, 2, 2, 128)}, torch.device("cpu"))
    assert figures["tokens"] > 0 and figures["large"]["small"]["loop_over_generate"] > 0
    assert all(figures[name] > 0 for name in ("loop_over_generate", "call_over_floor", "questions_ratio"))
    result = {"figures": figures, "machine": {}, "model": "m", "rounds": 1, "command": "c"}
    assert speed["table"](result).count("wanted <=") == len(speed["AT_MOST"]) == 4
    assert speed["main"](["--rounds", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_answer_is_made_of_the_tokens_that_it_is_told_to_say(eye: Any, photo: Any) -> None:
    forced = runpy.run_path(str(BENCHMARKS / "forced.py"), run_name="forced")
    words = eye.renderer.words("the red")
    plan = [[*words, eye.model.vis_id], [eye.model.vis_id, *words]]
    for _ in range(2):
        with forced["saying"](eye.model, plan):
            answers = eye.look([photo, photo]).segment("the red", max_new_tokens=len(plan[0]))
        assert [a.text for a in answers] == ["the red"] * 2
        assert [len(a) for a in answers] == [1, 1]
    assert "head" not in vars(eye.model)
    with pytest.raises(ValueError, match="rows of one length"), forced["saying"](eye.model, [[1], [1, 2]]):
        pass


def test_the_claims_are_trained_timed_and_told(tmp_path: Path, capsys: Capture) -> None:
    words = ["--quick", "--arms", "vis;numerals", "--threads", str(torch.get_num_threads())]
    words += ["--out", str(tmp_path / "out"), "--page", str(tmp_path / "claims.md"), "--json", str(tmp_path / "o.json")]
    assert run_benchmark("claims", *words) == 0
    told = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    assert set(told["worlds"]) == {"shapes", "scenes"}
    steps = {r["format"]: r["steps"] for r in told["speed"]["rows"]}
    assert steps["vis"] < steps["bins"] < steps["integers"] < steps["numerals"] < steps["polygon"]
    for world, runs in told["worlds"].items():
        for arm in runs[0]["arms"].values():
            assert [p["samples"] for p in arm["curve"]] == [4, 8]
            assert set(arm["search"]) == {"1", "3"}
        rows, host = ({n: arm["trained"][k] for n, arm in runs[0]["arms"].items()} for k in ("rows", "host"))
        assert rows == {"vis": 64, "numerals": 0}  # one row of the host's width
        assert (host["vis"] < host["numerals"]) is (world == "scenes")  # half of the layers; shapes learn all
    page = (tmp_path / "claims.md").read_text(encoding="utf-8")
    assert page.strip() == capsys.readouterr().out.strip()
    assert all(f"- C{n} " in page for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11))
    plots = {"claims_shapes.png", "claims_scenes.png", "claims_speed.png"}
    assert {f.name for f in tmp_path.glob("*.png")} == plots
    kept = {f: f.stat().st_mtime_ns for f in (tmp_path / "out").glob("*/arm-*.json")}
    assert run_benchmark("claims", *words) == 0  # what is done is not done again
    assert kept == {f: f.stat().st_mtime_ns for f in (tmp_path / "out").glob("*/arm-*.json")} and len(kept) == 4
    assert run_benchmark("claims", *words, "--steps", "9") == 0  # --quick has steps of its own
    assert run_benchmark("claims", "--arms", "smoke", "--out", str(tmp_path / "no")) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("claims: there is no arm")


def test_a_light_host_spells_and_sees_as_the_one_it_is_cut_from(tmp_path: Path) -> None:
    from perceptiongpt.hosts import open_host

    light_host = runpy.run_path(str(BENCHMARKS / "claims_hosts.py"), run_name="claims_hosts")["light_host"]
    first = light_host(
        "tiny:aya_vision", 1, ["Where is the red circle?", "A red circle: 0123456789."], tmp_path / "light"
    )
    (old, whole), (new, cut) = open_host("tiny:aya_vision"), open_host(str(tmp_path / "light"), "float32")
    for word in (" red", " circle", "<|im_end|>"):
        at, was = (p.tokenizer(word, add_special_tokens=False).input_ids for p in (cut, whole))
        rows = [h.get_input_embeddings().weight for h in (new, old)]
        assert len(at) == 1 and torch.allclose(rows[0][at[0]], rows[1][was].mean(0), atol=1e-2)  # kept in bfloat16
    assert len(new.model.language_model.layers) == 1
    assert first.keys() == old.model.multi_modal_projector.state_dict().keys()
    side = whole.image_processor.size["height"]
    assert cut.image_processor.size["height"] == side
    maps = [h.model.vision_tower(torch.zeros(1, 3, side, side)).last_hidden_state for h in (old, new)]
    torch.testing.assert_close(*maps, atol=5e-2, rtol=5e-2)
    with pytest.raises(ValueError, match="this host has 2"):
        light_host("tiny:aya_vision", 3, ["a"], tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_arms_of_several_seeds_are_told_by_their_means() -> None:
    averaged = runpy.run_path(str(BENCHMARKS / "claims_page.py"), run_name="claims_page")["averaged"]
    first, second = ({"vis": {"rate": 1.0, "curve": [{"miou": m, "seconds": 2.0}]}} for m in (0.2, 0.4))
    made = averaged([first, second])["vis"]
    assert made["curve"] == [{"miou": pytest.approx(0.3), "seconds": 2.0}] and made["sd"] == pytest.approx(0.02**0.5)
    assert "sd" not in averaged([first])["vis"]


def test_a_curve_reaches_a_level_between_its_points() -> None:
    reached = runpy.run_path(str(BENCHMARKS / "claims_page.py"), run_name="claims_page")["reached"]
    curve = [{"miou": 0.2, "seconds": 10.0}, {"miou": 0.1, "seconds": 20.0}, {"miou": 0.6, "seconds": 30.0}]
    assert reached(curve, "miou", 0.1, "seconds") == pytest.approx(5.0)
    assert reached(curve, "miou", 0.35, "seconds") == pytest.approx(25.0)
    assert reached(curve, "miou", 0.7, "seconds") is None


def test_opening_an_annotation_file_is_measured(tmp_path: Path, capsys: Capture) -> None:
    bench = runpy.run_path(str(BENCHMARKS / "read_coco.py"), run_name="read_coco")
    assert bench["main"](["--quick", "--json", str(tmp_path / "out.json")]) == 0
    told = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert told["figures"]["things"] == told["annotations"] == bench["QUICK"]
    assert told["at_most"] == {"seconds": 10.0, "peak_mb": 500.0}
    assert told["figures"]["seconds"] > 0 and told["figures"]["turns"] > 0
    assert capsys.readouterr().out.count("wanted <=") == 2


def test_the_cost_of_being_equipped_is_measured_on_the_same_answer(tmp_path: Path, capsys: Capture) -> None:
    bench = runpy.run_path(str(BENCHMARKS / "equipped_cost.py"), run_name="equipped_cost")
    words = ["--host", "tiny:qwen2_5_vl", "--tokens", "3", "--rounds", "2", "--json", str(tmp_path / "out.json")]
    assert bench["main"]([*words, "--threads", str(torch.get_num_threads())]) == 0
    told = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert told["same_answer"] and told["at_most"] == {"ratio": 1.01}
    assert all(told[k] > 0 for k in ("bare", "equipped", "ratio", "cpu_ratio"))
    assert "wanted <= 1.01" in capsys.readouterr().out


def test_what_helped_trains_each_arm_once_and_writes_its_table(tmp_path: Path, capsys: Capture) -> None:
    program = runpy.run_path(str(BENCHMARKS / "what_helped.py"), run_name="what_helped")
    page, (begin, end) = tmp_path / "page.md", program["MARKS"]
    page.write_text(f"before\n{begin}\nstale\n{end}\nafter\n")
    arms = "region features with their loss; no drawings of other artists"
    words = ["--quick", "--out", str(tmp_path / "out"), "--arms", arms, "--page", str(page)]
    assert program["main"](words) == 0
    files = {f: f.stat().st_mtime_ns for f in (tmp_path / "out").glob("*.json")}
    assert len(files) == 3 and not (tmp_path / "out/work").exists()
    text = page.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "stale" not in text
    assert all(f"| {arm.strip()} |" in text for arm in arms.split(";"))
    assert program["main"]([*words, "--json", str(tmp_path / "again.json")]) == 0
    kept = {f: f.stat().st_mtime_ns for f in files if f.name != "plan.json"}
    assert kept.items() <= files.items()  # nothing was trained again
    assert json.loads((tmp_path / "again.json").read_text())["arms"].keys() == {a.strip() for a in arms.split(";")}
    capsys.readouterr()
    assert program["main"](["--quick", "--out", str(tmp_path / "out"), "--seed", "3"]) == 2
    assert "holds another experiment" in capsys.readouterr().err
    assert program["main"](["--quick", "--arms", "magic"]) == 2
    assert "there is no arm 'magic'" in capsys.readouterr().err


def test_what_was_trained_in_a_host_of_half_precision_is_judged() -> None:
    program = runpy.run_path(str(BENCHMARKS / "what_helped.py"), run_name="what_helped")
    host, processor = FAMILIES["aya_vision"]()
    model = equip(host.bfloat16(), processor, trained_host_modules=("model.multi_modal_projector",), read_window=6)
    host.model.multi_modal_projector.float()  # as training leaves it
    assert program["scored"](model, 2)["n"] >= 2

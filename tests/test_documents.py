"""Documents tell the truth: their commands exist, their Python runs, what is used is declared and explained."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiongpt import presets

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def commands(tool: str) -> list[str]:
    """Command lines of the pages that begin with `tool`, in indented or fenced blocks, without comments."""
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    found = [line.strip().split("  #")[0] for line in lines if re.match(rf"(    |\$ )?{tool} [a-z]", line)]
    return sorted(set(found))


def python_blocks() -> list[str]:
    return [b for p in PAGES for b in re.findall(r"```python\n(.*?)```", p.read_text(encoding="utf-8"), re.DOTALL)]


# -- commands ------------------------------------------------------------------------


def test_the_first_screen_offers_demo_and_test() -> None:
    first = README.splitlines()[:14]
    assert [line.split()[1] for line in first if line.startswith("    make")][:2] == ["demo", "test"]


@pytest.mark.parametrize("command", commands("make"))
def test_every_make_command_of_the_documents_has_a_target(command: str) -> None:
    target = next(word for word in shlex.split(command)[1:] if "=" not in word)
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("command", commands("perceptiongpt"))
def test_every_command_of_the_documents_is_understood(command: str) -> None:
    from perceptiongpt import commands as deeds
    from perceptiongpt.cli import parser
    from perceptiongpt.training import run_of

    told = parser().parse_args(shlex.split(command)[1:])  # an unknown verb or flag exits
    assert callable(getattr(deeds, told.run))
    if told.run == "train":
        run_of(told)  # an unknown key or a misfit raises


def test_what_ci_runs_is_what_the_readme_says() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    run = script.read_text(encoding="utf-8")
    assert re.search(r"^make test$", run, re.MULTILINE)
    assert re.search(r"^make demo$", run, re.MULTILINE)
    assert "set -eu" in run


# -- the demo ------------------------------------------------------------------------


def test_the_demo_asks_what_its_truth_answers() -> None:
    truth = json.loads((ROOT / "perceptiongpt/demo/truth.json").read_text(encoding="utf-8"))
    picture = re.search(r"^DEMO := perceptiongpt/demo/(.+)$", MAKEFILE, re.MULTILINE)
    phrase = re.search(r"^PHRASE \?= .*,,(.+)\)$", MAKEFILE, re.MULTILINE)
    assert picture is not None
    assert phrase is not None
    assert truth[picture[1]]["phrase"] == phrase[1]
    for name, row in truth.items():
        with Image.open(ROOT / "perceptiongpt/demo" / name) as image:
            x0, y0, x1, y1 = row["box"]
            assert 0 <= x0 < x1 <= image.width
            assert 0 <= y0 < y1 <= image.height
        assert row["source"]


@pytest.mark.parametrize(
    ("box", "code"), [([36, 174, 226, 287], 0), ([40, 180, 220, 287], 0), ([300, 0, 360, 60], 1), (None, 1)]
)
def test_the_demo_passes_only_when_its_box_covers_the_thing(tmp_path: Path, box: list[int] | None, code: int) -> None:
    region = {"label": "the sofa", "box": box, "mask": None, "point": None, "score": 0.9, "span": None}
    answer = {"text": "The sofa.", "image": {"width": 400, "height": 300}, "regions": [region]}
    (tmp_path / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    Image.new("RGB", (4, 4)).save(tmp_path / "out.png")
    command = [sys.executable, "tools/check_demo.py", str(tmp_path / "answer.json"), "perceptiongpt/demo/scene.jpg"]
    run = subprocess.run([*command, "the sofa", str(tmp_path / "out.png")], cwd=ROOT, capture_output=True)
    assert run.returncode == code
    missing = subprocess.run([*command, "the sofa", str(tmp_path / "no.png")], cwd=ROOT, capture_output=True)
    assert missing.returncode == 1


# -- presets and Python ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_every_preset_builds_its_plugin(name: str) -> None:
    from perceptiongpt.model.perception import Settings

    run = presets.preset(name)
    assert run.name == name
    Settings(**run.settings)  # an unknown setting raises
    assert run.stages
    assert all(weight > 0 for _, weight in run.data)


def test_the_readme_equips_trains_and_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    from perceptiongpt.model.tiny import FAMILIES

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        transformers.AutoModelForImageTextToText, "from_pretrained", lambda *_, **__: FAMILIES["llava"]()[0]
    )
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda *_, **__: FAMILIES["llava"]()[1])
    line = next(s for s in README.splitlines() if s.startswith('    {"image"'))
    Path("mine.jsonl").write_text(line.strip() + "\n", encoding="utf-8")
    for picture in ("cup.jpg", "photo.jpg"):
        Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(picture)
    run_text(next(b for b in python_blocks() if "equip(" in b).replace("steps=2000", "steps=1, batch=2"))
    assert {f.name for f in Path("runs/mine/model").iterdir()} >= {"config.json", "perception.safetensors", "adapter"}
    said = run_text(next(b for b in python_blocks() if "look(" in b).replace("load()", 'load("runs/mine/model")'))
    assert said["answer"].size_wh == (160, 120)


def run_text(text: str) -> dict[str, Any]:
    """Run a document's Python as the user would who pasted it into a file; its names."""
    Path("pasted.py").write_text(text, encoding="utf-8")
    return runpy.run_path("pasted.py")


# -- formats ------------------------------------------------------------------------


def test_the_json_of_the_readme_has_the_form_of_an_answer() -> None:
    from perceptiongpt.core.answer import Answer, Region

    shown = json.loads(re.search(r"```json\n(.*?)```", README, re.DOTALL)[1])
    region = Region(box=(1, 1, 2, 2), mask=np.zeros((5, 5), bool), point=(1, 1), score=1.0, label="a", span=(0, 1))
    real = Answer("a", (region,), (5, 5)).to_dict()
    assert shown.keys() == real.keys()
    assert shown["image"].keys() == real["image"].keys()
    assert shown["regions"][0].keys() == real["regions"][0].keys()
    assert shown["regions"][0]["mask"].keys() == real["regions"][0]["mask"].keys()
    assert shown["text"][slice(*shown["regions"][0]["span"])] == shown["regions"][0]["label"]
    assert sum(v for k, v in shown["timings"].items() if k != "total") <= shown["timings"]["total"]


def test_the_lines_that_the_page_on_data_shows_are_read(tmp_path: Path) -> None:
    from perceptiongpt.data.jsonl import read_jsonl
    from perceptiongpt.data.scenes import Scenes
    from perceptiongpt.sources import open_source

    page = (ROOT / "docs/data.md").read_text(encoding="utf-8").splitlines()
    own, asked, annotation = (
        [line.strip() for line in page if line.startswith(f"    {head}")]
        for head in ('{"image": ', '{"id": "', '{"id": 1, "image_id"')
    )
    (tmp_path / "images").mkdir()
    Image.new("RGB", (160, 120)).save(tmp_path / "images/cup.jpg")
    (tmp_path / "samples.jsonl").write_text("\n".join(own), encoding="utf-8")
    (tmp_path / "expressions.jsonl").write_text("\n".join(asked), encoding="utf-8")
    row = json.loads(annotation[0])
    picture = {"id": row["image_id"], "file_name": "images/cup.jpg", "width": 160, "height": 120}
    coco = {"images": [picture], "annotations": [row], "categories": [{"id": row["category_id"], "name": "dog"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(coco), encoding="utf-8")
    assert len(list(read_jsonl(tmp_path / "samples.jsonl"))) == len(own) == 3
    assert [e["phrase"] for e in Scenes(tmp_path).expressions()] == ["the bottle"]
    source = open_source(f"coco:{tmp_path / 'annotations.json'}", 0)
    found = [r for i in range(len(source)) for t in source[i].turns for r in t.regions]
    assert {int(r.mask.sum()) for r in found} == {68 * 66}


# -- links and dependencies ------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_inside_the_documents_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_every_page_is_named_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert not [p.name for p in (ROOT / "docs").rglob("*.md") if p.name != "README.md" and f"({p.name})" not in index]


IMPORTED_AS = {"PIL": "pillow", "yaml": "pyyaml", "faster_coco_eval": "faster-coco-eval", "resvg_py": "resvg-py"}
# Declared but never imported by name: transformers asks for jinja2, the others are commands.
UNSEEN = {"jinja2", "mypy", "ruff"}
EXTRAS = PROJECT["optional-dependencies"]
WHERE = {  # folder -> what may be imported there, beside what is always installed
    "perceptiongpt": ("eval", "fetch", "hub", "supervision", "train", "wandb"),
    "tests": ("fetch", "dev"),
    "benchmarks": ("fetch", "dev", "train"),
    "tools": ("fetch", "objects"),
}


def declared(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[ ]", r)[0] for r in requirements}


def used(folder: str) -> set[str]:
    """The packages that a folder's files import."""
    scripts = {
        f.stem for place in ("tools", "tests", "benchmarks") for f in (ROOT / place).rglob("*.py")
    }  # they import neighbours
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    scripts |= {f.name for place in ("tests", "tools/objects") for f in (ROOT / place).iterdir() if f.is_dir()}
    names -= set(sys.stdlib_module_names) | {"perceptiongpt"} | scripts
    return {IMPORTED_AS.get(name, name) for name in names}


@pytest.mark.parametrize("folder", WHERE)
def test_every_package_that_is_imported_is_declared(folder: str) -> None:
    allowed = declared(PROJECT["dependencies"] + [r for extra in WHERE[folder] for r in EXTRAS[extra]])
    assert not used(folder) - allowed


def test_every_package_that_is_declared_is_imported_and_earns_a_sentence() -> None:
    everything = set().union(*(used(folder) for folder in WHERE))
    wanted = declared(PROJECT["dependencies"] + [r for name, rs in EXTRAS.items() if name != "all" for r in rs])
    assert not wanted - everything - UNSEEN
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    assert not [name for name in wanted if f"`{name}`" not in page]


def test_everything_means_what_make_env_installs() -> None:
    assert '".[all]"' in MAKEFILE
    assert declared(EXTRAS["all"]) == {"perceptiongpt"}
    assert "torchvision" not in MAKEFILE + str(PROJECT)

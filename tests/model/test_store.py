"""Laws of the model folder: what is saved comes back, what is broken is refused in a sentence, nothing is half done."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from perceptiongpt.model import folders
from perceptiongpt.model import tensors as written
from perceptiongpt.model.adapt import choose_trainable
from perceptiongpt.model.generate import generate
from perceptiongpt.model.perception import equip
from perceptiongpt.model.store import StoreError, load, save
from perceptiongpt.model.tiny import FAMILIES

Make = Callable[..., Any]
PROJECTOR = dict.fromkeys(FAMILIES, "model.multi_modal_projector") | {"qwen2_5_vl": "model.visual.merger"}
FIELDS = ("boxes", "masks", "points", "scores")


def trained(family: str, equipped: Make, stir: Make, **settings: Any) -> Any:
    """As if trained, its projector too."""
    model = stir(equipped(family, lora_targets="all", trained_host_modules=(PROJECTOR[family],), **settings))
    with torch.no_grad():
        for p in model.host.get_submodule(PROJECTOR[family]).parameters():
            p += 0.01
    return model


@pytest.fixture
def folder(tmp_path: Path, equipped: Make, stir: Make) -> Path:
    return save(trained("llava", equipped, stir), tmp_path / "model", "tiny:llava")


def test_what_is_saved_comes_back(
    family: str, tmp_path: Path, equipped: Make, stir: Make, sample: Make, batch: Make, prompts: Make
) -> None:
    model = trained(family, equipped, stir, vis_tokens=2, read_layers="fused", read_window=6)
    again = load(save(model, tmp_path / "model", f"tiny:{family}"), *FAMILIES[family]())
    assert again.settings == model.settings
    theirs = dict(again.named_parameters())
    assert set(theirs) == {n for n, _ in model.named_parameters()}
    assert all(torch.equal(p, theirs[n]) for n, p in model.named_parameters())
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    given = batch(model, [sample(said=["box+mask"], shown=["point"])])
    with torch.no_grad():
        one, other = model(given), again(given)
    assert torch.equal(one.logits, other.logits)
    for field in FIELDS:
        assert torch.equal(getattr(one.regions, field), getattr(other.regions, field))
    prompt = prompts(model, [sample()])
    spoken = [generate(m, prompt, m.see(prompt.pixels), [0], max_new_tokens=8)[0] for m in (model, again)]
    assert spoken[0].ids == spoken[1].ids
    assert torch.equal(spoken[0].regions.boxes, spoken[1].regions.boxes)


def test_the_folder_holds_what_was_added_and_no_pickle(folder: Path) -> None:
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {
        "config.json",
        "perception.safetensors",
        "host_modules.safetensors",
        "adapter/adapter_model.safetensors",
    } <= files
    assert {Path(f).suffix for f in files} <= {".json", ".safetensors", ".jinja", ".txt", ".model"}
    stored = {n for f in folder.rglob("*.safetensors") for n in load_file(f)}
    assert not [n for n in stored if "embed_tokens" in n or "vision_tower" in n]
    assert str(folder.parent) not in "".join(p.read_text() for p in folder.rglob("*.json"))


def test_floats_may_be_stored_narrower(tmp_path: Path, equipped: Make, stir: Make) -> None:
    model = trained("llava", equipped, stir)
    made = save(model, tmp_path / "model", "tiny:llava", torch.bfloat16)
    assert {p.dtype for f in made.rglob("*.safetensors") for p in load_file(f).values()} == {torch.bfloat16}
    again = load(made, *FAMILIES["llava"]())
    for name, p in model.added().items():
        assert torch.equal(again.added()[name], p.bfloat16().float()), name


def test_a_byte_a_number_may_do(tmp_path: Path, equipped: Make, stir: Make, sample: Make, batch: Make) -> None:
    model = trained("llava", equipped, stir)
    made, whole = (save(model, tmp_path / str(d), "tiny:llava", d) for d in (torch.int8, torch.bfloat16))
    for name, less in ((OWN, 0.75), (HOST, 0.75), (ADAPTER, 1.01)):
        assert (made / name).stat().st_size < less * (whole / name).stat().st_size
    again = load(made, *FAMILIES["llava"]())
    theirs = dict(again.named_parameters())
    for name, p in model.named_parameters():
        assert (theirs[name] - p).abs().max() <= 0.005 * p.abs().max(), name
    given = batch(model, [sample(said=["box+mask"], shown=["point"])])
    with torch.no_grad():
        one, other = model(given).regions, again(given).regions
    assert torch.allclose(one.boxes, other.boxes, atol=0.02)


def test_names_in_an_adapters_config_are_in_order(folder: Path) -> None:
    names = json.loads((folder / "adapter/adapter_config.json").read_text())["target_modules"]
    assert len(names) > 1 and names == sorted(names)


def test_what_was_trained_in_float32_serves_a_narrow_host(
    family: str, tmp_path: Path, equipped: Make, stir: Make, sample: Make, prompts: Make
) -> None:
    model = trained(family, equipped, stir)
    made = save(model, tmp_path / "model", f"tiny:{family}")
    host, processor = FAMILIES[family]()
    again = load(made, host.bfloat16(), processor)
    whole, narrow = (m.host.get_submodule(PROJECTOR[family]).state_dict() for m in (model, again))
    assert all(torch.equal(narrow[n], p.bfloat16()) for n, p in whole.items())
    prompt = prompts(again, [sample()])
    (said,) = generate(again, prompt, again.see(prompt.pixels), [0], max_new_tokens=8)
    assert len(said.ids) > 0


def test_a_plugin_that_was_trained_on_can_be_saved_again(tmp_path: Path, equipped: Make, stir: Make) -> None:
    made = save(trained("llava", equipped, stir), tmp_path / "one", "tiny:llava")
    again = load(made, *FAMILIES["llava"]())
    choose_trainable(again, "all")
    with torch.no_grad():
        again.vis_row.add_(1)
    third = load(save(again, tmp_path / "two", "tiny:llava"), *FAMILIES["llava"]())
    assert torch.equal(third.vis_row, again.vis_row)


# -- what is broken --------------------------------------------------------------------------------------------------


def config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def tensors(folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    held = load_file(folder / name)
    change(held)
    save_file(held, folder / name)


def in_bytes(held: dict[str, torch.Tensor], scale: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    beside = {} if scale is None else {"vis_row.scale": scale}
    return {"vis_row": held["vis_row"].to(torch.int8), **beside}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def repacked(folder: Path, change: Callable[[bytes], bytes]) -> None:
    """The folder's own tensors packed, and spoilt."""
    written.pack(folder / OWN)
    packed = folder / (OWN + written.PACKED)
    packed.write_bytes(change(packed.read_bytes()))


def unnamed(folder: Path) -> None:
    """The folder's host modules packed, and none in its settings."""
    written.pack(folder / HOST)
    config(folder, settings={**SETTINGS, "trained_host_modules": []})


OWN, HOST, ADAPTER = "perception.safetensors", "host_modules.safetensors", "adapter/adapter_model.safetensors"
SETTINGS = {
    "decoder_width": 32,
    "decoder_depth": 1,
    "lora_targets": "all",
    "trained_host_modules": [PROJECTOR["llava"]],
}
BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "config is not JSON": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "config is not text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe{}"), "not JSON"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "lacks 'format'"),
    "config is endlessly nested": (lambda f: (f / "config.json").write_text("[" * 200_000), "not JSON"),
    "config is huge": (lambda f: (f / "config.json").write_text(" " * 1_000_001), "larger than"),
    "no settings": (lambda f: config(f, settings=None), "lacks 'settings'"),
    "another format": (lambda f: config(f, format=2), "format 2"),
    "a temperature of nothing": (lambda f: config(f, operating_point={"temperature": 0}), "temperature is 0"),
    "a temperature that is none": (lambda f: config(f, operating_point={"temperature": float("nan")}), "is nan"),
    "a temperature in words": (lambda f: config(f, operating_point={"temperature": "hot"}), "'hot'"),
    "a score beyond all": (lambda f: config(f, operating_point={"min_score": 2}), "min_score is 2"),
    "an operating point of another kind": (lambda f: config(f, operating_point=[1]), "operating point"),
    "an unknown setting": (lambda f: config(f, settings={**SETTINGS, "eyes": 2}), "eyes"),
    "an impossible setting": (lambda f: config(f, settings={**SETTINGS, "decoder_width": 10**9}), "decoder_width"),
    "a setting of a wrong kind": (lambda f: config(f, settings={**SETTINGS, "lora_rank": "8"}), "lora_rank"),
    "a host module that is not there": (
        lambda f: config(f, settings={**SETTINGS, "trained_host_modules": ["x"]}),
        "'x'",
    ),
    "other settings": (lambda f: config(f, settings={**SETTINGS, "vis_tokens": 2}), "filler"),
    "host modules nobody named": (lambda f: config(f, settings={**SETTINGS, "trained_host_modules": []}), "remove it"),
    "packed host modules nobody named": (
        unnamed,
        "remove it",
    ),
    "no own tensors": (lambda f: (f / OWN).unlink(), "missing"),
    "no host tensors": (lambda f: (f / HOST).unlink(), "missing"),
    "no adapter": (lambda f: (f / ADAPTER).unlink(), "missing"),
    "own tensors cut off": (lambda f: cut(f / OWN), "cannot be read"),
    "packed own tensors cut off": (lambda f: repacked(f, lambda b: b[:200]), "read .*not whole gzip"),
    "packed own tensors that are none": (lambda f: repacked(f, lambda b: gzip.compress(b"none")), "cannot be read"),
    "packed asking tensors nobody named": (
        lambda f: (f / "asking.safetensors.gz").write_bytes(b""),
        "remove it",
    ),
    "adapter cut off": (lambda f: cut(f / ADAPTER), "cannot be read"),
    "a tensor less": (lambda f: tensors(f, OWN, lambda t: t.pop("vis_row")), "lacks 1 tensors, first 'vis_row'"),
    "a tensor more": (
        lambda f: tensors(f, OWN, lambda t: t.update(x=torch.ones(1))),
        "1 tensors that no part takes, first 'x'",
    ),
    "another shape": (
        lambda f: tensors(f, OWN, lambda t: t.update(vis_row=torch.ones(1, 5))),
        r"vis_row has shape \(1, 5\)",
    ),
    "numbers that are none": (lambda f: tensors(f, OWN, lambda t: t["vis_row"].fill_(float("nan"))), "vis_row.*finite"),
    "no floats": (lambda f: tensors(f, OWN, lambda t: t.update(vis_row=t["vis_row"].long())), "vis_row.*int64"),
    "bytes without a scale": (lambda f: tensors(f, OWN, lambda t: t.update(in_bytes(t))), "vis_row.*int8"),
    "scales of another shape": (
        lambda f: tensors(f, OWN, lambda t: t.update(in_bytes(t, torch.ones(2)))),
        r"vis_row.scale is float32 \(2,\), wanted float32 \(1,\)",
    ),
    "scales that are no floats": (
        lambda f: tensors(f, OWN, lambda t: t.update(in_bytes(t, torch.ones(1).long()))),
        "vis_row.scale is int64",
    ),
    "scales that are none": (
        lambda f: tensors(f, OWN, lambda t: t.update(in_bytes(t, torch.tensor([torch.nan])))),
        "vis_row.*finite",
    ),
    "adapter of another shape": (
        lambda f: tensors(f, ADAPTER, lambda t: t.update({next(iter(t)): torch.ones(1, 5)})),
        r"has shape \(1, 5\)",
    ),
    "a host of another class": (lambda f: config(f, fingerprint={"class": "X"}), "class"),
}


@pytest.mark.parametrize("how", list(BROKEN))
def test_a_broken_folder_is_refused_in_one_sentence_and_the_host_left_alone(folder: Path, how: str) -> None:
    spoil, word = BROKEN[how]
    spoil(folder)
    host, processor = FAMILIES["llava"]()
    before = {n: p.clone() for n, p in host.state_dict().items()}
    modules = {n: type(m) for n, m in host.named_modules()}
    with pytest.raises(StoreError, match=word) as refused:
        load(folder, host, processor)
    assert "\n" not in str(refused.value)
    assert {n: type(m) for n, m in host.named_modules()} == modules
    after = host.state_dict()
    assert set(after) == set(before) and all(torch.equal(after[n], before[n]) for n in before)
    assert all(p.requires_grad for p in host.parameters())


@pytest.mark.parametrize("other", ["weights", "class"])
def test_another_host_is_refused_and_stays_as_it_was(folder: Path, other: str) -> None:
    host, processor = FAMILIES["llava"](seed=7) if other == "weights" else FAMILIES["aya_vision"]()
    names = [n for n, _ in host.named_modules()]
    with pytest.raises(StoreError, match="rows" if other == "weights" else "class"):
        load(folder, host, processor)
    assert [n for n, _ in host.named_modules()] == names
    assert equip(host, processor).lora is not None  # it may carry another plug-in


# -- saving ----------------------------------------------------------------------------------------------------------


def test_saving_again_replaces_the_whole(folder: Path, equipped: Make, stir: Make) -> None:
    (folder / "left over").write_text("x")
    model = stir(equipped("llava", lora_targets="none"), seed=5)
    save(model, folder, "tiny:llava")
    assert not (folder / "left over").exists() and not (folder / ADAPTER).exists() and not (folder / HOST).exists()
    assert torch.equal(load(folder, *FAMILIES["llava"]()).vis_row, model.vis_row)
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("where", ["save_file", "fsync", "rename"])
def test_a_save_that_fails_leaves_the_old_folder_whole(
    folder: Path, where: str, equipped: Make, stir: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    model = stir(equipped("llava", lora_targets="all"), seed=5)

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    rename, tried = Path.rename, []

    def fails_once(path: Path, to: Path) -> Path:
        if to == folder and not tried:
            tried.append(path)
            full()
        return rename(path, to)

    if where == "rename":
        monkeypatch.setattr(Path, "rename", fails_once)
    else:
        monkeypatch.setattr(written if where == "save_file" else folders.os, where, full)
    with pytest.raises(OSError, match="no space"):
        save(model, folder, "tiny:llava")
    assert before == {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path, equipped: Make) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "cat.png").write_bytes(b"x")
    (tmp_path / "file").write_text("x")
    for name in ("pictures", "file"):
        with pytest.raises(StoreError, match="not a perceptiongpt model folder"):
            save(equipped("llava"), tmp_path / name, "tiny:llava")
    assert (tmp_path / "pictures" / "cat.png").read_bytes() == b"x"
    (tmp_path / "empty").mkdir()
    save(equipped("llava"), tmp_path / "empty", "tiny:llava")

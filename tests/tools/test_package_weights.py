"""The laws of what puts a trained plug-in into the package: few bytes, nothing that isn't read, and it answers."""

import json
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load as bytes_load
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import package_weights
from package_weights import package

from perceptiongpt.core.gzipped import unpack
from perceptiongpt.hub import FILES
from perceptiongpt.model.adapt import ADAPTER_FILE
from perceptiongpt.model.perception import equip
from perceptiongpt.model.store import (
    ADAPTER,
    CONFIG,
    HOST,
    LATER,
    OPERATING,
    OWN,
    PROCESSOR,
    StoreError,
    read_own,
    save,
)
from perceptiongpt.model.tensors import PACKED, read, stored
from perceptiongpt.model.tiny import FAMILIES
from perceptiongpt.predict import PACKAGED, load

FROZEN = 165_144_584  # numbers of the default host and of the EfficientNet beside it: `benchmarks/segment_call.py`


@pytest.mark.parametrize("coarse", [0.0, 0.6])
def test_what_is_packaged_is_narrow_and_complete_and_answers(
    model_folder: Path, tmp_path: Path, photo: Image.Image, coarse: float
) -> None:
    target = tmp_path / "weights"
    size = package([model_folder], target, "tiny:aya_vision", coarse)
    assert size == sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
    assert (model_folder / PROCESSOR).is_dir() and not (target / PROCESSOR).exists()
    for file, share in ((OWN, coarse), (f"{ADAPTER}/{ADAPTER_FILE}", coarse / 6)):
        kept, whole = read(target / file), load_file(model_folder / file)
        assert kept.keys() == whole.keys()
        assert not (target / file).exists()  # it stands there packed
        held = bytes_load(unpack(target / (file + PACKED), 1 << 30))
        assert torch.int8 in {t.dtype for t in held.values()} or all(t.numel() < 1024 for t in whole.values())
        for name, t in whole.items():
            rows = t.T if t.dim() == 2 and t.shape[0] > t.shape[1] else t
            steps = share * rows.flatten(1).square().mean(1).sqrt().max() if t.dim() > 1 else 0.0
            assert (kept[name] - t).abs().max() <= max(0.005 * t.abs().max(), 0.5001 * steps)
    sent = [p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()]
    assert all(any(fnmatch(name, pattern) for pattern in FILES) for name in sent)  # a hub gets all of it
    assert load(target, device="cpu").segment(photo, "the letter a").text is not None


def test_host_modules_are_packed_in_the_same_steps(tmp_path: Path) -> None:
    module = "model.multi_modal_projector"
    model = equip(*FAMILIES["aya_vision"](), decoder_width=32, trained_host_modules=(module,))
    package([save(model, tmp_path / "model", "tiny:aya_vision")], tmp_path / "weights", "tiny:aya_vision", 0.6)
    assert not (tmp_path / "weights" / HOST).exists()
    kept, whole = read(tmp_path / "weights" / HOST), load_file(tmp_path / "model" / HOST)
    wide = {name for name, t in whole.items() if t.dim() == 2 and t.numel() >= 1024}
    assert kept.keys() == whole.keys() and wide
    for name in wide:
        rows = whole[name].T if whole[name].shape[0] > whole[name].shape[1] else whole[name]
        step = 0.6 * rows.square().mean(1).sqrt().max()
        off = (kept[name] - whole[name]).abs().max()
        assert 0.1 * step < off <= 0.5001 * step + 2**-8 * rows.abs().max()  # the host was opened in bfloat16
    again = load(tmp_path / "weights", device="cpu").model.host.get_parameter(next(iter(wide)))
    assert torch.allclose(again.float(), kept[next(iter(wide))], atol=1e-2)


def test_of_several_moments_the_mean_is_packaged(model_folder: Path, tmp_path: Path) -> None:
    later = shutil.copytree(model_folder, tmp_path / "later")
    whole = load_file(model_folder / OWN)
    save_file({name: t + 0.5 * t.std() if t.numel() > 1 else t for name, t in whole.items()}, later / OWN)
    moved = load_file(later / OWN)
    package([model_folder, later], tmp_path / "weights", "tiny:aya_vision", coarse=0.0)
    kept = read(tmp_path / "weights" / OWN)
    for name, t in whole.items():
        middle = (t + moved[name]) / 2
        assert (kept[name] - middle).abs().max() <= 0.005 * middle.abs().max()


@pytest.mark.parametrize("spoil", ["tensors", "adapter", "no adapter", "settings"])
def test_what_is_no_other_moment_of_the_same_is_refused(model_folder: Path, tmp_path: Path, spoil: str) -> None:
    later = shutil.copytree(model_folder, tmp_path / "later")
    file = later / (OWN if spoil == "tensors" else f"{ADAPTER}/{ADAPTER_FILE}")
    held = load_file(file)
    name = next(iter(held))
    if spoil == "no adapter":
        file.unlink()
    elif spoil == "settings":
        config = json.loads((later / CONFIG).read_text())
        config["settings"]["lora_alpha"] = 99
        (later / CONFIG).write_text(json.dumps(config))
    else:
        save_file({**held, name: held[name] + 1} if spoil == "adapter" else {**held, "more": held[name].clone()}, file)
    with pytest.raises(ValueError, match="no other moment"):
        package([model_folder, later], tmp_path / "weights", "tiny:aya_vision")
    assert not (tmp_path / "weights").exists()


@pytest.fixture
def shipped(model_folder: Path, tmp_path: Path) -> Path:
    """A packaged model with an operating point."""
    package([model_folder], folder := tmp_path / "shipped", "tiny:aya_vision")
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, OPERATING: {"temperature": 2.0}}))
    return folder


def taught(shipped: Path, folder: Path, part: str) -> Path:
    """A run's model that began with what is packaged, in which `part` learnt."""
    model = load(shipped, device="cpu").model
    with torch.no_grad():
        for name, p in model.added().items():
            if name.startswith(part):
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
    return save(model, folder, "tiny:aya_vision")


@pytest.mark.parametrize(("part", "stays"), [("encoder.", True), ("decoder.box", False)])
def test_what_learnt_later_stands_beside_what_stays_as_it_was(
    shipped: Path, tmp_path: Path, part: str, stays: bool
) -> None:
    new = taught(shipped, tmp_path / "new", part)
    size = package([new], tmp_path / "weights", "tiny:aya_vision", onto=shipped)
    assert size < 1.5 * sum(p.stat().st_size for p in shipped.rglob("*") if p.is_file())
    for file in (OWN, f"{ADAPTER}/{ADAPTER_FILE}"):
        assert (tmp_path / "weights" / (file + PACKED)).read_bytes() == (shipped / (file + PACKED)).read_bytes()
    later, now, before = read(tmp_path / "weights" / LATER), read_own(tmp_path / "weights"), read_own(shipped)
    assert later and all(name.startswith(part) for name in later)
    assert all(torch.equal(now[name], later.get(name, t)) for name, t in before.items())
    point = json.loads((tmp_path / "weights" / CONFIG).read_text()).get(OPERATING, {})
    assert bool(point) == stays  # scores are the decoders'
    package([new], tmp_path / "kept", "tiny:aya_vision", onto=shipped, keep_point=True)
    assert json.loads((tmp_path / "kept" / CONFIG).read_text())[OPERATING] == {"temperature": 2.0}
    held = load(tmp_path / "weights", device="cpu").model.added()
    assert all(torch.allclose(held[name].float(), t.float(), atol=1e-6) for name, t in now.items())
    again = taught(tmp_path / "weights", tmp_path / "again", part)  # twice later: two files all the same
    package([again], tmp_path / "weights", "tiny:aya_vision", onto=tmp_path / "weights")
    assert read(tmp_path / "weights" / OWN).keys() == read(shipped / OWN).keys()
    assert not all(torch.equal(t, later[n]) for n, t in read(tmp_path / "weights" / LATER).items())


def test_host_modules_that_were_rounded_as_hosts_are_have_not_changed(tmp_path: Path) -> None:
    module = "model.multi_modal_projector"
    model = equip(*FAMILIES["aya_vision"](), decoder_width=32, trained_host_modules=(module,))
    package([save(model, tmp_path / "model", "tiny:aya_vision")], shipped := tmp_path / "shipped", "tiny:aya_vision")
    held = load(shipped, device="cpu", dtype="bfloat16").model
    held.host.get_submodule(module).float()  # as training holds them
    new = save(held, tmp_path / "new", "tiny:aya_vision")
    package([new], tmp_path / "weights", "tiny:aya_vision", onto=shipped)
    assert (tmp_path / "weights" / (HOST + PACKED)).read_bytes() == (shipped / (HOST + PACKED)).read_bytes()
    whole = load_file(new / HOST)
    save_file({name: t * 1.1 for name, t in whole.items()}, new / HOST)
    with pytest.raises(ValueError, match="has another host_modules"):
        package([new], tmp_path / "other", "tiny:aya_vision", onto=shipped)


def test_where_most_learnt_the_plug_ins_own_stands_anew_and_the_rest_stays(shipped: Path, tmp_path: Path) -> None:
    package([taught(shipped, tmp_path / "some", "encoder.")], tmp_path / "later", "tiny:aya_vision", onto=shipped)
    new = taught(tmp_path / "later", tmp_path / "new", "")
    package([new], tmp_path / "weights", "tiny:aya_vision", onto=tmp_path / "later")
    assert (tmp_path / "later" / (LATER + PACKED)).exists() and not (tmp_path / "weights" / (LATER + PACKED)).exists()
    adapter = f"{ADAPTER}/{ADAPTER_FILE}{PACKED}"
    assert (tmp_path / "weights" / adapter).read_bytes() == (shipped / adapter).read_bytes()
    now, wanted = read_own(tmp_path / "weights"), read_own(new)
    assert all((now[name] - t).norm() < 0.5 * t.norm() + 1e-6 for name, t in wanted.items())
    assert OPERATING not in json.loads((tmp_path / "weights" / CONFIG).read_text())


def test_where_nothing_learnt_nothing_stands_beside(shipped: Path, tmp_path: Path) -> None:
    package([taught(shipped, tmp_path / "new", "nothing")], tmp_path / "weights", "tiny:aya_vision", onto=shipped)
    there, before = ({p.name: p.read_bytes() for p in f.rglob("*.gz")} for f in (tmp_path / "weights", shipped))
    assert there == before


def test_what_did_not_begin_with_it_is_not_put_onto_it(shipped: Path, tmp_path: Path) -> None:
    new = taught(shipped, tmp_path / "new", "encoder.")
    adapter = new / ADAPTER / ADAPTER_FILE
    save_file({name: t + 1 for name, t in load_file(adapter).items()}, adapter)
    with pytest.raises(ValueError, match="package it whole, without --onto"):
        package([new], tmp_path / "weights", "tiny:aya_vision", onto=shipped)
    assert not (tmp_path / "weights").exists()
    assert package_weights.main([str(new), str(tmp_path / "weights"), "--onto", str(tmp_path / "nowhere")]) == 2
    with pytest.raises(ValueError, match="keep_point came without onto"):
        package([new], tmp_path / "weights", "tiny:aya_vision", keep_point=True)
    assert not (tmp_path / "weights").exists()


def test_what_learnt_later_is_checked_as_the_rest_is(shipped: Path) -> None:
    save_file({"decoder.more": torch.zeros(3)}, shipped / LATER)
    with pytest.raises(StoreError, match="has 1 tensors that no part takes"):
        load(shipped, device="cpu")
    (shipped / LATER).write_bytes(b"no tensors")
    with pytest.raises(StoreError, match=f"{LATER} cannot be read"):
        load(shipped, device="cpu")


def test_a_step_that_is_no_share_and_what_is_no_model_are_told_in_a_sentence(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ([str(model_folder), "--coarse", "nan"], [str(model_folder), "--coarse", "-1"], [str(tmp_path)]):
        assert package_weights.main([words[0], str(tmp_path / "weights"), *words[1:]]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "weights").exists()


def test_what_is_too_large_to_ship_is_refused(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_weights, "LIMIT_MEGABYTES", 0)
    with pytest.raises(ValueError, match="more than 0"):
        package([model_folder], tmp_path / "weights", "tiny:aya_vision")


def test_what_was_learnt_before_is_byte_for_byte_what_it_was_when_more_is_learnt(shipped: Path, tmp_path: Path) -> None:
    """In place, in other steps: the first part to learn is not rounded a second time."""
    weights = tmp_path / "weights"
    package([taught(shipped, tmp_path / "new", "encoder.")], weights, "tiny:aya_vision", coarse=0.9, onto=shipped)
    before = stored(weights / LATER)
    package(
        [taught(weights, tmp_path / "further", "decoder.box")], weights, "tiny:aya_vision", coarse=0.3, onto=weights
    )
    after = stored(weights / LATER)
    assert before and before.keys() < after.keys()
    assert all(torch.equal(t, after[name]) for name, t in before.items())
    assert all(name.startswith("decoder.box") for name in after.keys() - before.keys())


def test_what_ships_is_under_four_per_cent_of_what_it_answers_with() -> None:
    """The paper's claim of what trains (C1), the host's projector aside."""
    own, adapter = read_own(PACKAGED), read(PACKAGED / ADAPTER / ADAPTER_FILE)
    numbers = sum(t.numel() for part in (own, adapter) for t in part.values())
    assert 0 < numbers <= 0.04 * (FROZEN + numbers)

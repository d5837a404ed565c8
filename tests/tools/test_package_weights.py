"""The laws of what puts a trained plug-in into the package: few bytes, nothing that isn't read, and it answers."""

import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import package_weights
from package_weights import package

from perceptiongpt.model.adapt import ADAPTER_FILE
from perceptiongpt.model.store import ADAPTER, OWN, PROCESSOR
from perceptiongpt.model.tensors import read
from perceptiongpt.predict import load


def test_what_is_packaged_is_narrow_and_complete_and_answers(
    model_folder: Path, tmp_path: Path, photo: Image.Image
) -> None:
    target = tmp_path / "weights"
    size = package([model_folder], target, "tiny:aya_vision")
    assert size == sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
    assert (model_folder / PROCESSOR).is_dir() and not (target / PROCESSOR).exists()
    kept, whole = read(target / OWN), load_file(model_folder / OWN)
    assert kept.keys() == whole.keys()
    rows = {
        name: t.flatten(1).square().mean(1).sqrt().max() if t.dim() > 1 else t.abs().max() for name, t in whole.items()
    }
    assert all((kept[name] - whole[name]).abs().max() <= 0.11 * rows[name] for name in whole)
    assert not (target / OWN).exists()  # it stands there packed
    assert load(target, device="cpu").segment(photo, "the letter a").text is not None


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


@pytest.mark.parametrize("spoil", ["tensors", "adapter"])
def test_what_is_no_other_moment_of_the_same_is_refused(model_folder: Path, tmp_path: Path, spoil: str) -> None:
    later = shutil.copytree(model_folder, tmp_path / "later")
    file = later / (OWN if spoil == "tensors" else f"{ADAPTER}/{ADAPTER_FILE}")
    held = load_file(file)
    name = next(iter(held))
    save_file({**held, name: held[name] + 1} if spoil == "adapter" else {**held, "more": held[name].clone()}, file)
    with pytest.raises(ValueError, match="no other moment"):
        package([model_folder, later], tmp_path / "weights", "tiny:aya_vision")
    assert not (tmp_path / "weights").exists()


def test_what_is_too_large_to_ship_is_refused(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_weights, "LIMIT_MEGABYTES", 0)
    with pytest.raises(ValueError, match="more than 0"):
        package([model_folder], tmp_path / "weights", "tiny:aya_vision")

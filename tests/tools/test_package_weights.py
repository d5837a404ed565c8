"""The laws of what puts a trained plug-in into the package: few bytes, nothing that isn't read, and it answers."""

import sys
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import package_weights
from package_weights import package

from perceptiongpt.model.store import OWN, PROCESSOR
from perceptiongpt.model.tensors import read
from perceptiongpt.predict import load


def test_what_is_packaged_is_narrow_and_complete_and_answers(
    model_folder: Path, tmp_path: Path, photo: Image.Image
) -> None:
    target = tmp_path / "weights"
    size = package(model_folder, target, "tiny:aya_vision")
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


def test_what_is_too_large_to_ship_is_refused(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_weights, "LIMIT_MEGABYTES", 0)
    with pytest.raises(ValueError, match="more than 0"):
        package(model_folder, tmp_path / "weights", "tiny:aya_vision")

"""Laws of tensors in files: what is written comes back, exactly as floats, nearly in a byte a number."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perceptiongpt.model import tensors
from perceptiongpt.model.tensors import LEAST, read, write

SHAPES = st.sampled_from([(), (1,), (7,), (3, 5), (4, 2, 3), (1, 4, 2, 2)])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SHAPES, st.integers(0, 99), st.sampled_from([1e-12, 1e-3, 1.0, 1e6]), st.booleans())
def test_bytes_are_off_by_at_most_half_a_step_of_their_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], seed: int, size: float, empty: bool
) -> None:
    monkeypatch.setattr(tensors, "LEAST", 1)
    whole = size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if empty and whole.dim() > 1:
        whole[0] = 0
    write({"a": whole, "b.c": whole}, tmp_path / "t", torch.int8)
    kept = read(tmp_path / "t")
    assert kept.keys() == {"a", "b.c"} and torch.equal(kept["a"], kept["b.c"]) and kept["a"].shape == whole.shape
    if whole.dim() < 2:
        assert torch.equal(kept["a"], whole.bfloat16())
        return
    assert kept["a"].dtype == torch.float32
    step = whole.flatten(1).abs().amax(1) / 127
    assert ((kept["a"] - whole).flatten(1).abs() <= (0.5001 * step).unsqueeze(1)).all()


def test_what_is_small_stays_in_floats_and_the_rest_halves(tmp_path: Path) -> None:
    whole = {"large": torch.randn(64, 64), "small": torch.randn(2, LEAST // 2 - 1)}
    for dtype in (torch.bfloat16, torch.int8):
        write(whole, tmp_path / str(dtype), dtype)
    assert torch.equal(read(tmp_path / "torch.int8")["small"], whole["small"].bfloat16())
    one, other = ((tmp_path / str(dtype)).stat().st_size for dtype in (torch.int8, torch.bfloat16))
    assert one < 0.75 * other


def test_without_a_type_tensors_stay_as_they_are(tmp_path: Path) -> None:
    whole = {"a": torch.randn(40, 40), "a.scale": torch.ones(40), "n": torch.arange(5, dtype=torch.int8)}
    write(whole, tmp_path / "t")
    kept = read(tmp_path / "t")
    assert kept.keys() == whole.keys()
    assert all(torch.equal(kept[n], t) and kept[n].dtype == t.dtype for n, t in whole.items())

"""Laws of tensors in files: what is written comes back, exactly as floats, nearly in a byte a number."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perceptiongpt.model import tensors
from perceptiongpt.model.tensors import LEAST, PACKED, SCALE, exists, pack, read, stored, write

SHAPES = st.sampled_from([(), (1,), (7,), (3, 5), (5, 3), (4, 2, 3), (1, 4, 2, 2)])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SHAPES, st.integers(0, 99), st.sampled_from([1e-12, 1e-3, 1.0, 1e6]), st.booleans())
def test_bytes_are_off_by_at_most_half_a_step_of_their_row_or_column(
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
    tall = whole.dim() == 2 and whole.shape[0] > whole.shape[1]
    rows, off = (whole.T, (kept["a"] - whole).T) if tall else (whole, kept["a"] - whole)
    step = rows.flatten(1).abs().amax(1) / 127
    assert (off.flatten(1).abs() <= (0.5001 * step).unsqueeze(1)).all()


@given(st.integers(0, 99), st.sampled_from([0.05, 0.15, 0.4]))
def test_coarse_steps_are_shares_of_the_root_mean_square_and_pack_smaller(seed: int, coarse: float) -> None:
    whole = torch.randn(8, 512, generator=torch.Generator().manual_seed(seed))
    whole[3, 7] = 90.0  # a 127th of this is more than a coarse step of the row without it
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for share in (0.0, coarse):
            write({"a": whole}, Path(folder) / "t", torch.int8, share)
            sizes.append(len(zlib.compress((Path(folder) / "t").read_bytes())))
        off = (read(Path(folder) / "t")["a"] - whole).abs().amax(1)
    step = torch.maximum(whole.abs().amax(1) / 127, coarse * whole.square().mean(1).sqrt())
    assert (off <= 0.5001 * step).all()
    assert sizes[1] < sizes[0]


def test_a_packed_file_reads_as_it_did(tmp_path: Path) -> None:
    file = tmp_path / "t"
    write({"a": torch.randn(40, 40), "b": torch.randn(3)}, file, torch.int8)
    before = read(file)
    pack(file)
    assert not file.exists() and exists(file)
    kept = read(file)
    assert kept.keys() == before.keys() and all(torch.equal(kept[n], t) for n, t in before.items())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda b: b[:-30], "not whole"),
        (lambda b: b[:20] + b"\xff" * 60 + b[80:], "not whole"),
        (lambda b: gzip.compress(bytes(1 << 22)), "more than 65536"),
    ],
)
def test_a_packed_file_that_does_not_unpack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[bytes], bytes], words: str
) -> None:
    monkeypatch.setattr(tensors, "UNPACKED_LIMIT", 1 << 16)
    write({"a": torch.randn(40, 40)}, tmp_path / "t")
    pack(tmp_path / "t")
    file = tmp_path / ("t" + PACKED)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "t")


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


def test_what_is_stored_already_is_stored_again_as_it_stands(tmp_path: Path) -> None:
    """Read back and written anew it would move by a step; kept as it stands it does not, and what is new is new."""
    torch.manual_seed(0)
    first = {"wide": torch.randn(40, 60), "tall": torch.randn(90, 30), "small": torch.randn(7)}
    write(first, tmp_path / "one", torch.int8, 0.6)
    held = read(tmp_path / "one")
    now = {**held, "tall": held["tall"] + 0.1, "other": torch.randn(50, 50)}
    write(now, tmp_path / "two", torch.int8, 0.4, stored=stored(tmp_path / "one"))
    again, raw, before = read(tmp_path / "two"), stored(tmp_path / "two"), stored(tmp_path / "one")
    assert again.keys() == now.keys()
    for name in ("wide", "wide" + SCALE, "small"):
        assert raw[name].dtype == before[name].dtype and torch.equal(raw[name], before[name])
    assert torch.equal(again["wide"], held["wide"]) and not torch.equal(again["tall"], held["tall"])
    write(now, tmp_path / "moved", torch.int8, 0.4)
    assert not torch.equal(read(tmp_path / "moved")["wide"], held["wide"])
    pack(tmp_path / "two")
    assert stored(tmp_path / "two").keys() == raw.keys()

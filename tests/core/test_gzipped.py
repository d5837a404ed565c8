"""Laws of gzipped files: what goes in comes out, the same bytes make the same file, and a bomb stays small."""

from __future__ import annotations

import gzip
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiongpt.core.gzipped import pack, unpack


@given(st.binary(max_size=3000), st.booleans())
def test_what_goes_in_comes_out_and_writes_the_same_file_twice(content: bytes, numbers: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "a", Path(folder) / "b"
        pack(content, one, numbers)
        pack(content, other, numbers)
        assert one.read_bytes() == other.read_bytes()
        assert unpack(one, len(content)) == content
        if content:
            with pytest.raises(ValueError, match="unpacks to more than"):
                unpack(one, len(content) - 1)


def test_numbers_take_less_room_when_they_are_packed_as_numbers(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).normal(0, 5, 200_000).round().clip(-127, 127).astype(np.int8)
    pack(steps.tobytes(), tmp_path / "a")
    pack(steps.tobytes(), tmp_path / "b", numbers=True)
    sizes = [(tmp_path / name).stat().st_size for name in "ab"]
    assert sizes[1] < 0.95 * sizes[0]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than 1024 bytes"):
            unpack(bomb, 1024)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("content", [b"no gzip at all", gzip.compress(b"x" * 99)[:-9]])
def test_what_is_cut_or_no_gzip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.gz").write_bytes(content)
    with pytest.raises(ValueError, match="is not whole gzip"):
        unpack(tmp_path / "f.gz", 1000)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "nothing.gz", 9)

"""Old files of PyTorch's are read as torch writes them, and nothing that they name is run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perceptiongpt.model.torch_file import MAGIC, PROTOCOL, read_torch_file


def old(path: Path, table: Any) -> Path:
    torch.save(table, path, _use_new_zipfile_serialization=False)
    return path


def test_tensors_come_back_as_torch_wrote_them(tmp_path: Path) -> None:
    whole = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    table = OrderedDict(
        a=whole,
        turned=whole.T,
        piece=whole[2:4, 1:],
        last=torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        count=torch.tensor(7),
        half=whole.half(),
        nothing=torch.zeros(0, 3),
    )
    back = read_torch_file(old(tmp_path / "x.pth", table))
    assert list(back) == list(table)
    assert all(
        torch.equal(back[n], w) and back[n].dtype == w.dtype and back[n].is_contiguous() for n, w in table.items()
    )


class Deed:
    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)

    def __init__(self, folder: str) -> None:
        self.folder = folder


@pytest.mark.parametrize("where", range(5))
def test_a_deed_is_refused_and_not_done(where: int, tmp_path: Path) -> None:
    done = tmp_path / "done"
    parts: list[Any] = [MAGIC, PROTOCOL, {}, OrderedDict(), []]
    parts[where] = Deed(str(done))
    path = tmp_path / "x.pth"
    path.write_bytes(b"".join(pickle.dumps(p, protocol=2) for p in parts))
    with pytest.raises(
        ValueError, match=r"no plain table of weights \(it names (posix|nt)\.mkdir\); it may be hostile"
    ):
        read_torch_file(path)
    assert not done.exists()


def test_other_objects_formats_and_sizes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="it names torch"):
        read_torch_file(old(tmp_path / "a", torch.nn.Linear(2, 2)))
    torch.save({"a": torch.ones(2)}, tmp_path / "new")
    with pytest.raises(ValueError, match="no plain table of weights"):
        read_torch_file(tmp_path / "new")
    monkeypatch.setattr("perceptiongpt.model.torch_file.LIMIT", 10)
    with pytest.raises(ValueError, match="at most 10 are read"):
        read_torch_file(old(tmp_path / "b", {"a": torch.ones(2)}))


@pytest.mark.parametrize(
    "first, shape, steps",
    [
        (0, (5,), (1,)),
        (3, (2,), (1,)),
        (-1, (2,), (1,)),
        (0, (1 << 40,), (0,)),
        (0, (2, 2), (-1, 1)),
        (0, (2,), (1, 1)),
    ],
)
def test_a_tensor_that_lies_outside_of_its_numbers_is_refused(
    first: int, shape: tuple[int, ...], steps: tuple[int, ...], tmp_path: Path
) -> None:
    raw = old(tmp_path / "x.pth", {"a": torch.ones(4)}).read_bytes()
    kept = io.BytesIO(raw)
    for _ in range(3):  # the first three pickles stand as torch wrote them
        pickle.load(kept)
    head = raw[: kept.tell()]

    class Writer(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", 4, None) if obj is marker else None

    class Lying:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (marker, first, shape, steps, False, OrderedDict())

    marker, out = object(), io.BytesIO()
    Writer(out, protocol=2).dump({"a": Lying()})
    numbers = struct.pack("<q4f", 4, 1, 1, 1, 1)
    (tmp_path / "y.pth").write_bytes(head + out.getvalue() + pickle.dumps(["0"], protocol=2) + numbers)
    with pytest.raises(ValueError, match="no plain table of weights"):
        read_torch_file(tmp_path / "y.pth")


def test_a_pickle_that_claims_memory_gets_none(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(b"\x80\x02Nr\x00\x00\x00\x10.")  # a memo of 2**28 places
    tracemalloc.start()
    with pytest.raises(ValueError, match="no plain table of weights"):
        read_torch_file(tmp_path / "x.pth")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@given(st.integers(0, 9999), st.none() | st.integers(0, 255))
def test_a_spoilt_file_is_refused_in_a_sentence_or_holds_as_much_as_before(
    tmp_path_factory: pytest.TempPathFactory, where: int, byte: int | None
) -> None:
    path = tmp_path_factory.mktemp("spoilt") / "x.pth"
    raw = bytearray(old(path, {"a": torch.ones(4), "b": torch.zeros(2, 2)}).read_bytes())
    where %= len(raw)  # which differs: torch writes where its numbers lay in memory
    if byte is None:
        raw = raw[:where]
    else:
        raw[where] = byte
    path.write_bytes(raw)
    try:
        assert sum(w.numel() for w in read_torch_file(path).values()) <= 8
    except ValueError as error:
        assert "no plain table of weights" in str(error)

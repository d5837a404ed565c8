"""Pickles of plain values are read; whatever else a pickle asks for does not happen."""

from __future__ import annotations

import os
import pickle
import random
import struct
from collections import OrderedDict
from datetime import date
from pathlib import Path

import pytest

from perceptiongpt.data.files import read_pickle

PLAIN = [
    {"ref_id": 1, "sent": "the man", "box": [1.5, -2], "ids": (1, 2), "on": True, "none": None, "big": 2**70},
    {1, 2},
]


class Evil:
    """Runs a command when it is loaded."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back_as_they_were(tmp_path: Path, protocol: int) -> None:
    value = PLAIN if protocol >= 4 else PLAIN[:1]  # older protocols build sets by a call
    (tmp_path / "refs.p").write_bytes(pickle.dumps(value, protocol))
    assert read_pickle(tmp_path / "refs.p") == value


def test_text_of_python_2_is_text(tmp_path: Path) -> None:
    (tmp_path / "refs.p").write_bytes(b"(dp0\nS'sent'\np1\nS'the caf\\xe9'\np2\ns.")
    assert read_pickle(tmp_path / "refs.p") == {"sent": "the caf\u00e9"}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_command_in_a_pickle_is_refused_and_never_run(tmp_path: Path, protocol: int) -> None:
    flag = tmp_path / "ran"
    (tmp_path / "refs.p").write_bytes(pickle.dumps([{"sent": Evil(f"touch {flag}")}], protocol))
    with pytest.raises(ValueError, match="no pickle of plain values"):
        read_pickle(tmp_path / "refs.p")
    assert not flag.exists()


@pytest.mark.parametrize(
    "raw",
    [
        pickle.dumps(OrderedDict(a=1)),
        pickle.dumps(date(2020, 1, 1)),
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"Pid\n.",
        b"\x80\x04\x82\x01.",  # an extension
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",  # a bytearray of a tebibyte
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",  # bytes of a tebibyte
        b"]r\xff\xff\xff\x7fa.",  # a memo of two billion places
        b"",
        b"]",
        b"\x80\x04K",
        b"h\x05.",
    ],
)
def test_what_is_not_plain_is_refused_in_one_sentence(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "refs.p").write_bytes(raw)
    with pytest.raises(ValueError, match="no pickle of plain values") as refused:
        read_pickle(tmp_path / "refs.p")
    assert "\n" not in str(refused.value)


def test_damaged_pickles_are_refused_and_never_crash(tmp_path: Path) -> None:
    whole = pickle.dumps(PLAIN)
    draw = random.Random(0)
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        (tmp_path / "refs.p").write_bytes(bytes(broken[: draw.randint(1, len(broken))]))
        try:
            read_pickle(tmp_path / "refs.p")
        except ValueError as error:
            assert "refs.p" in str(error)

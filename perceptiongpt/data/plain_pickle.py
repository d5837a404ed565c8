"""A pickle of plain values, read without the means to do anything else: lists, tuples, dicts, sets, text, numbers.

Old data sets come as pickles. Pickle is a small program; here every instruction that names, calls or builds an object,
or claims memory before there are bytes for it, does not exist. Knows nothing of any data set.
"""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import Any

from perceptiongpt.data.files import read_bytes

LIMIT = 512 << 20  # bytes
PLAIN = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "MEMOIZE"),
    *("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET"),
)


_DEEDS = {getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in PLAIN}


class _Plain(pickle._Unpickler):  # the one in Python: its instructions can be taken away, its memo is no array
    dispatch = _DEEDS

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def read_plain_pickle(path: Path) -> Any:
    """The value of a pickle that holds plain values only; text of Python 2 is read as UTF-8 or, failing that, Latin-1.

    Raises ValueError for everything else: nothing that the file names is imported or called.
    """
    raw = read_bytes(path, LIMIT)
    for encoding in ("utf-8", "latin-1"):
        try:
            return _Plain(io.BytesIO(raw), encoding=encoding).load()
        except UnicodeDecodeError:
            continue
        except KeyError as error:
            code = error.args[0] if error.args else ""
            said = f"instruction {chr(code)!r}" if isinstance(code, int) and 0 <= code < 256 else "an unknown reference"
            raise ValueError(f"{path} is no pickle of plain values ({said}); it may be hostile, get it anew") from error
        except (
            *(pickle.UnpicklingError, EOFError, IndexError, ValueError, TypeError, AttributeError, OverflowError),
            *(MemoryError, struct.error),
        ) as error:
            raise ValueError(
                f"{path} is no pickle of plain values ({error}); it may be hostile, get it anew"
            ) from error
    raise ValueError(f"{path} is no pickle of plain values; get it anew")

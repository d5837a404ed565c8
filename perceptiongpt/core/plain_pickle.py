"""Pickles of plain values, read without the means to do anything else: lists, tuples, dicts, sets, text, numbers.

Old data sets and old weights come as pickles. Pickle is a small program; here every instruction that names, calls or
builds an object, or claims memory before there are bytes for it, does not exist, unless the caller says what stands for
which name. Knows nothing of any file.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

PLAIN = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "MEMOIZE"),
    *("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET"),
)
NAMING = ("GLOBAL", "REDUCE", "BUILD", "BINPERSID")  # where the caller says what stands for names


def _deeds(names: tuple[str, ...]) -> dict[int, Callable[..., None]]:
    return {getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in names}


class _Plain(pickle._Unpickler):  # the one in Python: its instructions can be taken away, its memo is no array
    dispatch = _deeds(PLAIN)

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


class _Named(_Plain):
    dispatch = _deeds(PLAIN + NAMING)

    def __init__(self, file: BinaryIO, names: Mapping[tuple[str, str], Any], outside: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self.names, self.outside = names, outside

    def find_class(self, module: str, name: str) -> Any:
        return self.names[module, name] if (module, name) in self.names else super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        return self.outside(pid)


def plain(raw: bytes) -> Any:
    """The value of a pickle that holds plain values only; text of Python 2 is read as UTF-8 or, failing that, Latin-1.

    Raises ValueError with the reason for everything else: nothing that is named is imported or called.
    """
    for encoding in ("utf-8", "latin-1"):
        try:
            return _loaded(_Plain(io.BytesIO(raw), encoding=encoding))
        except UnicodeDecodeError:
            continue
    raise ValueError("its text is of no known kind")


def named(file: BinaryIO, names: Mapping[tuple[str, str], Any], outside: Callable[[Any], Any]) -> Any:
    """The next pickle of `file`, which may name what `names` has, by module and name, and call what stands for it.

    What it says of things outside is given to `outside`. Raises ValueError with the reason for everything else.
    """
    return _loaded(_Named(file, names, outside))


def _loaded(reader: _Plain) -> Any:
    try:
        return reader.load()
    except UnicodeDecodeError:
        raise
    except KeyError as error:
        code = error.args[0] if error.args else ""
        said = f"instruction {chr(code)!r}" if isinstance(code, int) and 0 <= code < 256 else "an unknown reference"
        raise ValueError(said) from error
    except (
        *(pickle.UnpicklingError, EOFError, IndexError, ValueError, TypeError, AttributeError, OverflowError),
        *(MemoryError, RecursionError, struct.error),
    ) as error:
        raise ValueError(str(error)) from error

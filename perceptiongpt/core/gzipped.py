"""Files kept gzipped: the same bytes make the same file, and what comes from outside unpacks to so much and no more.

Knows nothing of what the bytes are.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path


def pack(content: bytes, path: Path, numbers: bool = False) -> None:
    """Write bytes gzipped (RFC 1952), without the time; `numbers`: as suits those that seldom repeat, a tenth less."""
    if not numbers:
        path.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
        return
    made = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_FILTERED)
    path.write_bytes(made.compress(content) + made.flush())


def unpack(path: Path, limit: int) -> bytes:
    """What a gzipped file holds, at most `limit` bytes: no more are ever unpacked, but one to tell.

    Raises OSError for a file that can't be read, ValueError for one that is cut, broken or holds more.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} is not whole gzip ({error})") from error
    if len(content) > limit:
        raise ValueError(f"{path.name} unpacks to more than {limit} bytes; at most these are read")
    return content

"""A file at an http address, read forwards and once, as hostile: only http, a time limit, limits before allocation.

Knows nothing of what the file holds.
"""

from __future__ import annotations

import http.client
import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 30.0  # without a byte
READ_LIMIT = 64 << 20  # bytes at a time
FILE_LIMIT = 64 << 30  # bytes in all
CHUNK = 1 << 20


class RemoteError(OSError):
    """An address that cannot be read, by name, with the reason and what to do."""


@contextmanager
def opened(url: str) -> Iterator[Forwards]:
    """The file at an http or https address. Raises RemoteError for what cannot be reached or breaks off."""
    if not url.startswith(("http://", "https://")):
        raise RemoteError(f"{url} is no address of http or https; give one, or a path")
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            yield Forwards(answer, url)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise RemoteError(f"{url} cannot be read ({reason}); check the address and the network") from error


class Forwards(io.RawIOBase):
    """What tarfile needs of a file: read, tell, and a seek that goes forwards. Raises RemoteError over the limits."""

    def __init__(self, source: http.client.HTTPResponse, name: str) -> None:
        self.source, self.name, self.at = source, name, 0

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= READ_LIMIT or self.at + size > FILE_LIMIT:
            raise RemoteError(
                f"{self.name} has over {FILE_LIMIT} bytes, or {READ_LIMIT} in one piece; split it into smaller shards"
            )
        parts, missing = [], size
        while missing and (part := self.source.read(missing)):
            parts.append(part)
            missing -= len(part)
        self.at += size - missing
        return b"".join(parts)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self.at:
            raise io.UnsupportedOperation("only forwards")
        while self.at < offset and self.read(min(CHUNK, offset - self.at)):
            pass
        return self.at

"""What a process of the C library's own allocator does with memory that was given back: keep it.

A network asks for the same blocks of megabytes at every layer and gives them back. glibc hands such blocks to the
kernel, which clears them page by page when they are asked for again. With any other library nothing is changed.
"""

from __future__ import annotations

import ctypes
import os

TOLD = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT = 1 << 30  # bytes free at the heap's end, beyond which it is cut
SMALL = 1 << 29  # bytes: larger blocks still come from the kernel and go back there


def keep_pages() -> bool:
    """Tell glibc to keep what is freed for this process's next blocks; whether it was told.

    Little more is taken at the peak, less given back after it. An environment that says otherwise (TOLD) is left alone.
    """
    if any(name in os.environ for name in TOLD):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, SMALL) and mallopt(M_TRIM_THRESHOLD, KEPT))

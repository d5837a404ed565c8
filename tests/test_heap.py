"""What a command frees stays with its process, so that the next layer need not ask the kernel again."""

import os
import platform
import subprocess
import sys

from perceptiongpt.heap import TOLD, keep_pages

PROGRAM = """
import ctypes
from perceptiongpt.heap import keep_pages
told, libc = {call}, ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
for _ in range(3):
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
resident = int(open("/proc/self/statm").read().split()[1]) * 4096
print(told, resident >> 20)
"""


def kept(call: str, **more: str) -> tuple[str, int]:
    clean = {name: value for name, value in os.environ.items() if name not in (*TOLD, "LD_PRELOAD")}
    told = [sys.executable, "-c", PROGRAM.format(call=call)]
    ended = subprocess.run(told, env=clean | more, capture_output=True, text=True, check=True)
    word, megabytes = ended.stdout.split()
    return word, int(megabytes)


def test_what_is_freed_stays_with_the_process_unless_the_environment_says_otherwise() -> None:
    if platform.libc_ver()[0] != "glibc":
        assert not keep_pages()  # another library keeps what it keeps
        return
    word, megabytes = kept("keep_pages()")
    assert word == "True" and megabytes > 64
    assert kept("None")[1] < 64
    word, megabytes = kept("keep_pages()", MALLOC_TRIM_THRESHOLD_="131072")
    assert word == "False" and megabytes < 64

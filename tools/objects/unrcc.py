"""Unpack Qt resource files (.rcc) into a folder.

Knows the binary format `rcc -binary` writes (versions 1 to 3; plain, zlib, zstd). Knows nothing of what is inside.

    python tools/objects/unrcc.py OUT FILE.rcc [FILE.rcc ...]
"""

import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

ZLIB, DIRECTORY, ZSTD = 1, 2, 4
NODE_BYTES = {1: 14, 2: 22, 3: 22}  # version 2 added a modification time
LARGEST = 1 << 28


def entries(blob: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of each file in an .rcc blob; ValueError if it is not one."""
    if blob[:4] != b"qres":
        raise ValueError(f"the file begins with {blob[:4]!r} but b'qres' was wanted; give a Qt .rcc resource file")
    version, tree, data, names = struct.unpack(">4I", blob[4:20])
    if version not in NODE_BYTES:
        raise ValueError(f"the .rcc has format version {version} but 1, 2 or 3 was wanted; repack it with `rcc`")
    stack = [(0, "")]
    seen = 0
    while stack:
        index, folder = stack.pop()
        seen += 1
        if seen > 100_000:
            raise ValueError("the .rcc tree has over 100000 nodes, probably a loop; give an undamaged file")
        at = tree + index * NODE_BYTES[version]
        name_at, flags = struct.unpack(">IH", blob[at : at + 6])
        path = f"{folder}/{_name(blob, names + name_at)}" if index else ""
        if flags & DIRECTORY:
            count, first = struct.unpack(">II", blob[at + 6 : at + 14])
            stack.extend((child, path) for child in range(first, first + min(count, 100_000)))
            continue
        (content_at,) = struct.unpack(">I", blob[at + 10 : at + 14])
        start = data + content_at
        (length,) = struct.unpack(">I", blob[start : start + 4])
        yield path.lstrip("/"), _inflate(blob[start + 4 : start + 4 + length], flags)


def _name(blob: bytes, at: int) -> str:
    (length,) = struct.unpack(">H", blob[at : at + 2])
    return blob[at + 6 : at + 6 + 2 * length].decode("utf-16-be")


def _inflate(content: bytes, flags: int) -> bytes:
    if flags & ZLIB:
        return zlib.decompressobj().decompress(content[4:], LARGEST)
    if flags & ZSTD:
        import zstandard

        return zstandard.ZstdDecompressor().decompress(content, max_output_size=LARGEST)
    return content


def unpack(rcc: Path, out: Path) -> int:
    """Write every file of `rcc` under `out` and return how many; a path that leaves `out` is a ValueError."""
    count = 0
    for path, content in entries(rcc.read_bytes()):
        target = (out / path).resolve()
        if not target.is_relative_to(out.resolve()):
            raise ValueError(f"{rcc.name} names {path!r}, outside the output folder; refuse the file")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        count += 1
    return count


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    for rcc_path in map(Path, sys.argv[2:]):
        print(rcc_path.name, unpack(rcc_path, Path(sys.argv[1])))

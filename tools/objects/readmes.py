"""Which pictures of an unpacked GCompris tree may be shipped, read from the README files that stand beside them.

Knows the README format (blocks of `Copyright:`, `License:`, `Source:`, `Files:`). Knows nothing of what pictures show.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FREE = {
    "public domain": "PD",
    "pd": "PD",
    "cc0": "CC0-1.0",
    "cc-0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "cc-by-2.0": "CC-BY-2.0",
    "cc-by-3.0": "CC-BY-3.0",
    "cc-by-4.0": "CC-BY-4.0",
}


@dataclass(frozen=True)
class Picture:
    """One picture file with its credit; `licence` is an SPDX-like name, one of FREE's values."""

    path: Path
    author: str
    licence: str
    url: str

    @property
    def key(self) -> str:
        """The folder and stem that name it inside the tree, such as `tools/hammer1`."""
        parts = [p for p in self.path.with_suffix("").parts if p not in ("resource", "image", "images")]
        return "/".join(parts[-2:])


def pictures(tree: Path) -> list[Picture]:
    """Every shippable raster picture below `tree` (the unpacked .rcc), sorted by path.

    A file that any block gives another licence is left out.
    """
    found: dict[Path, Picture] = {}
    refused: set[Path] = set()
    for readme in sorted(tree.rglob("README")):
        for block in re.split(r"\n\s*\n", readme.read_text(encoding="utf-8", errors="replace")):
            fields, files = _fields(block)
            licence = FREE.get(re.sub(r"cc[- ]by[- ]", "cc-by-", fields.get("license", "").lower()).strip())
            for path in (readme.parent / name for name in files):
                if path.suffix not in (".webp", ".jpg", ".png") or not path.is_file():
                    continue
                if licence is None:
                    refused.add(path)
                else:
                    author = fields.get("copyright") or "unknown"
                    found[path] = Picture(path, author, licence, fields.get("source", ""))
    return [found[path] for path in sorted(found) if path not in refused]


def _fields(block: str) -> tuple[dict[str, str], list[str]]:
    """The labelled fields of a block, continuation lines joined by a comma, and the file names under `Files:`."""
    fields: dict[str, str] = {}
    files: list[str] = []
    name = ""
    for line in block.splitlines():
        label = re.match(r"(Copyright|License|Source|Comment|File)s?:\s*(.*)", line, re.IGNORECASE)
        if label:
            name, line = label[1].lower(), label[2]
        text = re.sub(r"^Copyright (\d{4} )?", "", line.strip())
        if name == "file":
            files += text.split()
        elif name and text:
            fields[name] = f"{fields[name]}, {text}" if name in fields else text
    if "source" not in fields:
        address = re.search(r"https?://\S+", fields.get("comment", ""))
        fields["source"] = address[0] if address else ""
    return fields, [file for file in files if re.fullmatch(r"[\w()-][\w./()-]*", file) and ".." not in file]

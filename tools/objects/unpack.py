"""Stage again what was packed, so that a source can be added or taken away without the packages of all the others.

Knows which fields the packer adds. Packing what was unpacked gives the same bytes; pictures aren't pressed again.

    python tools/objects/unpack.py LIBRARY STAGING
"""

import sys
import zipfile
from collections import defaultdict
from pathlib import Path

from staging import write_lines

from perceptiongpt.data.objects import read_index

ADDED = ("colour", "split", "size_wh")  # by pack.py


def unpack(library: Path, staging: Path) -> dict[str, int]:
    """Write the pictures and a `GROUP.jsonl` for each group of ids; how many lines each group has."""
    index = read_index(library)
    groups: dict[str, list[dict]] = defaultdict(list, backgrounds=[_staged(scene) for scene in index["backgrounds"]])
    for thing in index["objects"]:
        views = [_staged(view) for view in thing["views"]]
        groups[thing["id"].split("/")[0]].append(_staged(thing) | {"views": views})
    staging.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(library / "objects.zip") as archive:
        archive.extractall(staging)
    return {group: write_lines(staging / f"{group}.jsonl", lines) for group, lines in groups.items()}


def _staged(entry: dict) -> dict:
    return {key: value for key, value in entry.items() if key not in ADDED}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(unpack(Path(sys.argv[1]), Path(sys.argv[2])))

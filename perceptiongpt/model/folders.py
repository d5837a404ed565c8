"""A folder replaced as a whole: what stood there stands until the new one does, whatever happens in between.

Knows names and the disk. Knows nothing of what the folders hold.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def replace_folder(work: Path, target: Path) -> None:
    """Put a finished folder in the place of `target`; what was there is removed only after the new one stands.

    A failure puts the old one back. A kill between the two renames leaves it whole in `.NAME-old-…/old` beside it, from
    where `recover` takes it.
    """
    for path in work.rglob("*"):
        _synced(path)
        if path.is_file():
            path.chmod(0o644)  # safetensors writes for the owner alone; a model is there to be read
    os.chmod(work, 0o755)
    _synced(work)
    if not target.exists():
        work.rename(target)
        _synced(target.parent)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    try:
        target.rename(old / "old")
        work.rename(target)
        _synced(target.parent)
    except OSError:
        if not target.exists():
            (old / "old").rename(target)
        raise
    finally:
        if target.exists():
            shutil.rmtree(old)


def recover(target: Path) -> None:
    """After a kill: put back what stood at `target` if it was being replaced, and remove what was half-written."""
    for aside in target.parent.glob(f".{target.name}-old-*/old"):
        if not target.exists():
            aside.rename(target)
    for left in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(left)


def _synced(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk itself."""
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

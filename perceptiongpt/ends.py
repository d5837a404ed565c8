"""What many commands do at their ends: open a model, write a file whole or not at all.

Knows files and the options that name a model. Knows nothing of what a command does in between.
"""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file under another name and rename it: what stands at `path` is always whole."""
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(part, 0o666 & ~umask)  # a temporary file is its owner's alone
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def writable(text: str) -> Path:
    """Where a file may be written; refused early for a folder, or where there is none to write in."""
    path = Path(text).expanduser()
    if path.is_dir():
        raise ValueError(f"{text} is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} is not there; make it first")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"the folder {path.parent} cannot be written to; name another")
    return path


def open_eye(model: str | None, told: Namespace) -> Any:
    """The model that a command line names, on the device and with the threads that it names."""
    import torch

    from perceptiongpt.predict import load

    if told.threads:
        torch.set_num_threads(told.threads)
    how = {"bits": "bits", "device_map": "device_map", "attention": "attention", "compiled": "compile"}
    asked = {k: getattr(told, flag) for k, flag in how.items() if getattr(told, flag, None)}
    asked |= {look: not getattr(told, f"no_{look}", False) for look in ("mirror", "slices")}
    return load(model, told.host, told.dtype, told.device, min_score=getattr(told, "min_score", None), **asked)

"""Put a trained plug-in into the package: its tensors in a byte a number, found again beside the default host.

python tools/package_weights.py runs/first_light/model perceptiongpt/weights

History keeps every set of weights, so the plug-in's own are written in steps of `--coarse` of their rows' root mean
squares, and packed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import torch

from perceptiongpt.hosts import open_host
from perceptiongpt.model import store, tensors

LIMIT_MEGABYTES = 40


def package(source: Path, target: Path, host_name: str = "default", coarse: float = 0.2) -> int:
    """Write `source` to `target` in a byte a number, or in steps of `coarse`; returns its size in bytes.

    Raises ValueError beyond the limit.
    """
    host, processor = open_host(host_name, "bfloat16", "cpu")
    model = store.load(source, host, processor)
    store.save(model, target, host_name, torch.int8, coarse=coarse)
    tensors.pack(target / store.OWN)
    shutil.rmtree(target / store.PROCESSOR)  # nothing reads it, and its tokenizer would be a tenth of the download
    size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
    if size > LIMIT_MEGABYTES * 1_000_000:
        raise ValueError(f"{target} has {size / 1e6:.1f} MB, more than {LIMIT_MEGABYTES}; train with fewer parameters")
    return size


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--coarse", type=float, default=0.2, help="0: as fine as a byte goes (default: 0.2)")
    told = parser.parse_args(argv)
    print(f"{told.target}: {package(told.source, told.target, coarse=told.coarse) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Put a trained plug-in into the package: its tensors in a byte a number, found again beside the default host.

python tools/package_weights.py runs/first_light/model perceptiongpt/weights
python tools/package_weights.py runs/seventh_light/model runs/further/model perceptiongpt/weights

Of several moments of one training the plug-in's own tensors are averaged; host modules and adapter, which must not have
learned in between, are the first's. History keeps every set of weights, so the plug-in's own and host modules are
written in steps of `--coarse` of their root mean squares, the adapter in a sixth of that, and all are packed. peft
reads the adapter no more; `load` does, and `store.save` writes it as peft would.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from perceptiongpt.hosts import open_host
from perceptiongpt.model import store, tensors
from perceptiongpt.model.adapt import ADAPTER_FILE

LIMIT_MEGABYTES = 40


def package(sources: Sequence[Path], target: Path, host_name: str = "default", coarse: float = 0.6) -> int:
    """Write the mean of `sources` to `target` in a byte a number, or in steps of `coarse`; returns its size in bytes.

    Raises ValueError for a source that differs in more than the numbers of its own, a `coarse` that is no share, and
    beyond the limit.
    """
    if not 0 <= coarse <= 1:
        raise ValueError(f"coarse is {coarse}; wanted a share of the root mean square, 0 to 1")
    host, processor = open_host(host_name, "bfloat16", "cpu")
    model = store.load(sources[0], host, processor)
    own, others = model.added(), [tensors.read(source / store.OWN) for source in sources[1:]]
    shapes = {name: parameter.shape for name, parameter in own.items()}
    for source, other in zip(sources[1:], others, strict=True):
        alike = {name: tensor.shape for name, tensor in other.items()} == shapes
        if not alike or _kept_still(source) != _kept_still(sources[0]):
            raise ValueError(f"{source} is no other moment of {sources[0]}; give models that differ in decoders alone")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(torch.stack([parameter, *(other[name] for other in others)]).mean(0))
    store.save(model, target, host_name, torch.int8, coarse=coarse)
    for name in (store.OWN, store.HOST):
        if (target / name).exists():
            tensors.pack(target / name)
    adapter = target / store.ADAPTER / ADAPTER_FILE
    if adapter.exists():
        tensors.write(tensors.read(adapter), adapter, torch.int8, coarse / 6)
        tensors.pack(adapter)
    shutil.rmtree(target / store.PROCESSOR)  # nothing reads it, and its tokenizer would be a tenth of the download
    size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
    if size > LIMIT_MEGABYTES * 1_000_000:
        raise ValueError(f"{target} has {size / 1e6:.1f} MB, more than {LIMIT_MEGABYTES}; train with fewer parameters")
    return size


def _kept_still(source: Path) -> tuple[Any, ...]:
    """What several moments of one training share: settings, and the bytes of host modules and adapter, if any."""
    paths = (source / store.HOST, source / store.ADAPTER / ADAPTER_FILE)
    files = [f for path in paths for f in path.parent.glob(f"{path.name}*")]
    return store.read_config(source)["settings"], *((f.name, f.read_bytes()) for f in sorted(files))


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("target", type=Path)
    parser.add_argument("--coarse", type=float, default=0.6, help="0: as fine as a byte goes (default: 0.6)")
    told = parser.parse_args(argv)
    try:
        size = package(told.sources, told.target, coarse=told.coarse)
    except (ValueError, OSError) as error:
        print(f"package_weights: {error}", file=sys.stderr)
        return 2
    print(f"{told.target}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

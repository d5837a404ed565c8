"""Put a trained plug-in into the package: its tensors in a byte a number, found again beside the default host.

python tools/package_weights.py runs/first_light/model perceptiongpt/weights
python tools/package_weights.py runs/seventh_light/model runs/further/model perceptiongpt/weights
python tools/package_weights.py runs/eleventh_light/model perceptiongpt/weights --onto perceptiongpt/weights

Of several moments of one training the plug-in's own tensors are averaged; host modules and adapter, which must not have
learned in between, are the first's. History keeps every set of weights, so the plug-in's own and host modules are
written in steps of `--coarse` of their root mean squares, the adapter in a sixth of that, and all are packed. peft
reads the adapter no more; `load` does, and `store.save` writes it as peft would.

What went on from a packaged folder with most of it frozen is packaged `--onto` that: its files stay as they are, byte
for byte, and what of the plug-in's own has other numbers now stands in a small file beside them, or, where that is most
of it, in that file's place. Where only what is told of found regions learnt (TOLD_OF), the operating point stays, too;
else calibrate anew, or keep it all the same with `--keep-point`, and say so on the model's card.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from perceptiongpt.hosts import open_host
from perceptiongpt.model import store, tensors
from perceptiongpt.model.adapt import ADAPTER_FILE

LIMIT_MEGABYTES = 40
TOLD_OF = ("encoder.", "echo.")  # what is told of a region once it is found, and has its score


def package(
    sources: Sequence[Path],
    target: Path,
    host_name: str = "default",
    coarse: float = 0.6,
    onto: Path | None = None,
    keep_point: bool = False,
) -> int:
    """Write the mean of `sources` to `target` in a byte a number, or in steps of `coarse`; returns its size in bytes.

    With `onto`, a packaged folder that they began with, only what differs from it, and with `keep_point` its operating
    point whatever learnt. Raises ValueError for a source that differs in more than the numbers of its own (of the
    first, or of `onto`), a `coarse` that is no share, a `keep_point` without `onto`, and beyond the limit; OSError for
    what can't be read.
    """
    if not 0 <= coarse <= 1:
        raise ValueError(f"coarse is {coarse}; wanted a share of the root mean square, 0 to 1")
    if keep_point and onto is None:
        raise ValueError("keep_point came without onto; name the packaged folder whose operating point is to stay")
    base = None if onto is None else _Base.of(onto, sources[0])
    host, processor = open_host(host_name, "bfloat16", "cpu")
    model = store.load(sources[0], host, processor)
    own, others = model.added(), [store.read_own(source) for source in sources[1:]]
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
    if base is not None:
        base.keep(target, own, coarse, keep_point)
    shutil.rmtree(target / store.PROCESSOR)  # nothing reads it, and its tokenizer would be a tenth of the download
    size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
    if size > LIMIT_MEGABYTES * 1_000_000:
        raise ValueError(f"{target} has {size / 1e6:.1f} MB, more than {LIMIT_MEGABYTES}; train with fewer parameters")
    return size


@dataclass(frozen=True)
class _Base:
    """A packaged folder that is gone on from: its files, packed, by name; its own tensors, and those beside them as
    they are stored; its operating point."""

    files: dict[str, bytes]
    own: dict[str, torch.Tensor]
    later: dict[str, torch.Tensor]
    operating: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, source: Path) -> _Base:
        """What of `folder` stays; ValueError where `source` has other host modules or another adapter."""
        names = [name for name in (store.HOST, f"{store.ADAPTER}/{ADAPTER_FILE}") if tensors.exists(folder / name)]
        for name in names:
            held, now = tensors.read(folder / name), tensors.read(source / name)
            # What is trained has been in bfloat16 since, as hosts are.
            same = all(torch.equal(held[n].bfloat16(), t.bfloat16()) for n, t in now.items() if n in held)
            if held.keys() != now.keys() or not same:
                raise ValueError(f"{source} has another {name} than {folder}; package it whole, without --onto")
        files = {name + tensors.PACKED: (folder / (name + tensors.PACKED)).read_bytes() for name in (store.OWN, *names)}
        operating = store.read_config(folder).get(store.OPERATING, {})
        later = tensors.stored(folder / store.LATER) if tensors.exists(folder / store.LATER) else {}
        return cls(files, tensors.read(folder / store.OWN), later, operating)

    def keep(self, target: Path, own: Mapping[str, torch.Tensor], coarse: float, point: bool) -> None:
        """Put what stays into `target`, and beside it those of `own` that differ; where most do, they stand anew."""
        later = {n: p for n, p in own.items() if n not in self.own or not torch.equal(self.own[n].to(p), p)}
        anew = 2 * sum(p.numel() for p in later.values()) > sum(p.numel() for p in own.values())
        if later and not anew:
            tensors.write(later, target / store.LATER, torch.int8, coarse, self.later)
            tensors.pack(target / store.LATER)
        for name, whole in self.files.items():
            if not (anew and name == store.OWN + tensors.PACKED):
                (target / name).write_bytes(whole)
        if self.operating and (point or all(name.startswith(TOLD_OF) for name in later)):
            config = {**store.read_config(target), store.OPERATING: self.operating}
            (target / store.CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


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
    parser.add_argument("--onto", type=Path, help="a packaged folder whose files stay as they are")
    parser.add_argument("--keep-point", action="store_true", help="keep its operating point, whatever learnt")
    told = parser.parse_args(argv)
    try:
        size = package(told.sources, told.target, coarse=told.coarse, onto=told.onto, keep_point=told.keep_point)
    except (ValueError, OSError) as error:
        print(f"package_weights: {error}", file=sys.stderr)
        return 2
    print(f"{told.target}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

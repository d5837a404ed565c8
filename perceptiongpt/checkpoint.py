"""What a resumed run needs, on disk: parameters, the optimiser's moments, generators, and where the run stands.

Written under another name, synced and renamed, so that a kill or a full disk leaves the one before it whole. No pickle.
Knows nothing of losses or data. Under DeepSpeed the optimiser's state is the engine's own affair and in its own format.
"""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from perceptiongpt.feed import TrainError
from perceptiongpt.model.folders import recover, replace_folder

PARAMETERS, MOMENTS, STATE, ENGINE = "parameters.safetensors", "optimiser.safetensors", "state.json", "engine"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run stands: the step to go on with, and what was found on the way."""

    stage: int = 0
    step: int = 0
    best: float | None = None  # of the validations so far
    since: int = 0  # validations since the best
    bad: tuple[str, ...] = ()  # samples passed over


def standing(folder: Path) -> Standing:
    """Where the run stands whose checkpoint this is; its beginning where there is none."""
    recover(folder)
    if not (folder / STATE).is_file():
        return Standing()
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    known = {k: state[k] for k in asdict(Standing()) if k in state}
    return Standing(**{**known, "bad": tuple(known.get("bad", ()))})


def write(folder: Path, model: Any, optimiser: Any, engine: Any, now: Standing) -> None:
    """Replace the checkpoint as a whole; every process calls it, one writes. Raises TrainError where it can't."""
    kept = _stored(model)
    moments = {
        f"{n}|{k}": _whole(v)
        for n, p in trainable(model).items()
        for k, v in optimiser.state.get(p, {}).items()
        if isinstance(v, Tensor)
    }
    generators = gather_object([generator_state()])
    work = folder.with_name(f".{folder.name}-new")
    if deepspeed(engine):
        engine.save_state(str(work / ENGINE))  # every process writes its part
    if engine.is_main_process:
        with written(folder):
            state = {**asdict(now), "generators": generators, "scaler": _scaler(engine)}
            work.mkdir(exist_ok=True)
            try:
                save_file(kept, work / PARAMETERS)
                save_file(moments, work / MOMENTS)
                (work / STATE).write_text(json.dumps(state), encoding="utf-8")
                replace_folder(work, folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    engine.wait_for_everyone()


def restore_parameters(folder: Path, model: Any) -> None:
    """Put the checkpoint's parameters into the model. Raises TrainError where they are another run's."""
    stored, wanted = _read(folder / PARAMETERS), trainable(model)
    odd = sorted(set(stored) ^ set(wanted)) or sorted(n for n, p in wanted.items() if p.shape != stored[n].shape)
    if odd:
        raise TrainError(
            f"{folder} does not fit this run ({odd[0]} differs); resume with the settings it was made with"
        )
    with torch.no_grad():
        for name, p in wanted.items():
            p.copy_(stored[name])


def restore_moments(folder: Path, model: Any, optimiser: Any, engine: Any) -> None:
    """Put the optimiser's moments back, each process its part where the engine shards, and the scaler's state."""
    if deepspeed(engine):
        engine.load_state(str(folder / ENGINE))
        return
    wanted = trainable(model)
    for key, value in _read(folder / MOMENTS).items():
        name, _, part = key.rpartition("|")
        p: Any = wanted[name]
        if hasattr(p, "device_mesh") and value.shape == p.shape:
            from torch.distributed.tensor import distribute_tensor

            value = distribute_tensor(value, p.device_mesh, p.placements)
        value = value.reshape(p.shape) if part != "step" and value.ndim != p.ndim else value
        optimiser.state[p][part] = value.to(p.device) if value.ndim else value
    scaler = json.loads((folder / STATE).read_text(encoding="utf-8")).get("scaler")
    if scaler and engine.scaler is not None:
        engine.scaler.load_state_dict(scaler)


def restore_generators(folder: Path, process: int) -> None:
    """Set this process's random generators to where they stood; more processes than then begin their own."""
    states = json.loads((folder / STATE).read_text(encoding="utf-8")).get("generators", [])
    if process >= len(states):
        return
    state = states[process]
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    drawn = state["numpy"]
    np.random.set_state({**drawn, "state": {**drawn["state"], "key": np.asarray(drawn["state"]["key"], np.uint32)}})
    torch.set_rng_state(_from_text(state["torch"]))
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(_from_text(state["cuda"]))


def generator_state() -> dict[str, Any]:
    """The states of Python's, numpy's and torch's generators in this process, as JSON values."""
    drawn: Any = np.random.get_state(legacy=False)
    return {
        "python": random.getstate(),
        "numpy": {**drawn, "state": {**drawn["state"], "key": drawn["state"]["key"].tolist()}},
        "torch": _as_text(torch.get_rng_state()),
        "cuda": _as_text(torch.cuda.get_rng_state()) if torch.cuda.is_available() else None,
    }


def trainable(model: Any) -> dict[str, nn.Parameter]:
    """Everything that any stage trains, by name."""
    trained = tuple(f"host.{t}." for t in model.settings.trained_host_modules)
    return {
        n: p for n, p in model.named_parameters() if not n.startswith("host.") or ".lora_" in n or n.startswith(trained)
    }


def lengthen(model: Any) -> None:
    """Give parameters that are a single number a length of one: FSDP2 shards no others. They are stored as before."""
    model.lengthened = {n for n, p in model.named_parameters() if not p.ndim}
    for name, p in model.named_parameters():
        if name in model.lengthened:
            p.data = p.data.view(1)


@contextmanager
def gathered(model: Any) -> Iterator[None]:
    """The model with whole parameters where an engine shards them, for as long as it is saved; for every process."""
    shards = {n: p for n, p in trainable(model).items() if hasattr(p, "device_mesh")}
    whole = {n: nn.Parameter(t, shards[n].requires_grad) for n, t in _stored(model).items() if n in shards}
    _put(model, whole)
    try:
        yield
    finally:
        _put(model, shards)


@contextmanager
def written(what: Path) -> Iterator[None]:
    """Make a failure to write a sentence: what stood at `what` still does."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        stands = f"the one before stands in {what}; " if what.exists() else ""
        raise TrainError(f"{what.name} could not be written ({error}); {stands}make room, then add --resume") from error


def write_text(path: Path, text: str) -> None:
    """Write a small file as a whole."""
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, 0o644)
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def changes(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """`key: before -> now` for each setting that differs, both as JSON values; keys that one lacks are passed over."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in before.keys() & now.keys() if name != "settings" else before.keys() | now.keys():
            yield from changes(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, pair in enumerate(zip(before, now, strict=True)):
            yield from changes(*pair, f"{name}.{i}")
    elif before != now:
        yield f"{name}: {json.dumps(before)} -> {json.dumps(now)}"


def deepspeed(engine: Any) -> bool:
    return str(engine.distributed_type).endswith("DEEPSPEED")


def _stored(model: Any) -> dict[str, Tensor]:
    """What is trained, whole and in the shapes in which it is stored."""
    short = getattr(model, "lengthened", ())
    return {n: t.view(()) if n in short else t for n, t in ((n, _whole(p)) for n, p in trainable(model).items())}


def _put(model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> None:
    for name, p in parameters.items():
        holder, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(holder), leaf, p)


def _whole(t: Any) -> Tensor:
    t = t.detach()
    return (t.full_tensor() if hasattr(t, "full_tensor") else t).to("cpu").contiguous()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{path} cannot be read ({error}); give a new out=… and start from {path.parent}") from error


def _scaler(engine: Any) -> dict[str, Any] | None:
    return None if engine.scaler is None else engine.scaler.state_dict()


def _as_text(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _from_text(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)

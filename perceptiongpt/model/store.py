"""One folder for what was added to a host: config JSON, safetensors, adapter, processor; never pickle, never the host.

    config.json               format, settings, the host's name and fingerprint; once calibrated, the operating point
    perception.safetensors    the plug-in's own parameters, where it points
    asking.safetensors        the interactive network, where it asks
    host_modules.safetensors  host modules that were trained whole (a projector), if any
    adapter/                  the low-rank adapter, as peft writes it
    processor/                the host's processor, unchanged
    README.md                 the model card, where a run filled one in

A file of tensors may stand there gzipped, with `.gz` after its name. Where a few of the plug-in's own were learnt later
than the rest (tools/package_weights.py), they stand in perception_later.safetensors and are meant.

`load` refuses what is missing, left over, of another shape or made for another host, and says which. What points and
what asks may be saved each by itself, and `add_asking` puts the second on a model that has the first.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor

from perceptiongpt.core.operating import OperatingPoint, read_operating_point
from perceptiongpt.model import tensors
from perceptiongpt.model.adapt import ADAPTER_FILE, adapter_parameters, detach, host_module, save_adapter
from perceptiongpt.model.backbone import HostError
from perceptiongpt.model.folders import replace_folder
from perceptiongpt.model.parts import attach_asker, detach_asker
from perceptiongpt.model.perception import PerceptionModel, Settings, equip
from perceptiongpt.model.settings import GROWN

FORMAT = 1
CONFIG, OWN, LATER, ASKING, HOST, ADAPTER, PROCESSOR = (
    "config.json",
    "perception.safetensors",
    "perception_later.safetensors",
    "asking.safetensors",
    "host_modules.safetensors",
    "adapter",
    "processor",
)
CARD = "README.md"
OPERATING = "operating_point"  # in the config; `save` writes none: other weights, other scores
_CONFIG_LIMIT = 1_000_000


class StoreError(ValueError):
    """A model folder that cannot be used, with the reason and what to do."""


def save(
    model: PerceptionModel,
    folder: str | Path,
    host: str,
    dtype: torch.dtype | None = None,
    only: Literal["points", "ask"] | None = None,
    card: str = "",
    coarse: float = 0.0,
) -> Path:
    """Write the plug-in to `folder`, replacing the model in it as a whole; a folder of other things is refused.

    `host` is what finds the host again: an id, a folder, "default" or "tiny:FAMILY". `dtype` stores floats narrower;
    torch.int8 in a byte a number (`tensors.write`, which takes `coarse`), but for the adapter, which peft reads: that
    in bfloat16. `only` writes one of two plug-ins: what points, or what asks. `card` is the folder's README.md.
    """
    settings = _settings_of(model, only)
    target = Path(folder)
    if target.exists() and not (target.is_dir() and ((target / CONFIG).is_file() or not any(target.iterdir()))):
        raise StoreError(f"{target} is not a perceptiongpt model folder, so it is not replaced; name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        config = {
            "format": FORMAT,
            "host": host,
            "fingerprint": model.backbone.fingerprint(),
            "settings": asdict(settings),
        }
        (work / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        for parameters, name in _own(model, settings):
            tensors.write(parameters, work / name, dtype, coarse)
        trained = _host_parameters(model, settings)
        if trained:
            tensors.write(trained, work / HOST, dtype, coarse)
        if settings.points and model.lora is not None:
            save_adapter(model, work / ADAPTER, torch.bfloat16 if dtype == torch.int8 else dtype)
        model.backbone.processor.save_pretrained(work / PROCESSOR)
        if card:
            (work / CARD).write_text(card, encoding="utf-8")
        replace_folder(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def load(folder: str | Path, host: Any, processor: Any, more: Mapping[str, Any] | None = None) -> PerceptionModel:
    """The plug-in of `folder`, put on a host that is already loaded; ready to answer (eval, no gradients).

    It is given those settings of `more` that are in `settings.GROWN`, as they are born.
    """
    folder, config = Path(folder), read_config(folder)
    given = more or {}
    grown = {name: given[name] for name in GROWN if given.get(name) and not config["settings"].get(name)}
    try:
        model = equip(host, processor, **{**config["settings"], **grown})
    except (TypeError, ValueError) as error:
        if isinstance(error, HostError):
            raise
        raise StoreError(
            f"{folder / CONFIG} has settings that this version does not take ({error}); upgrade perceptiongpt"
        ) from error
    try:
        _check_host(model, config["fingerprint"], folder)
        _fill(_stored_parts(model, folder, sum((GROWN[name] for name in grown), ())))
    except StoreError:
        detach(model)  # a refused folder leaves the host as it was
        raise
    return model.requires_grad_(False).eval()


def add_asking(model: PerceptionModel, folder: str | Path) -> PerceptionModel:
    """Put the interactive network of `folder` on a model that does not ask yet; nothing else of the folder is read."""
    folder, config = Path(folder), read_config(folder)
    _check_host(model, config["fingerprint"], folder)
    settings = Settings(**config["settings"]).ask
    if settings is None:
        raise StoreError(f"{folder} holds no asking plug-in; give a folder of one that was trained to ask")
    stored = _read(folder / ASKING)
    attach_asker(model, settings)
    try:
        _fill([(_asking(model), stored, folder / ASKING)])
    except StoreError:
        detach_asker(model)
        raise
    return model.requires_grad_(False).eval()


def read_config(folder: str | Path) -> dict[str, Any]:
    """The checked config.json of a model folder."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise StoreError(f"{folder} is not a perceptiongpt model folder: it has no {CONFIG}; give one made by train")
    if path.stat().st_size > _CONFIG_LIMIT:
        raise StoreError(f"{path} is larger than {_CONFIG_LIMIT} bytes; it is not a config of this project")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise StoreError(f"{path} is not JSON ({error}); restore it or train again") from error
    shape = {"format": int, "host": str, "fingerprint": dict, "settings": dict}
    wrong = [k for k, kind in shape.items() if not isinstance(config, dict) or not isinstance(config.get(k), kind)]
    if wrong:
        raise StoreError(f"{path} lacks {wrong[0]!r}; restore it or train again")
    if config["format"] != FORMAT:
        raise StoreError(f"{path} has format {config['format']}, this version reads {FORMAT}; upgrade perceptiongpt")
    try:
        operating_point(config)
    except ValueError as error:
        raise StoreError(f"{path}: {error}, or calibrate again") from error
    return config


def operating_point(config: Mapping[str, Any]) -> OperatingPoint:
    """What a config says of scores, nothing where it is silent."""
    return read_operating_point(config.get(OPERATING, {}))


def _settings_of(model: PerceptionModel, only: str | None) -> Settings:
    """The settings of the part that is saved. Raises StoreError where the model lacks it."""
    settings = model.settings
    if (only == "ask" and settings.ask is None) or (only == "points" and not settings.points):
        raise StoreError(f"this model has no part that {'asks' if only == 'ask' else only}; save what it has")
    if only is None or settings.ask is None or not settings.points:
        return settings
    if only == "points":
        return replace(settings, ask=None)
    # A static mapping of its own needs no projector.
    modules = () if settings.ask.static_tokens else settings.trained_host_modules
    return replace(settings.asking, trained_host_modules=modules)


def _own(
    model: PerceptionModel, settings: Settings, born: tuple[str, ...] = ()
) -> list[tuple[dict[str, torch.nn.Parameter], str]]:
    """The plug-ins' own parameters, but those that begin with `born`, with the file of each."""
    asking = _asking(model)
    pointing = {n: p for n, p in model.added().items() if n not in asking and not n.startswith(born)}
    return [(p, n) for p, n, there in ((pointing, OWN, settings.points), (asking, ASKING, settings.ask)) if there]


def _asking(model: PerceptionModel) -> dict[str, torch.nn.Parameter]:
    return {n: p for n, p in model.added().items() if n.startswith("asker.")}


def model_folder(path: str | Path) -> Path:
    """The model in `path`: itself, or, of a run's folder, the best by validation, else the last."""
    folder = Path(path).expanduser()
    inside = (folder, folder / "best", folder / "model")
    return next((f for f in inside if (f / CONFIG).is_file()), folder)


def _host_parameters(model: PerceptionModel, settings: Settings) -> dict[str, torch.nn.Parameter]:
    return {
        f"{name}.{inner}": p
        for name in settings.trained_host_modules
        for inner, p in host_module(model.host, name).named_parameters()
    }


def read_own(folder: str | Path) -> dict[str, Tensor]:
    """The plug-in's own tensors in `folder`, those that were learnt later in the place of the former."""
    own, later = Path(folder) / OWN, Path(folder) / LATER
    return _read(own) | (_read(later) if tensors.exists(later) else {})


def _read(path: Path) -> dict[str, Tensor]:
    if not tensors.exists(path):
        raise StoreError(f"{path} is missing; the model folder is incomplete, copy it again")
    try:
        return tensors.read(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); copy it again") from error


def _check_host(model: PerceptionModel, fingerprint: dict[str, Any], folder: Path) -> None:
    odd = model.backbone.stranger(fingerprint)
    if odd is None:
        return
    told = (
        "other weights"
        if odd == "rows"
        else f"{odd} {fingerprint.get(odd)}, this one has {model.backbone.fingerprint()[odd]}"
    )
    raise StoreError(f"{folder} was made for a host with {told} ({odd}); give the host it was made for")


def _stored_parts(
    model: PerceptionModel, folder: Path, born: tuple[str, ...]
) -> list[tuple[Mapping[str, Tensor], Mapping[str, Tensor], Path]]:
    """Each part of the model, but what begins with `born`, beside what the folder holds for it, all read before use."""
    wanted: list[tuple[Mapping[str, Tensor], Path]] = [(p, folder / n) for p, n in _own(model, model.settings, born)]
    named = {path.name for _, path in wanted}
    for name in sorted({OWN, ASKING} - named | ({LATER} if OWN not in named else set())):
        if tensors.exists(folder / name):
            raise StoreError(f"{folder / name} is there, but the settings name no such plug-in; remove it")
    try:
        trained = _host_parameters(model, model.settings)
    except ValueError as error:
        raise StoreError(f"{folder / CONFIG} does not fit this host: {error}") from error
    if trained:
        wanted.append((trained, folder / HOST))
    elif tensors.exists(folder / HOST):
        raise StoreError(f"{folder / HOST} is there, but the settings name no trained host modules; remove it")
    if model.lora is not None:
        wanted.append((adapter_parameters(model), folder / ADAPTER / ADAPTER_FILE))
    return [(p, read_own(folder) if path.name == OWN else _read(path), path) for p, path in wanted]


def _fill(parts: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor], Path]]) -> None:
    """Copy tensors by exact name and shape; all are checked before the first is copied."""
    for parameters, stored, path in parts:
        _check(parameters, stored, path)
    with torch.no_grad():
        for parameters, stored, _ in parts:
            for name, parameter in parameters.items():
                parameter.copy_(stored[name])


def _check(parameters: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: Path) -> None:
    missing, extra = sorted(set(parameters) - set(stored)), sorted(set(stored) - set(parameters))
    if missing:
        raise StoreError(f"{path} lacks {len(missing)} tensors, first {missing[0]!r}; the folder is incomplete")
    if extra:
        raise StoreError(
            f"{path} has {len(extra)} tensors that no part takes, first {extra[0]!r}; it was made for another model"
        )
    for name, parameter in parameters.items():
        given = stored[name]
        if parameter.shape != given.shape:
            raise StoreError(
                f"{path}: {name} has shape {tuple(given.shape)}, wanted {tuple(parameter.shape)}; "
                "it was made for another host or other settings"
            )
        if not given.is_floating_point():
            raise StoreError(
                f"{path}: {name} holds {str(given.dtype).removeprefix('torch.')}, wanted floats; copy it again"
            )
        if not bool(given.isfinite().all()):
            raise StoreError(f"{path}: {name} holds numbers that are not finite; train again or copy it again")

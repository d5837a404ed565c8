"""Adapting the host: low-rank adapters by peft, which parameters train, and the report that says so aloud.

Knows parameter names. Knows nothing of pictures or regions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from perceptiongpt.model.tensors import write

ADAPTER_FILE = "adapter_model.safetensors"  # peft's own name

_ATTENTION = re.compile(r"(language_model|text_model|model)\.layers\.\d+\.self_attn\.(q|k|v|o)_proj$")
_MLP = re.compile(r"(language_model|text_model|model)\.layers\.\d+\.mlp\.(gate|up|down)_proj$")
_VISION = re.compile(r"(vision|visual)")
_VISION_LAYER = re.compile(r"(?:vision|visual)\w*\.(?:\w+\.)*?(?:layers?|blocks|resblocks)\.(\d+)\.")


def lora_names(host: nn.Module, targets: str, vision_layers: range = range(0)) -> list[str]:
    """Names of the linear layers that an adapter goes to: the language model's `attention`, `all` or `none`.

    And all of the vision tower's layers in `vision_layers`, counted from its first.
    """
    wanted = {"attention": (_ATTENTION,), "all": (_ATTENTION, _MLP), "none": ()}[targets]
    names = []
    for name, module in host.named_modules():
        seen = _VISION_LAYER.search(name)
        spoken = not _VISION.search(name) and any(w.search(name) for w in wanted)
        if isinstance(module, nn.Linear) and (spoken or (seen is not None and int(seen[1]) in vision_layers)):
            names.append(name)
    return names


def attach_lora(host: nn.Module, targets: str, rank: int, alpha: int, vision_layers: range = range(0)) -> Any:
    """Put fresh low-rank adapters on the host's language model and on `vision_layers` (an identity until trained).

    Returns peft's tuner, which can disable, merge and unload them, or None where there is nothing to adapt. Its weights
    are float32, whatever the host's type.
    A host that already carries adapters raises ValueError.
    """
    if getattr(host, "peft_config", None):
        raise ValueError(f"this {type(host).__name__} already carries adapters; detach its plug-in or merge them first")
    names = lora_names(host, targets, vision_layers)
    if targets == "none" and not vision_layers:
        return None
    if not names:
        raise ValueError(
            f"found no linear layers for adapters ({targets}) in {type(host).__name__}; use lora_targets=none"
        )
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names, lora_dropout=0.0, bias="none")
    tuner = LoraModel(host, {"perception": config}, "perception")
    for name, parameter in host.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
    return tuner


def detach(model: Any) -> nn.Module:
    """Take the plug-in off: the host has its own modules and flags again; modules trained whole stay trained.

    The plug-in is of no use afterwards.
    """
    if model.lora is not None and model.merged:
        model.lora.unmerge_adapter()
        model.merged = False
    unload(model)
    for name, parameter in model.host.named_parameters():
        parameter.requires_grad_(model.host_trained[name])
    return model.host


def unload(model: Any) -> None:
    """Take the adapters off; the host has its own layers again."""
    if model.lora is not None:
        model.lora.unload()
        model.lora = None
    if hasattr(model.host, "peft_config"):
        del model.host.peft_config


def merge(model: Any) -> None:
    """Fold the adapters into the weights of a host that only answers: a step then costs what the bare host's does."""
    if model.lora is not None and not model.merged:
        model.lora.merge_adapter()
        model.merged = True


def host_module(host: nn.Module, name: str) -> nn.Module:
    """The host's module of that name; a wrong name raises ValueError that lists its children."""
    try:
        return host.get_submodule(name)
    except AttributeError:
        known = ", ".join(n for n, _ in host.named_modules() if n and n.count(".") < 2)
        raise ValueError(f"the host has no module {name!r} to train; it has {known}") from None


def choose_trainable(model: Any, aim: str = "all") -> None:
    """Freeze the host; train what the aim needs of what was added.

    "name": the host modules that the settings name (its projector), and what names a pyramid; "apart": what tells
    things of one kind apart; "outline": what refines masks, which no other aim trains; "words": what "name" trains, the
    vision tower's adapter, what decodes regions from words and picture, and what tells how they look; "talk": the
    language model's adapter, region vectors and the rows of new tokens; "align": the static mapping of an asking
    plug-in; "ask": the rest of it; "all": the plug-ins, the adapters and the named modules.
    """
    if aim == "words" and not model.settings.read_window:
        raise ValueError("the aim 'words' needs a plug-in that reads words; set settings.read_window to 12, say")
    named = tuple(f"host.{t}." for t in model.settings.trained_host_modules)
    here = {id(p) for n, p in model.named_parameters() if n.startswith(named)}
    for name in model.settings.trained_host_modules:
        if not any(id(p) in here for p in host_module(model.host, name).parameters()):
            raise ValueError(
                f"host module {name!r} has no weights of its own (a tied head is the embedding); leave it out"
            )
    spoken = ("encoder.", "vis_row", "filler", "location", "echo")
    words = ("decoder.", "fusion", "encoder.look.", "echo.palette.", "namer.", *named)
    for name, parameter in model.named_parameters():
        added, adapter, outline = not name.startswith("host."), ".lora_" in name, name.startswith("decoder.outline.")
        chosen = {
            "name": name.startswith(("namer.", *named)),
            "apart": name.startswith("decoder.apart."),
            "outline": outline,
            "words": (name.startswith(words) and not name.startswith("decoder.state.") and not outline)
            or (adapter and is_vision(name)),
            "talk": name.startswith(spoken) or (adapter and not is_vision(name)),
            "align": name.startswith("asker.static."),
            "ask": name.startswith("asker.") and not name.startswith("asker.static."),
            "all": (added and not outline) or adapter or (bool(named) and name.startswith(named)),
        }[aim]
        parameter.requires_grad_(chosen)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(
            f"the aim {aim!r} leaves nothing to train in this plug-in; give another aim, or the setting that it is for "
            "(apart: tells_apart; outline: refines; align, ask: ask)"
        )
    model.train()
    model.host.eval()  # dropout of frozen parts stays off


def recompute(model: Any) -> None:
    """Gradient checkpointing: the host's layers forget what they computed and compute it again in the backward pass."""
    model.host.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in model.host.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True  # layers recompute in training only; what is inside them stays without dropout


def is_vision(name: str) -> bool:
    """Whether a parameter of that name belongs to the vision tower."""
    return _VISION_LAYER.search(name) is not None


def trainable_report(model: Any) -> str:
    """What trains, how many parameters, which share of the whole: a table to print at every start."""
    groups: dict[str, int] = {}
    total, trained, projector = model.backbone.own_parameters, 0, 0
    for name, parameter in model.named_parameters():
        total += parameter.numel()
        if not parameter.requires_grad:
            continue
        trained += parameter.numel()
        inside = name.removeprefix("host.")
        if ".lora_" in name:
            group = f"host: low-rank adapter{', vision' if is_vision(name) else ''}"
        elif name.startswith("host."):
            group = f"host: {next(t for t in model.settings.trained_host_modules if inside.startswith(t))}"
            projector += parameter.numel()
        else:
            group = ".".join(inside.split(".")[:2])
        groups[group] = groups.get(group, 0) + parameter.numel()
    rows = [f"  {name:<44} {count:>12,}" for name, count in sorted(groups.items())]
    share = 100 * trained / total
    without = 100 * (trained - projector) / total
    rows.append(f"  {'trained':<44} {trained:>12,}  {share:.2f} % of {total:,}")
    if projector:
        rows.append(f"  {'trained, host modules aside':<44} {trained - projector:>12,}  {without:.2f} %")
    return "\n".join(["What trains:", *rows])


def adapter_parameters(model: Any) -> dict[str, nn.Parameter]:
    """The adapter's parameters under peft's own stored names."""
    return {
        f"base_model.model.{n.replace('.perception.', '.')}": p
        for n, p in model.host.named_parameters()
        if ".lora_" in n
    }


def save_adapter(model: Any, folder: Path, dtype: torch.dtype | None = None) -> None:
    """A new folder with the adapter, as peft writes it, but for names in order: a set has another one each time."""
    folder.mkdir()
    write(adapter_parameters(model), folder / ADAPTER_FILE, dtype)
    config = copy(model.lora.peft_config["perception"])
    config.target_modules = sorted(config.target_modules)
    config.save_pretrained(folder)


@contextmanager
def disabled(model: Any) -> Iterator[nn.Module]:
    """The host as it was before, within the context: its own layers stand in their places, so it costs nothing.

    Adapters that were folded in (`merge`) are taken out for as long, exact up to the host's own rounding.
    """
    if model.lora is not None and model.merged:
        model.lora.unmerge_adapter()
    held = [(n, m) for n, m in model.host.named_modules() if model.lora is not None and hasattr(m, "lora_A")]
    for name, layer in held:
        model.host.set_submodule(name, layer.base_layer)
    try:
        yield model.host
    finally:
        for name, layer in held:
            model.host.set_submodule(name, layer)
        if model.lora is not None and model.merged:
            model.lora.merge_adapter()

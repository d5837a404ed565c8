"""Adapting the host: low-rank adapters by peft, which parameters train, and the report that says so aloud.

Knows parameter names. Knows nothing of pictures or regions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

_ATTENTION = re.compile(r"(language_model|text_model|model)\.layers\.\d+\.self_attn\.(q|k|v|o)_proj$")
_MLP = re.compile(r"(language_model|text_model|model)\.layers\.\d+\.mlp\.(gate|up|down)_proj$")
_VISION = re.compile(r"(vision|visual)")


def lora_names(host: nn.Module, targets: str) -> list[str]:
    """Names of the language model's linear layers that an adapter goes to: `attention`, `all` or `none`."""
    wanted = {"attention": (_ATTENTION,), "all": (_ATTENTION, _MLP), "none": ()}[targets]
    return [
        name
        for name, module in host.named_modules()
        if isinstance(module, nn.Linear) and not _VISION.search(name) and any(w.search(name) for w in wanted)
    ]


def attach_lora(host: nn.Module, targets: str, rank: int, alpha: int) -> Any:
    """Put fresh low-rank adapters on the host's language model (an identity until trained); None for `none`.

    Returns peft's tuner, which can disable, merge and unload them. Its weights are float32, whatever the host's type.
    A host that already carries adapters raises ValueError.
    """
    if getattr(host, "peft_config", None):
        raise ValueError(f"this {type(host).__name__} already carries adapters; detach its plug-in or merge them first")
    names = lora_names(host, targets)
    if targets == "none":
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
    if model.lora is not None:
        model.lora.unload()
        model.lora = None
    if hasattr(model.host, "peft_config"):
        del model.host.peft_config
    for name, parameter in model.host.named_parameters():
        parameter.requires_grad_(model.host_trained[name])
    return model.host


def host_module(host: nn.Module, name: str) -> nn.Module:
    """The host's module of that name; a wrong name raises ValueError that lists its children."""
    try:
        return host.get_submodule(name)
    except AttributeError:
        known = ", ".join(n for n, _ in host.named_modules() if n and n.count(".") < 2)
        raise ValueError(f"the host has no module {name!r} to train; it has {known}") from None


def choose_trainable(model: Any, aim: str = "all") -> None:
    """Freeze the host; train what the aim needs of what was added.

    "name": the host modules that the settings name (its projector); "look": the plug-in's own parts that are reached
    without a gradient through the language model; "align": the static mapping of an asking plug-in; "ask": the rest of
    it; "all": the plug-ins, the adapter and the named modules.
    """
    named = tuple(f"host.{t}." for t in model.settings.trained_host_modules)
    here = {id(p) for n, p in model.named_parameters() if n.startswith(named)}
    for name in model.settings.trained_host_modules:
        if not any(id(p) in here for p in host_module(model.host, name).parameters()):
            raise ValueError(
                f"host module {name!r} has no weights of its own (a tied head is the embedding); leave it out"
            )
    for name, parameter in model.named_parameters():
        added = not name.startswith("host.")
        chosen = {
            "name": name.startswith(named) if named else False,
            # Not the projector, so that the decoders learn on a map that stands still (a choice, not a measurement).
            "look": added and not name.startswith(("place.", "filler", "asker.")),
            "align": name.startswith("asker.static."),
            "ask": name.startswith("asker.") and not name.startswith("asker.static."),
            "all": added or ".lora_" in name or (bool(named) and name.startswith(named)),
        }[aim]
        parameter.requires_grad_(chosen)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"the aim {aim!r} leaves nothing to train in this plug-in; give settings.ask or another aim")
    model.train()
    model.host.eval()  # dropout of frozen parts stays off


def trainable_report(model: Any) -> str:
    """What trains, how many parameters, which share of the whole: a table to print at every start."""
    groups: dict[str, int] = {}
    total = trained = projector = 0
    for name, parameter in model.named_parameters():
        total += parameter.numel()
        if not parameter.requires_grad:
            continue
        trained += parameter.numel()
        inside = name.removeprefix("host.")
        if ".lora_" in name:
            group = "host: low-rank adapter"
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


@contextmanager
def disabled(model: Any) -> Iterator[nn.Module]:
    """The host as it was before: adapters off, within the context."""
    if model.lora is None:
        yield model.host
        return
    trains = {n: p.requires_grad for n, p in model.host.named_parameters() if ".lora_" in n}
    model.lora.disable_adapter_layers()
    try:
        yield model.host
    finally:
        model.lora.enable_adapter_layers()
        for name, parameter in model.host.named_parameters():  # peft's enabling makes adapters trainable
            if name in trains:
                parameter.requires_grad_(trains[name])

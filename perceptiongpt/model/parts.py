"""The two plug-ins of one model, put on and taken off each by itself: what points and what asks.

Knows what belongs to which; nothing of files (store.py) nor of how either works.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perceptiongpt.model.adapt import unload
from perceptiongpt.model.interactive import Asker, AskSettings

POINTING = ("encoder", "decoder", "fusion", "vis_row", "namer")


def drop_regions(model: Any) -> None:
    """Take off what reads and writes `<vis>`: of a model that spells its regions, or points at nothing."""
    for name in POINTING:
        if hasattr(model, name):
            delattr(model, name)
    model.filler = model.state_fusion = model.echo = None


def spelling(model: Any) -> dict[str, Any]:
    """What a renderer must know of a plug-in's tokens: ids, and how many places each takes."""
    settings = model.settings.ask
    asks = settings is not None and settings.arm != "static"
    request = (model.ask_id, *[model.reply_id] * settings.replies) if asks else ()
    ids: dict[str, Any] = {"vis_id": model.vis_id, "image_token_id": model.backbone.image_token_id}
    if not model.settings.decodes:
        spelled = {"answer_format": model.settings.answer_format}
        ids |= spelled | ({"location_id": model.location_id} if model.locations is not None else {})
    ids |= {"vis_tokens": model.settings.vis_tokens, "ends": model.settings.enumerates}
    return {**ids, "request": request, "forced": settings is None or settings.forced}


def attach_asker(model: Any, settings: AskSettings) -> None:
    """Put a fresh interactive network on a model. Raises ValueError where one is there or the host cannot have it."""
    held = model.backbone
    if model.asker is not None:
        raise ValueError("this model asks already; take its asking plug-in off first (detach_asker)")
    if settings.static_tokens and held.dynamic:
        raise ValueError("this host's pictures differ in size, so it keeps its own tokens; set ask.static_tokens=0")
    facts = (held.width, held.feature_width, held.feature_layers, held.native_layer, held.row_norm)
    model.asker = Asker(settings, *facts).to(held.device).train(model.training)
    model.settings, held.static_tokens = replace(model.settings, ask=settings), settings.static_tokens


def detach_asker(model: Any) -> None:
    """Take the interactive network off; what is left answers as if it had never been there."""
    if not model.settings.points:
        raise ValueError("this model only asks, so nothing would be left; detach the whole of it (adapt.detach)")
    model.settings = replace(model.settings, ask=None)
    model.asker, model.backbone.static_tokens = None, 0


def detach_pointing(model: Any) -> None:
    """Take off all that serves regions, the adapter included; what is left only asks."""
    if model.settings.ask is None:
        raise ValueError("this model only points, so nothing would be left; detach the whole of it (adapt.detach)")
    model.settings, model.backbone.pyramid, model.backbone.palette = model.settings.asking, None, None
    drop_regions(model)
    model.place = model.cells = model.locations = model.location_heads = None
    unload(model)

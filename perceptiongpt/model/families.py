"""What cannot be found from a host itself: a row for each family that needs one, and the families that are refused.

A new family of decoder-only image-text hosts needs a row here only where something below holds for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from perceptiongpt.model.sight import HostError


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a family does that its configuration does not tell."""

    mode: Literal["pad", "squeeze"] = "pad"  # how a picture comes onto a square
    first: int = 0  # the position of the first token
    prefix: bool = False  # the whole prompt is read in both directions
    frames: int = 1  # as so many frames a picture counts where its processor limits an area
    template: str | None = None  # a chat template, for processors that have none


PALIGEMMA = (
    "{% for turn in messages %}{% if turn['role'] == 'user' %}"
    "{% for part in turn['content'] %}{% if part['type'] == 'image' %}<image>{% endif %}{% endfor %}"
    "{% if loop.first %}<bos>{% endif %}"
    "{% for part in turn['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}\n"
    "{% else %}{% for part in turn['content'] %}{{ part['text'] }}{% endfor %}<eos>{% endif %}{% endfor %}"
)

FAMILIES: dict[str, Facts] = {
    "gemma3": Facts(mode="squeeze"),
    "glm4v": Facts(frames=2),
    "paligemma": Facts(mode="squeeze", first=1, prefix=True, template=PALIGEMMA),
}

_QUERIES = "its picture reaches the language model through a few learned queries, which lie nowhere on the picture"
_CROSS = "its language model reads the picture by cross-attention in between its layers, not at places of its prompt"
_CODES = "its pictures are words of its vocabulary, without a vision tower whose features could be looked at"
REFUSED: dict[str, str] = {
    **dict.fromkeys(("blip-2", "instructblip", "instructblipvideo", "kosmos-2", "idefics2", "aria"), _QUERIES),
    **dict.fromkeys(("mllama", "idefics"), _CROSS),
    **dict.fromkeys(("chameleon", "emu3", "janus"), _CODES),
    "fuyu": "it has no vision tower: raw patches go into its language model",
    "git": "its picture has no places in the prompt",
}


def facts_of(host: Any, processor: Any) -> Facts:
    """The row of a host's family. Raises HostError, by name and with the reason, for hosts that cannot be held."""
    name, kind = type(host).__name__, getattr(host.config, "model_type", "")
    if getattr(host.config, "is_encoder_decoder", False):
        raise HostError(
            f"{name} is an encoder-decoder, whose decoder keeps nothing of the prompt that could "
            "be read or answered in one pass; give a decoder-only image-text host"
        )
    if kind in REFUSED:
        raise HostError(f"{name} cannot be held: {REFUSED[kind]}; give a host whose picture is a grid of image tokens")
    if getattr(processor, "image_processor", None) is None or not hasattr(host, "get_image_features"):
        raise HostError(f"{name} has no picture input; give an image-text-to-text model and its processor")
    missing = [f for f in ("vision_config", "image_token_id") if getattr(host.config, f, None) is None]
    if missing:
        raise HostError(f"{name} has no {missing[0]} in its configuration, so its pictures cannot be followed")
    return FAMILIES.get(kind, Facts())

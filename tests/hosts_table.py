"""The page on hosts, made of what the laws found; and the families for which every law must hold."""

from __future__ import annotations

import inspect
from typing import Any

from perceptiongpt.model.families import FAMILIES, REFUSED
from perceptiongpt.model.zoo import HOSTS

PROMISED = (
    *("aya_vision", "aya_vision_tiles", "bakllava", "gemma3", "idefics3", "internvl", "llava", "llava_next"),
    *("llava_onevision", "mistral3", "paligemma", "qwen2_5_vl", "qwen2_vl", "qwen3_vl", "smolvlm", "glm4v"),
)
LATEST = "glm4v"  # the family that was added last, to see what one costs

HEAD = """# Hosts

    from perceptiongpt import equip
    model = equip(host, processor)                                   # a model of transformers that is loaded already
    model = equip("folder-or-hub-id", how={"dtype": "bfloat16"})     # or its name

A host is a decoder-only image-text model of `transformers`; it is neither subclassed nor changed. `how` goes to
`hosts.open_host`: `dtype` (float32, bfloat16, float16), `device`, `bits` (8 or 4, by bitsandbytes), `device_map` (by
accelerate), `attention` (an implementation of transformers; on a CPU in bfloat16 `load` takes plain products in
place of `sdpa`, unless one is named); `load(..., compiled=True)` compiles the step of an answer.
`load(..., mirror=False)` looks into no [mirror](architecture.md), which the packaged model does: faster by a run of the
vision tower, less exact, and with scores that were calibrated with one. `slices=False` looks at no quarters of large
pictures. The verbs that look take the same as `--dtype --device --bits --device-map --attention --compile --no-mirror
--no-slices`.

`equip(..., tower="facebook/dinov2-small")` lets the decoders look through a vision model of their own, frozen and found
again by its name, where a host's image tokens form no grid. Its colours are ImageNet's.

`equip(..., pyramid="google/efficientnet-b0")` shows the decoders a feature pyramid beside the host's map: the last maps
of a convolutional network of `transformers` (tried: EfficientNet, ResNet, ConvNeXt) at 1/32, 1/16, 1/8 and 1/4 of the
picture, which it sees at 16 times the map's cells. It is frozen and found again by its name: a folder, a hub id, or
`host:FOLDER` for one inside the host's own, as the default host's `host:pyramid`. Deep levels are added to the map's
cells, shallow ones where masks become finer; the deep ones also learn to name what they show (the aim `name`, or the
part `name` of the loss), as image tokens that are added to the host's where decoders look. All is silent at birth, so a
trained plug-in may be given it later.
Its colours are those of its `preprocessor_config.json`, else ImageNet's.

A talk goes on: `Talk(eye).say("where is the dog?", "a.jpg")`, then `.say("and in this?", "b.jpg")`. What was said is
read again with its regions in their places, so that turn 2 may be about what was found in turn 1; a region is looked
for in each picture shown so far and lies in that where its score is highest (`Region.picture`). In training a `Sample`
has further pictures in `more`, and a user's `Turn` says how many of them it shows (`pictures`).

## The table

Written by `pytest -k hosts`, which builds each family with random weights from its real configuration classes and tries
every law on it; `hosts.json` holds the same.

"""


def written(rows: list[dict[str, Any]], laws: dict[str, str | None]) -> str:
    """The page for rows of {"family", "laws"}."""
    lines = [HEAD + "| family | " + " | ".join(f"{i}" for i in range(1, len(laws) + 1)) + " |"]
    lines.append("|---" * (len(laws) + 1) + "|")
    for row in rows:
        marks = ("yes" if held else "**no**" for held in row["laws"].values())
        lines.append(f"| {row['family']} | " + " | ".join(marks) + " |")
    lines.append("")
    lines += [f"{i}. `{name}`: {text}" for i, (name, text) in enumerate(laws.items(), 1)]
    lines += ["", "## What is refused", "", "By name, with the reason; encoder-decoders as well.", ""]
    for reason in dict.fromkeys(REFUSED.values()):
        kinds = ", ".join(f"`{kind}`" for kind, why in REFUSED.items() if why == reason)
        lines.append(f"- {kinds}: {reason}")
    return "\n".join(lines) + "\n" + added()


def added() -> str:
    """What it took to add a family, counted."""
    count = len(inspect.getsource(HOSTS[LATEST]).splitlines())
    facts = "and a row in that table" if LATEST in FAMILIES else "and nothing elsewhere"
    return f"""
## Adding a family

What a host is comes from the host: its embeddings, head, layers and image token from the model, how it sees (a square,
patches of any shape, rows, tiles, tiles without a border) from what its image processor can be set to, how a picture is
spelled from its processor. What cannot be found is a row of `FAMILIES` in `perceptiongpt/model/families.py`, where
{len(FAMILIES)} of the families above have one: {", ".join(f"`{name}`" for name in FAMILIES)}.

To add one: make a tiny host of it, a function in `perceptiongpt/model/zoo.py`, and run `pytest -k hosts`. The last one
added, `{LATEST}`, took {count} lines there, {facts}; what is at most 30 lines in one place was aimed at.
"""

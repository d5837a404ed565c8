"""The two hosts of `claims.py`: one drawn at random, and one cut out of a real one. Both small enough to learn whole.

Knows `transformers` and where the parts of an Aya Vision model are; nothing of arms or samples.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

VOCABULARY = 2000
SIDE = 224  # pixels that a light host sees at most


def small_host(seed: int) -> Any:
    """A random host and its processor, of 0.6 million parameters, with weights small enough to learn from."""
    from perceptiongpt.model.tiny import aya_vision

    text = {"hidden_size": 96, "intermediate_size": 288, "num_hidden_layers": 3, "num_key_value_heads": 4}
    vision = {"hidden_size": 64, "layerscale_value": 0.3}
    return aya_vision(seed, {**text, "initializer_range": 0.06}, {**vision, "initializer_range": 0.06})


def light_host(name: str, layers: int, texts: Iterable[str], folder: Path, eyes: Path | None = None) -> Any:
    """Writes a host of the same family as `name`: its tower, the first language layers, the vocabulary of `texts`.

    Gives back the weights of its projector, which is a random one in the folder. A token's embedding is that of the old
    token of its name, or the mean of the old tokens that spell it. `eyes`: a plug-in for the host `name`, whose vision
    adapter is folded into the tower and whose projector is taken. Raises ValueError where the host has fewer layers.
    """
    from perceptiongpt.hosts import open_host, quiet
    from perceptiongpt.model.adapt import merge, unload
    from perceptiongpt.model.assemble import assemble
    from perceptiongpt.model.store import load

    host, processor = open_host(name, "float32")
    body, old = host.get_submodule("model.language_model"), processor.tokenizer
    if not 0 < layers <= len(body.layers):
        raise ValueError(f"{layers} language layers were to be kept; this host has {len(body.layers)}, so give 1 to it")
    new = old.train_new_from_iterator(texts, VOCABULARY)
    language = _language(host.config.get_text_config(), body, layers, old, new)
    if eyes is not None:
        model = load(eyes, host, processor)
        merge(model)
        unload(model)
    tower, side = host.get_submodule("model.vision_tower"), processor.image_processor.size["height"]
    layer = host.config.vision_feature_layer % (tower.config.num_hidden_layers + 1)
    projector = host.get_submodule("model.multi_modal_projector")
    width = host.config.alignment_intermediate_size
    with quiet():
        assemble(language, new, tower, folder, image_side=min(side, SIDE), vision_layer=layer, projector_width=width)
    return projector.state_dict()


def _language(config: Any, body: Any, layers: int, old: Any, new: Any) -> Any:
    """The first layers of a language model, with the embeddings of another vocabulary."""
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(config)
    config.num_hidden_layers, config.vocab_size = layers, len(new)
    for which in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, which, getattr(new, which))
    language = AutoModelForCausalLM.from_config(config)
    kept = {
        k: v
        for k, v in body.state_dict().items()
        if not k.startswith("embed_tokens") and (not k.startswith("layers.") or int(k.split(".")[1]) < layers)
    }
    known = old.get_vocab()
    with torch.no_grad():
        language.base_model.load_state_dict(kept, strict=False)
        table, rows = body.get_input_embeddings().weight, language.get_input_embeddings().weight
        for token, at in new.get_vocab().items():
            spelled = [known[token]] if token in known else old(new.decode([at]), add_special_tokens=False).input_ids
            rows[at] = table[spelled].mean(0) if spelled else table.mean(0)
    return language

"""Hosts are loaded as asked: precision, bits, attention, devices, steps compiled; or refused in a sentence."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import perceptiongpt
from perceptiongpt.hosts import HostMissingError, equip, open_host
from perceptiongpt.model import perception
from perceptiongpt.model.families import REFUSED
from perceptiongpt.model.sight import HostError
from perceptiongpt.model.zoo import HOSTS
from perceptiongpt.predict import Eye


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny host."""
    where = tmp_path_factory.mktemp("hosts") / "llava"
    host, processor = HOSTS["llava"]()
    host.save_pretrained(where)
    processor.save_pretrained(where)
    return str(where)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_host_is_equipped_by_its_name_in_any_precision(folder: str, dtype: str) -> None:
    how = {"dtype": dtype, "device_map": "cpu", "attention": "eager"}
    model = perceptiongpt.equip(folder, how=how, decoder_width=32, decoder_depth=1)
    assert model.backbone.dtype == getattr(torch, dtype)
    assert model.host.config._attn_implementation == "eager"
    assert model.vis_row.dtype == torch.float32
    answer = Eye(model).look(Image.new("RGB", (40, 30), "teal")).ask("what is it?", max_new_tokens=3)
    assert answer.size_wh == (40, 30)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_is_chosen_and_says_the_same(attention: str) -> None:
    host, processor = open_host("tiny:gemma3", attention=attention)
    assert host.config._attn_implementation == attention
    plain = perception.equip(*open_host("tiny:gemma3"), decoder_width=32, decoder_depth=1)
    chosen = perception.equip(host, processor, decoder_width=32, decoder_depth=1)
    picture = Image.radial_gradient("L").resize((40, 30)).convert("RGB")
    said = [Eye(m).look(picture).ask("where", max_new_tokens=4).text for m in (plain, chosen)]
    assert said[0] == said[1]


def test_compiled_steps_say_the_same() -> None:
    model = perception.equip(*HOSTS["aya_vision"](), decoder_width=32, decoder_depth=1)
    seen = Eye(model).look(Image.new("RGB", (40, 30), "teal"))
    plain = seen.ask("where is the red", max_new_tokens=5)
    model.backbone.compile_step(backend="eager")
    assert seen.ask("where is the red", max_new_tokens=5).text == plain.text
    model.backbone.step = None


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"bits": 3}, "8 or 4"),
        ({"dtype": "int8"}, "int8"),
        ({"attention": "flash_attention_9"}, "attention"),
        ({"device": "nowhere"}, "device"),
    ],
)
def test_what_cannot_be_loaded_is_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_host("tiny:llava", **how)


@pytest.mark.parametrize("bits", [4, 8])
def test_bits_without_their_library_are_refused(bits: int, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HostMissingError, match=r"needs bitsandbytes.*pip install"):
        open_host(folder, bits=bits)


def test_a_host_without_its_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="processor"):
        equip(HOSTS["llava"]()[0])
    with pytest.raises(HostMissingError, match="cannot be loaded"):
        equip(str(tmp_path))


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_hosts_that_cannot_be_held_are_refused_by_name_with_the_reason(kind: str) -> None:
    host, processor = HOSTS["llava"]()
    host.config.model_type = kind
    with pytest.raises(HostError, match="LlavaForConditionalGeneration cannot be held: it"):
        perception.equip(host, processor)


def test_an_encoder_decoder_is_refused_by_name() -> None:
    import transformers as hf

    text = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 64}
    config = hf.BartConfig(**text, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16)
    with pytest.raises(HostError, match="BartForConditionalGeneration is an encoder-decoder"):
        perception.equip(hf.BartForConditionalGeneration(config), HOSTS["llava"]()[1])

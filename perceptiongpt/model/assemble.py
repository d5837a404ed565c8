"""Parts into an ordinary `from_pretrained` folder: a stock `AyaVisionForConditionalGeneration` and its processor.

Knows token ids, image tokens and where each part goes. Knows nothing of file formats (model.sources), of downloads and
caches (fetch), nor of what is added on top of a host (model.perception). The classes are those of `transformers`.
"""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from perceptiongpt.model.sources import load_exactly

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

IMAGE_TOKEN = "<image>"
IMAGE_SIDE = 392  # pixels; the host's processor makes every picture this square
DOWNSAMPLE = 2  # the projector folds 2 x 2 patches into one image token
VISION_LAYER = 10  # of 12; the last layers of a tower tuned for saliency carry less of what a thing is
PROJECTOR_WIDTH = 2048
PROJECTOR_STD = 0.02
ROWS_MULTIPLE = 64
PYRAMID = "pyramid"
PYRAMID_MEAN, PYRAMID_STD = 127 / 255, 128 / 255  # as the EfficientNet-Lite family was trained

# ChatML without the default system prompt: each turn closes itself, so every rendered prefix begins the next one.
CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['content'] is string %}
{{- message['content'] }}
{%- else %}
{%- for part in message['content'] %}
{%- if part['type'] == 'image' %}
{{- '<image>\\n' }}
{%- elif part['type'] == 'text' %}
{{- part['text'] }}
{%- else %}
{{- raise_exception('a content part has type ' ~ part['type'] ~ '; this template knows image and text') }}
{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}"""


def assemble(
    language: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    vision: PreTrainedModel,
    folder: str | Path,
    *,
    image_side: int = IMAGE_SIDE,
    vision_layer: int = VISION_LAYER,
    projector_width: int = PROJECTOR_WIDTH,
    seed: int = 0,
    dtype: torch.dtype = torch.bfloat16,
) -> Path:
    """Join a causal language model and a vision tower with a class token into one host, saved in `folder`.

    `AutoModelForImageTextToText.from_pretrained(folder)` and `AutoProcessor.from_pretrained(folder)` read it back. The
    projector between the two is random (`seed`): it is what a plug-in brings. The parts given are left as they were.
    """
    from transformers import AyaVisionConfig, AyaVisionForConditionalGeneration

    folder = Path(folder)
    patch = vision.config.patch_size
    if image_side % (patch * DOWNSAMPLE):
        raise ValueError(
            f"image_side {image_side} is not a multiple of {patch * DOWNSAMPLE}, the side of an image token"
        )
    layers = vision.config.num_hidden_layers
    if not 0 <= vision_layer <= layers:
        raise ValueError(f"vision_layer {vision_layer} is outside 0..{layers}, the states of this vision tower")
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_special_tokens({"extra_special_tokens": [IMAGE_TOKEN]}, replace_extra_special_tokens=False)
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = (
        "left"  # a batch of prompts goes on at the same place
    )

    embeddings: Tensor = language.get_input_embeddings().weight.detach()
    rows = -(-max(len(tokenizer), len(embeddings) + 1) // ROWS_MULTIPLE) * ROWS_MULTIPLE
    text_config = copy.deepcopy(language.config)
    text_config.vocab_size = rows
    config = AyaVisionConfig(
        text_config=text_config,
        vision_config=copy.deepcopy(vision.config),
        vision_feature_layer=vision_layer,
        vision_feature_select_strategy="default",
        downsample_factor=DOWNSAMPLE,
        image_token_index=tokenizer.get_vocab()[IMAGE_TOKEN],
        tie_word_embeddings=language.config.tie_word_embeddings,
        alignment_intermediate_size=projector_width,
    )
    weights = {f"model.language_model.{name}": w for name, w in language.base_model.state_dict().items()}
    weights["model.language_model.embed_tokens.weight"] = _with_mean_rows(embeddings, rows)
    if not language.config.tie_word_embeddings:
        weights["lm_head.weight"] = _with_mean_rows(language.get_output_embeddings().weight.detach(), rows)
    weights |= {f"model.vision_tower.{name}": w for name, w in vision.state_dict().items()}
    weights |= _random_projector(config, seed)

    host = load_exactly(AyaVisionForConditionalGeneration, config, weights, dtype)
    host.generation_config = copy.deepcopy(language.generation_config)
    host.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", file)  # the library leaves weights readable by their maker alone
    _processor(tokenizer, image_side, patch).save_pretrained(folder)
    return folder


def beside(network: PreTrainedModel, host: str | Path) -> Path:
    """Put a convolutional network into the folder of a host, where `Pyramid` finds it as `host:pyramid`."""
    folder = Path(host) / PYRAMID
    network.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", file)
    told = json.dumps({"image_mean": [PYRAMID_MEAN] * 3, "image_std": [PYRAMID_STD] * 3})
    (folder / "preprocessor_config.json").write_text(told + "\n", encoding="utf-8")
    return folder


def _with_mean_rows(table: Tensor, rows: int) -> Tensor:
    """[V, D] -> [rows, D]: new tokens start at the mean, where they neither lead nor surprise the softmax."""
    mean = table.mean(0, keepdim=True)
    return torch.cat([table, mean.expand(rows - len(table), -1)])


def _random_projector(config: Any, seed: int) -> dict[str, Tensor]:
    """The weights of the host's projector, drawn from a generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    folded = config.vision_config.hidden_size * config.downsample_factor**2
    middle, width = config.alignment_intermediate_size, config.text_config.hidden_size
    weights = {
        "layernorm.weight": torch.ones(folded),
        "layernorm.bias": torch.zeros(folded),
        "linear_1.weight": torch.randn(middle, folded, generator=generator) * PROJECTOR_STD,
        "linear_1.bias": torch.zeros(middle),
        "linear_2.weight": torch.randn(width, middle // 2, generator=generator) * PROJECTOR_STD,
        "linear_2.bias": torch.zeros(width),
    }
    return {f"model.multi_modal_projector.{name}": w for name, w in weights.items()}


def _processor(tokenizer: Any, image_side: int, patch: int) -> Any:
    """Picture and text into tensors: squashed to a square, no crop, ImageNet colours, one `<image>` per token."""
    from transformers import BitImageProcessorPil, LlavaProcessor
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, PILImageResampling

    square = {"height": image_side, "width": image_side}
    images = BitImageProcessorPil(
        size=square,
        crop_size=square,
        do_center_crop=False,
        resample=PILImageResampling.BICUBIC,
        image_mean=IMAGENET_DEFAULT_MEAN,
        image_std=IMAGENET_DEFAULT_STD,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=patch * DOWNSAMPLE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # "default" subtracts the class token, which the count of squares never had
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE_TOKEN,
    )

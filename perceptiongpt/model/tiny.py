"""Random two-layer hosts made in memory, one for each shape of vision-language model that the library must equip.

Knows `transformers`' real configuration, model and processor classes and how to make them small: nothing is read,
written or fetched. Knows nothing of perception: these are the hosts as a stranger would bring them. They differ on
purpose where hosts differ: tied and untied heads, rows of the vocabulary that no token uses, pictures of one size or of
any, crops, patches merged by pixel shuffle or by windows, a system turn that the template adds by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AyaVisionConfig,
    AyaVisionForConditionalGeneration,
    BitImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Dinov2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessorPil,
)

TEXT_WIDTH = 64
VISION_WIDTH = 48  # Not the text's width: a mix-up of the two must fail.
# 1 / sqrt(width) rather than 0.02: at 0.02 random logits are so flat that a lost picture would hardly show in them.
INIT = 0.125

WORDS = (
    *("a", "the", "is", "in", "where", "what", "red", "green", "blue", "circle", "square", "triangle"),
    *("left", "right", "user", "assistant"),
)
TEXT_SIZES = {
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": INIT,
}
CHAT = (
    "{% for turn in messages %}"
    "SYSTEM<|im_start|>{{ turn['role'] }}\n"
    "{% if turn['content'] is string %}{{ turn['content'] }}"
    "{% else %}{% for part in turn['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if loop.first and turn['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
)


def llava(seed: int = 0) -> tuple[PreTrainedModel, ProcessorMixin]:
    """LLaVA 1.5 in small: CLIP tower, last layer but one, 16 image tokens; resizes and crops to 32 px; untied head."""
    tokens = tokenizer("<image>")
    return _llava(LlamaConfig(**TEXT_SIZES, **token_settings(tokens)), tokens, seed)


def bakllava(seed: int = 0, window: int = 512) -> tuple[PreTrainedModel, ProcessorMixin]:
    """BakLLaVA in small: LLaVA's eyes on Mistral, whose every layer looks back `window` tokens and no further."""
    tokens = tokenizer("<image>")
    return _llava(MistralConfig(**TEXT_SIZES, **token_settings(tokens), sliding_window=window), tokens, seed)


def _llava(
    text_config: PreTrainedConfig, tokens: PreTrainedTokenizerFast, seed: int
) -> tuple[PreTrainedModel, ProcessorMixin]:
    side, patch = 32, 8
    config = LlavaConfig(
        text_config=text_config,
        vision_config=CLIPVisionConfig(
            hidden_size=VISION_WIDTH,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=side,
            patch_size=patch,
            projection_dim=VISION_WIDTH,
            initializer_range=INIT,
        ),
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        image_seq_length=(side // patch) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_center_crop=True
        ),
        tokenizer=tokens,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # CLS, which the strategy then takes off again
        chat_template=tokens.chat_template,
    )
    return made(LlavaForConditionalGeneration, config, tokens, seed), processor


def qwen2_5_vl(seed: int = 0) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Qwen2.5-VL in small: any shape of 32x32 to 96x96 px in area, 16 px a token, three-axis rotary; tied head.

    The model has more vocabulary rows than the tokenizer has tokens, as the published ones do.
    """
    patch, merge = 8, 2
    tokens = tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    settings = token_settings(tokens)
    settings["vocab_size"] = -(-len(tokens) // 64) * 64 + 64
    config = Qwen2_5_VLConfig(
        text_config={
            **TEXT_SIZES,
            **settings,
            # Half a head is 8 wide: 2 of it turn with time, 3 with height, 3 with width.
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
        },
        vision_config={
            "depth": 3,
            "hidden_size": VISION_WIDTH,
            "intermediate_size": 64,
            "num_heads": 4,
            "patch_size": patch,
            "spatial_merge_size": merge,
            "window_size": 32,  # 2 x 2 image tokens, so that pictures of 3 or more have several windows
            "fullatt_block_indexes": [2],
            "out_hidden_size": TEXT_WIDTH,
            "initializer_range": INIT,
        },
        image_token_id=tokens.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokens.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokens.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokens.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    sizes = {"shortest_edge": 32 * 32, "longest_edge": 96 * 96}
    eye = Qwen2VLImageProcessorPil(patch_size=patch, merge_size=merge, size=sizes)
    return made(Qwen2_5_VLForConditionalGeneration, config, tokens, seed), still(Qwen2_5_VLProcessor, eye, tokens)


def aya_vision(
    seed: int = 0, text: Mapping[str, Any] = MappingProxyType({}), vision: Mapping[str, Any] = MappingProxyType({})
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """The default model's family in small: DINOv2 tower, 8 x 8 patches shuffled into 16 tokens, Llama, tied head.

    `text` and `vision` change the sizes of its two configurations.
    """
    side, patch, downsample = 48, 6, 2
    tokens = tokenizer("<image>")
    sizes = {
        "hidden_size": VISION_WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "mlp_ratio": 2,
        "initializer_range": INIT,
    }
    config = AyaVisionConfig(
        text_config=LlamaConfig(**{**TEXT_SIZES, **text}, **token_settings(tokens)),
        vision_config=Dinov2Config(**{**sizes, **vision}, image_size=side, patch_size=patch),
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        downsample_factor=downsample,
        alignment_intermediate_size=96,
        tie_word_embeddings=True,
    )
    processor = LlavaProcessor(
        image_processor=BitImageProcessorPil(size={"height": side, "width": side}, do_center_crop=False),
        tokenizer=tokens,
        patch_size=patch * downsample,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokens.chat_template,
    )
    return made(AyaVisionForConditionalGeneration, config, tokens, seed), processor


FAMILIES: dict[str, Callable[..., tuple[PreTrainedModel, ProcessorMixin]]] = {
    "llava": llava,
    "qwen2_5_vl": qwen2_5_vl,
    "aya_vision": aya_vision,
    "bakllava": bakllava,
}


def tokenizer(*image_tokens: str, written: str | None = None, **named: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that knows the 256 bytes, a few words and the special tokens; it pads on the left.

    `written` is what the template writes for a picture, `named` are further tokens that a processor asks for by name.
    `image_tokens` is either the single placeholder (`<image>`) or Qwen's vision_start, vision_end, image_pad and
    video_pad; with these the chat template opens with a system turn where the conversation has none.
    """
    vocabulary = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for end in range(1, len(word) + 1):
            pair = ("Ġ" + word[: end - 1], word[end - 1])
            if "".join(pair) not in vocabulary:
                merges.append(pair)
                vocabulary["".join(pair)] = len(vocabulary)
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokens = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        additional_special_tokens=["<|im_start|>", *image_tokens],
        padding_side="left",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
        **named,
    )
    tokens.chat_template = (
        CHAT.replace("IMAGE", written).replace("SYSTEM", "") if written else _chat_template(image_tokens)
    )
    return tokens


def _chat_template(image_tokens: Sequence[str]) -> str:
    """ChatML; content is a string or a list of {"type": "image"} and {"type": "text", "text": …}."""
    if len(image_tokens) == 1:
        return CHAT.replace("IMAGE", image_tokens[0]).replace("SYSTEM", "")
    start, end, image, _ = image_tokens
    return CHAT.replace("IMAGE", start + image + end).replace("SYSTEM", DEFAULT_SYSTEM)


def token_settings(tokens: PreTrainedTokenizerFast) -> dict[str, int | None]:
    return {
        "vocab_size": len(tokens),
        "bos_token_id": None,
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
    }


def made(
    kind: type[PreTrainedModel], config: PreTrainedConfig, tokens: PreTrainedTokenizerFast, seed: int
) -> PreTrainedModel:
    """The host with weights drawn from `seed`, float32, in eval mode; the caller's generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        host = kind(config).float().eval()
    host.generation_config.eos_token_id = tokens.eos_token_id
    host.generation_config.pad_token_id = tokens.pad_token_id
    return host


def still(kind: type[ProcessorMixin], eye: Any, tokens: Any, **settings: Any) -> ProcessorMixin:
    """A processor without its video half, which needs torchvision; the library reads no video."""

    def begin(self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None, **more: Any):
        # The parts a processor must be given are read off this signature: one without video asks for none.
        kind.__init__(self, image_processor, tokenizer, chat_template=chat_template, **more)

    return type(kind.__name__, (kind,), {"__init__": begin})(eye, tokens, tokens.chat_template, **settings)

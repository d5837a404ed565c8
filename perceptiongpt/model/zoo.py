"""Random two-layer hosts of further families, so that every law can be tried on each: see tiny.py, which begins them.

Knows the real configuration, model and processor classes of `transformers`, and how to make them small. A further
family is one function here; a row in families.py where that says so.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from transformers import PreTrainedModel, ProcessorMixin

from perceptiongpt.model import tiny
from perceptiongpt.model.tiny import INIT, TEXT_SIZES, TEXT_WIDTH, VISION_WIDTH, made, still, token_settings, tokenizer

Host = tuple[PreTrainedModel, ProcessorMixin]
SIDE, PATCH = 32, 8
TOWER: dict[str, Any] = {
    "hidden_size": VISION_WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": PATCH,
    "initializer_range": INIT,
}
SQUARE = {"height": SIDE, "width": SIDE}
TILINGS = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]
QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def llava_next(seed: int = 0) -> Host:
    """LLaVA-NeXT: the whole picture, then up to four tiles without their border, a mark after each row of tokens."""
    tokens = tokenizer("<image>")
    config = hf.LlavaNextConfig(
        text_config=hf.LlamaConfig(**TEXT_SIZES, **token_settings(tokens)),
        vision_config=hf.CLIPVisionConfig(**TOWER, projection_dim=VISION_WIDTH),
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=TILINGS,
        tie_word_embeddings=False,
    )
    eye = hf.LlavaNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=TILINGS)
    settings = {"vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    processor = hf.LlavaNextProcessor(eye, tokens, PATCH, chat_template=tokens.chat_template, **settings)
    return made(hf.LlavaNextForConditionalGeneration, config, tokens, seed), processor


def llava_onevision(seed: int = 0) -> Host:
    """LLaVA-OneVision: as LLaVA-NeXT, with a SigLIP tower; where there are many tokens, they are thinned out."""
    tokens = tokenizer("<image>", video_token="<video>")
    config = hf.LlavaOnevisionConfig(
        text_config=hf.Qwen2Config(**TEXT_SIZES, **token_settings(tokens)),
        vision_config=hf.SiglipVisionConfig(**TOWER),
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        video_token_index=tokens.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=TILINGS,
        vision_aspect_ratio="anyres_max_2",
    )
    eye = hf.LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=TILINGS)
    settings = {"vision_feature_select_strategy": "full", "vision_aspect_ratio": "anyres_max_2"}
    processor = still(hf.LlavaOnevisionProcessor, eye, tokens, num_image_tokens=(SIDE // PATCH) ** 2, **settings)
    return made(hf.LlavaOnevisionForConditionalGeneration, config, tokens, seed), processor


def _qwen(kind: str, vision: dict[str, Any], text: dict[str, Any], seed: int) -> Host:
    tokens = tokenizer(*QWEN)
    ids = tokens.convert_tokens_to_ids
    config = getattr(hf, f"{kind}Config")(
        text_config={**TEXT_SIZES, **token_settings(tokens), **text},
        vision_config={"depth": 3, "num_heads": 4, "patch_size": PATCH, "spatial_merge_size": 2, **vision},
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    sizes = {"shortest_edge": 32 * 32, "longest_edge": 96 * 96}
    eye = hf.Qwen2VLImageProcessorPil(patch_size=PATCH, merge_size=2, size=sizes)
    processor = still(getattr(hf, f"{kind}Processor"), eye, tokens)
    return made(getattr(hf, f"{kind}ForConditionalGeneration"), config, tokens, seed), processor


def qwen2_vl(seed: int = 0) -> Host:
    """Qwen2-VL: any shape, no windows, three-axis rotary positions."""
    vision = {"embed_dim": VISION_WIDTH, "hidden_size": TEXT_WIDTH, "mlp_ratio": 2, "initializer_range": INIT}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    return _qwen("Qwen2VL", vision, {"rope_parameters": rope}, seed)


def qwen3_vl(seed: int = 0) -> Host:
    """Qwen3-VL: any shape; the tower's early layers are added at the image tokens in the language model's first two."""
    vision = {
        "hidden_size": VISION_WIDTH,
        "intermediate_size": 64,
        "out_hidden_size": TEXT_WIDTH,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
        "initializer_range": INIT,
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3], "mrope_interleaved": True}
    return _qwen("Qwen3VL", vision, {"rope_parameters": rope, "head_dim": 16}, seed)


def internvl(seed: int = 0) -> Host:
    """InternVL: up to four tiles and the whole picture after them, patches shuffled four to a token."""
    names = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    tokens = tokenizer(written="<IMG_CONTEXT>", video_token="<video>", **names)
    config = hf.InternVLConfig(
        text_config=hf.Qwen2Config(**TEXT_SIZES, **token_settings(tokens)),
        vision_config=hf.InternVLVisionConfig(**TOWER),
        image_token_id=tokens.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    eye = hf.GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=True, max_patches=4)
    processor = still(hf.InternVLProcessor, eye, tokens, image_seq_length=4)
    return made(hf.InternVLForConditionalGeneration, config, tokens, seed), processor


def _idefics(kind: str, seed: int) -> Host:
    tokens = tokenizer("<image>")
    eye = hf.Idefics3ImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE})
    processor = hf.Idefics3Processor(eye, tokens, image_seq_len=4, chat_template=tokens.chat_template)
    vision = {k: v for k, v in TOWER.items() if k != "patch_size"}
    config = getattr(hf, f"{kind}Config")(
        text_config=hf.LlamaConfig(**TEXT_SIZES, **token_settings(tokens)),
        vision_config={**vision, "patch_size": PATCH},
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return made(getattr(hf, f"{kind}ForConditionalGeneration"), config, tokens, seed), processor


def idefics3(seed: int = 0) -> Host:
    """Idefics3: tiles in rows, each with the name of its place in words, and the whole picture after them."""
    return _idefics("Idefics3", seed)


def smolvlm(seed: int = 0) -> Host:
    """SmolVLM, which sees as Idefics3 does; with that one's processor, whose own half asks for another package."""
    return _idefics("SmolVLM", seed)


def gemma3(seed: int = 0) -> Host:
    """Gemma 3: patches pooled, image tokens that see one another, every other layer with a window; scaled rows."""
    tokens = tokenizer(
        written="<start_of_image>", image_token="<soft>", boi_token="<start_of_image>", eoi_token="<end_of_image>"
    )
    layers = ["sliding_attention", "full_attention"]
    text = hf.Gemma3TextConfig(
        **TEXT_SIZES, **token_settings(tokens), head_dim=16, layer_types=layers, sliding_window=512
    )
    config = hf.Gemma3Config(
        text_config=text,
        vision_config=hf.SiglipVisionConfig(**{**TOWER, "image_size": 48, "patch_size": 6}),
        mm_tokens_per_image=16,
        image_token_index=tokens.image_token_id,
        boi_token_index=tokens.boi_token_id,
        eoi_token_index=tokens.eoi_token_id,
    )
    eye = hf.Gemma3ImageProcessorPil(size={"height": 48, "width": 48})
    processor = hf.Gemma3Processor(eye, tokens, chat_template=tokens.chat_template, image_seq_length=16)
    host = made(hf.Gemma3ForConditionalGeneration, config, tokens, seed)
    torch.nn.init.normal_(
        host.model.multi_modal_projector.mm_input_projection_weight,
        std=INIT,
        generator=torch.Generator().manual_seed(seed),
    )  # born zero, it would show nothing
    return host, processor


def paligemma(seed: int = 0) -> Host:
    """PaliGemma: a prompt that is read in both directions, positions from one, no chat template of its own."""
    tokens = tokenizer("<image>", bos_token="<bos>", image_token="<image>")
    tokens.chat_template = None
    eye = hf.SiglipImageProcessorPil(size=SQUARE, image_seq_length=(SIDE // PATCH) ** 2)
    processor = hf.PaliGemmaProcessor(eye, tokens)
    config = hf.PaliGemmaConfig(
        text_config=hf.GemmaConfig(**TEXT_SIZES, **token_settings(tokens), head_dim=16),
        vision_config=hf.SiglipVisionConfig(**TOWER, projection_dim=TEXT_WIDTH),
        image_token_index=tokens.image_token_id,
        projection_dim=TEXT_WIDTH,
    )
    return made(hf.PaliGemmaForConditionalGeneration, config, tokens, seed), processor


def aya_vision_tiles(seed: int = 0) -> Host:
    """Aya Vision as published: tiles and the whole picture, a SigLIP tower, Cohere's language model."""
    marks = ("<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>")
    tokens = tokenizer(*marks, written="<image>", image_token="<image>")
    config = hf.AyaVisionConfig(
        text_config=hf.Cohere2Config(**TEXT_SIZES, **token_settings(tokens), sliding_window=512),
        vision_config=hf.SiglipVisionConfig(**TOWER),
        image_token_index=tokens.convert_tokens_to_ids("<|IMG_PATCH|>"),
        vision_feature_select_strategy="full",
        downsample_factor=2,
        alignment_intermediate_size=96,
    )
    eye = hf.GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=True, max_patches=4)
    sizes = {"patch_size": PATCH, "img_size": SIDE, "downsample_factor": 2}
    processor = hf.AyaVisionProcessor(eye, tokens, chat_template=tokens.chat_template, **sizes)
    return made(hf.AyaVisionForConditionalGeneration, config, tokens, seed), processor


def mistral3(seed: int = 0) -> Host:
    """Mistral 3: any shape, Pixtral's tower, a mark after each row of tokens."""
    tokens = tokenizer("[IMG_BREAK]", "[IMG_END]", "[IMG]", written="[IMG]")
    config = hf.Mistral3Config(
        text_config=hf.MistralConfig(**TEXT_SIZES, **token_settings(tokens), sliding_window=None),
        vision_config=hf.PixtralVisionConfig(**{**TOWER, "image_size": 96}),
        image_token_index=tokens.convert_tokens_to_ids("[IMG]"),
    )
    eye = hf.PixtralImageProcessorPil(size={"longest_edge": 96}, patch_size={"height": 16, "width": 16})
    sizes = {"patch_size": 2 * PATCH, "vision_feature_select_strategy": "full"}
    processor = _Pixtral(eye, tokens, chat_template=tokens.chat_template, image_token="[IMG]", **sizes)
    return made(hf.Mistral3ForConditionalGeneration, config, tokens, seed), processor


def glm4v(seed: int = 0) -> Host:
    """GLM-4.1V: patches of any shape, pooled by a convolution; norms after attention, too."""
    tokens = tokenizer("<|image|>", "<|video|>", written="<|image|>")
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3], "partial_rotary_factor": 1.0}
    vision = {k: v for k, v in TOWER.items() if not k.startswith("num_")}
    config = hf.Glm4vConfig(
        text_config={**TEXT_SIZES, **token_settings(tokens), "rope_parameters": rope},
        vision_config={**vision, "depth": 3, "num_heads": 4, "out_hidden_size": TEXT_WIDTH, "spatial_merge_size": 2},
        image_token_id=tokens.convert_tokens_to_ids("<|image|>"),
        video_token_id=tokens.convert_tokens_to_ids("<|video|>"),
    )
    sizes = {"shortest_edge": 32 * 32, "longest_edge": 96 * 96}
    eye = hf.Glm4vImageProcessorPil(patch_size=PATCH, merge_size=2, size=sizes)
    return made(hf.Glm4vForConditionalGeneration, config, tokens, seed), still(hf.Glm4vProcessor, eye, tokens)


class _Pixtral(hf.LlavaProcessor):
    """Pixtral's spelling of a picture; the class of that name cannot be imported without torchvision."""

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs: Any) -> str:
        height, width = image_inputs["image_sizes"][image_idx]
        row = "[IMG]" * (width // self.patch_size)
        return "[IMG_BREAK]".join([row] * (height // self.patch_size)) + "[IMG_END]"


HOSTS = {
    **tiny.FAMILIES,
    "aya_vision_tiles": aya_vision_tiles,
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "qwen2_vl": qwen2_vl,
    "qwen3_vl": qwen3_vl,
    "internvl": internvl,
    "idefics3": idefics3,
    "smolvlm": smolvlm,
    "gemma3": gemma3,
    "paligemma": paligemma,
    "mistral3": mistral3,
    "glm4v": glm4v,
}

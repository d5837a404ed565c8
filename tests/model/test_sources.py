"""A model written to a foreign file comes back as it was: every weight, every token."""

import gguf
import numpy as np
import onnx
import pytest
import torch
from a_pyramid import lite, write_table
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file
from transformers import Dinov2Config, Dinov2Model, LlamaConfig, LlamaForCausalLM

from perceptiongpt.model.sources import dinov2_from_onnx, efficientnet_from_torch, llama_from_gguf

TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *"abc123", "Ġ", "ab", "Ġab"]
MERGES = ["a b", "Ġ ab"]
GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def small_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def write_gguf(path, model, architecture="llama", extra=None):
    c = model.config
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_vocab_size(c.vocab_size)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_freq_base(c.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    for name, weight in model.model.state_dict().items():
        array = weight.numpy().copy()
        if name == "embed_tokens.weight":
            writer.add_tensor("token_embd.weight", array)
        elif name == "norm.weight":
            writer.add_tensor("output_norm.weight", array)
        else:
            _, layer, inner = name.split(".", 2)
            kind = GGUF_NAMES[inner.removesuffix(".weight")]
            heads = {"attn_q": c.num_attention_heads, "attn_k": c.num_key_value_heads}.get(kind)
            if heads is not None:  # The format interleaves the two halves that rotate together.
                first, second = np.split(array.reshape(heads, -1, array.shape[1]), 2, axis=1)
                array = np.stack([first, second], axis=2).reshape(array.shape)
            writer.add_tensor(f"blk.{layer}.{kind}.weight", array)
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_llama_survives_gguf(tmp_path):
    model = small_llama()
    back, _ = llama_from_gguf(write_gguf(tmp_path / "m.gguf", model))
    for name, weight in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], weight), name
    ids = torch.tensor([[1, 3, 4, 10, 11, 2]])
    with torch.no_grad():
        assert torch.equal(back(input_ids=ids).logits, model(input_ids=ids).logits)
    assert back.config.rms_norm_eps == model.config.rms_norm_eps
    assert back.generation_config.eos_token_id == 2


def test_the_tokenizer_keeps_merges_digits_and_control_tokens(tmp_path):
    _, tokenizer = llama_from_gguf(write_gguf(tmp_path / "m.gguf", small_llama()))
    text = "<|im_start|>ab abc 12<|im_end|>"
    pieces = ["<|im_start|>", "ab", "Ġab", "c", "Ġ", "1", "2", "<|im_end|>"]
    assert tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids) == pieces
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == "ab abc 12"


def test_a_gguf_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'falcon'; wanted 'llama'"):
        llama_from_gguf(write_gguf(tmp_path / "m.gguf", small_llama(), architecture="falcon"))


def test_a_gguf_with_a_tensor_left_over_is_refused(tmp_path):
    path = write_gguf(tmp_path / "m.gguf", small_llama(), extra={"output.weight": np.zeros((32, 32), np.float32)})
    with pytest.raises(ValueError, match=r"output\.weight"):
        llama_from_gguf(path)


def small_dinov2() -> Dinov2Model:
    torch.manual_seed(1)
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=20, patch_size=4
    )
    model = Dinov2Model(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.2)
        model.embeddings.mask_token.zero_()
    return model


def write_onnx(path, model, folder, without=()):
    """The weights as an exporter leaves them: matrices transposed and nameless, the position table in two."""
    model.save_pretrained(folder)
    weights = {name: w.numpy() for name, w in load_file(folder / "model.safetensors").items()}
    places = weights.pop("embeddings.position_embeddings")
    weights.pop("embeddings.mask_token")
    tensors = {"onnx::Concat_1": places[:, :1], "onnx::Reshape_2": places[:, 1:]}
    nodes = []
    for i, (name, w) in enumerate(weights.items()):
        if name.endswith(".weight") and w.ndim == 2:
            bias = "backbone." + name.removesuffix("weight") + "bias"
            tensors[f"onnx::MatMul_{i}"] = w.T
            nodes.append(helper.make_node("MatMul", [f"x{i}", f"onnx::MatMul_{i}"], [f"y{i}"]))
            ends = [f"y{i}", bias] if i % 2 else [bias, f"y{i}"]
            nodes.append(helper.make_node("Add", ends, [f"z{i}"]))
        else:
            tensors["backbone." + name] = w
    tensors["decoder.conv.weight"] = np.zeros((1, 32, 1, 1), np.float32)
    held = [numpy_helper.from_array(np.ascontiguousarray(w), n) for n, w in tensors.items() if n not in without]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 20, 20])
    onnx.save(helper.make_model(helper.make_graph(nodes, "tower", [image], [], held)), str(path))
    return path


def test_a_vision_tower_survives_onnx(tmp_path):
    model = small_dinov2()
    back = dinov2_from_onnx(write_onnx(tmp_path / "v.onnx", model, tmp_path), patch=4, head_width=16)
    for name, weight in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], weight), name
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(back(pixel_values=pixels)[0], model(pixel_values=pixels)[0])


@pytest.mark.parametrize("lost", ["onnx::Reshape_2", "backbone.layernorm.bias"])
def test_a_vision_tower_with_a_weight_lost_is_refused(tmp_path, lost):
    path = write_onnx(tmp_path / "v.onnx", small_dinov2(), tmp_path, without=(lost,))
    with pytest.raises(ValueError, match=r"0 patch position tables|layernorm\.bias"):
        dinov2_from_onnx(path, patch=4, head_width=16)


def test_an_efficientnet_survives_a_table_of_weights(tmp_path):
    model = lite()
    back = efficientnet_from_torch(write_table(tmp_path / "e.pth", model))
    for name, weight in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], weight), name
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(back(pixel_values=pixels)[0], model(pixel_values=pixels)[0])
        assert back(pixel_values=pixels)[0].std() > 0.1


@pytest.mark.parametrize(
    "more, told",
    [
        ({"_blocks.3._se_reduce.weight": torch.ones(1)}, "'_se_reduce' is missing or unknown"),
        ({"_blocks.9._project_conv.weight": torch.ones(3, 12, 1, 1)}, "is missing or unknown|has 8 stages"),
        ({"head.weight": torch.ones(1)}, "'head' is missing or unknown"),
    ],
)
def test_a_table_of_another_network_is_refused(more, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        efficientnet_from_torch(write_table(tmp_path / "e.pth", lite(), **more))
    with pytest.raises(ValueError, match="is no EfficientNet-Lite"):
        torch.save({"a": torch.ones(1)}, tmp_path / "a", _use_new_zipfile_serialization=False)
        efficientnet_from_torch(tmp_path / "a")

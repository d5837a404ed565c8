"""Two small parts joined: the folder is an ordinary host, and each part in it still says what it said alone."""

import pytest
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    AyaVisionForConditionalGeneration,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from perceptiongpt.model.assemble import assemble

TALK = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "ab"}]},
    {"role": "assistant", "content": "ba"},
    {"role": "user", "content": "a"},
]


def small_tokenizer():
    pieces = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in pieces[:3]])
    special = {"bos_token": pieces[1], "eos_token": pieces[2], "pad_token": pieces[2], "unk_token": pieces[0]}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def small_parts(tied=True):
    torch.manual_seed(0)
    tokenizer = small_tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = LlamaConfig(**sizes, vocab_size=len(tokenizer), intermediate_size=48, tie_word_embeddings=tied,
                       num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=2)  # fmt: skip
    vision = Dinov2Config(**{**sizes, "hidden_size": 24}, mlp_ratio=2, image_size=20, patch_size=4)
    return LlamaForCausalLM(text).eval(), tokenizer, Dinov2Model(vision).eval()


def join(folder, parts, **changes):
    settings = {"image_side": 32, "vision_layer": 1, "projector_width": 16, "dtype": torch.float32}
    return assemble(*parts, folder, **{**settings, **changes})


@pytest.mark.parametrize("tied", [True, False])
def test_the_folder_loads_with_every_weight_in_its_place(tmp_path, tied):
    language, tokenizer, vision = small_parts(tied)
    folder = join(tmp_path / "host", (language, tokenizer, vision))
    host, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert type(host) is AyaVisionForConditionalGeneration
    assert not any(report[fault] for fault in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    old = len(tokenizer)
    for name, weight in host.model.vision_tower.state_dict().items():
        assert torch.equal(weight, vision.state_dict()[name]), name
    ids = torch.tensor([[1, 30, 40, 50, 2]])
    with torch.no_grad():
        assert torch.equal(host(input_ids=ids).logits[..., :old], language(input_ids=ids).logits)
    assert (host.lm_head.weight is host.get_input_embeddings().weight) == tied


def test_new_rows_are_the_mean_and_the_image_token_is_the_first_of_them(tmp_path):
    language, tokenizer, vision = small_parts()
    before = len(tokenizer)
    folder = join(tmp_path / "host", (language, tokenizer, vision))
    host, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    rows = host.get_input_embeddings().weight
    assert processor.tokenizer.convert_tokens_to_ids("<image>") == host.config.image_token_id == before
    assert rows.shape == (320, 32)  # 259 tokens and <image>, up to a multiple of 64
    torch.testing.assert_close(rows[before:], rows[:before].mean(0).expand(320 - before, -1))
    assert len(tokenizer) == before and language.config.vocab_size == before  # the parts stay as they were


@pytest.mark.parametrize("size_wh", [(40, 30), (17, 90), (32, 32)])
def test_a_picture_of_any_shape_becomes_the_tokens_that_the_projector_makes(tmp_path, size_wh):
    folder = join(tmp_path / "host", small_parts())
    host, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    prompt = processor.apply_chat_template(TALK[:1], tokenize=False, add_generation_prompt=True)
    inputs = processor(images=Image.new("RGB", size_wh, "red"), text=prompt, return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, 32, 32)
    assert (inputs["input_ids"] == host.config.image_token_id).sum() == 16  # (32 / 4 / 2) squared
    with torch.no_grad():
        output = host(**inputs)
    assert output.image_hidden_states.shape == (1, 16, 32)
    assert output.logits.isfinite().all()


def test_red_is_normalised_by_imagenet_colours_and_nothing_is_cropped(tmp_path):
    processor = AutoProcessor.from_pretrained(join(tmp_path / "host", small_parts()))
    picture = Image.new("RGB", (64, 32), "red")
    picture.paste("blue", (0, 0, 8, 32))  # a centre crop would lose it
    pixels = processor.image_processor(picture, return_tensors="pt")["pixel_values"][0]
    assert pixels[:, 16, 0] == pytest.approx([(0 - 0.485) / 0.229, (0 - 0.456) / 0.224, (1 - 0.406) / 0.225], abs=0.05)
    assert pixels[:, 16, 31] == pytest.approx([(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0 - 0.406) / 0.225], abs=0.05)


def test_every_prefix_of_a_talk_begins_the_next_one(tmp_path):
    processor = AutoProcessor.from_pretrained(join(tmp_path / "host", small_parts()))
    said = [processor.apply_chat_template(TALK[:n], tokenize=False) for n in (1, 2, 3)]
    asked = processor.apply_chat_template(TALK[:1], tokenize=False, add_generation_prompt=True)
    assert said[0] == "<|im_start|>user\n<image>\nab<|im_end|>\n"
    assert asked == said[0] + "<|im_start|>assistant\n"
    assert said[1] == asked + "ba<|im_end|>\n"
    assert said[2] == said[1] + "<|im_start|>user\na<|im_end|>\n"
    with pytest.raises(Exception, match="type video"):
        processor.apply_chat_template([{"role": "user", "content": [{"type": "video"}]}], tokenize=False)


def test_a_batch_of_prompts_is_padded_on_the_left(tmp_path):
    processor = AutoProcessor.from_pretrained(join(tmp_path / "host", small_parts()))
    mask = processor(text=["a", "abc"], padding=True, return_tensors="pt")["attention_mask"]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]


def test_the_projector_depends_on_its_seed_and_on_nothing_else(tmp_path):
    def projector(name, seed):
        torch.manual_seed(len(name))
        host = AutoModelForImageTextToText.from_pretrained(join(tmp_path / name, parts, seed=seed))
        return host.model.multi_modal_projector.linear_1.weight

    parts = small_parts()
    first = projector("first", seed=0)
    assert torch.equal(first, projector("again", seed=0))
    assert not torch.equal(first, projector("other", seed=1))


@pytest.mark.parametrize("change", [{"image_side": 36}, {"vision_layer": 3}, {"vision_layer": -1}])
def test_a_size_or_layer_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, change):
    with pytest.raises(ValueError, match=r"image_side 36 is not a multiple of 8|outside 0\.\.2"):
        join(tmp_path / "host", small_parts(), **change)
    assert not (tmp_path / "host").exists()

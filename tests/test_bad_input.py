"""Whatever a user hands in: one clear sentence on stderr, exit code 2, nothing on stdout, nothing half-written."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from perceptiongpt import cli
from perceptiongpt.core.masks import encode_rle

Capture = pytest.CaptureFixture[str]
Refuse = Callable[..., str]


@pytest.fixture
def refused(capsys: Capture, tmp_path: Path) -> Refuse:
    """Runs a command that must be refused; gives its sentence back. `-o` must not leave anything behind."""

    def run(*words: object) -> str:
        before = sorted(p for p in tmp_path.rglob("*"))
        try:
            code: object = cli.main([str(w) for w in words])
        except SystemExit as stop:
            code = stop.code
        told = capsys.readouterr()
        assert code == 2
        assert told.out == ""
        lines = told.err.strip().splitlines()
        assert len(lines) == 1, told.err
        assert lines[0].startswith("perceptiongpt: ")
        assert "Traceback" not in told.err
        assert sorted(p for p in tmp_path.rglob("*")) == before
        return lines[0]

    return run


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


# -- pictures ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (None, "does not exist"),
        (b"", "not a picture"),
        (b"these are words", "not a picture"),
        (png_header(9000, 9000), "limit of 64000000 pixels"),
        (png_header(60_000, 60_000), "limit of 64000000 pixels"),
        (png_header(50, 40), "truncated or broken"),
    ],
    ids=["missing", "empty", "words", "large", "bomb", "truncated"],
)
def test_what_is_no_picture_is_refused(
    refused: Refuse, tmp_path: Path, model_folder: Path, body: bytes | None, why: str
) -> None:
    file = tmp_path / "photo.png"
    if body is not None:
        file.write_bytes(body)
    told = refused("segment", file, "the mug", "--model", model_folder, "-o", tmp_path / "out.png", "--json")
    assert why in told
    assert "photo.png" in told


def test_a_truncated_photograph_and_a_folder_are_refused(
    refused: Refuse, tmp_path: Path, photo: Image.Image, model_folder: Path
) -> None:
    packed = io.BytesIO()
    photo.resize((300, 300)).save(packed, "JPEG")
    (tmp_path / "half.jpg").write_bytes(packed.getvalue()[: len(packed.getvalue()) // 2])
    assert "truncated" in refused("segment", tmp_path / "half.jpg", "the mug", "--model", model_folder)
    assert "directory" in refused("segment", tmp_path, "the mug", "--model", model_folder)


def odd(kind: str) -> tuple[bytes, tuple[int, int]]:
    """A picture that is odd but sound, and the size as which it must be answered."""
    made, packed = Image.new("RGB", (50, 40), "teal"), io.BytesIO()
    options: dict[str, Any] = {}
    form, size = "PNG", (50, 40)
    if kind == "1x1":
        size = (1, 1)
        made = Image.new("RGB", size, "teal")
    elif kind == "20000x20":
        size = (20_000, 20)
        made = Image.new("RGB", size, "teal")
    elif kind == "16-bit":
        made = Image.fromarray(np.full((40, 50), 40_000, np.uint16))
    elif kind == "CMYK":
        made, form = made.convert("CMYK"), "JPEG"
    elif kind == "palette with alpha":
        made, options = made.convert("P"), {"transparency": 0}
    elif kind == "EXIF-rotated":
        exif = Image.Exif()
        exif[0x0112] = 6
        form, options, size = "JPEG", {"exif": exif}, (40, 50)
    elif kind == "animated":
        form, options = "GIF", {"save_all": True, "append_images": [Image.new("RGB", (50, 40), "red")]}
    made.save(packed, form, **options)
    return packed.getvalue(), size


@pytest.mark.parametrize(
    "kind", ["1x1", "20000x20", "16-bit", "CMYK", "palette with alpha", "EXIF-rotated", "animated"]
)
def test_an_odd_picture_is_answered_in_its_own_pixels(
    capsys: Capture, tmp_path: Path, model_folder: Path, kind: str
) -> None:
    body, (width, height) = odd(kind)
    (tmp_path / "odd").write_bytes(body)
    out = tmp_path / "out.png"
    words = ["segment", str(tmp_path / "odd"), "the mug", "--model", str(model_folder), "--json", "-o", str(out)]
    assert cli.main(words) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["image"] == {"width": width, "height": height}
    assert read["regions"]
    assert all(r["mask"]["size"] == [height, width] for r in read["regions"])
    with Image.open(out) as painted:
        painted.load()


# -- words and regions ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["detect", "segment", "point", "ask"])
@pytest.mark.parametrize("words", ["", "   ", "a" * 501], ids=["empty", "blank", "long"])
def test_words_that_say_nothing_are_refused_at_once(refused: Refuse, photo_file: Path, verb: str, words: str) -> None:
    told = refused(verb, photo_file, words, "--model", "not/even/looked/at")
    assert ("question" if verb == "ask" else "phrase") in told
    assert "empty" in told or "501 characters" in told


@pytest.mark.parametrize("phrase", ["<vis>", "<image>", "the <vis> mug <|im_end|>", "{0}", "{3} mugs", "\x00"])
def test_control_tokens_in_a_phrase_are_mere_letters(
    capsys: Capture, photo_file: Path, model_folder: Path, phrase: str
) -> None:
    assert cli.main(["segment", str(photo_file), phrase, "--model", str(model_folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["image"]["width"] == 50


@pytest.mark.parametrize(
    ("flag", "value", "why"),
    [
        ("--box", "0,0,60,10", "outside"),
        ("--box", "-5,0,10,10", "outside"),
        ("--box", "30,5,10,20", "inverted"),
        ("--box", "10,5,10,20", "no area"),
        ("--box", "1,2,3", "4 numbers"),
        ("--box", "a,b,c,d", "4 numbers"),
        ("--box", "nan,0,1,1", "finite"),
        ("--box", "0,0,inf,1", "finite"),
        ("--point", "50.5,3", "outside"),
        ("--point", "-3,3", "outside"),
        ("--point", "3", "2 numbers"),
        ("--mask", "nowhere.png", "nowhere.png"),
    ],
)
def test_a_region_that_cannot_be_is_refused_before_a_model_is_loaded(
    refused: Refuse, photo_file: Path, flag: str, value: str, why: str
) -> None:
    assert why in refused("describe", photo_file, flag, value, "--model", "not/even/looked/at")


def test_masks_that_do_not_fit_are_refused(refused: Refuse, photo_file: Path, tmp_path: Path) -> None:
    def told(name: str, body: bytes) -> str:
        (tmp_path / name).write_bytes(body)
        return refused("ask", photo_file, "what?", "--mask", tmp_path / name, "--model", "not/even/looked/at")

    small = io.BytesIO()
    Image.new("L", (9, 9), 255).save(small, "PNG")
    empty = io.BytesIO()
    Image.new("L", (50, 40), 0).save(empty, "PNG")
    assert "9 wide and 9 high" in told("small.png", small.getvalue())
    assert "empty" in told("empty.png", empty.getvalue())
    assert "no mask" in told("words.png", b"words")
    assert "broken" in told("broken.png", png_header(50, 40))
    assert "60000 wide" in told("bomb.png", png_header(60_000, 60_000)) or "bomb" in told(
        "bomb.png", png_header(60_000, 60_000)
    )
    assert "no JSON" in told("a.json", b"{")
    assert "size and counts" in told("b.json", b"{}")
    assert "9 wide" in told("c.json", json.dumps(encode_rle(np.ones((9, 9), bool))).encode())
    assert "over the limit" in told("d.json", b'{"size": [100000, 100000], "counts": [10000000000]}')


@pytest.mark.parametrize(
    "words",
    [
        ("segment", "P"),
        ("segmnt", "P", "x"),
        ("segment", "P", "x", "--min-score", "2"),
        ("segment", "P", "x", "--threads", "0"),
        ("describe", "P"),
        ("describe", "P", "--box", "0,0,5,5", "--point", "1,1"),
        (),
        ("data",),
        ("evaluate", "M", "--n", "-3"),
        ("evaluate", "M", "--min-score", "nan"),
        ("calibrate", "M", "--t-acc", "95"),
    ],
    ids=str,
)
def test_a_command_line_that_cannot_be_read_is_one_sentence(
    refused: Refuse, photo_file: Path, words: tuple[str, ...]
) -> None:
    assert "--help" in refused(*(photo_file if w == "P" else w for w in words))


@pytest.mark.parametrize(
    ("name", "why"), [("out.txt", ".png"), ("out", ".png"), ("no/folder/out.png", "not there"), (".", "a folder")]
)
def test_a_place_to_write_that_cannot_be_is_refused_first(
    refused: Refuse, photo_file: Path, tmp_path: Path, name: str, why: str
) -> None:
    assert why in refused("segment", photo_file, "x", "-o", tmp_path / name, "--model", "not/even/looked/at")


# -- data ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "broken JSON"),
        ('{"image": "photo.png"}', "'turns'"),
        ('{"image": "none.png", "turns": []}', "none.png"),
        (
            '{"image": "photo.png", "turns": [{"role": "user", "text": "a {0}"}, {"role": "assistant", "text": "b"}]}',
            "{",
        ),
        ("\xff", "mend"),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(
    refused: Refuse, photo_file: Path, tmp_path: Path, line: str, why: str
) -> None:
    turns = [{"role": "user", "text": "a"}, {"role": "assistant", "text": "b"}]
    good = json.dumps({"image": "photo.png", "turns": turns})
    (tmp_path / "rows.jsonl").write_text(f"{good}\n{line}\n", encoding="latin-1")
    told = refused("data", "show", tmp_path / "rows.jsonl", "-o", tmp_path / "out.png")
    assert "rows.jsonl:2: " in told
    assert why in told or "UTF-8" in told
    told = refused(
        "train", "tiny", "--set", f'data=[["{tmp_path / "rows.jsonl"}", 1.0]]', "--set", f"out={tmp_path / 'r'}"
    )
    assert "rows.jsonl:2: " in told


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("train", "huge"), "choose one of"),
        (("train", "tiny", "--set", "stepps=3"), "stepps"),
        (("train", "tiny", "--set", "seed"), "key=value"),
        (("train", "tiny", "--set", 'data=[["nothing", 1.0]]'), "no source 'nothing'"),
        (("train", "tiny", "--set", 'data=[["scenes:nowhere", 1.0]]'), "nowhere"),
        (("train", "tiny", "--set", 'data=[["shapes:2", 1.0]]', "--set", "host=tiny:none"), "choose one of"),
        (("evaluate", "M", "--data", "nowhere"), "nowhere"),
        (("evaluate", "M", "--data", "scenes:nowhere"), "nowhere"),
        (("evaluate", "M", "--json", "no/folder/n.json"), "not there"),
        (("data", "scenes", "OUT", "--split", "nowhere"), "nowhere"),
        (("data", "scenes", "OUT", "--library", "nowhere"), "nowhere"),
        (("data", "show", "nowhere.jsonl", "-o", "OUT.png"), "nowhere.jsonl"),
    ],
    ids=str,
)
def test_names_of_what_is_not_there_are_refused(
    refused: Refuse, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    told = refused(*(str(tmp_path / w) if w.startswith("OUT") else w for w in words))
    assert why in told


def test_a_folder_that_holds_something_is_not_written_over(refused: Refuse, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    assert "not an empty folder" in refused("data", "scenes", tmp_path / "out", "--n", "1")


# -- model folders ------------------------------------------------------------------------


@pytest.fixture
def broken_model(model_folder: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def extra_tensor(folder: Path) -> None:
    tensors = load_file(folder / "perception.safetensors")
    save_file({**tensors, "backdoor": torch.zeros(3)}, folder / "perception.safetensors")


def missing_tensor(folder: Path) -> None:
    tensors = load_file(folder / "perception.safetensors")
    tensors.pop("vis_row")
    save_file(tensors, folder / "perception.safetensors")


def other_shape(folder: Path) -> None:
    tensors = load_file(folder / "perception.safetensors")
    tensors["vis_row"] = torch.zeros(1, 5)
    save_file(tensors, folder / "perception.safetensors")


def cut_off(folder: Path) -> None:
    file = folder / "perception.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def pickled(folder: Path) -> None:
    torch.save({"vis_row": torch.zeros(1, 64)}, folder / "perception.safetensors")


def unknown_setting(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["settings"]["telepathy"] = 1
    (folder / "config.json").write_text(json.dumps(config))


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (without("config.json"), "config.json"),
        (without("perception.safetensors"), "perception.safetensors"),
        (without("adapter/adapter_model.safetensors"), "adapter_model.safetensors"),
        (extra_tensor, "backdoor"),
        (missing_tensor, "vis_row"),
        (other_shape, "vis_row"),
        (cut_off, "cannot be read"),
        (pickled, "cannot be read"),
        (unknown_setting, "telepathy"),
        (no_json, "not JSON"),
    ],
)
def test_a_model_folder_that_is_not_whole_is_refused(
    refused: Refuse, broken_model: Path, photo_file: Path, spoil: Callable[[Path], None], why: str
) -> None:
    spoil(broken_model)
    told = refused("segment", photo_file, "the mug", "--model", broken_model, "-o", photo_file.parent / "out.png")
    assert why in told


def test_a_model_made_for_another_host_is_refused(refused: Refuse, model_folder: Path, photo_file: Path) -> None:
    told = refused("segment", photo_file, "the mug", "--model", model_folder, "--host", "tiny:llava")
    assert "made for" in told


def test_a_model_that_is_not_there_is_refused(refused: Refuse, photo_file: Path, tmp_path: Path) -> None:
    assert "nowhere" in refused("segment", photo_file, "the mug", "--model", tmp_path / "nowhere")


def test_too_little_memory_is_a_sentence(
    refused: Refuse, photo_file: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("perceptiongpt.predict.generate", full)
    assert "memory" in refused("segment", photo_file, "the mug", "--model", model_folder)


def test_a_full_disk_leaves_nothing_half_written(
    refused: Refuse, photo_file: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Image.Image, file: io.BufferedWriter, form: str) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    out = photo_file.parent / "out.png"
    assert "no space" in refused("segment", photo_file, "x", "--model", model_folder, "-o", out).lower()

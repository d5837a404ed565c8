"""Streams: records read one after the other, from a local server or a data set; nothing is held, nothing lost."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from perceptiongpt.data import remote
from perceptiongpt.data.dialogues import is_val
from perceptiongpt.data.mix import Mix
from perceptiongpt.data.record import Fault, Record
from perceptiongpt.data.stream import SHUFFLED, Stream
from perceptiongpt.sources import open_source
from perceptiongpt.validate import exchanges

COUNT = 30


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Tests print nothing."""


def shard(path: Path, names: range) -> None:
    """A tar of pictures `NUMBER.jpg`, with captions in `NUMBER.txt`, of each third with talk in `NUMBER.json`."""
    packed = io.BytesIO()
    Image.new("RGB", (40, 30)).save(packed, "JPEG")
    with tarfile.open(path, "w") as out:
        for i in names:
            said = f"Picture {i}."
            turns = [{"role": "user", "text": "What is it?"}, {"role": "assistant", "text": said}]
            told = (f"{i}.txt", said) if i % 3 else (f"{i}.json", json.dumps({"turns": turns}))
            for name, raw in ((f"{i}.jpg", packed.getvalue()), (told[0], told[1].encode())):
                info = tarfile.TarInfo(name)
                info.size = len(raw)
                out.addfile(info, io.BytesIO(raw))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where two shards of COUNT pictures are served, and a third that breaks off."""
    folder = tmp_path_factory.mktemp("served")
    shard(folder / "s-0.tar", range(COUNT // 2))
    shard(folder / "s-1.tar", range(COUNT // 2, COUNT))
    (folder / "broken.tar").write_bytes((folder / "s-0.tar").read_bytes()[:5000])
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def told(sample: Any) -> str:
    return sample.turns[-1].text


def test_shards_at_an_address_are_a_source(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = open_source(f"shards:{address}/s-{{0..1}}.tar", 0)
    assert isinstance(source, Stream)
    once = {told(source[i]) for i in range(COUNT)}
    assert once == {f"Picture {i}." for i in range(COUNT)}
    assert {told(source[i]) for i in range(COUNT, 2 * COUNT)} == once  # begins anew
    assert source[3].image == open_source(f"{address}/s-{{0..1}}.tar", 0)[3].image
    assert capsys.readouterr().out.count("coordinates are read as") == 2  # said once for each source


def test_a_stream_is_divided_by_picture_wherever_it_lies(address: str, tmp_path: Path) -> None:
    shard(tmp_path / "s-0.tar", range(COUNT // 2))
    shard(tmp_path / "s-1.tar", range(COUNT // 2, COUNT))
    keys = []
    for part in ("train", "val"):
        here, there = (
            open_source(f"shards:{tmp_path}:{part}", 0),
            open_source(f"shards:{address}/s-{{0..1}}.tar:{part}", 0),
        )
        keys.append({there[i].id for i in range(COUNT)})
        assert keys[-1] == {here[i].id for i in range(len(here))}
    assert not any(map(is_val, keys[0])) and all(map(is_val, keys[1])) and keys[1]
    assert len(keys[0] | keys[1]) == COUNT


def test_a_stream_with_a_dead_shard_goes_on_after_it(address: str) -> None:
    source = open_source(f"shards:{address}/s-{{0..2}}.tar", 0)
    found, faults = set(), []
    for i in range(COUNT + 1):
        try:
            found.add(told(source[i]))
        except ValueError as error:
            faults.append(str(error))
    assert len(found) == COUNT
    assert len(faults) == 1 and "s-2.tar: cannot be read" in faults[0]
    assert len(exchanges([source], 5, 0)) == 5


def test_a_reader_that_breaks_off_breaks_off_again() -> None:
    def read() -> Iterator[Record | Fault]:
        raise ValueError("x.json is not JSON")
        yield

    source = Stream(read, 0)
    for _ in range(2):
        with pytest.raises(ValueError, match="not JSON"):
            source[0]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.tar", "none.tar: cannot be read .*check the address"),
        ("broken.tar", "broken.tar: it is no whole plain tar"),
    ],
)
def test_a_dead_address_is_told_by_name(address: str, name: str, why: str) -> None:
    with pytest.raises((ValueError, OSError), match=why):
        source = open_source(f"shards:{address}/{name}", 0)
        [source[i] for i in range(COUNT)]


def test_nobody_at_home_is_told_by_name() -> None:
    with pytest.raises(ValueError, match=r"http://127.0.0.1:9/x.tar: cannot be read"):
        open_source("http://127.0.0.1:9/x.tar", 0)
    with pytest.raises(ValueError, match=r"read from disk"):
        open_source("coco:http://127.0.0.1:9/x.json", 0)
    with pytest.raises(ValueError, match="no address of http"):
        open_source("shards:file:///etc/x.tar", 0)


def test_a_shard_without_end_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FILE_LIMIT", 4096)
    with pytest.raises(ValueError, match="split it"):
        source = open_source(f"{address}/s-0.tar", 0)
        [source[i] for i in range(COUNT)]


def rows(count: int) -> list[Record | Fault]:
    return [Record(None, f"x:{i}", str(i), talk=(("user", "a", ()), ("assistant", str(i), ()))) for i in range(count)]


def test_a_stream_gives_the_same_to_whoever_asks_in_whatever_steps() -> None:
    many = rows(3 * SHUFFLED)
    one, two = (Stream(lambda: iter(many), 5) for _ in range(2))
    walked = [told(one[i]) for i in range(700)]
    assert told(two[650]) == walked[650]  # resumed far on
    assert told(two[3]) == walked[3]  # and gone back
    assert [told(one[i]) for i in range(650, 700)] == walked[650:]
    assert walked[:50] != [str(i) for i in range(50)]
    assert len(set(walked)) == 700


def test_a_stream_in_a_mixture_goes_at_the_pace_of_its_weight() -> None:
    many = Stream(lambda: iter(rows(1000)), 1)
    few = [Stream(lambda: iter(rows(4)), 1)[i] for i in range(4)]
    mix = Mix([(many, 1.0), (few, 3.0)], 0)
    found = [mix[i] for i in range(2000)]
    assert told(found[7]) == told(mix[7])
    assert len({told(s) for s in found}) == pytest.approx(300, rel=0.25)  # a quarter of 2,000, some twice
    assert told(Mix([(many, 1.0)], 0).instead(5, 2)) == told(many[7])


def test_a_bad_row_of_a_stream_is_an_error_when_it_is_asked_for() -> None:
    source = Stream(lambda: iter([*rows(1), Fault("x:9", "it is broken")]), 0)
    with pytest.raises(ValueError, match="x:9: it is broken"):
        [source[i] for i in range(2)]
    with pytest.raises(ValueError, match="nothing to ask"):
        Stream(lambda: iter([]), 0)[0]


def test_rows_of_a_data_set_stream_as_they_are_read_whole(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "objects": {
                "bbox": datasets.List(datasets.List(datasets.Value("float32"))),
                "category": datasets.List(datasets.ClassLabel(names=["red_mug"])),
            },
        }
    )
    made = [
        {"image": Image.new("RGB", (80, 60)), "objects": {"bbox": [[i, 5, 20, 30]], "category": [0]}} for i in range(5)
    ]
    datasets.Dataset.from_list(made, features=features).save_to_disk(str(tmp_path / "set"))
    heard: list[str] = []
    source = open_source(f"stream:hf:{tmp_path / 'set'}:train", 0, heard.append)
    assert isinstance(source, Stream)
    boxes = {r.box for i in range(10) for t in source[i].turns for r in t.regions}
    assert boxes == {(float(i), 5.0, i + 20.0, 35.0) for i in range(5)}
    assert "told from the first 5 rows" in heard[0]


def test_a_stream_crosses_to_another_process_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    import pickle

    line = {"image": None, "turns": [{"role": "user", "text": "a"}, {"role": "assistant", "text": "b"}]}
    (tmp_path / "x.jsonl").write_text("\n".join(json.dumps(line) for _ in range(3)))
    source = open_source(f"stream:{tmp_path / 'x.jsonl'}", 0)
    (tmp_path / "y.jsonl").write_text(json.dumps({**line, "image": None}) + "\n")
    parts = [f"stream:{tmp_path / 'y.jsonl'}:{p}" for p in ("train", "val")]
    with pytest.raises(ValueError, match="nothing to ask"):  # one of two parts of one line
        [open_source(name, 0) for name in parts]
    assert told(pickle.loads(pickle.dumps(source))[2]) == told(source[2]) == "b"

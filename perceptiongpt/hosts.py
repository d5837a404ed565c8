"""Hosts by name: the default one, a tiny random one, a folder or a hub id, loaded quietly and in a fitting precision.

Knows where `fetch` puts the default host and how `transformers` loads. Knows nothing of what is added to a host.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

TINY = "tiny:"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class HostMissingError(ValueError):
    """A host that cannot be loaded, with the reason and what to do."""


def open_host(
    name: str,
    dtype: str = "auto",
    device: str = "auto",
    *,
    bits: int | None = None,
    device_map: str | None = None,
    attention: str | None = None,
) -> tuple[Any, Any]:
    """The host called `name` and its processor, in eval mode on `device`.

    `name`: "default" (what `fetch` made), "tiny:FAMILY" (random, for tests), a folder, or a hub id. `dtype`: "auto",
    "float32", "bfloat16" or "float16"; `device`: "auto", or what torch calls one. Only safetensors are read and no code
    that comes with a model is run. `bits` 8 or 4 quantises what a host's linear layers hold, by bitsandbytes;
    `device_map` ("auto", "balanced" …) spreads it over devices, by accelerate; `attention` is an implementation of
    transformers ("sdpa", "eager", "flash_attention_2" …). Raises HostMissingError (a ValueError).
    """
    place = chosen_device(device)
    if bits is not None and bits not in (4, 8):
        raise ValueError(f"a host in {bits!r} bits was asked for; choose 8 or 4, or leave it out")
    for package, wanted in (("bitsandbytes", bits), ("accelerate", device_map)):
        if wanted and importlib.util.find_spec(package) is None:
            raise HostMissingError(
                f"{'bits' if bits else 'device_map'}={wanted} needs {package}, which is not installed; "
                f"pip install {package}, or leave it out"
            )
    if name.startswith(TINY):
        from perceptiongpt.model.zoo import HOSTS

        family = name.removeprefix(TINY)
        if family not in HOSTS:
            raise HostMissingError(f"there is no tiny host {family!r}; choose one of {', '.join(sorted(HOSTS))}")
        host, processor = HOSTS[family]()
        if attention is not None:
            _attend(host, attention)
        return host.to(place, torch.float32 if dtype == "auto" else chosen_dtype(dtype, place)), processor
    where = str(_default_folder()) if name == "default" else name
    how: dict[str, Any] = {"dtype": chosen_dtype(dtype, place), "use_safetensors": True, "trust_remote_code": False}
    if attention is not None:
        how["attn_implementation"] = attention
    if device_map is not None or bits is not None:
        how["device_map"] = device_map or {"": place}
    if bits is not None:
        how["quantization_config"] = _quantised(bits)
    with quiet():
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            processor = AutoProcessor.from_pretrained(where, trust_remote_code=False)
            host = AutoModelForImageTextToText.from_pretrained(where, **how)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise HostMissingError(
                f"host {name!r} cannot be loaded ({first_line(error)}); give a folder or hub id of an "
                "image-text-to-text model with safetensors"
            ) from error
    return (host if "device_map" in how else host.to(place)).eval(), processor


def equip(
    host: Any, processor: Any = None, *, seed: int = 0, how: Mapping[str, Any] | None = None, **settings: Any
) -> Any:
    """Give eyes that point to an image-text-to-text model of `transformers`, from outside.

    `host`: the model, with its `processor`; or its name, which `open_host` loads in the way `how` tells. `settings` are
    those of `model.perception.Settings`. Raises HostError or HostMissingError (ValueErrors).
    """
    from perceptiongpt.model import perception

    if isinstance(host, str):
        host, processor = open_host(host, **(how or {}))
    elif processor is None or how:
        raise ValueError("a host came without its processor, or with ways of loading; give both, or the host's name")
    return perception.equip(host, processor, seed=seed, **settings)


def _attend(host: Any, attention: str) -> None:
    try:
        host.set_attn_implementation(attention)
    except (ValueError, ImportError) as error:
        raise HostMissingError(
            f"attention {attention!r} cannot be used ({first_line(error)}); try 'sdpa' or 'eager'"
        ) from error


def _quantised(bits: int) -> Any:
    from transformers import BitsAndBytesConfig

    kept = ["lm_head", "multi_modal_projector", "vision_tower", "visual"]
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=kept,
    )


def _default_folder() -> Path:
    from perceptiongpt.fetch import default_host_dir, is_current

    folder = default_host_dir()
    if not (folder / "config.json").is_file():
        raise HostMissingError(
            f"the default host is not on this machine (looked in {folder}); run `perceptiongpt fetch` once"
        )
    if not is_current(folder):
        raise HostMissingError(
            f"the default host in {folder} was made by another version of this program; run `perceptiongpt fetch` again"
        )
    return folder


def chosen_device(device: str) -> torch.device:
    """The torch device of that name; "auto" is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    # torch: RuntimeError for an unknown name, a device that isn't there or one without kernels; AssertionError for one
    # that it was not compiled for; ImportError for hpu, whose library is another package.
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(f"device {device!r} cannot be used ({first_line(error)}); try 'cpu'") from error
    if chosen.type == "meta":
        raise ValueError(f"device {device!r} holds no numbers, so nothing can be computed on it; try 'cpu'")
    return chosen


def chosen_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The torch type of that name; "auto" is bfloat16 where the device computes in it, else float32."""
    if dtype == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is unknown; choose auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 products in hardware; emulated ones are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without its progress bars, its advice and its warnings, for as long as this lasts."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """What an error says, as one clause."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")

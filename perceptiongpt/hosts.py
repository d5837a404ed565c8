"""Hosts by name: the default one, a tiny random one, a folder or a hub id, loaded quietly and in a fitting precision.

Knows where `fetch` puts the default host and how `transformers` loads. Knows nothing of what is added to a host.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

TINY = "tiny:"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class HostMissingError(ValueError):
    """A host that cannot be loaded, with the reason and what to do."""


def open_host(name: str, dtype: str = "auto", device: str = "auto", four_bit: bool = False) -> tuple[Any, Any]:
    """The host called `name` and its processor, in eval mode on `device`.

    `name`: "default" (what `fetch` made), "tiny:FAMILY" (random, for tests), a folder, or a hub id. `dtype`: "auto",
    "float32", "bfloat16" or "float16"; `device`: "auto", or what torch calls one. Only safetensors are read and no code
    that comes with a model is run. `four_bit` quantises what a host's linear layers hold (NF4), by bitsandbytes.
    Raises HostMissingError (a ValueError).
    """
    place = chosen_device(device)
    if name.startswith(TINY):
        from perceptiongpt.model.tiny import FAMILIES

        family = name.removeprefix(TINY)
        if family not in FAMILIES:
            raise HostMissingError(f"there is no tiny host {family!r}; choose one of {', '.join(sorted(FAMILIES))}")
        host, processor = FAMILIES[family]()
        return host.to(place, torch.float32 if dtype == "auto" else chosen_dtype(dtype, place)), processor
    where = str(_default_folder()) if name == "default" else name
    wanted = chosen_dtype(dtype, place)
    with quiet():
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            processor = AutoProcessor.from_pretrained(where, trust_remote_code=False)
            host = AutoModelForImageTextToText.from_pretrained(
                where, dtype=wanted, use_safetensors=True, trust_remote_code=False, **(_nf4(place) if four_bit else {})
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise HostMissingError(
                f"host {name!r} cannot be loaded ({first_line(error)}); give a folder or hub id of an "
                "image-text-to-text model with safetensors"
            ) from error
    return (host if four_bit else host.to(place)).eval(), processor


def _nf4(place: torch.device) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=["lm_head", "multi_modal_projector", "vision_tower", "visual"],
    )
    return {"quantization_config": config, "device_map": {"": place}}


def _default_folder() -> Path:
    from perceptiongpt.fetch import default_host_dir

    folder = default_host_dir()
    if not (folder / "config.json").is_file():
        raise HostMissingError(
            f"the default host is not on this machine (looked in {folder}); run `perceptiongpt fetch` once"
        )
    return folder


def chosen_device(device: str) -> torch.device:
    """The torch device of that name; "auto" is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {device!r} cannot be used ({first_line(error)}); try 'cpu'") from error
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

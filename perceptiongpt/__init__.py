"""Language models that point: `load` a trained one, `equip` one of your own; they give an `Answer` of `Region`s.

Importing this package imports nothing heavy: each name is looked up when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perceptiongpt.core.answer import Answer, Region
    from perceptiongpt.hosts import equip
    from perceptiongpt.predict import load

__all__ = ["Answer", "Region", "equip", "load"]
__version__ = "0.1.0"

_HOMES = {
    "Answer": "perceptiongpt.core.answer",
    "Region": "perceptiongpt.core.answer",
    "equip": "perceptiongpt.hosts",
    "load": "perceptiongpt.predict",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

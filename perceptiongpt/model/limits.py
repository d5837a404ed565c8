"""What settings may be: they come from files and are checked before anything is allocated. Knows none by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def refuse_outside(
    settings: Any, limits: Mapping[str, tuple[int, int]], choices: Mapping[str, Collection[str]], where: str = ""
) -> None:
    """Whole numbers within (low, high) and choices among those known, by name; `where` stands before a name.

    Raises ValueError naming the first that is none.
    """
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{where}{name} is {value!r}; wanted a whole number from {low} to {high}")
    for name, known in choices.items():
        if getattr(settings, name) not in known:
            raise ValueError(f"{where}{name} is {getattr(settings, name)!r}; wanted one of {', '.join(known)}")

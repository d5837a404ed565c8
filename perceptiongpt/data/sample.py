"""What a data set says about one picture, in the data set's own terms: a picture, turns of talk, regions in pixels.

Knows nothing of tokens, canvases or models (render.py turns a Sample into ids).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from perceptiongpt.core.answer import Region

Picture = str | Path | Image.Image | np.ndarray | bytes | Callable[[], Image.Image]

PLACE = re.compile(r"\{(\d+)\}")


@dataclass(frozen=True, eq=False)
class Turn:
    """One turn of talk. `{0}`, `{1}` … in the text are places of regions, in reading order, each used once.

    In a user's turn a region is shown to the model (never scored); in an assistant's turn it is to be found.
    A wrong number or order of places raises ValueError naming both numbers.
    """

    role: Literal["user", "assistant"]
    text: str
    regions: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "regions", tuple(self.regions))
        places = [int(m) for m in PLACE.findall(self.text)]
        if places != list(range(len(self.regions))):
            raise ValueError(
                f"{len(self.regions)} regions but places {places or 'none'} in {self.text!r}; "
                "write one {i} for each region, in reading order"
            )


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture and a dialogue about it; user and assistant take turns, the user first, the assistant last."""

    image: Picture | None
    turns: tuple[Turn, ...]
    id: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    where: str = ""  # the file and line that it was read from, for messages

    @property
    def called(self) -> str:
        """What a message calls it: its place in a file, or its id."""
        return self.where or self.id or "a sample without a name"

    def __post_init__(self) -> None:
        object.__setattr__(self, "turns", tuple(self.turns))
        roles = [t.role for t in self.turns]
        wanted = ["user", "assistant"] * (len(roles) // 2)
        if not roles or roles != wanted:
            raise ValueError(f"sample {self.id!r} has turns {roles}; wanted user, assistant, user, assistant …")

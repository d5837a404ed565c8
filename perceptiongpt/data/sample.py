"""What a data set says about one picture, in the data set's own terms: a picture, turns of talk, regions in pixels.

Knows nothing of tokens, canvases or models (render.py turns a Sample into ids).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
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
    pictures: int = 0  # so many further pictures are shown before its words; see `shows`

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
    """A picture, or several, and a dialogue; user and assistant take turns, the user first, the assistant last."""

    image: Picture | None
    turns: tuple[Turn, ...]
    id: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    where: str = ""  # the file and line that it was read from, for messages
    more: tuple[Picture, ...] = ()  # further pictures of the talk; a region's `picture` counts from `image`, 0

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures in the order in which they are shown."""
        return () if self.image is None else (self.image, *self.more)

    @property
    def called(self) -> str:
        """What a message calls it: its place in a file, or its id."""
        return self.where or self.id or "a sample without a name"

    def __post_init__(self) -> None:
        object.__setattr__(self, "turns", tuple(self.turns))
        object.__setattr__(self, "more", tuple(self.more))
        if self.more and self.image is None:
            raise ValueError(f"sample {self.id!r} has further pictures but no first one; give it as the image")
        shows(self.turns, len(self.pictures))
        roles = [t.role for t in self.turns]
        wanted = ["user", "assistant"] * (len(roles) // 2)
        if not roles or roles != wanted:
            raise ValueError(f"sample {self.id!r} has turns {roles}; wanted user, assistant, user, assistant …")


def shows(turns: Sequence[Turn], count: int) -> list[int]:
    """How many of `count` pictures each turn shows: as the turns say, and the first turn those that no turn names.

    Raises ValueError where turns name more than there are, or a region lies in a picture that is not yet shown.
    """
    named = [turn.pictures for turn in turns]
    if any(n < 0 or (n and turn.role != "user") for n, turn in zip(named, turns, strict=True)) or sum(named) > count:
        raise ValueError(f"turns show {named} pictures of {count}; let user turns show pictures, all together {count}")
    if named:
        named[0] += count - sum(named)
    for turn, there in zip(turns, accumulate(named), strict=True):
        late = [r.picture for r in turn.regions if count and not 0 <= r.picture < there]
        if late:
            raise ValueError(
                f"a region lies in picture {late[0]}, but {there} were shown when {turn.text!r} was said; count from 0"
            )
    return named

"""A region that a phrase asks for by a colour scores by whether it has that one: the red mug isn't the blue one.

Decoders find a thing by its name, and what is told of its colour moves their score little; counted colours tell which
of the basic colours (Berlin and Kay, 1969) a region has. Beyond the papers.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from perceptiongpt.data.objects import COLOURS
from perceptiongpt.data.words import RELATIONS
from perceptiongpt.model.align import name_vectors
from perceptiongpt.model.generate import Spoken

SPELLED = {"gray": "grey"}


def named_colour(phrase: str) -> str | None:
    """The basic colour that a phrase gives what it asks for; None where it gives none, two, or asks for several."""
    if ";" in phrase:
        return None
    found = set[str]()
    for word in re.findall(r"[a-z]+", phrase.lower()):
        if word in RELATIONS:  # what comes after it tells of something else ("the mug left of the red box")
            break
        found |= {SPELLED.get(word, word)} & set(COLOURS)
    return found.pop() if len(found) == 1 else None


def tinted(eye: Any, said: Spoken, phrase: str | None) -> Spoken:
    """The same answer with each region's score lowered by how much more another colour than that of the phrase is its
    own: by `tinted` of the operating point for each 1 between the cosines of its shade with both words."""
    colour = named_colour(phrase) if phrase else None
    if not eye.operating.tinted or colour is None or not said.shades:
        return said
    words = F.normalize(name_vectors(eye.model, COLOURS), dim=-1)  # [11, D]
    near = F.normalize(torch.stack(said.shades).to(words), dim=-1) @ words.T  # [N, 11]
    short = near[:, COLOURS.index(colour)] - near.amax(-1)
    scores = said.regions.scores + eye.operating.tinted * short.to(said.regions.scores)
    return replace(said, regions=replace(said.regions, scores=scores))

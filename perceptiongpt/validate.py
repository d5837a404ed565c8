"""Validation while training: a fixed sample of questions, answered freely as a user would get it, and scored.

Asks the public predictor. Knows nothing of losses, nor of when it is asked.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from perceptiongpt.asking import question_turn
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.boxes import pairwise_iou
from perceptiongpt.core.masks import mask_to_box
from perceptiongpt.data.mix import Source
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.sample import PLACE, Picture, Turn
from perceptiongpt.data.stream import Stream
from perceptiongpt.predict import Eye

TOGETHER = 8
TRIES = 1_000  # samples of a stream


@dataclass(frozen=True, eq=False)
class Exchange:
    """One question about a picture, and the true answer."""

    picture: Picture
    asked: Turn
    true: Turn


def exchanges(sources: Sequence[Source | Stream], n: int, seed: int) -> list[Exchange]:
    """A fixed sample of at most n questions, one a dialogue, spread over the sources.

    Each is asked without those before it in its dialogue.
    Dialogues without a picture, and those that can't be asked as a user would, are passed over. Raises ValueError
    where none is left.
    """
    rng = np.random.default_rng((seed, 13))
    found: list[Exchange] = []
    for number, source in enumerate(sources):
        wanted = (n * (number + 1)) // len(sources)
        order = range(TRIES) if isinstance(source, Stream) else rng.permutation(min(len(source), 100_000))
        for i in order if wanted > len(found) else []:
            try:
                sample = source[int(i)]
                image = sample.image() if callable(sample.image) else sample.image
                if image is None:
                    continue
                pair = 2 * int(rng.integers(len(sample.turns) // 2))
                asked, true = sample.turns[pair : pair + 2]
                question_turn(asked.text, asked.regions, open_picture(image).size)
            except (ValueError, OSError):  # a broken picture, a region outside it, a page for a question
                continue
            found.append(Exchange(image, asked, true))
            if len(found) == wanted:
                break
    if not found:
        raise ValueError("the data to validate on holds no question about a picture; give other data")
    return found


def validate(model: Any, questions: Sequence[Exchange]) -> dict[str, list[float]]:
    """Every question answered greedily: a row of `score`, and of `iou`, `acc50`, `words` where they apply.

    The model is left as it was: training stays training.
    """
    modes = {m: m.training for m in model.modules()}
    eye = Eye(model)
    half = model.backbone.dtype == torch.bfloat16  # what trains is float32, also in such a host
    found: dict[str, list[float]] = {"score": [], "iou": [], "acc50": [], "words": []}
    try:
        for start in range(0, len(questions), TOGETHER):
            part = questions[start : start + TOGETHER]
            shown = [q.asked.regions or None for q in part]
            with torch.autocast(model.backbone.device.type, torch.bfloat16, enabled=half):
                seen = eye.look([q.picture for q in part])
                answers = seen.ask([q.asked.text for q in part], shown, max_new_tokens=64)
            for question, answer in zip(part, answers, strict=True):
                for name, value in judged(answer, question.true).items():
                    found[name].append(value)
    finally:
        for module, training in modes.items():
            module.training = training
    return found


def means(rows: Sequence[dict[str, list[float]]]) -> dict[str, float]:
    """The means of what several processes found, under the names that are logged."""
    joined = {name: [v for row in rows for v in row[name]] for name in rows[0]}
    return {f"val_{name}": float(np.mean(values)) for name, values in joined.items() if values}


def judged(answer: Answer, true: Turn) -> dict[str, float]:
    """Score 0 to 1 of one answer: the mean IoU of its boxes matched with the true ones, or whether its words agree.

    Where regions are true, of the answer as many count as are true, in the order in which they are said; a missing one
    has IoU 0. Where none is, none may be said and the words must be the true ones but for case and punctuation.
    """
    wanted = [b for r in true.regions if (b := _box(r)) is not None]
    if not wanted:
        right = float(not len(answer) and _plain(answer.text) == _plain(PLACE.sub("", true.text)))
        return {"score": right, "words": right}
    said = [b for r in answer if (b := _box(r)) is not None][: len(wanted)]
    ious = np.zeros(len(wanted))
    if said:
        table = pairwise_iou(torch.tensor(wanted).float(), torch.tensor(said).float()).numpy()
        for k in range(len(said)):  # the best pair, then the best of what is left
            i, j = np.unravel_index(table.argmax(), table.shape)
            ious[k] = max(0.0, table[i, j])
            table[i, :], table[:, j] = -1, -1
    return {"score": float(ious.mean()), "iou": float(ious.mean()), "acc50": float((ious >= 0.5).mean())}


def _box(region: Region) -> tuple[float, ...] | None:
    if region.box is not None:
        return region.box
    return None if region.mask is None else mask_to_box(region.mask)


def _plain(text: str) -> str:
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())

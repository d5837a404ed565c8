"""Things that a row missed: once its regions were looked at closer, what they leave uncovered is looked for once more.

Of several of a kind the first look outlines two that touch as one, and then finds no more. The second look parts them;
so the decoders look at the whole picture again, shown the finer outlines, until nothing more is found. Knows answers,
their pictures and what was heard. Beyond the papers; the language model isn't run again.

S side of a mask as encoders see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from perceptiongpt.closer import closer
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.batch import Regions
from perceptiongpt.core.boxes import SAME, iou_xyxy
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.model.generate import Spoken
from perceptiongpt.model.pointing import again
from perceptiongpt.model.seen import Seen
from perceptiongpt.tasks.mask import MASK_SIDE
from perceptiongpt.telling import Request, for_a_group, told
from perceptiongpt.tinted import tinted


@torch.inference_mode()
def missed(
    eye: Any,
    answer: Answer,
    said: Spoken,
    request: Request,
    canvas: Canvas,
    seen: Seen,
    pictures: Sequence[Image.Image],
    most: int,
) -> tuple[Answer, Spoken]:
    """An answer of regions that were looked at closer, with what its last row missed, at most `most` regions in all.

    Only where a phrase asks for all of a kind, and several were found, with masks. What is added scores the operating
    point's `more`, is looked at closer, too, and stands where it lies in the row, left to right.
    """
    label, row = request.label, _row(eye, said)
    if not for_a_group(label) or not request.mask or not request.box or len(row) < 2:
        return answer, said
    regions, picture = list(answer.regions), said.pictures[row[0]]
    others = [_area(canvas, regions[n]) for n in row]
    while len(regions) < most:
        one = tinted(eye, _one_more(eye, said, seen, picture, torch.stack(others).sum(0).clamp(max=1.0)), label)
        (box,), _ = canvas.found_out(one.regions, eye.operating.agree)
        sure = float(eye.operating.scores(one.regions.scores)[0]) >= eye.operating.more
        if not sure or any(_same(box, regions[n]) for n in row):
            break
        said, new = _longer(said, one, eye.model.settings.vis_tokens), len(regions)
        regions.append(told(eye, seen.sources_hw, said, request, canvas).regions[new])
        regions[new] = closer(eye, regions, said, pictures, [new])[new]
        row.append(new)
        others.append(_area(canvas, regions[new]))
    order = [*range(row[0]), *sorted(row, key=lambda n: _middle(regions[n]))]
    each: dict[str, Any] = {name: [getattr(said, name)[n] for n in order] for name in ("pictures", "heard", "shades")}
    said = replace(said, regions=said.regions.at(order), **each)
    return replace(answer, regions=tuple(regions[n] for n in order)), said


def _row(eye: Any, said: Spoken) -> list[int]:
    """The regions of the last breath, where they lie in one picture and the model tells rows apart."""
    breaths = said.breaths(eye.model.settings.vis_tokens)
    row = [n for n, first in enumerate(breaths) if first == breaths[-1]]  # of none, none
    one = eye.model.settings.enumerates and len({said.pictures[n] for n in row}) == 1
    return row if one else []


def _one_more(eye: Any, said: Spoken, seen: Seen, picture: int, others: Tensor) -> Spoken:
    """What the decoders find beside `others` [S, S] where they hear what the last region was said by: one region."""
    heard = said.heard[-1:]
    found, shades = again(eye.model, heard, seen, [picture], others[None])
    return replace(said, regions=found, pictures=[picture], heard=heard, shades=shades)


def _longer(said: Spoken, one: Spoken, k: int) -> Spoken:
    """The same answer with one region more, of k tokens, at the end of its last breath."""
    joined = {f.name: torch.cat([getattr(said.regions, f.name), getattr(one.regions, f.name)]) for f in fields(Regions)}
    more: dict[str, Any] = {
        name: [*getattr(said, name), *getattr(one, name)] for name in ("pictures", "heard", "shades")
    }
    end = said.places[-1] + 1
    ids = [*said.ids[:end], *said.ids[end - k : end], *said.ids[end:]]
    return replace(said, regions=Regions(**joined), ids=ids, places=[*said.places, end + k - 1], **more)


def _area(canvas: Canvas, region: Region) -> Tensor:
    """How much of each place on the canvas a region covers: float32 [S, S]."""
    assert region.mask is not None
    return torch.from_numpy(canvas.mask_in(region.mask, MASK_SIDE)).float()


def _same(box: Sequence[float], region: Region) -> bool:
    return region.box is not None and float(iou_xyxy(torch.tensor(box), torch.tensor(region.box))) > SAME


def _middle(region: Region) -> float:
    return 0.0 if region.box is None else (region.box[0] + region.box[2]) / 2

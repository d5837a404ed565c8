"""What the rows of a batch point at while they answer: a region is decoded once all its K states have been read.

Knows states, words and regions; nothing of how the next word is chosen (generate.py).

D width of the language model, K tokens a region, S side of a mask as encoders see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from perceptiongpt.core.batch import Regions
from perceptiongpt.core.boxes import SAME, cxcywh_to_xyxy, pairwise_iou
from perceptiongpt.core.slots import Words
from perceptiongpt.model.context import appearances
from perceptiongpt.model.seen import Seen
from perceptiongpt.tasks.mask import MASK_SIDE

HALF = 0.5  # the cosine of what looks neither like nor unlike
Spelled = tuple[Tensor, Tensor]  # of a region: what is fed back, and what the echo hears, each [D]


class Heard(NamedTuple):
    """What a region was decoded from."""

    state: Tensor  # [K, D]
    words: Words | None  # before it, one row of them
    several: bool = False  # whether several were asked for, so that its mask is to cover one of them alone


def together(heard: Sequence[Heard]) -> tuple[Tensor, Words | None, Tensor]:
    """What several regions were decoded from, as the decoders take it: states [N, K, D], words, and which are of
    several that were asked for, bool [N]."""
    words = [h.words for h in heard if h.words is not None]
    told = Words(torch.cat([w.vectors for w in words]), torch.cat([w.there for w in words])) if words else None
    states = torch.stack([h.state for h in heard])
    return states, told, torch.tensor([h.several for h in heard], device=states.device)


def again(
    model: Any, heard: Sequence[Heard], seen: Seen, pictures: Sequence[int], others: Tensor | None
) -> tuple[Regions, list[Tensor]]:
    """What the decoders find where they hear the same, each in its picture of `seen`, beside `others` [N, S, S], and
    what the echo hears of its colours, each [D]. The language model isn't run."""
    states, words, several = together(heard)
    where = torch.tensor(list(pictures), device=states.device)
    found = model.decode(states, seen, where, words, None if others is None else others.to(states.device), several)
    spoken, told = model.respell(found, seen, where)
    return found, list((told - spoken).unbind())


class Pointing:
    """The regions of each row, and the one that it is saying; `pictures`: in which of `seen` each row may point.

    `several`: which rows ask for several things. In a model that enumerates, the second and further regions of one
    breath are shown those before them, and their scores gain `alike` times what they look like one of them
    (`OperatingPoint`). One whose score lies under the logit `more`, or that was said in it already, is none: it is left
    out, it is fed back as nowhere, and nothing follows it.
    """

    def __init__(
        self,
        model: Any,
        seen: Seen,
        pictures: Sequence[Sequence[int]],
        feedback: bool = True,
        more: float = 0.0,
        alike: float = 0.0,
        several: Sequence[bool] = (),
    ) -> None:
        self.model, self.seen, self.pictures = model, seen, pictures
        self.several = list(several) or [False] * len(pictures)
        self.feedback, self.more, self.alike = feedback, more, alike
        rows = len(pictures)
        self.found: list[list[Regions]] = [[] for _ in range(rows)]
        self.lies: list[list[int]] = [[] for _ in range(rows)]  # of each region, in which of `seen`
        self.heard: list[list[Heard]] = [[] for _ in range(rows)]  # and what it was decoded from
        self.shades: list[list[Tensor]] = [[] for _ in range(rows)]  # and what the echo hears of its colours, each [D]
        self.waiting: list[list[Tensor]] = [[] for _ in range(rows)]  # states of a region that is not yet said whole
        self.ended = [False] * rows  # the last of this breath was none
        self._words: list[Words | None] = [None] * rows  # before the region that is being said
        self._breath: list[dict[int, Tensor]] = [{} for _ in range(rows)]  # what was found in it, by picture: [S, S]
        self._boxes: list[dict[int, Tensor]] = [{} for _ in range(rows)]  # and its boxes: [n, 4]
        self._looks: list[list[Tensor]] = [[] for _ in range(rows)]  # and what they look like, in whichever: [D]

    def said(self, rows: Sequence[int], states: Tensor, phrase: Words) -> tuple[dict[int, Spelled], list[int]]:
        """Rows say `<vis>` with states [n, D]; `phrase`: the words before, of each of them.

        Gives what each is spelled as by row, and the rows whose region is whole and found.
        """
        k, vectors = self.model.settings.vis_tokens, dict[int, Spelled]()
        for n, (b, state) in enumerate(zip(rows, states, strict=True)):
            if not self.waiting[b]:
                self._words[b] = phrase.at(slice(n, n + 1))
            self.waiting[b].append(state)
            if len(self.waiting[b]) < k:
                filler = self.model.filler[len(self.waiting[b]) - 1]
                vectors[b] = (filler, filler)
        whole = [b for b in rows if len(self.waiting[b]) == k]
        return vectors | (self._decoded(whole) if whole else {}), [b for b in whole if not self.ended[b]]

    def over(self, rows: Sequence[int]) -> None:
        """These rows said something else: a breath is over."""
        for b in rows:
            self.ended[b] = False
            self._breath[b].clear()
            self._boxes[b].clear()
            self._looks[b].clear()

    def regions(self, row: int) -> Regions:
        """All that a row found, in order; none make empty tensors."""
        if not self.found[row]:
            empty = torch.zeros(0)
            return Regions(empty.view(0, 4), empty.view(0, 1, 1), empty.view(0, 1, 1), empty)
        return Regions(*(torch.cat([getattr(p, f.name) for p in self.found[row]]) for f in fields(Regions)))

    def _decoded(self, rows: list[int]) -> dict[int, Spelled]:
        """Decode what these rows have said whole, keep it, and give what each is spelled as."""
        states = torch.stack([torch.stack(self.waiting[b]) for b in rows])  # [n, K, D]
        words = self._told(rows)
        regions, where = self._sought(rows, states, words)
        picture = torch.tensor(where, device=states.device)
        if self.alike and self.model.settings.enumerates and self.seen.cells is not None:
            regions = self._likened(rows, regions, self.seen.cells, picture)
        nothing = torch.zeros_like(states[:, -1])
        spoken, told = self.model.respell(regions, self.seen, picture) if self.feedback else (nothing, nothing)
        vectors = {}
        scores, boxes = None, regions.boxes
        if self.model.settings.enumerates:
            scores, boxes = regions.scores.tolist(), cxcywh_to_xyxy(boxes).unsqueeze(1).cpu()  # [n, 1, 4]
        for n, b in enumerate(rows):
            self.waiting[b] = []
            if scores is not None and self._breath[b] and (scores[n] < self.more or self._again(b, where[n], boxes[n])):
                self.ended[b], vectors[b] = True, (nothing[n], nothing[n])
                continue
            vectors[b] = (spoken[n], told[n])
            self.found[b].append(regions.at([n]))
            self.lies[b].append(where[n])
            self.shades[b].append(told[n] - spoken[n])
            told_by = None if words is None else words.at(slice(n, n + 1))
            self.heard[b].append(Heard(states[n], told_by, self.several[b]))
            if scores is not None:
                area = F.adaptive_avg_pool2d(regions.masks[n][None].sigmoid(), MASK_SIDE)[0]
                earlier = self._breath[b].get(where[n])
                self._breath[b][where[n]] = area if earlier is None else (area + earlier).clamp(max=1.0)
                before = self._boxes[b].get(where[n])
                self._boxes[b][where[n]] = boxes[n] if before is None else torch.cat([before, boxes[n]])
        return vectors

    def _likened(self, rows: list[int], regions: Regions, cells: Tensor, picture: Tensor) -> Regions:
        """The same regions, each in its picture (long [n]), further ones scored by what they look like, too."""
        shown = appearances(cells, regions.masks.sigmoid(), regions.boxes[:, :2], picture)  # [n, D]
        scores = regions.scores.clone()
        for n, b in enumerate(rows):
            if self._looks[b]:
                scores[n] += self.alike * ((torch.stack(self._looks[b]) @ shown[n]).max() - HALF)
            self._looks[b].append(shown[n])
        return replace(regions, scores=scores)

    def _again(self, row: int, picture: int, box: Tensor) -> bool:
        """Whether a box [1, 4] was found in that picture in this breath."""
        before = self._boxes[row].get(picture)
        return before is not None and bool((pairwise_iou(box, before) > SAME).any())

    def _sought(self, rows: list[int], states: Tensor, words: Words | None) -> tuple[Regions, list[int]]:
        """Regions of states [n, K, D], each in that of its pictures where its score is highest, and which that is."""
        which = [n for n, b in enumerate(rows) for _ in self.pictures[b]]
        flat = [i for b in rows for i in self.pictures[b]]
        device = states.device
        earlier = None
        if self.model.settings.enumerates:
            nothing = torch.zeros(MASK_SIDE, MASK_SIDE, device=device)
            earlier = torch.stack([self._breath[rows[n]].get(i, nothing) for n, i in zip(which, flat, strict=True)])
        if len(which) > len(rows):
            at = torch.tensor(which, device=device)
            states, words = states[at], None if words is None else words.at(at)
        several = torch.tensor([self.several[rows[n]] for n in which], device=device)
        tried = self.model.decode(states, self.seen, torch.tensor(flat, device=device), words, earlier, several)
        if len(which) == len(rows):
            return tried, flat
        scores = tried.scores.tolist()
        best = [max((k for k, m in enumerate(which) if m == n), key=scores.__getitem__) for n in range(len(rows))]
        return tried.at(best), [flat[k] for k in best]

    def _told(self, rows: list[int]) -> Words | None:
        """The words before these regions as one value, each window filled up to its full width."""
        size = self.model.settings.read_window
        if not size:
            return None
        words = [w for b in rows if (w := self._words[b]) is not None]
        vectors, there = torch.cat([w.vectors for w in words]), torch.cat([w.there for w in words])
        missing = size - vectors.shape[1]
        return Words(F.pad(vectors, (0, 0, missing, 0)), F.pad(there, (missing, 0)))

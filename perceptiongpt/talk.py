"""A dialogue about pictures that goes on: what was said is remembered, and so is where it lies.

A region that an answer spoke of is written into its place again when the next turn is read, so that turn 2 may be about
what was found in turn 1. Knows turns; asking once about one picture is predict.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from perceptiongpt.asking import Shown, checked_words, question_turn
from perceptiongpt.closer import closer
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.data.collate import assemble, pad_id
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.sample import Picture, Turn
from perceptiongpt.looks import edged
from perceptiongpt.model.generate import Spoken
from perceptiongpt.predict import Eye
from perceptiongpt.telling import Request, kept, told


class Talk:
    """A dialogue with a model, beginning without a picture: `Talk(eye).say("where is the dog?", "park.jpg")`."""

    def __init__(self, eye: Eye) -> None:
        if eye.model.settings.answer_format != "vis":
            raise ValueError("a talk goes on from regions said as <vis>; give a model whose answer_format is 'vis'")
        self.eye = eye
        self.turns: list[Turn] = []
        self.canvases: list[Canvas] = []
        self._views: list[Image.Image] = []
        self._pictures: list[Image.Image] = []  # in which answers are looked at closer, and drawn to edges
        self._seen: Any = None

    @torch.inference_mode()
    def say(
        self, text: str, *pictures: Picture, region: Shown = None, min_score: float | None = None, **how: Any
    ) -> Answer:
        """The answer to a turn that shows `pictures` before its words; they and all earlier ones may be spoken of.

        A shown `region` lies in the picture that its `picture` counts, from 0 over the whole talk. Regions
        under `min_score` (default: the model's own) are left out of the answer; the talk remembers what was said.
        `how` goes to `model.generate.generate`. Raises ValueError, and the talk is as it was.
        """
        least = self.eye.least(min_score)
        opened = [open_picture(p) for p in pictures]
        held, renderer = self.eye.model.backbone, self.eye.renderer
        canvases = [*self.canvases, *(held.canvas(p.size) for p in opened)]
        views = [*self._views, *(c.view(p) for c, p in zip(canvases[len(self.canvases) :], opened, strict=True))]
        turn = replace(self._turn(text, region, canvases), pictures=len(opened))
        seen = self.eye.model.see(held.pixels(views)) if opened or self._seen is None else self._seen
        rendered = renderer.asking([*self.turns, turn], [held.spelled(c) for c in canvases], canvases)
        prompts = assemble([rendered], [canvases], {}, pad_id(renderer.tokenizer), left=True)
        how = {**self.eye.operating.further(words=True), **how}
        (said,) = self.eye.hear(prompts, seen, [range(len(canvases))], **how)
        whole = [*self._pictures, *opened]
        answer = self._answer(said, turn, canvases, seen)
        if self.eye.does("looks_closer"):
            answer = replace(answer, regions=closer(self.eye, answer.regions, said, whole))
        if self.eye.does("follows_edges"):
            answer = edged(answer, [whole[i] for i in said.pictures])
        self.turns += [turn, self._spoken(said, answer)]
        self.canvases, self._views, self._pictures, self._seen = canvases, views, whole, seen
        return kept(answer, said, None, least)

    def _turn(self, text: str, region: Shown, canvases: list[Canvas]) -> Turn:
        shown = () if region is None else (region,) if isinstance(region, Region) else tuple(region)
        if not canvases:
            if shown:
                raise ValueError("a region was shown before any picture; show the picture that it lies in")
            return Turn("user", checked_words(text, "question").replace("{", "(").replace("}", ")"))
        late = [r.picture for r in shown if not 0 <= r.picture < len(canvases)]
        if late:
            raise ValueError(f"a region lies in picture {late[0]}, but {len(canvases)} were shown; count from 0")
        sizes = {canvases[r.picture].size_wh for r in shown} or {canvases[-1].size_wh}
        if len(sizes) > 1:
            raise ValueError("regions in pictures of several sizes came with one turn; show them in a turn each")
        return question_turn(text, region, sizes.pop())

    def _answer(self, said: Spoken, turn: Turn, canvases: list[Canvas], seen: Any) -> Answer:
        """What was said, each region in pixels of the picture that it lies in."""
        if not canvases:
            return Answer(self.eye.renderer.decode(said.ids).strip(), timings=said.timings, model=self.eye.name)
        parts = [told(self.eye, seen.sources_hw, said, Request(turn), canvas) for canvas in canvases]
        regions = tuple(replace(parts[i].regions[n], picture=i) for n, i in enumerate(said.pictures))
        sizes = tuple(canvas.size_wh for canvas in canvases)
        first = replace(parts[0], regions=(), looked=())
        return replace(first, regions=regions, looked=(), size_wh=sizes[0], more_wh=sizes[1:])

    def _spoken(self, said: Spoken, answer: Answer) -> Turn:
        """The answer as a turn: its words with a place where each region was said."""
        text, begin = "", 0
        k = self.eye.model.settings.vis_tokens
        for number, place in enumerate(said.places):
            text += _plain(self.eye.renderer.decode(said.ids[begin : place + 1 - k])) + f"{{{number}}}"
            begin = place + 1
        text += _plain(self.eye.renderer.decode(said.ids[begin:]))
        return Turn("assistant", text, answer.regions)


def _plain(words: str) -> str:
    """Words without curly braces, which would be read as places of regions."""
    return words.replace("{", "(").replace("}", ")")

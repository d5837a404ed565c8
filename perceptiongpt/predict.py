"""The verb of a user: look at a picture once, then ask about it; every answer comes in pixels of that picture.

Knows prompts (data.render makes them, as in training), canvases and the decoding loop. Knows no files of data sets, no
painting and no judging.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import torch

from perceptiongpt.asking import WORDS_LIMIT, Shown, checked_words, question_turn
from perceptiongpt.core.answer import Answer, Region
from perceptiongpt.core.batch import Batch
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.operating import OperatingPoint
from perceptiongpt.data import phrases
from perceptiongpt.data.collate import assemble, pad_id
from perceptiongpt.data.picture import open_picture
from perceptiongpt.data.render import Renderer
from perceptiongpt.data.sample import Picture, Turn
from perceptiongpt.data.words import asks_for_many
from perceptiongpt.hosts import open_host, quiet
from perceptiongpt.looks import Further, looked
from perceptiongpt.model import store
from perceptiongpt.model.adapt import merge
from perceptiongpt.model.attention import attend_by_products
from perceptiongpt.model.generate import MOST_REGIONS, Spoken, generate
from perceptiongpt.model.perception import PerceptionModel
from perceptiongpt.model.seen import Seen as Encoded
from perceptiongpt.ordinal import in_order
from perceptiongpt.telling import Request, foreseen, kept, left_to_right, without_masks

PACKAGED = Path(__file__).parent / "weights"


def load(
    model: str | Path | None = None,
    host: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    *,
    compiled: bool = False,
    min_score: float | None = None,
    mirror: bool = True,
    slices: bool = True,
    **how: Any,
) -> Eye:
    """A trained model, ready to look: the packaged one, or the folder `model` that `train` made, or that of its run.

    `host` overrides where its host is found (see `hosts.open_host`, which also explains `dtype`, `device` and `how`).
    `compiled` runs the language model's steps through torch.compile. `min_score` takes the place of the model's own.
    `mirror=False`, `slices=False`: one that looks into a mirror, or at slices, doesn't, which is faster and less exact.
    Raises ValueError when the folder or the host cannot be used; the message says what to do.
    """
    if model is None and not (PACKAGED / store.CONFIG).is_file():
        lacking = "no trained model ships with this copy of perceptiongpt"
        raise FileNotFoundError(f"{lacking}; name a model folder, such as one made by `perceptiongpt train`")
    folder = PACKAGED if model is None else store.model_folder(model)
    config = store.read_config(folder)
    operating = store.operating_point(config)
    replace(operating, min_score=min_score or 0)  # one outside 0..1 is refused before a host is opened
    held, processor = open_host(host or config["host"], dtype, device, **how)
    with quiet():
        made = store.load(folder, held, processor)
        merge(made)
    if how.get("attention") is None:
        attend_by_products(held)
    if compiled:
        made.backbone.compile_step()
    asked = {"looks_mirrored": mirror, "looks_sliced": slices}
    without = [look for look, may in asked.items() if not may and getattr(made.settings, look)]
    eye = Eye(made, "default" if model is None else Path(model).name or str(folder), operating, without)
    eye.min_score = min_score
    return eye


class Eye:
    """A perception model that looks at pictures. `name` is what its answers say made them; `operating` says what its
    scores mean and below which a region is left out; `without`: settings of looks that it doesn't take all the same."""

    def __init__(
        self,
        model: PerceptionModel,
        name: str = "",
        operating: OperatingPoint | None = None,
        without: Collection[str] = (),
    ) -> None:
        self.model, self.name, self.operating = model.eval(), name, operating or OperatingPoint()
        self.without = frozenset(without)
        self.min_score: float | None = None  # takes the place of the operating point's in what is left out of answers
        self.as_found = False  # whether regions stay as rows of them end: neither left to right nor looked at again
        self.renderer = Renderer(model.backbone.processor, **model.spelling())

    def does(self, look: str) -> bool:
        """Whether it takes the look after the first that is called so in `Settings`, such as "looks_closer"."""
        return bool(getattr(self.model.settings, look)) and look not in self.without and not self.as_found

    @overload
    def look(self, picture: Picture) -> Seen: ...
    @overload
    def look(self, picture: list[Picture] | tuple[Picture, ...]) -> SeenAll: ...

    @torch.inference_mode()
    def look(self, picture: Any) -> Seen | SeenAll:
        """Encode a picture once: a path, PIL image, array or bytes; a list of them is looked at together.

        Raises PictureError (a ValueError) for what is no picture.
        """
        if not isinstance(picture, (list, tuple)):
            return Seen(self.look([picture]))
        if not picture:
            raise ValueError("an empty list of pictures came; give at least one picture")
        started = time.perf_counter()
        opened, backbone = [open_picture(p) for p in picture], self.model.backbone
        canvases = tuple(backbone.canvas(p.size) for p in opened)
        encoded = self.model.see(backbone.pixels([c.view(p) for c, p in zip(canvases, opened, strict=True)]))
        seconds, further = time.perf_counter() - started, Further.of(self, opened, canvases)
        return SeenAll(self, encoded, canvases, tuple(range(len(opened))), seconds, further)

    def hear(self, prompts: Batch, seen: Encoded, pictures: Sequence[Any], **how: Any) -> list[Spoken]:
        """`generate` at the operating point, or with a `more` of its own."""
        spoken = generate(self.model, prompts, seen, pictures, **{**self.operating.further(), **how})
        if self.as_found or not self.model.settings.enumerates:
            return spoken
        return [left_to_right(s, self.model.settings.vis_tokens) for s in spoken]

    def least(self, min_score: float | None = None) -> float:
        """The least score of regions kept: the one given, else the eye's, else the model's own. Raises ValueError."""
        asked = self.min_score if min_score is None else min_score
        chosen = self.operating if asked is None else replace(self.operating, min_score=asked)
        if chosen.min_score > 0 and self.renderer.answer_format != "vis":
            told = self.renderer.answer_format
            raise ValueError(f"a model that answers in {told} gives no scores; ask it without a min_score")
        return chosen.min_score

    def ask(self, picture: Picture, question: str, region: Shown = None, **how: Any) -> Answer:
        """`look(picture).ask(question, region)`."""
        return self.look(picture).ask(question, region, **how)

    def segment(self, picture: Picture, phrase: str, **how: Any) -> Answer:
        """`look(picture).segment(phrase)`."""
        return self.look(picture).segment(phrase, **how)

    def detect(self, picture: Picture, phrase: str, **how: Any) -> Answer:
        """`look(picture).detect(phrase)`."""
        return self.look(picture).detect(phrase, **how)

    def point(self, picture: Picture, phrase: str, **how: Any) -> Answer:
        """`look(picture).point(phrase)`."""
        return self.look(picture).point(phrase, **how)

    def caption(self, picture: Picture, places: bool = True, **how: Any) -> Answer:
        """`look(picture).caption(places)`."""
        return self.look(picture).caption(places, **how)

    def describe(self, picture: Picture, region: Region, **how: Any) -> Answer:
        """`look(picture).describe(region)`."""
        return self.look(picture).describe(region, **how)


@dataclass(frozen=True, eq=False)
class SeenAll:
    """Several encoded pictures; row b of a batch of questions is about picture `rows[b]`.

    A phrase is asked about every row; a list of phrases has one for each. `how` goes to `model.generate.generate`
    (max_new_tokens, max_regions, temperature, top_p, seed), but for `min_score`: regions that score less than it, or
    without it than the model's own, are left out (`telling.kept`). Answers come in the order of the rows; their timings
    are those of the whole batch.
    """

    eye: Eye
    encoded: Encoded
    canvases: tuple[Canvas, ...]
    rows: tuple[int, ...]
    vision: float  # seconds that opening and encoding took
    further: Further

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, rows: Sequence[int]) -> SeenAll:
        """The same pictures, nothing encoded anew, asked about in other rows: `pick([0, 0, 1])` takes 3 questions."""
        if not rows or not all(0 <= i < len(self.canvases) for i in rows):
            raise ValueError(f"rows {list(rows)} came; wanted at least one, each in 0..{len(self.canvases) - 1}")
        return replace(self, rows=tuple(rows))

    def ask(
        self,
        question: str | Sequence[str],
        region: Region | Sequence[Shown] | None = None,
        limit: int = WORDS_LIMIT,
        **how: Any,
    ) -> list[Answer]:
        """Answers to questions of at most `limit` characters; a region is shown after them, or where they say {0}."""
        words, shown = self._each(question), self._each(region)
        pairs = zip(words, shown, self.rows, strict=True)
        return self._in_words([Request(question_turn(w, s, self.canvases[i].size_wh, limit)) for w, s, i in pairs], how)

    def segment(self, phrase: str | Sequence[str], **how: Any) -> list[Answer]:
        """Box, mask, point and score of what a phrase means, or counts (`ordinal.py`); none where there is none."""
        return self._find(phrase, phrases.ask_region, how)

    def detect(self, phrase: str | Sequence[str], **how: Any) -> list[Answer]:
        """As `segment`, without masks."""
        masks = self.eye.does("follows_edges") or any(
            asks_for_many(checked_words(p, "phrase")) for p in self._each(phrase)
        )
        return [without_masks(a) for a in self._find(phrase, phrases.ask_region, how, mask=masks)]  # boxes of masks

    def point(self, phrase: str | Sequence[str], **how: Any) -> list[Answer]:
        """A point on what a phrase means."""
        return self._find(phrase, phrases.ask_point, how, mask=False, box=False)

    def caption(self, places: bool = True, **how: Any) -> list[Answer]:
        """What the pictures show, with a region for each thing named, or the words alone."""
        text = phrases.ask_grounded() if places else phrases.ask_caption()
        return self._in_words([Request(Turn("user", text))] * len(self.rows), how)

    def describe(self, region: Region | Sequence[Shown], **how: Any) -> list[Answer]:
        """What is in a shown region."""
        return self.ask(phrases.ask_describe(), region, **how)

    def _each(self, value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            return [value] * len(self.rows)
        if len(value) != len(self.rows):
            raise ValueError(f"{len(value)} came for {len(self.rows)} rows; give one for each, or one for all")
        return list(value)

    def _find(self, phrase: Any, asking: Callable[[str], str], how: dict[str, Any], **parts: bool) -> list[Answer]:
        words = [checked_words(p, "phrase") for p in self._each(phrase)]
        return self._answer([Request(Turn("user", asking(w)), label=w, **parts) for w in words], **how)

    def _in_words(self, requests: Sequence[Request], how: dict[str, Any]) -> list[Answer]:
        """Answers that tell of what they find, a number perhaps, and so go on only to what is sure (`counted`)."""
        return self._answer(requests, **{**self.eye.operating.further(words=True), **how})

    @torch.inference_mode()
    def _answer(self, requests: Sequence[Request], min_score: float | None = None, **how: Any) -> list[Answer]:
        started, least = time.perf_counter(), self.eye.least(min_score)
        renderer, spelled = self.eye.renderer, self.eye.model.backbone.spelled
        canvases = [self.canvases[i] for i in self.rows]
        rendered = [renderer.asking([r.turn], spelled(c), (c,)) for r, c in zip(requests, canvases, strict=True)]
        prompts = assemble(rendered, canvases, {}, pad_id(renderer.tokenizer), left=True)
        spoken = self.eye.hear(prompts, self.encoded, self.rows, **{**foreseen(renderer, requests), **how})
        most, shared = how.get("max_regions", MOST_REGIONS), (self.encoded, self.further)
        rows = zip(spoken, requests, canvases, strict=True)
        looks = in_order(self, [looked(self.eye, *row, *shared, most) for row in rows], requests, how)
        made = [kept(*one, request.label, least) for one, request in zip(looks, requests, strict=True)]
        total = self.vision + time.perf_counter() - started
        return [replace(a, timings={"vision": self.vision, **a.timings, "total": total}) for a in made]


class Seen:
    """One encoded picture that may be asked again and again: `seen.segment("the red mug")`.

    The verbs are those of `SeenAll`, one answer each; their timings count "vision", which it took once, in "total".
    """

    def __init__(self, all_of_it: SeenAll) -> None:
        self.all = all_of_it

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.all.canvases[0].size_wh

    def many(self, count: int) -> SeenAll:
        """The same picture for a batch of `count` questions."""
        return self.all.pick([0] * count)

    def ask(self, question: str, region: Shown = None, **how: Any) -> Answer:
        """The answer to a question; a region (or several) is shown after its words, or where it says {0}."""
        return self.all.ask([question], [region], **how)[0]

    def segment(self, phrase: str, **how: Any) -> Answer:
        """Box, mask, point and score of what a phrase means; no regions where there is none."""
        return self.all.segment([phrase], **how)[0]

    def detect(self, phrase: str, **how: Any) -> Answer:
        """As `segment`, without masks."""
        return self.all.detect([phrase], **how)[0]

    def point(self, phrase: str, **how: Any) -> Answer:
        """A point on what a phrase means."""
        return self.all.point([phrase], **how)[0]

    def caption(self, places: bool = True, **how: Any) -> Answer:
        """What the picture shows, with a region for each thing named, or the words alone."""
        return self.all.caption(places, **how)[0]

    def describe(self, region: Region, **how: Any) -> Answer:
        """What is in a shown region."""
        return self.all.describe([region], **how)[0]

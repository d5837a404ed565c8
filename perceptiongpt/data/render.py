"""A dialogue as token ids, with the supervision of each token: the one renderer for training and for asking.

Knows a tokenizer, a chat template and the ids of `<vis>`, of a request and of the picture's token; nothing of pixels or
tensors. A request (`<ask>` and the places of its replies) opens each answer about a picture, or stands where an answer
says {ask}.
What a person typed never becomes a control token: the template is rendered around stand-ins, and only the template's
own text is tokenised with special tokens; `<vis>` has no spelling at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perceptiongpt.core.answer import Region
from perceptiongpt.core.batch import Spelling
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.data.formats import Reading, pieces_of, reading, spell
from perceptiongpt.data.sample import PLACE, Sample, Turn, shows

IGNORED = -100
NOWHERE = Region(mask=np.zeros((1, 1), np.bool_))  # in a picture of any size
Shown = int | Spelling | Sequence[Spelling]  # the pictures of a dialogue; a number is one picture of so many tokens
_PIECES = re.compile(r"\{(\d+|ask)\}")
_OPEN, _CLOSE = "\ue000", "\ue001"  # private-use characters around the number of a turn: stand-ins for its words


@dataclass(frozen=True, eq=False)
class Rendered:
    """Ids [T], labels [T] (-100 where nothing is supervised), regions in the order of their tokens, who said them."""

    ids: list[int]
    labels: list[int]
    regions: list[Region] = field(default_factory=list)
    asked: list[bool] = field(default_factory=list)


class Renderer:
    """Renders dialogues for one host's tokenizer and template."""

    def __init__(
        self,
        processor: Any,
        vis_id: int,
        image_token_id: int,
        vis_tokens: int = 1,
        request: Sequence[int] = (),
        forced: bool = True,
        answer_format: str = "vis",
        location_id: int = 0,
        ends: bool = False,
    ) -> None:
        """`ends`: of several regions in a row, the assistant says one more, which is nowhere: there are no others."""
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.vis_id, self.image_token_id, self.vis_tokens = vis_id, image_token_id, vis_tokens
        self.request, self.forced, self.ends = list(request), forced, ends
        # What the template writes for a picture, which is not always the token that is repeated for it.
        token = self.tokenizer.convert_ids_to_tokens(image_token_id)
        self.mark: str = getattr(processor, "image_token", None) or token or ""
        self.answer_format, self.location_id = answer_format, location_id  # the first location token, where any are
        self._special = frozenset([*self.tokenizer.all_special_ids, image_token_id])

    def training(self, sample: Sample, shown: Shown, canvases: Sequence[Canvas] = ()) -> Rendered:
        """A whole dialogue; exactly the assistant's words and the end of its turns are supervised.

        Where regions are spelled rather than `<vis>`, `canvases` of its pictures say where they lie.
        """
        return self._render(sample.turns, shown if sample.image is not None else 0, canvases)

    def asking(self, turns: Sequence[Turn], shown: Shown, canvases: Sequence[Canvas] = ()) -> Rendered:
        """A dialogue that ends with the user, as the prompt of an answer: the prefix of what training would make."""
        if not turns or turns[-1].role != "user":
            raise ValueError(f"a prompt of {len(turns)} turns must end with the user's turn; leave out the answer")
        return self._render(turns, shown, canvases)

    def guess(self, text: str) -> list[int]:
        """The ids of an answer's words and `<vis>` in its places, without its end; text with places {0}, {1} …"""
        pieces = enumerate(PLACE.split(text))
        return [i for n, piece in pieces for i in ([self.vis_id] * self.vis_tokens if n % 2 else self.words(piece))]

    def decode(self, ids: Sequence[int]) -> str:
        """Words of an answer; control tokens are left out, and `<vis>` becomes nothing."""
        vocabulary = len(self.tokenizer)
        return self.tokenizer.decode([i for i in ids if i < vocabulary], skip_special_tokens=True)

    def read(self, ids: Sequence[int]) -> Reading:
        """An answer whose regions are spelled."""
        pieces = pieces_of(ids, self.location_id or len(self.tokenizer), self.decode)
        return reading(self.answer_format, pieces)

    def _render(self, turns: Sequence[Turn], shown: Shown, canvases: Sequence[Canvas]) -> Rendered:
        out = Rendered([], [])
        pictures = self._pictures(shown)
        counts = shows(turns, len(pictures))
        waiting = iter(pictures)
        text = ""
        messages: list[dict[str, Any]] = []
        for number, turn in enumerate(turns):
            content: list[dict[str, Any]] = [{"type": "text", "text": f"{_OPEN}{number}{_CLOSE}"}]
            content[:0] = [{"type": "image"}] * counts[number]
            messages.append({"role": turn.role, "content": content})
            user = turn.role == "user"
            longer = self.processor.apply_chat_template(messages, add_generation_prompt=user, tokenize=False)
            if not longer.startswith(text):
                name = type(self.processor).__name__
                raise ValueError(
                    f"the chat template of {name} rewrites earlier turns when turn {number} is added; "
                    "use a template whose every prefix begins with the one before"
                )
            stand_in = f"{_OPEN}{number}{_CLOSE}"
            head, found, tail = longer[len(text) :].partition(stand_in)
            if not found:
                raise ValueError(f"the chat template leaves out turn {number}; use one that renders every turn")
            self._control(out, head, waiting)
            self._words(out, turn, canvases, supervised=not user, asks=bool(pictures))
            self._end(out, tail, waiting, supervised=not user)
            if user and pictures and self.forced:
                self._request(out, taught=False)  # the answer that comes next begins by asking
            text = longer
        if next(waiting, None) is not None:
            raise ValueError(f"the chat template leaves out a picture; use one that writes {self.mark} for each")
        return out

    def _pictures(self, shown: Shown) -> list[Spelling]:
        if isinstance(shown, int):
            return [Spelling((shown,))] if shown else []
        return [shown] if isinstance(shown, Spelling) else list(shown)

    def _control(self, out: Rendered, text: str, pictures: Iterator[Spelling]) -> list[int]:
        """The template's own text: special tokens count as such, a picture's mark becomes all that the host writes."""
        first, *rest = text.split(self.mark) if self.mark else [text]
        runs: list[int] = []
        for after in rest:
            picture = next(pictures, None)
            if picture is None:
                raise ValueError(f"the chat template writes {self.mark} more often than there are pictures; mend it")
            first += (self.mark if picture.text is None else picture.text) + after
            runs += picture.runs
        repeats = iter(runs)
        ids = [
            k
            for i in self._ids(first, plain=False)
            for k in [i] * (next(repeats, 0) if i == self.image_token_id else 1)
        ]
        out.ids.extend(ids)
        out.labels.extend([IGNORED] * len(ids))
        return ids

    def _end(self, out: Rendered, tail: str, pictures: Iterator[Spelling], supervised: bool) -> None:
        """What follows a turn's words; after the assistant's, the special token that ends it is taught."""
        start = len(out.ids)
        ids = self._control(out, tail, pictures)
        if not supervised:
            return
        if ids and ids[0] in self._special:
            out.labels[start] = ids[0]
        elif self.tokenizer.eos_token_id is not None:
            out.ids.insert(start, self.tokenizer.eos_token_id)
            out.labels.insert(start, self.tokenizer.eos_token_id)

    def _request(self, out: Rendered, taught: bool) -> None:
        out.ids.extend(self.request)
        out.labels.extend([i if taught and k == 0 else IGNORED for k, i in enumerate(self.request)])

    def _words(self, out: Rendered, turn: Turn, canvases: Sequence[Canvas], supervised: bool, asks: bool) -> None:
        """A turn's words and region places; special tokens in the words are split into plain characters."""
        # words, number, words, number … words; only an answer may ask
        pieces = (_PIECES if supervised else PLACE).split(turn.text)
        regions = turn.regions
        if self.ends and supervised:
            pieces, regions = _ended(pieces, regions), (*regions, NOWHERE)
        for position, piece in enumerate(pieces):
            if piece == "ask" and position % 2:
                if asks:
                    self._request(out, taught=not self.forced)
                continue
            if position % 2 and self.answer_format != "vis":
                ids = self._spelled(regions[int(piece)], canvases)
            elif position % 2:
                ids = [self.vis_id] * self.vis_tokens
                out.regions.append(regions[int(piece)])
                out.asked.append(not supervised)
            else:
                ids = self.words(piece)
            out.ids.extend(ids)
            out.labels.extend(ids if supervised else [IGNORED] * len(ids))

    def _spelled(self, region: Region, canvases: Sequence[Canvas]) -> list[int]:
        """A region as words and location tokens."""
        if not canvases:
            raise ValueError("a region was given without a picture; give the picture that it lies in")
        pieces = spell(self.answer_format, region, canvases[region.picture])
        return [i for p in pieces for i in (self.words(p) if isinstance(p, str) else [self.location_id + p])]

    def words(self, text: str) -> list[int]:
        """Ids of plain words; nothing in them can become a control token."""
        forbidden = self._special
        return [i for i in self._ids(text, plain=True) if i not in forbidden]

    def _ids(self, text: str, plain: bool) -> list[int]:
        """Ids of a text; `plain` splits the spelling of special tokens into ordinary characters."""
        if not text:
            return []
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        if fast is None:
            return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=plain)
        before = fast.encode_special_tokens  # straight to the Rust tokenizer: ten times as fast for short texts
        fast.encode_special_tokens = plain
        try:
            return fast.encode(text, add_special_tokens=False).ids
        finally:
            fast.encode_special_tokens = before


def _ended(pieces: list[str], regions: Sequence[Region]) -> list[str]:
    """Pieces of a turn (words, number, words … words) with the number of one region more after each row of several.

    A row that ends with a region that is nowhere has its end.
    """
    out, length = pieces[:1], 0
    for left, number, words in zip(range(len(pieces) // 2)[::-1], pieces[1::2], pieces[2::2], strict=True):
        length = 0 if number == "ask" else length + 1
        out += [number, words]
        if length > 1 and not regions[int(number)].nowhere and (words or not left):
            out[-1:] = ["", str(len(regions)), words]
        length = 0 if words else length
    return out


def show(rendered: Rendered, renderer: Renderer) -> str:
    """A rendered dialogue as text with marks: [taught words], ◉ a region to find, ◌ one that is shown, ¿ a request."""
    asked = iter([a for a in rendered.asked for _ in range(renderer.vis_tokens)])
    out: list[str] = []
    run: list[str] = []
    taught = False
    for i, label in [*zip(rendered.ids, rendered.labels, strict=True), (None, IGNORED)]:
        is_taught = label != IGNORED
        if run and (i is None or is_taught != taught):
            out.append(f"[{''.join(run)}]" if taught else "".join(run))
            run = []
        taught = is_taught
        if i is None:
            continue
        if i == renderer.vis_id:
            run.append("◌" if next(asked) else "◉")
        elif i in renderer.request:
            run.append("¿" if i == renderer.request[0] else "")
        elif 0 < renderer.location_id <= i:
            run.append(f"⟨{i - renderer.location_id}⟩")
        elif i != renderer.image_token_id:
            run.append(renderer.tokenizer.decode([i]))
    return "".join(out)

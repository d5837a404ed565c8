"""The host as the rest of this package sees it: a few facts and five deeds, found from the unmodified model itself.

Knows where a `transformers` host keeps its embeddings, head and vision tower; how it sees is in sight.py, what cannot
be found in families.py. Knows nothing of regions or of the new tokens (perception.py). Nothing here changes the host.

B batch rows, T tokens, D width of the language model, P pictures, I image tokens a picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from inspect import signature
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from perceptiongpt.core.batch import Spelling
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.slots import places, write
from perceptiongpt.model.cache import cache_word, empty_cache
from perceptiongpt.model.families import facts_of
from perceptiongpt.model.palette import PIXELS as PALETTE_PIXELS
from perceptiongpt.model.palette import Palette
from perceptiongpt.model.pyramid import PIXELS as PYRAMID_PIXELS
from perceptiongpt.model.pyramid import Pyramid
from perceptiongpt.model.sight import HostError, Look, Square
from perceptiongpt.model.tiles import sight_of
from perceptiongpt.model.tower import PIXELS as TOWER_PIXELS
from perceptiongpt.model.tower import Tower

__all__ = ["Backbone", "Beside", "HostError", "Look"]

AT_ONCE = 8  # pictures of one size that are looked at together on a CPU, where more are no faster and take more memory


@dataclass(frozen=True, eq=False)
class Beside:
    """What some hosts' language models are told beside the embeddings of B rows of T tokens."""

    types: Tensor | None = None  # long [B, T]: token types, by which attention looks ahead in places
    visual: Tensor | None = None  # bool [B, T]: the image tokens
    deep: tuple[Tensor, ...] = ()  # each [B, T, D]: what is added at them in the first layers

    def at(self, columns: Tensor, first: bool) -> Beside | None:
        """The same for the columns [B, l] of each row; attention looks ahead in the `first` segment only."""
        types = self.types.gather(1, columns) if self.types is not None and first else None
        visual = None if self.visual is None else self.visual.gather(1, columns)
        wide = columns.unsqueeze(-1)
        return Beside(types, visual, tuple(d.gather(1, wide.expand(-1, -1, d.shape[-1])) for d in self.deep))


class Backbone:
    """Facts of a held host and the deeds that need them."""

    def __init__(self, host: Any, processor: Any, tower: str = "", pyramid: str = "", palette: bool = False) -> None:
        self.facts = facts_of(host, processor)
        self.host, self.processor = host, processor
        if self.facts.template and not getattr(processor, "chat_template", None):
            processor.chat_template = self.facts.template
        self.image_processor: Any = processor.image_processor
        text = host.config.get_text_config()
        self.width: int = host.get_input_embeddings().embedding_dim
        self.vocab_size: int = host.get_output_embeddings().weight.shape[0]
        self.layer_count: int = text.num_hidden_layers
        self.sliding_window = _sliding_window(text)
        self.static_tokens = 0  # how many tokens a picture has where a static mapping takes the place of the host's own
        self.image_token_id: int = host.config.image_token_id
        self.turns = hasattr(host.base_model, "get_rope_index")  # rotary positions of three axes
        masks = getattr(host, "create_masks_for_generate", None)  # theirs alone who read pictures in both directions
        self.looks_ahead = masks is not None and "token_type_ids" in signature(masks).parameters
        self.softcap: float | None = getattr(text, "final_logit_softcapping", None)
        self.cache_word = cache_word(type(host.get_decoder()).forward)
        self.step: Any = None  # the language model for one token, compiled
        self.sight = sight_of(host, processor, self.facts.mode, self.facts.frames)
        self.dynamic = self.sight.any_shape
        self.tower = Tower(tower, self.device) if tower else None
        self.pyramid: Pyramid | None = None
        self.palette = Palette() if palette else None
        self.sight.has_grid = not tower
        self._spelled = lru_cache(1024)(self._spell)
        ids = torch.arange(0, self.vocab_size, max(1, self.vocab_size // 512), device=self.device)
        with torch.no_grad():
            rows = host.get_input_embeddings().weight[: self.vocab_size : max(1, self.vocab_size // 16), :4]
            self._rows = [round(float(v), 3) for v in rows.detach().float().mean(-1)]
            self.row_norm = float(host.get_input_embeddings()(ids).float().norm(dim=-1).mean())
            canvas = self.canvas((64, 48))
            probe = self.look(self.pixels([Image.new("RGB", canvas.view_wh)]))
        self.cells_width: int = probe.cells.shape[1]
        self.cells_hw: tuple[int, int] = (probe.cells.shape[-2], probe.cells.shape[-1])
        self.feature_width: int = probe.layers[0].shape[-1]
        self.map_side: int = probe.layers[0].shape[1]  # cells across the map that the decoders look at
        self.feature_layers = len(probe.layers)
        self.levels: tuple[int, ...] = ()  # widths of the pyramid's levels, coarse to fine
        if pyramid:
            self.pyramid = Pyramid(pyramid, host.config.name_or_path, self.map_side, self.device, self.dtype)
            self.levels = self.pyramid.widths
        if len(probe.tokens[0]) != (spelled := self.image_places(canvas)):
            raise HostError(
                f"{type(host).__name__} makes {len(probe.tokens[0])} image tokens of a picture that its processor "
                f"spells with {spelled}; give the processor that belongs to it"
            )
        native = getattr(host.config, "vision_feature_layer", None)
        native = -1 if native is None or self.tower is not None else native
        self.native_layer = (native if isinstance(native, int) else native[-1]) % self.feature_layers

    @property
    def device(self) -> torch.device:
        return self.host.get_input_embeddings().weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.host.get_input_embeddings().weight.dtype

    @property
    def own_parameters(self) -> int:
        """How many numbers the frozen networks hold that look beside the host: a tower, a pyramid."""
        networks = (eye.model for eye in (self.tower, self.pyramid) if eye is not None)
        return sum(p.numel() for network in networks for p in network.parameters())

    # -- pictures ------------------------------------------------------------------------------------------------

    def canvas(self, size_wh: tuple[int, int]) -> Canvas:
        """The mapping between a picture of `size_wh` and what this host sees of it."""
        return self.sight.canvas(size_wh)

    def image_places(self, canvas: Canvas) -> int:
        """How many image tokens the language model reads for a picture on this canvas."""
        return sum(self.spelled(canvas).runs)

    def spelled(self, canvas: Canvas) -> Spelling:
        """How a picture on this canvas stands in a prompt."""
        spelled: Spelling = self._spelled(canvas.view_wh)
        return Spelling((self.static_tokens,), spelled.text) if self.static_tokens else spelled

    def _spell(self, view_wh: tuple[int, int]) -> Spelling:
        text = self.processor.replace_image_token(self.sight.told(view_wh), 0)
        token = re.escape(self.processor.tokenizer.convert_ids_to_tokens(self.image_token_id))
        runs = tuple(len(run) for run in re.findall(f"(?:{token})+", text))
        length = len(self.processor.tokenizer.convert_ids_to_tokens(self.image_token_id))
        return Spelling(tuple(run // length for run in runs), re.sub(f"({token})+", r"\1", text))

    def pixels(self, views: Sequence[Image.Image]) -> dict[str, Tensor]:
        """The vision tower's input for canvas views; the processor's own crop, resize and padding are switched off."""
        if not views:
            return {}
        own = ((TOWER_PIXELS, self.tower), (PYRAMID_PIXELS, self.pyramid), (PALETTE_PIXELS, self.palette))
        return self.sight.pixels(views) | {name: eye.pixels(views) for name, eye in own if eye is not None}

    def given(self, pixels: dict[str, Tensor]) -> dict[str, Tensor]:
        """The vision tower's input as the host's own `forward` takes it, on its device and in its type."""
        return {
            k: v.to(self.device, self.dtype if v.is_floating_point() else None)
            for k, v in (self.sight.given(pixels) if pixels else {}).items()
            if k not in (TOWER_PIXELS, PYRAMID_PIXELS, PALETTE_PIXELS)
        }

    def look(self, pixels: dict[str, Tensor]) -> Look:
        """Run the vision tower and the projector once over all pictures; to answer on a CPU, over some at a time."""
        if torch.is_grad_enabled() or self.device.type != "cpu" or type(self.sight) is not Square:
            return self._look(pixels)
        some = zip(*(x.split(AT_ONCE) for x in pixels.values()), strict=True)
        return Look.joined([self._look(dict(zip(pixels, part, strict=True))) for part in some])

    def _look(self, pixels: dict[str, Tensor]) -> Look:
        out = self.host.get_image_features(**self.given(pixels), output_hidden_states=True, return_dict=True)
        look = self.sight.look(out, pixels)
        if self.pyramid is not None:
            look = replace(look, pyramid=self.pyramid.look(pixels[PYRAMID_PIXELS]))
        if self.palette is not None:
            look = replace(look, colours=pixels[PALETTE_PIXELS].to(self.device))
        if self.tower is None:
            return look
        layers = self.tower.look(pixels[TOWER_PIXELS])
        return replace(look, cells=layers[-1].permute(0, 3, 1, 2), layers=layers)

    # -- language ------------------------------------------------------------------------------------------------

    def embed(self, input_ids: Tensor) -> Tensor:
        """Input embeddings [B, T, D]; ids beyond the host's vocabulary get its first row (they are overwritten)."""
        rows = self.host.get_input_embeddings()  # of which some hosts have fewer than their head
        return rows(input_ids.masked_fill(input_ids >= min(self.vocab_size, rows.num_embeddings), 0))

    def positions(self, input_ids: Tensor, attention_mask: Tensor, pixels: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Position ids of a prompt, [B, T] or [3, B, T], and the next free position of each row, long [B, 1]."""
        if not self.turns or not pixels:
            plain = (attention_mask.cumsum(-1) - 1).clamp(min=0) + self.facts.first
            places, following = plain, plain[:, -1:] + 1
            return (places.expand(3, -1, -1) if self.turns else places), following
        places, _ = self.host.base_model.get_rope_index(
            input_ids,
            mm_token_type_ids=(input_ids == self.image_token_id).int(),
            image_grid_thw=pixels["image_grid_thw"].to(input_ids.device),
            attention_mask=attention_mask,
        )
        return places, places.amax(0).amax(-1, keepdim=True) + 1

    def cache(self) -> Any:
        """An empty cache of the language model's."""
        return empty_cache(self.host.config.get_text_config())

    def compile_step(self, backend: str = "inductor") -> None:
        """From now on the language model's step of one token runs compiled; it is compiled when it is first taken."""
        self.step = torch.compile(self.host.get_decoder(), backend=backend, dynamic=True)

    def step_positions(self, following: Tensor) -> Tensor:
        """Position ids [B, n] (or [3, B, n]) of n tokens that come next."""
        return following.expand(3, -1, -1) if self.turns else following

    def beside(
        self, input_ids: Tensor, answers: Tensor, deep: Sequence[tuple[Tensor, ...]], like: Tensor
    ) -> Beside | None:
        """What this host is told beside embeddings `like` [B, T, D]; None for most hosts.

        `answers` bool [B, T]: what the model says, and what follows a request; `deep`: of each picture of the rows.
        """
        visual = places(input_ids, self.image_token_id)
        types = None
        if self.looks_ahead:
            types = (answers.cumsum(1) > 0).long() if self.facts.prefix else visual.long()
        if types is None and not deep:
            return None
        layers = zip(*deep, strict=True) if deep else ()
        return Beside(types, visual, tuple(write(torch.zeros_like(like), visual, torch.cat(x)) for x in layers))

    def states(
        self,
        embeds: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor,
        cache: Any = None,
        layers: bool = False,
        beside: Beside | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The states that the head reads [B, T, D] and, if asked for, those of every layer. One language-model call."""
        mask: Any = attention_mask
        more: dict[str, Any] = {self.cache_word: cache}
        if beside is not None and beside.types is not None:
            masks = self.host.create_masks_for_generate
            mask = masks(
                config=self.host.config.get_text_config(),
                inputs_embeds=embeds,
                attention_mask=attention_mask,
                position_ids=None,
                token_type_ids=beside.types,
                **{cache_word(masks): cache},
            )
        if beside is not None and beside.visual is not None and beside.deep and bool(beside.visual.any()):
            deep = [d[beside.visual] for d in beside.deep]
            more |= {"visual_pos_masks": beside.visual, "deepstack_visual_embeds": deep}
        decoder = self.step if self.step is not None and embeds.shape[1] == 1 else self.host.get_decoder()
        out = decoder(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=position_ids,
            use_cache=cache is not None,
            output_hidden_states=layers,
            return_dict=True,
            **more,
        )
        return out.last_hidden_state, tuple(out.hidden_states or ())

    def head(self, states: Tensor) -> Tensor:
        """Logits [..., V] of states [..., D], by the host's own head."""
        head = self.host.get_output_embeddings()
        logits = head(states.to(head.weight.dtype))
        return logits if self.softcap is None else (logits / self.softcap).tanh() * self.softcap

    def fingerprint(self) -> dict[str, Any]:
        """What tells this host from another: class, sizes and a few of its weights, as they were when it was held."""
        return {
            "class": type(self.host).__name__,
            "width": self.width,
            "layers": self.layer_count,
            "vocabulary": self.vocab_size,
            "rows": list(self._rows),
        }

    def stranger(self, fingerprint: dict[str, Any]) -> str | None:
        """The first fact of a fingerprint that is not this host's; None where all are, up to bfloat16's rounding."""
        ours = self.fingerprint()
        theirs = fingerprint.get("rows")
        for key in ours:
            if key != "rows" and ours[key] != fingerprint.get(key):
                return key
        if not isinstance(theirs, list) or len(theirs) != len(self._rows):
            return "rows"
        near = 0.002 + 0.01 * max(map(abs, self._rows))
        same = (isinstance(b, (int, float)) and abs(a - b) <= near for a, b in zip(self._rows, theirs, strict=True))
        return None if all(same) else "rows"


def _sliding_window(text: Any) -> int | None:
    """How many places back the language model looks; None for all. Either every layer does so, or those it names."""
    layers = getattr(text, "layer_types", None)
    return getattr(text, "sliding_window", None) if layers is None or "sliding_attention" in layers else None

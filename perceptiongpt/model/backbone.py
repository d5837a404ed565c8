"""The host as the rest of this package sees it: a few facts and five deeds, found from the unmodified model itself.

Knows where a `transformers` host keeps its embeddings, head, vision tower and grid, and how its processor sees.
Knows nothing of regions or of the new tokens (perception.py). Nothing here changes the host.

B batch rows, T tokens, D width of the language model, P pictures, I image tokens a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from perceptiongpt.core.canvas import Canvas
from perceptiongpt.model.cache import empty_cache

DYNAMIC_CELLS = 16  # hosts of dynamic resolution: each picture's cells are resampled to this grid for the decoders


class HostError(ValueError):
    """A host that cannot be held, with the reason and what would do."""


@dataclass(frozen=True, eq=False)
class Look:
    """What the vision tower gave for P pictures; a value that the language model and the decoders all look at."""

    tokens: tuple[Tensor, ...]  # each [I, D], in the order in which the language model reads them
    cells: Tensor  # [P, D, hc, wc]: the same tokens as a map
    layers: tuple[Tensor, ...]  # each [P, h, w, C]: hidden states of the vision tower, first to last


class Backbone:
    """Facts of a held host and the deeds that need them."""

    def __init__(self, host: Any, processor: Any) -> None:
        if getattr(host.config, "is_encoder_decoder", False):
            raise HostError(
                f"{type(host).__name__} is an encoder-decoder, whose decoder keeps nothing of the prompt that could "
                "be read or answered in one pass; give a decoder-only image-text host"
            )
        self.host, self.processor = host, processor
        self.image_processor: Any = getattr(processor, "image_processor", None)
        if self.image_processor is None or not hasattr(host, "get_image_features"):
            raise HostError(
                f"{type(host).__name__} has no picture input; give an image-text-to-text model and its processor"
            )
        text = host.config.get_text_config()
        self.width: int = host.get_input_embeddings().embedding_dim
        self.vocab_size: int = host.get_output_embeddings().weight.shape[0]
        self.layer_count: int = text.num_hidden_layers
        self.sliding_window = _sliding_window(text)
        self.static_tokens = 0  # how many tokens a picture has where a static mapping takes the place of the host's own
        self.image_token_id: int = host.config.image_token_id
        self.dynamic = hasattr(self.image_processor, "merge_size")
        vision = host.config.vision_config
        self.patch: int = vision.patch_size
        if self.dynamic:
            self.cell_pixels = self.patch * self.image_processor.merge_size
        else:
            self.side = _fixed_side(self.image_processor)
        ids = torch.arange(0, self.vocab_size, max(1, self.vocab_size // 512), device=self.device)
        with torch.no_grad():
            rows = host.get_input_embeddings().weight[: self.vocab_size : max(1, self.vocab_size // 16), :4]
            self._rows = [round(float(v), 3) for v in rows.detach().float().mean(-1)]
            self.row_norm = float(host.get_input_embeddings()(ids).float().norm(dim=-1).mean())
            probe = self.look(self.pixels([Image.new("RGB", self.canvas((64, 48)).view_wh)]))
        self.cells_hw: tuple[int, int] = (probe.cells.shape[-2], probe.cells.shape[-1])
        self.feature_width: int = probe.layers[0].shape[-1]
        self.feature_layers = len(probe.layers)
        native = getattr(host.config, "vision_feature_layer", -1)
        self.native_layer = (native if isinstance(native, int) else native[-1]) % self.feature_layers

    @property
    def device(self) -> torch.device:
        return self.host.get_input_embeddings().weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.host.get_input_embeddings().weight.dtype

    # -- pictures ------------------------------------------------------------------------------------------------

    def canvas(self, size_wh: tuple[int, int]) -> Canvas:
        """The mapping between a picture of `size_wh` and what this host sees of it."""
        if not self.dynamic:
            return Canvas(size_wh, self.side, "pad")
        processor = self.image_processor
        low, high = processor.size["shortest_edge"], processor.size["longest_edge"]
        return Canvas.free(size_wh, _dynamic_view(size_wh, self.cell_pixels, low, high))

    def image_places(self, canvas: Canvas) -> int:
        """How many image tokens the language model reads for a picture on this canvas."""
        if self.static_tokens:
            return self.static_tokens
        if self.dynamic:
            width, height = canvas.view_wh
            return (width // self.cell_pixels) * (height // self.cell_pixels)
        return self.cells_hw[0] * self.cells_hw[1]

    def pixels(self, views: Sequence[Image.Image]) -> dict[str, Tensor]:
        """The vision tower's input for canvas views; the processor's own crop, resize and padding are switched off."""
        if not views:
            return {}
        p = self.image_processor
        if self.dynamic:
            made = p(images=list(views), do_resize=False, return_tensors="pt")
            return {k: v for k, v in made.items() if k in ("pixel_values", "image_grid_thw")}
        stacked = torch.from_numpy(np.stack([np.asarray(v.convert("RGB")) for v in views])).permute(0, 3, 1, 2).float()
        if getattr(p, "do_rescale", True):
            stacked = stacked * float(p.rescale_factor)
        if getattr(p, "do_normalize", True):
            mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (p.image_mean, p.image_std))
            stacked = (stacked - mean) / std
        return {"pixel_values": stacked}

    def look(self, pixels: dict[str, Tensor]) -> Look:
        """Run the vision tower and the projector once over all pictures."""
        moved = {k: v.to(self.device) for k, v in pixels.items()}
        moved["pixel_values"] = moved["pixel_values"].to(self.dtype)
        out = self.host.get_image_features(**moved, output_hidden_states=True, return_dict=True)
        if self.dynamic:
            return self._look_dynamic(out, moved["image_grid_thw"])
        tokens = out.pooler_output if torch.is_tensor(out.pooler_output) else torch.stack(list(out.pooler_output))
        tokens = tokens.reshape(len(moved["pixel_values"]), -1, self.width)  # [P, I, D]
        side = round(tokens.shape[1] ** 0.5)
        if side * side != tokens.shape[1]:
            raise HostError(f"{tokens.shape[1]} image tokens form no square grid, so regions cannot be placed on them")
        cells = tokens.transpose(1, 2).unflatten(-1, (side, side))
        return Look(tuple(tokens), cells, tuple(_as_map(h) for h in out.hidden_states))

    def _look_dynamic(self, out: Any, grid_thw: Tensor) -> Look:
        """Cells and layers of pictures of different sizes, resampled to one grid: places are shares of the picture."""
        merge, vision = self.image_processor.merge_size, self.host.config.vision_config
        grids = [(h, w) for _, h, w in grid_thw.tolist()]
        cells = [
            _resampled(tokens.transpose(0, 1).unflatten(-1, (h // merge, w // merge)), DYNAMIC_CELLS)
            for tokens, (h, w) in zip(out.pooler_output, grids, strict=True)
        ]
        order = None
        if hasattr(vision, "window_size"):  # Qwen2.5-VL keeps its patches in window order inside the tower
            from transformers.vision_utils import get_vision_window_index

            order = get_vision_window_index(grid_thw, merge, vision.window_size, vision.patch_size)[0].argsort()
        layers = []
        for hidden in out.hidden_states:
            units = hidden.unflatten(0, (-1, merge * merge))
            units = units if order is None else units[order.to(units.device)]
            pictures = units.split([h * w // merge**2 for h, w in grids])
            maps = [
                u.reshape(h // merge, w // merge, merge, merge, -1).permute(4, 0, 2, 1, 3).reshape(-1, h, w)
                for u, (h, w) in zip(pictures, grids, strict=True)
            ]
            layers.append(torch.cat([_resampled(m, 2 * DYNAMIC_CELLS) for m in maps]).permute(0, 2, 3, 1))
        return Look(tuple(out.pooler_output), torch.cat(cells).to(self.dtype), tuple(layers))

    # -- language ------------------------------------------------------------------------------------------------

    def embed(self, input_ids: Tensor) -> Tensor:
        """Input embeddings [B, T, D]; ids beyond the host's vocabulary get its first row (they are overwritten)."""
        known = input_ids.masked_fill(input_ids >= self.vocab_size, 0)
        return self.host.get_input_embeddings()(known)

    def positions(self, input_ids: Tensor, attention_mask: Tensor, pixels: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Position ids of a prompt, [B, T] or [3, B, T], and the next free position of each row, long [B, 1]."""
        if not self.dynamic or not pixels:
            plain = (attention_mask.cumsum(-1) - 1).clamp(min=0)
            places, following = plain, plain[:, -1:] + 1
            return (places.expand(3, -1, -1) if self.dynamic else places), following
        places, _ = self.host.model.get_rope_index(
            input_ids,
            mm_token_type_ids=(input_ids == self.image_token_id).int(),
            image_grid_thw=pixels["image_grid_thw"].to(input_ids.device),
            attention_mask=attention_mask,
        )
        return places, places.amax(0).amax(-1, keepdim=True) + 1

    def cache(self) -> Any:
        """An empty cache of the language model's."""
        return empty_cache(self.host.config.get_text_config())

    def step_positions(self, following: Tensor) -> Tensor:
        """Position ids [B, n] (or [3, B, n]) of n tokens that come next."""
        return following.expand(3, -1, -1) if self.dynamic else following

    def states(
        self,
        embeds: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor,
        cache: Any = None,
        layers: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The states that the head reads [B, T, D] and, if asked for, those of every layer. One language-model call."""
        out = self.host.get_decoder()(
            inputs_embeds=embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
            output_hidden_states=layers,
            return_dict=True,
        )
        return out.last_hidden_state, tuple(out.hidden_states or ())

    def head(self, states: Tensor) -> Tensor:
        """Logits [..., V] of states [..., D], by the host's own head."""
        head = self.host.get_output_embeddings()
        return head(states.to(head.weight.dtype))

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


def _fixed_side(image_processor: Any) -> int:
    """The side of the square that a fixed-size processor makes."""
    crop = getattr(image_processor, "crop_size", None) if getattr(image_processor, "do_center_crop", False) else None
    size = crop or image_processor.size
    get = size.get if hasattr(size, "get") else lambda key: getattr(size, key, None)
    height, width = get("height") or get("shortest_edge"), get("width") or get("shortest_edge")
    if height is None or height != width:
        raise HostError(
            f"the processor makes pictures of {size}; only one fixed square or dynamic resolution can be held"
        )
    return int(height)


def _sliding_window(text: Any) -> int | None:
    """How many places back the language model looks; None for all. Either every layer does so, or those it names."""
    layers = getattr(text, "layer_types", None)
    return getattr(text, "sliding_window", None) if layers is None or "sliding_attention" in layers else None


def _dynamic_view(size_wh: tuple[int, int], cell: int, low: int, high: int) -> tuple[int, int]:
    """A view whose sides are multiples of `cell` pixels, near the picture's ratio, its area between low and high."""
    width, height = size_wh
    scale = min(max(1.0, (low / (width * height)) ** 0.5), (high / (width * height)) ** 0.5)
    cells_w, cells_h = (max(1, round(side * scale / cell)) for side in (width, height))
    limit = max(1, high // (cell * cell))
    while cells_w * cells_h > limit:
        if cells_w >= cells_h:
            cells_w = max(1, min(cells_w - 1, limit // cells_h))
        else:
            cells_h = max(1, min(cells_h - 1, limit // cells_w))
    return cells_w * cell, cells_h * cell


def _resampled(one: Tensor, side: int) -> Tensor:
    """A map [C, h, w] as [1, C, side, side] float32."""
    return F.interpolate(one.unsqueeze(0).float(), (side, side), mode="bilinear", align_corners=False)


def _as_map(hidden: Tensor) -> Tensor:
    """Patch states [P, n, C] -> [P, h, w, C]; leading class and register tokens are dropped."""
    side = int(hidden.shape[1] ** 0.5)
    patches = hidden[:, hidden.shape[1] - side * side :]
    return patches.unflatten(1, (side, side))

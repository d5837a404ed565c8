"""The plug-in: perception held beside a host, and the forward pass that is the paper's figure.

Knows hidden states, the new tokens and what is read or written at them. Knows no file formats (store.py), no phrases
(data/) and no weights of losses (config.py). The host is never subclassed, resized or edited: `<vis>` has the first id
beyond the host's vocabulary, so no text that a user types can become it.

B batch rows, T tokens, D width, V the host's vocabulary, N regions, K tokens a region, P pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from perceptiongpt.core.batch import ANSWER_FORMATS, Batch, Output, Regions
from perceptiongpt.core.slots import Words, before, places, read, window, write
from perceptiongpt.model.adapt import attach_lora
from perceptiongpt.model.backbone import Backbone, Beside, Look
from perceptiongpt.model.context import enumerated, looks, shuffled, written_areas
from perceptiongpt.model.echo import Echo
from perceptiongpt.model.fusion import LayerFusion
from perceptiongpt.model.interactive import Asker
from perceptiongpt.model.parts import attach_asker, detach_pointing, drop_regions, spelling
from perceptiongpt.model.requests import listen
from perceptiongpt.model.seen import Seen
from perceptiongpt.model.settings import Settings
from perceptiongpt.tasks.positions import fourier, grid_xy
from perceptiongpt.tasks.pyramid import PyramidNamer, joined
from perceptiongpt.tasks.region import RegionDecoder, RegionEncoder

__all__ = ["PerceptionModel", "Seen", "Settings", "equip"]

PLACE_BANDS = 6


class PerceptionModel(nn.Module):
    """A host and what was added to it. Make one with `equip`."""

    def __init__(self, backbone: Backbone, settings: Settings) -> None:
        super().__init__()
        width, layers = backbone.width, backbone.layer_count
        self.settings, self.backbone, self.host = settings, backbone, backbone.host
        self.vis_id = backbone.vocab_size
        self.encoder = RegionEncoder(width, backbone.row_norm, settings.decoder_width * settings.region_features)
        named = ("enumerates", "looks_twice", "weighs_match", "learns_match", "passes_over", "tells_apart", "refines")
        grown = {name: getattr(settings, name) for name in named}
        sizes = (settings.decoder_width, settings.decoder_depth, settings.read_window)
        self.decoder = RegionDecoder(width, 2 * backbone.feature_width, *sizes, **grown, pyramid=backbone.levels)
        self.namer = PyramidNamer(backbone.levels, width) if backbone.levels else None
        # What a thing is stands in late layers, its colour and outline in early ones: one mean of each.
        self.fusion = LayerFusion(backbone.feature_layers, [backbone.native_layer], [backbone.feature_layers // 6])
        # 2-D positions of what the language model reads, zero at birth; hosts of dynamic resolution have their own.
        self.place = None if backbone.dynamic or backbone.tower else nn.Linear(4 * PLACE_BANDS, width)
        self.cells = nn.Linear(backbone.cells_width, width) if backbone.tower else None  # what points read of it
        if self.place is not None:
            nn.init.zeros_(self.place.weight)
            nn.init.zeros_(self.place.bias)
        self.vis_row = nn.Parameter(backbone.host.get_output_embeddings().weight.detach().float().mean(0, keepdim=True))
        more = settings.vis_tokens - 1
        self.filler = nn.Parameter(torch.randn(more, width) * backbone.row_norm / width**0.5) if more else None
        fused = settings.read_layers == "fused"
        self.state_fusion = LayerFusion(layers + 1, [0, layers // 2, layers]) if fused else None
        self.echo = Echo(width, backbone.row_norm, settings.region_colours) if settings.echoes else None
        self.host_trained = {n: p.requires_grad for n, p in backbone.host.named_parameters()}  # for detach
        top = backbone.native_layer  # hidden states are counted from the embeddings: layer i makes state i + 1
        seen = range(max(0, top - settings.lora_vision_layers), top)
        self.lora = attach_lora(backbone.host, settings.lora_targets, settings.lora_rank, settings.lora_alpha, seen)
        self.merged = False  # whether the adapters are folded into the host's weights (adapt.merge)
        self.call_counter: Callable[[int], None] | None = None  # told the tokens of every language-model call
        self.ask_id, self.reply_id, self.location_id = self.vis_id + 1, self.vis_id + 2, self.vis_id + 3
        count = ANSWER_FORMATS[settings.answer_format]
        drawn = torch.randn(count, width) * backbone.row_norm / width**0.5
        self.locations = nn.Parameter(drawn) if count else None  # rows of location tokens: inputs, and outputs if tied
        tied = backbone.host.get_output_embeddings().weight is backbone.host.get_input_embeddings().weight
        self.location_heads = nn.Parameter(drawn.clone()) if count and not tied else None
        self.asker: Asker | None = None
        if settings.ask is not None:
            attach_asker(self, settings.ask)
        if not settings.points:
            detach_pointing(self)
        elif not settings.decodes:
            drop_regions(self)

    # -- the forward pass ----------------------------------------------------------------------------------------

    def forward(self, batch: Batch, language: bool = True, regions: bool = True) -> Output:
        """Losses' ingredients for a batch: logits at supervised places, regions said, regions reconstructed.

        Without `language` the language model isn't run: states are zeros, no text is scored and nothing reconstructed,
        and the decoders learn from the words and the picture alone, many times faster. Without `regions` none is
        decoded, and text alone is scored.
        """
        seen = self.see(batch.pixels)
        slot = places(batch.input_ids, self.vis_id)  # [B, T]
        embeds = self.embed(batch.input_ids, seen)  # [B, T, D]
        given = self.encode(batch, seen)  # [N, D]
        embeds = write(embeds, slot, self.spell(given))  # [N * K, D] written at <vis>
        states, embeds, said = self.hear(embeds, batch, seen, slot) if language else self.ignore(embeds, slot)
        if self.echo is not None and language:
            told = self.echo.hears(given, seen.colours, written_areas(batch), batch.picture, batch.points)
            states = self.echo(states, write(embeds, slot, self.spell(told)), slot)
        picture, spoken = batch.picture, ~batch.asked & regions  # [N]
        earlier, maybe = self.enumerated(batch, slot, spoken)
        found = self.decode(said[spoken], seen, picture[spoken], self.words(embeds, slot, spoken), earlier)
        again = self.decode(given.unsqueeze(1), seen, picture) if language and regions else None
        supervised = (batch.labels[:, 1:] != -100) & language
        targets = batch.labels[:, 1:][supervised]
        shown, keys, boxes = (None, None, None) if seen.prepared is None else seen.prepared.learnt
        logits = self.head(states[:, :-1][supervised])  # [P, V + new]
        return Output(logits, targets, found, seen.cells, again, shown, keys, maybe, seen.named, seen.colours, boxes)

    def hear(self, embeds: Tensor, batch: Batch, seen: Seen, slot: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The language model's states and what it was given, each [B, T, D], and the states that say regions."""
        positions, _ = self.backbone.positions(batch.input_ids, batch.attention_mask, batch.pixels)
        beside = self.beside(batch, seen, embeds)
        heard = listen(self, batch, embeds, positions, seen, self.picture_of(batch), beside=beside)  # may ask
        said = self.fuse([read(layer, before(slot)) for layer in heard.layers])  # [N * K, D]
        return heard.states, heard.embeds, said.unflatten(0, (-1, self.settings.vis_tokens))

    def ignore(self, embeds: Tensor, slot: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Zeros in place of the states that `hear` returns."""
        nothing = torch.zeros_like(embeds, dtype=torch.float32)
        return nothing, embeds, read(nothing, slot).unflatten(0, (-1, self.settings.vis_tokens))

    def words(self, embeds: Tensor, slot: Tensor, which: Tensor) -> Words | None:
        """The words before those regions of `slot` that `which` (bool [N]) chooses; None where no words are read."""
        if not self.settings.read_window:
            return None
        words = window(embeds, before(slot), self.settings.read_window, slot)
        return words.at(slice(None, None, self.settings.vis_tokens)).at(which)

    def enumerated(self, batch: Batch, slot: Tensor, which: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Of the regions that `which` (bool [N]) chooses `context.enumerated`; in training in any order."""
        if not self.settings.enumerates:
            return None, None
        shown, maybe = enumerated(batch, slot, self.settings.vis_tokens, shuffled(batch) if self.training else None)
        return shown[which], maybe[which][:, which]

    def picture_of(self, batch: Batch) -> Tensor:
        """For each batch row, which of the batch's pictures it showed last: long [B]; rows of text alone get -1."""
        return torch.where(batch.pictures > 0, batch.pictures.cumsum(0) - 1, -1)

    def beside(self, batch: Batch, seen: Seen, embeds: Tensor) -> Beside | None:
        """What some hosts are told beside the embeddings of a batch whose pictures, row by row, are those of `seen`."""
        asks = places(batch.input_ids, self.ask_id)
        answers = (batch.labels != -100) | torch.cat([torch.zeros_like(asks[:, :1]), asks[:, :-1]], dim=1)
        return self.backbone.beside(batch.input_ids, answers, seen.deep, embeds)

    # -- its parts -----------------------------------------------------------------------------------------------

    def see(self, pixels: dict[str, Tensor]) -> Seen:
        """Encode pictures once, for the language model and for the decoders."""
        if not pixels:
            return Seen((), None)
        grids = {k: v for k, v in pixels.items() if k == "image_grid_thw"}
        return self.prepare(self.backbone.look(pixels), grids)

    def prepare(self, look: Look, grids: dict[str, Tensor]) -> Seen:
        """A Look with this plug-in's positions, fused map and what its requests look at."""
        tokens, prepared, sources, sources_hw, named = look.tokens, None, None, (0, 0), None
        if self.cells is not None:
            look = replace(look, cells=self.cells(look.cells.float().permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        if self.settings.decodes:
            fused, cells = self.fusion(look.layers).permute(0, 3, 1, 2), look.cells
            if self.namer is not None:
                named = self.namer(look.pyramid, (cells.shape[-2], cells.shape[-1]))
                cells = joined(cells, named, self.backbone.row_norm)
            prepared = self.decoder.prepare(fused, cells, pyramid=look.pyramid)
        if self.place is not None and not self.backbone.static_tokens:
            place = self.place(fourier(grid_xy(*self.backbone.cells_hw, look.cells.device), PLACE_BANDS))  # [I, D]
            tokens = tuple(t + place.to(t.dtype) for t in tokens)
        if self.asker is not None:
            tokens, sources, sources_hw = self.asker.look(replace(look, tokens=tokens))
        return Seen(tokens, prepared, look.cells, grids, sources, sources_hw, look.deep, named, look.colours)

    def encode(self, batch: Batch, seen: Seen) -> Tensor:
        """The regions of a batch as vectors [N, D], and with `region_features` of what their pictures show there."""
        if not self.settings.decodes:
            if len(batch.boxes):
                raise ValueError(
                    f"{len(batch.boxes)} regions came to a plug-in that only asks or spells; give words alone"
                )
            return batch.boxes.new_zeros(0, self.backbone.width)
        with torch.autocast(batch.boxes.device.type, enabled=False):
            there = self.looks(written_areas(batch), batch.points, seen, batch.picture)
            return self.encoder(batch.boxes, batch.masks, batch.points, batch.shown, there)

    def looks(self, areas: Tensor, points: Tensor, seen: Seen, picture: Tensor) -> Tensor | None:
        """What pictures show there (`context.looks`); None where region vectors don't carry it."""
        if not self.settings.region_features or seen.prepared is None:
            return None
        return looks(seen.prepared.map, areas, points, picture)

    def spell(self, vectors: Tensor) -> Tensor:
        """Region vectors [N, D] as the K embeddings written at each region's tokens: [N * K, D].

        Only the last of the K places carries the region; the others carry fillers, since a region that is spoken is
        known only when all K states have been read.
        """
        if self.filler is None:
            return vectors
        fill = self.filler.expand(len(vectors), -1, -1)
        return torch.cat([fill, vectors.unsqueeze(1)], dim=1).flatten(0, 1)

    def embed(self, input_ids: Tensor, seen: Seen) -> Tensor:
        """Input embeddings [B, T, D] with the pictures' tokens in their places; `<vis>` places still to be written."""
        embeds = self.embed_words(input_ids)
        slot = places(input_ids, self.backbone.image_token_id)
        return write(embeds, slot, torch.cat(seen.tokens) if seen.tokens else embeds.new_zeros(0, embeds.shape[-1]))

    def embed_words(self, input_ids: Tensor) -> Tensor:
        """Input embeddings [B, T, D] of the host's words and of location tokens."""
        embeds = self.backbone.embed(input_ids)
        if self.locations is None:
            return embeds
        slot = input_ids >= self.location_id
        return write(embeds, slot, self.locations[input_ids[slot] - self.location_id])

    def states(
        self,
        embeds: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor,
        cache: Any = None,
        beside: Beside | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the head reads [B, T, D] and the layers that regions are read from (`fuse`). One language-model call."""
        if self.call_counter is not None:
            self.call_counter(embeds.shape[1])
        fused = self.state_fusion is not None
        last, layers = self.backbone.states(embeds, attention_mask, position_ids, cache, fused, beside)
        return last, layers if fused else (last,)

    def fuse(self, layers: Sequence[Tensor]) -> Tensor:
        """One vector [N, D] out of the same place's states in each layer, each [N, D]."""
        return layers[0] if self.state_fusion is None else self.state_fusion(layers)

    def head(self, states: Tensor) -> Tensor:
        """Logits [..., V + new]: the host's, `<vis>`, `<ask>` where the model may say it, location tokens if any."""
        float_states = states.float()
        never = float_states.new_full((*states.shape[:-1], 1), float("-inf"))
        new = [float_states @ self.vis_row.T if self.settings.decodes else never]
        if self.asker is not None and self.asker.row is not None:
            new.append(float_states @ self.asker.row.T)
        if self.locations is not None:
            rows = self.locations if self.location_heads is None else self.location_heads
            new += [never] * (self.location_id - self.vis_id - len(new)) + [float_states @ rows.T]
        return torch.cat([self.backbone.head(states).float(), *new], dim=-1)

    def decode(
        self,
        states: Tensor,
        seen: Seen,
        picture: Tensor,
        words: Words | None = None,
        earlier: Tensor | None = None,
        several: Tensor | None = None,
    ) -> Regions:
        """States [N, K, D], the picture of each (long [N]) and what else decoders take; none need no picture."""
        if seen.prepared is None:
            if len(states):
                raise ValueError(f"{len(states)} regions were spoken of, but no picture was given; give a picture")
            empty = states.new_zeros((0,), dtype=torch.float32)
            return Regions(empty.view(0, 4), empty.view(0, 1, 1), empty.view(0, 1, 1), empty)
        return self.decoder(states, seen.prepared, picture, words, earlier, several)

    def respell(self, regions: Regions, seen: Seen, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Decoded regions, each of its picture (long [N]), as what is fed back and what the echo hears: each [N, D]."""
        has = torch.tensor([[True, True, False]], device=regions.boxes.device).expand(len(regions.boxes), -1)
        masks, points = regions.masks.sigmoid(), regions.boxes[:, :2]
        vectors = self.encoder(regions.boxes, masks, points, has, self.looks(masks, points, seen, picture))
        return vectors, vectors if self.echo is None else self.echo.hears(vectors, seen.colours, masks, picture)

    # -- what was added ------------------------------------------------------------------------------------------

    def added(self) -> dict[str, nn.Parameter]:
        """The plug-in's own parameters by name: everything but the host's and the adapter's."""
        return {n: p for n, p in self.named_parameters() if not n.startswith("host.") and not n.startswith("lora.")}

    def spelling(self) -> dict[str, Any]:
        """What a renderer must know of this plug-in's tokens: ids, and how many places each takes."""
        return spelling(self)


def equip(host: nn.Module, processor: Any, *, seed: int = 0, **settings: Any) -> PerceptionModel:
    """Give eyes that point to a `transformers` image-text-to-text model, from outside.

    `settings` are the fields of `Settings`; an unknown one raises TypeError. The fresh plug-in changes no logit of the
    host. Raises HostError for hosts that cannot be held. Added parts are float32 on the host's device.
    """
    made = Settings(**settings)
    backbone = Backbone(host, processor, made.tower, made.pyramid, made.region_colours)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PerceptionModel(backbone, made)
    return model.to(backbone.device)

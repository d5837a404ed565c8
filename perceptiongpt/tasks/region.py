"""A whole region as one vector, and a vector as a whole region: box, mask, point and score together.

Encoders above, decoders below; their round trip is a loss (`cycle`) and a test. Knows no tokens of a language model:
it is given states and gives vectors back.

B pictures, N regions, K states a region, D width of the language model, C width of the decoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiongpt.core.batch import Regions
from perceptiongpt.core.boxes import xyxy_to_cxcywh
from perceptiongpt.core.slots import Words
from perceptiongpt.tasks.box import BoxDecoder, BoxEncoder, extent_cxcywh
from perceptiongpt.tasks.instances import InstanceReader, alone
from perceptiongpt.tasks.mask import MaskDecoder, MaskEncoder, PreparedMap
from perceptiongpt.tasks.outline import OutlineRefiner
from perceptiongpt.tasks.point import PointEncoder, StatePointer, WordPointer, narrowed
from perceptiongpt.tasks.score import ScoreDecoder, match
from perceptiongpt.tasks.words import WordReader

AWAY = 12.0  # logits by which a cell falls back where what was found before covers it


class RegionEncoder(nn.Module):
    """Boxes, masks and points -> one vector [N, D] a region, at the norm of the host's own embedding rows.

    encode(region) = encode(box) + encode(mask) + encode(point), over the parts that the region has; with `features`
    (their width) also + look(what the picture shows there).
    """

    def __init__(self, width: int, row_norm: float, features: int = 0) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, width)) if features else None
        self.box, self.mask, self.point = BoxEncoder(width), MaskEncoder(width), PointEncoder(width)
        self.norm = nn.RMSNorm(width)
        self.scale = row_norm / width**0.5  # an RMS-normed vector has norm sqrt(D)

    def forward(self, boxes: Tensor, masks: Tensor, points: Tensor, has: Tensor, looks: Tensor | None = None) -> Tensor:
        """boxes [N, 4], masks [N, S, S], points [N, 2]; `has` bool [N, 3] says which of box, mask, point are there;
        looks [N, features]. What has nothing is a vector of zeros."""
        use = has.to(torch.float32)
        total = self.box(boxes) * use[:, :1] + self.mask(masks) * use[:, 1:2] + self.point(points) * use[:, 2:]
        if self.look is not None and looks is not None:
            total = total + self.look(looks) * use.amax(1, keepdim=True)
        return self.norm(total) * self.scale


@dataclass(frozen=True, eq=False)
class PreparedPicture:
    """What the decoders need of B pictures, computed once a picture and kept."""

    map: PreparedMap
    keys: Tensor  # [B, I, H] what the pointer compares with, of the language model's cells
    cells_hw: tuple[int, int]
    instances: Tensor | None = None  # [B, 4, 2 h, 2 w] the boxes that places say, where things are told apart
    told: Tensor | None = None  # [B, c, 2 h, 2 w] and what they say these by, where outlines are refined

    @property
    def learnt(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """What losses beside those of regions judge: the map's cells [B, C, h, w], the pointer's keys, the boxes."""
        return self.map.cells, self.keys, self.instances


class RegionDecoder(nn.Module):
    """States [N, K, D] and prepared pictures -> Regions: the same states feed point, box, mask and score.

    With a `window`, the words just said are read beside the state: they point, and they are tokens of the decoder.
    """

    def __init__(
        self,
        width: int,
        feature_width: int,
        decoder_width: int = 192,
        depth: int = 2,
        window: int = 0,
        enumerates: bool = False,
        looks_twice: bool = False,
        weighs_match: bool = False,
        learns_match: bool = False,
        passes_over: bool = False,
        tells_apart: bool = False,
        refines: bool = False,
        pyramid: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.looks_twice, self.passes_over = looks_twice, passes_over
        self.reader = WordReader(width, window, decoder_width) if window else None
        self.pointer = WordPointer(width, decoder_width * learns_match) if window else StatePointer(width)
        self.state = nn.Sequential(nn.LayerNorm(width), enter := nn.Linear(width, decoder_width))
        self.phrase = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, decoder_width)) if window else None
        if window:  # silent at birth, so that decoders taught by words alone are not upset when states come
            nn.init.zeros_(enter.weight)
        self.queries = nn.Parameter(torch.randn(3, decoder_width) * 0.5)  # score, box, mask
        self.mask = MaskDecoder(feature_width, width, decoder_width, depth, enumerates=enumerates, pyramid=pyramid)
        self.box = BoxDecoder(decoder_width)
        self.score = ScoreDecoder(decoder_width, weighs_match=weighs_match)
        self.apart = InstanceReader(decoder_width) if tells_apart else None
        self.outline = OutlineRefiner() if refines else None

    def prepare(
        self, feature_map: Tensor, cells: Tensor, valid: Tensor | None = None, pyramid: Sequence[Tensor] = ()
    ) -> PreparedPicture:
        """A fused vision map [B, F, h, w], the language model's own cells [B, D, hc, wc] and the levels of a pyramid,
        where one is read, -> PreparedPicture."""
        hw = (cells.shape[-2], cells.shape[-1])
        prepared = self.mask.prepare(feature_map, cells, valid, pyramid)
        flat = cells.float().flatten(2).transpose(1, 2)
        told, boxes = None, None
        if self.apart is not None:  # it learns from a map that learns nothing of it
            maps = prepared.cells.detach(), prepared.halved.detach()
            told = None if self.outline is None else self.apart.look(*maps)
            boxes = self.apart(*maps) if told is None else self.apart.say(told)
        if isinstance(self.pointer, StatePointer):
            return PreparedPicture(prepared, self.pointer.prepare(flat), hw, boxes, told)
        shown = F.adaptive_avg_pool2d(prepared.cells.float(), hw).flatten(2).transpose(1, 2)
        return PreparedPicture(prepared, self.pointer.prepare(flat, shown), hw, boxes, told)

    def refined(self, masks: Tensor, others: Tensor, prepared: PreparedPicture, owner: Tensor) -> Tensor:
        """Masks [N, 4 h, 4 w] (logits) of the pictures `owner` (long [N]), each filled out or cut to the thing that it
        lies on, where another look outlined `others`; of a decoder that refines none, as they came."""
        if self.outline is None or prepared.told is None or prepared.instances is None:
            return masks
        with torch.autocast(masks.device.type, enabled=False):
            told, boxes = prepared.told[owner].float(), prepared.instances[owner].float()
            refined: Tensor = self.outline(masks.float(), others.float(), told, boxes)
            return refined

    def forward(
        self,
        states: Tensor,
        prepared: PreparedPicture,
        owner: Tensor,
        words: Words | None = None,
        earlier: Tensor | None = None,
        several: Tensor | None = None,
    ) -> Regions:
        """states [N, K, D], owner long [N] into the prepared pictures, the words before each where they are read,
        where what was found just before lies [N, S, S] in 0..1, which a decoder that enumerates passes over, and which
        regions (bool [N]) are of several: one that tells things apart cuts their masks to one thing each, and their
        decoded boxes are what the places of these say.

        Without words a decoder that reads them has the state alone, which then points nowhere by itself.
        """
        states, keys = states.float(), prepared.keys
        tokens = self.state(states)  # [N, K, C]
        begin = tokens[:, :1]  # each task starts from the state, and from the phrase
        there = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        if self.reader is None or self.phrase is None:
            points = self.pointer(states.mean(1), keys, owner)  # [N, I]
        elif words is None:
            points = states.new_zeros(len(states), keys.shape[1])
        else:
            heard, phrase = self.reader(words)
            points = self.pointer(phrase, keys, owner)
            tokens, there = torch.cat([tokens, heard], dim=1), torch.cat([there, words.there], dim=1)
            begin = begin + self.phrase(phrase).unsqueeze(1)
        alike, covered = points, None
        if earlier is not None and self.passes_over:
            covered = AWAY * F.adaptive_avg_pool2d(earlier, prepared.cells_hw).flatten(1)
            points = points - covered
        heat = points.softmax(-1)
        heat = (heat / heat.amax(-1, keepdim=True)).unflatten(-1, prepared.cells_hw).unsqueeze(1)
        heat = F.interpolate(heat, prepared.map.hw, mode="bilinear", align_corners=False).flatten(1)
        there = F.pad(there, (0, len(self.queries)), value=True)
        tokens = torch.cat([tokens, self.queries + begin], dim=1)
        given = (prepared.map, owner)
        first, masks, finer = self.mask(tokens, *given, heat, there, earlier)
        points = points.float().unflatten(-1, prepared.cells_hw)
        points = points + F.adaptive_avg_pool2d(finer.float(), prepared.cells_hw)
        if covered is not None:
            points = points - covered.unflatten(-1, prepared.cells_hw)
        found = first
        if self.looks_twice:
            found, masks, _ = self.mask(tokens, *given, narrowed(heat, points, prepared.map.hw), there, earlier)
        with torch.autocast(states.device.type, enabled=False):  # geometry is float32
            masks, finds = masks.float(), found[:, -2].float()
            if prepared.instances is None or several is None:
                boxes = self.box(finds, extent_cxcywh(masks))
            else:  # what decodes boxes follows the mask, so it is no second witness of which thing is meant
                masks, its, told = alone(masks, points, prepared.instances, owner, several)
                boxes = self.box(finds, extent_cxcywh(masks))
                boxes = torch.where(told[:, None], xyxy_to_cxcywh(its), boxes)
            how = None if self.score.match is None else match(alike.float(), masks, prepared.cells_hw)
            return Regions(boxes, masks, points, self.score(first[:, -3].float(), how))

"""A mask as a vector, and a vector as a mask (PerceptionGPT 1.2). Masks cover the whole canvas.

The decoder is a two-way transformer (token <-> picture) over a finer map than the language model's, with 2-D positions
as (x, y) of each cell's centre, then a dot product of a hypernetwork's vector with an upsampled map. What depends on
the picture alone (`MaskDecoder.prepare`) is computed once a picture, never once an object.

B pictures, N regions, K states a region, D width of the language model, C width of the decoder, h w the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiongpt.tasks.point import matches
from perceptiongpt.tasks.positions import fourier, grid_xy
from perceptiongpt.tasks.pyramid import PyramidReader, normal

MASK_SIDE = 64  # what the encoder looks at; a mask is area-averaged to it


class _Stage(nn.Module):
    """Halve the side, then one residual block; layer norm over channels and place, one mask at a time."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.norm1, self.norm2 = nn.GroupNorm(1, outputs), nn.GroupNorm(1, outputs)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.down(x)))
        return x + F.relu(self.norm2(self.conv(x)))


class MaskEncoder(nn.Module):
    """Masks [N, S, S] in 0..1 -> [N, width]: a thin residual network to 4 x 4, flattened."""

    def __init__(self, width: int, hidden: int = 384) -> None:
        super().__init__()
        self.stages = nn.Sequential(_Stage(1, 16), _Stage(16, 32), _Stage(32, 48), _Stage(48, 64))
        self.mlp = nn.Sequential(nn.Linear(64 * 16, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, masks: Tensor) -> Tensor:
        if masks.shape[-1] != MASK_SIDE or masks.shape[-2] != MASK_SIDE:
            masks = F.adaptive_avg_pool2d(masks.unsqueeze(1), MASK_SIDE).squeeze(1)
        return self.mlp(self.stages(masks.float().unsqueeze(1)).flatten(1))


class _Attention(nn.Module):
    """Multi-head attention of `width` at an inner width, so that the picture's side stays cheap."""

    def __init__(self, width: int, inner: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.value = nn.Linear(width, inner), nn.Linear(width, inner)
        self.key = nn.Linear(width, inner, bias=False)  # softmax cannot see a shift of all keys
        self.out = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for proj, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        logits = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5  # by hand: few tokens, and on CPUs far faster to train
        if valid is not None:
            logits = logits.masked_fill(~valid[:, None, None, :], float("-inf"))
        return self.out((logits.softmax(-1) @ v).transpose(1, 2).flatten(-2))


class TwoWayBlock(nn.Module):
    """Tokens look at each other, then at the picture; the picture looks back at the tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.among = _Attention(width, width)
        self.look = _Attention(width, width // 2)
        self.back = _Attention(width, width // 2)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))

    def forward(
        self,
        tokens: Tensor,
        keys: Tensor,
        token_place: Tensor,
        key_place: Tensor,
        valid: Tensor | None,
        there: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        q = tokens + token_place
        tokens = self.norms[0](tokens + self.among(q, q, tokens, there))
        tokens = self.norms[1](tokens + self.look(tokens + token_place, keys + key_place, keys, valid))
        tokens = self.norms[2](tokens + self.mlp(tokens))
        keys = self.norms[3](keys + self.back(keys + key_place, tokens + token_place, tokens, there))
        return tokens, keys


@dataclass(frozen=True, eq=False)
class PreparedMap:
    """What the mask decoder needs of B pictures, computed once."""

    keys: Tensor  # [B, h * w, C]
    places: Tensor  # [h * w, C]
    fine: Tensor  # [B, C / 4, 4 h, 4 w]
    hw: tuple[int, int]
    valid: Tensor | None  # bool [B, h * w]; None when every cell is picture

    @property
    def cells(self) -> Tensor:
        """The map before any region is looked for: [B, C, h, w]."""
        return self.keys.transpose(1, 2).unflatten(-1, self.hw)

    @property
    def halved(self) -> Tensor:
        """The finest map, half as fine: [B, C / 4, 2 h, 2 w]."""
        return F.avg_pool2d(self.fine, 2)


class MaskDecoder(nn.Module):
    """Tokens of N regions against prepared pictures -> updated tokens, mask logits, logits of place."""

    def __init__(
        self,
        feature_width: int,
        token_width: int,
        width: int,
        depth: int = 2,
        bands: int = 6,
        enumerates: bool = False,
        pyramid: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.bands = bands
        self.earlier = nn.Parameter(torch.zeros(width)) if enumerates else None
        self.features = nn.Sequential(nn.LayerNorm(feature_width), nn.Linear(feature_width, width))
        self.aligned = nn.Sequential(nn.LayerNorm(token_width), nn.Linear(token_width, width))
        self.place = nn.Linear(4 * bands, width)
        self.heat = nn.Parameter(torch.randn(width) * 0.5)
        self.blocks = nn.ModuleList(TwoWayBlock(width) for _ in range(depth))
        self.up1 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.up2 = nn.Conv2d(width // 2, width // 4, 3, padding=1)
        self.norm = nn.GroupNorm(1, width // 2)
        self.hyper_fine = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width // 4))
        self.hyper_coarse = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.hyper_where = nn.Linear(width, width)
        self.bias = nn.Linear(width, 1)
        self.pyramid = PyramidReader(pyramid, width) if pyramid else None

    def prepare(
        self, feature_map: Tensor, cells: Tensor, valid: Tensor | None = None, pyramid: Sequence[Tensor] = ()
    ) -> PreparedMap:
        """A fused vision map [B, F, h, w], the language model's cells [B, D, hc, wc] and the levels of a pyramid, where
        one is read, -> PreparedMap."""
        hw = (feature_map.shape[-2], feature_map.shape[-1])
        keys = self.features(feature_map.float().flatten(2).transpose(1, 2))  # [B, hw, C]
        aligned = self.aligned(cells.float().flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(-1, cells.shape[-2:])
        aligned = F.interpolate(aligned, hw, mode="bilinear", align_corners=False)
        keys = keys + aligned.flatten(2).transpose(1, 2)
        levels = normal(pyramid)
        if self.pyramid is not None:
            keys = keys + self.pyramid.cells(levels, hw).flatten(2).transpose(1, 2)
        places = self.place(fourier(grid_xy(*hw, keys.device), self.bands))  # [hw, C]
        picture = (keys + places).transpose(1, 2).unflatten(-1, hw)
        up = F.interpolate(F.relu(self.norm(self.up1(picture))), scale_factor=2, mode="bilinear", align_corners=False)
        if self.pyramid is not None:
            up = up + self.pyramid.finer(levels, (2 * hw[0], 2 * hw[1]))
        fine = F.interpolate(F.relu(self.up2(up)), scale_factor=2, mode="bilinear", align_corners=False)
        if self.pyramid is not None:
            fine = fine + self.pyramid.finest(levels, fine)
        return PreparedMap(keys, places, fine, hw, valid)

    def forward(
        self,
        tokens: Tensor,
        prepared: PreparedMap,
        owner: Tensor,
        heat: Tensor,
        there: Tensor | None = None,
        earlier: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """tokens [N, t, C] (the last one speaks for the mask), owner long [N], heat [N, h * w] in 0..1, `there` bool
        [N, t], what was found already [N, S, S] in 0..1 -> updated tokens, mask logits [N, 4h, 4w] and logits of where
        the thing is [N, h, w]."""
        keys = prepared.keys[owner] + heat.unsqueeze(-1) * self.heat
        if self.earlier is not None and earlier is not None:
            keys = keys + F.adaptive_avg_pool2d(earlier, prepared.hw).flatten(1).unsqueeze(-1) * self.earlier
        valid = None if prepared.valid is None else prepared.valid[owner]
        token_place = tokens
        for block in self.blocks:
            tokens, keys = block(tokens, keys, token_place, prepared.places, valid, there)
        speaker = tokens[:, -1]
        h, w = prepared.hw
        scale = keys.shape[-1] ** -0.5
        where = torch.einsum("nc,nkc->nk", self.hyper_where(speaker), keys).unflatten(-1, (h, w)) * scale
        coarse = torch.einsum("nc,nkc->nk", self.hyper_coarse(speaker), keys).unflatten(-1, (h, w))
        coarse = F.interpolate(coarse.unsqueeze(1), scale_factor=4, mode="bilinear", align_corners=False).squeeze(1)
        fine = prepared.fine.flatten(2).transpose(1, 2)
        logits = matches(self.hyper_fine(speaker), fine, owner).unflatten(-1, prepared.fine.shape[-2:])
        return tokens, (coarse + logits) * scale + self.bias(speaker).unsqueeze(-1), where

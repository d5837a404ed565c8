"""What a feature pyramid adds to the map on which regions are found: to cells kinds of things, to finer maps edges.

Deep coarse levels are added to the cells, shallow fine ones to the two steps by which masks become finer, as in a
feature pyramid network and in SAM 2. All of it is silent at birth, so a trained decoder may be given it later.

B pictures, C width of the decoders, h w cells of the map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PyramidReader(nn.Module):
    """Levels at 1/2, 1, 2 and 4 times the map's cells (coarse to fine, `widths` their channels), as residuals."""

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        deepest, deep, shallow, shallowest = widths
        self.deepest, self.deep = nn.Conv2d(deepest, width, 1), nn.Conv2d(deep, width, 1, bias=False)
        self.shallow = nn.Conv2d(shallow, width // 2, 1)
        self.mixed = nn.Conv2d(shallowest + width // 4, width // 4, 3, padding=1)
        self.edges = nn.Conv2d(width // 4, width // 4, 1)
        for silent in (self.deepest, self.deep, self.shallow, self.edges):
            nn.init.zeros_(silent.weight)
            if silent.bias is not None:
                nn.init.zeros_(silent.bias)

    def cells(self, levels: Sequence[Tensor], hw: tuple[int, int]) -> Tensor:
        """What the two deep levels add to the map: [B, C, h, w]."""
        return _at(self.deepest(levels[0]), hw) + _at(self.deep(levels[1]), hw)

    def finer(self, levels: Sequence[Tensor], hw: tuple[int, int]) -> Tensor:
        """What the third level adds where the map is twice as fine: [B, C / 2, 2 h, 2 w]."""
        return _at(self.shallow(levels[2]), hw)

    def finest(self, levels: Sequence[Tensor], fine: Tensor) -> Tensor:
        """What the last level, read together with the finest map [B, C / 4, 4 h, 4 w], adds to it."""
        hw = (fine.shape[-2], fine.shape[-1])
        return self.edges(F.relu(self.mixed(torch.cat([fine, _at(levels[3], hw)], dim=1))))


class PyramidNamer(nn.Module):
    """The two deep levels as tokens in the language model's words, to be added to the host's own cell by cell.

    Taught by naming alone (`model.align.naming_loss`). Of 1,600 pictures more numbers or undropped inputs learn the
    things by heart; another network's mistakes being others, the sum points better than either. Zero at birth.
    """

    def __init__(self, widths: Sequence[int], width: int, rank: int = 96, dropped: float = 0.4) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Dropout(dropped), nn.Conv2d(sum(widths[:2]), rank, 1), nn.GELU())
        self.up = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(rank, width, 1))
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)

    def forward(self, levels: Sequence[Tensor], hw: tuple[int, int]) -> Tensor:
        """The levels of B pictures [B, c, h, w], coarse to fine, -> [B, D, *hw] float32."""
        pooled = [F.adaptive_avg_pool2d(level, hw) for level in normal(levels[:2])]
        return self.up(self.down(torch.cat(pooled, dim=1))).float()


def joined(cells: Tensor, named: Tensor, row_norm: float) -> Tensor:
    """The host's cells [B, D, hc, wc] and a namer's, which learn to be `row_norm` long, added at equal length: float32.

    Where the namer says nothing the host's stay as they are.
    """
    return cells.float() + named * (cells.float().norm(dim=1, keepdim=True) / row_norm)


def normal(levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Each level [B, c, h, w] at mean 0 and deviation 1 over channels and place, a picture at a time."""
    # Contiguous: of channels last, torch 2.13 crashes in the backward pass of a norm whose input needs no gradient.
    return tuple(F.group_norm(level.float().contiguous(), 1) for level in levels)


def _at(maps: Tensor, hw: tuple[int, int]) -> Tensor:
    same = tuple(maps.shape[-2:]) == hw
    return maps if same else F.interpolate(maps, hw, mode="bilinear", align_corners=False)

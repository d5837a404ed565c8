"""Before any language-model step: teach the projector to name what an image token shows (`design.md` 7).

Each image token that lies under an object's mask should point, by cosine, at the mean input embedding of the object's
name among all names. Some minutes of it spare an hour of joint training. Since only the projector learns, the vision
tower runs once a picture: its features are kept.

P pictures, I image tokens a picture, D width, R labelled regions, M names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from perceptiongpt.core.answer import Region
from perceptiongpt.core.canvas import Canvas
from perceptiongpt.core.losses import cells_target
from perceptiongpt.model.adapt import host_module
from perceptiongpt.tasks.point import matches

TEMPERATURE = 0.07
MASK_SIDE = 64
NamedMask = tuple[str, Tensor]  # a name, and where it lies: float32 [MASK_SIDE, MASK_SIDE] in 0..1 of the canvas


@dataclass(frozen=True, eq=False)
class Naming:
    """What should be named where, in P pictures."""

    picture: Tensor  # long [R]
    share: Tensor  # float32 [R, I]: how an object lies on the image tokens, rows summing to 1
    which: Tensor  # long [R]: row of the table
    table: Tensor  # float32 [M, D]: unit vectors of the names

    @classmethod
    def of(
        cls,
        model: Any,
        named: Sequence[Sequence[NamedMask]],
        cells_hw: tuple[int, int],
        others: Iterable[str] = (),
    ) -> Naming | None:
        """From the named masks of each picture; None where there is none. `others` are names in the table, too."""
        rows = [(p, name, mask) for p, group in enumerate(named) for name, mask in group]
        if not rows:
            return None
        device = model.backbone.device
        names = {name: i for i, name in enumerate(sorted({*others, *(name for _, name, _ in rows)}))}
        return cls(
            torch.tensor([p for p, _, _ in rows], device=device),
            cells_target(torch.stack([mask for _, _, mask in rows]).to(device), cells_hw).float(),
            torch.tensor([names[name] for _, name, _ in rows], device=device),
            F.normalize(name_vectors(model, list(names)), dim=-1),
        )


def named_masks(regions: Sequence[Region], canvas: Canvas) -> list[NamedMask]:
    """The regions of a picture that have a name and a place that isn't empty: a mask, or else a box, taken as full."""
    found = []
    for r in regions:
        if r.label and r.mask is not None and r.mask.any():
            found.append((r.label, torch.from_numpy(canvas.mask_in(r.mask, MASK_SIDE))))
        elif r.label and r.mask is None and r.box is not None:
            cx, cy, w, h = (MASK_SIDE * v for v in canvas.box_in(r.box))
            found.append((r.label, _covered(cy, h)[:, None] * _covered(cx, w)[None, :]))
    return found


def _covered(centre: float, side: float) -> Tensor:
    """How much of each of MASK_SIDE rows lies within half a side of the centre: float32 in 0..1."""
    row = torch.arange(MASK_SIDE, dtype=torch.float32)
    return ((row + 1).clamp(max=centre + side / 2) - row.clamp(min=centre - side / 2)).clamp(0.0, 1.0)


def naming_loss(
    cells: Tensor, naming: Naming | None, row_norm: float, share: Mapping[str, float] | None = None
) -> Tensor:
    """Cross-entropy of naming image cells [P, D, hc, wc], and of finding each name's cells in its picture.

    Also holds the tokens' norm at `row_norm`, that of the host's own embedding rows; without names, that alone.
    `share`: by what the means over "pictures" and over "named" regions are multiplied, where a batch is shared out.
    """
    of = {"pictures": 1.0, "named": 1.0, **(share or {})}
    with torch.autocast(cells.device.type, enabled=False):
        tokens = cells.flatten(2).transpose(1, 2).float()  # [P, I, D]
        norm = of["pictures"] * 0.1 * (tokens.norm(dim=-1) / row_norm).clamp(min=1e-4).log().square().mean()
        if naming is None:
            return norm
        unit = F.normalize(tokens, dim=-1, eps=0.01 * row_norm)  # tokens that are born zero have a gradient, too
        logits = (unit @ naming.table.T / TEMPERATURE).flatten(0, 1)  # [P * I, M]
        count = tokens.shape[1]
        wanted = torch.zeros_like(logits)  # how much of each object lies in each cell
        cell = (naming.picture[:, None] * count + torch.arange(count, device=tokens.device)).flatten()
        wanted.index_put_(
            (cell, naming.which.repeat_interleave(count)), naming.share.float().flatten(), accumulate=True
        )
        naming_cost = -(wanted * logits.log_softmax(-1)).sum() / len(naming.which)
        across = logits.unflatten(0, (-1, count))[naming.picture, :, naming.which]  # [R, I]
        finding_cost = -(naming.share * across.log_softmax(-1)).sum(-1).mean()
        return norm + naming_cost * of["named"] + finding_cost * of["named"]


def looks_loss(
    model: Any,
    cells: Tensor,
    told: Mapping[str, tuple[Sequence[Sequence[NamedMask]], Iterable[str]]],
    share: Mapping[str, float],
    colours: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of naming what is told of regions, summed over `told`: what their vectors carry of the picture
    (`RegionEncoder.look`), and of "coloured" the shades that the echo hears (`Echo.shades`), too.

    `cells`: the decoders' map [P, C, h, w]. Each of `told` ("named": things, "coloured") has the named masks of each
    picture and other names to choose among; its mean is multiplied by its share. Shades are counted where `colours`
    [P, 3, s, s] are given.
    """
    total = cells.sum() * 0.0
    for over, (named, others) in told.items():
        naming = Naming.of(model, named, (cells.shape[-2], cells.shape[-1]), others)
        if naming is not None:
            with torch.autocast(cells.device.type, enabled=False):
                seen = matches(naming.share, cells.float().flatten(2), naming.picture)  # [R, C]
                carried = [model.encoder.look(seen)]
                if over == "coloured" and colours is not None:
                    areas = torch.stack([mask for group in named for _, mask in group]).to(colours.device)
                    carried.append(model.echo.shades(colours, areas, naming.picture))
                for vectors in carried:  # shades are born zero, and have a gradient, too
                    unit = F.normalize(vectors, dim=-1, eps=0.01 * model.backbone.row_norm)
                    logits = unit @ naming.table.T / TEMPERATURE
                    total = total + share[over] * F.cross_entropy(logits, naming.which)
    return total


def match_loss(model: Any, keys: Tensor, naming: Naming | None, share: Mapping[str, float]) -> Tensor:
    """Cross-entropy of naming each thing, and of finding its name's cells in its picture, by the pointer's own match.

    `keys`: the pointer's, of the pictures' cells [P, I, H]. The mean over things is multiplied by its share.
    """
    if naming is None:
        return keys.sum() * 0.0
    pointer = model.decoder.pointer
    with torch.autocast(keys.device.type, enabled=False):
        queries = pointer.queries(naming.table) * pointer.sharpness.exp()  # [M, H]
        of = keys.float()[naming.picture]  # [R, I, H]
        naming_cost = F.cross_entropy(torch.einsum("ri,rih->rh", naming.share, of) @ queries.T, naming.which)
        across = torch.einsum("rh,rih->ri", queries[naming.which], of)
        finding_cost = -(naming.share * across.log_softmax(-1)).sum(-1).mean()
        return (naming_cost + finding_cost) * share["named"]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures whose vision features are kept, with what should be named where."""

    features: Tensor  # [P, …]: what the projector is given
    naming: Naming
    levels: tuple[Tensor, ...] = ()  # each [P, C, h, w]: the deep levels of a pyramid
    part = "name"  # of the loss

    @staticmethod
    @torch.no_grad()
    def look(model: Any, pixels: dict[str, Tensor], named: Sequence[Sequence[NamedMask]]) -> dict[str, Tensor]:
        """What the vision tower sees of a batch's pictures, and what is named where; nothing where there is no picture.

        Raises ValueError for hosts of dynamic resolution: what their projector is given is not one row a picture.
        """
        if model.backbone.dynamic:
            raise ValueError(
                "this host's pictures differ in size, so features cannot be kept; leave out the aim 'name'"
            )
        if not pixels:
            return {}
        given: list[Tensor] = []
        hook = projector(model).register_forward_pre_hook(lambda _, args: given.append(args[0].detach()))
        try:
            levels = model.backbone.look(pixels).pyramid[:2]
        finally:
            hook.remove()
        told = [(p, name, mask) for p, group in enumerate(named) for name, mask in group]
        names = json.dumps([name for _, name, _ in told]).encode()
        masks = torch.stack([mask for *_, mask in told]) if told else torch.zeros(0, MASK_SIDE, MASK_SIDE)
        return {
            "features": torch.cat(given),
            **{f"level{i}": level for i, level in enumerate(levels)},
            "picture": torch.tensor([p for p, *_ in told], dtype=torch.long),
            "masks": masks,
            "names": torch.frombuffer(bytearray(names), dtype=torch.uint8),
        }

    @classmethod
    def of(cls, model: Any, looks: Iterable[dict[str, Tensor]]) -> Gallery:
        """From looks at batches, one after the other, which it empties, so that little is held twice.

        Raises ValueError where nothing is named.
        """
        seen = [look for look in looks if look]
        named: list[list[NamedMask]] = []
        for look in seen:
            groups: list[list[NamedMask]] = [[] for _ in look["features"]]
            names = json.loads(bytes(look["names"].tolist()))
            for p, name, mask in zip(look["picture"].tolist(), names, look["masks"].cpu(), strict=True):
                groups[p].append((name, mask))
            named += groups
        naming = Naming.of(model, named, model.backbone.cells_hw)
        if naming is None:
            raise ValueError("none of the pictures has a labelled region; naming image tokens needs them")
        deep = sorted(name for name in seen[0] if name.startswith("level"))
        features, *levels = (torch.cat([look.pop(name) for look in seen]) for name in ("features", *deep))
        return cls(features, naming, tuple(levels))

    def __len__(self) -> int:
        return len(self.features)

    def inside(self, rows: Tensor) -> Tensor:
        """Which of the regions lie in the pictures at `rows` (long [n]): bool [R]."""
        return torch.isin(self.naming.picture, rows.to(self.naming.picture.device))

    def loss(self, model: Any, rows: Tensor, share: Mapping[str, float] | None = None) -> Tensor:
        """The naming loss of the pictures at `rows` (long [n]), among the names of the whole gallery."""
        tokens = projector(model)(self.features[rows]).reshape(len(rows), -1, model.backbone.width)
        cells = tokens.transpose(1, 2).unflatten(-1, model.backbone.cells_hw)
        where = torch.full((len(self.features),), -1, device=rows.device)
        where[rows] = torch.arange(len(rows), device=rows.device)
        picture = where[self.naming.picture]
        inside = picture >= 0
        part = Naming(picture[inside], self.naming.share[inside], self.naming.which[inside], self.naming.table)
        loss = naming_loss(cells, part, model.backbone.row_norm, share)
        if model.namer is not None:
            named = model.namer([level[rows] for level in self.levels], model.backbone.cells_hw)
            loss = loss + naming_loss(named, part, model.backbone.row_norm, share)
        return loss


def projector(model: Any) -> Any:
    """The host module that makes image tokens: the first that the settings train. Raises ValueError without one."""
    names = model.settings.trained_host_modules
    if not names:
        raise ValueError("no host module is trained, so none can learn to name; set settings.trained_host_modules")
    return host_module(model.host, names[0])


def name_vectors(model: Any, names: Sequence[str]) -> Tensor:
    """Mean input embedding of each name's tokens, said in mid-sentence: float32 [M, D]."""
    rows, device = model.host.get_input_embeddings(), model.backbone.device
    told = model.backbone.processor.tokenizer([" " + n for n in names], add_special_tokens=False)["input_ids"]
    counts = torch.tensor([len(ids) for ids in told], device=device)
    with torch.no_grad():
        said = rows(torch.tensor([i for ids in told for i in ids], device=device)).float()
        of = torch.arange(len(names), device=device).repeat_interleave(counts)
        return said.new_zeros(len(names), said.shape[-1]).index_add_(0, of, said) / counts.clamp(min=1).unsqueeze(1)


def strangers(names: Iterable[str], shown: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that share no word with any of `shown`: what is shown is surely none of them."""
    taken = {word for name in shown for word in name.lower().split()}
    return tuple(n for n in names if not taken & set(n.lower().split())) if taken else ()

"""Masks drawn to the edges of a picture: what a decoder outlines in a few cells, as the picture's own pixels have it.

Near the outline each pixel is asked on which side it lies: that of the neighbours it looks like, that of whose colours
it has, and, the farther from the outline the more surely, its own. That is a random walk with prior models (L. Grady,
"Multilabel random walker image segmentation using prior models", CVPR 2005); what colours say are histograms of both
sides, as GrabCut has mixtures of them (C. Rother et al., SIGGRAPH 2004). Nothing is learnt. Knows regions and pixels.
Knows no models. Beyond the papers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import cg
from scipy.special import expit

from perceptiongpt.core.answer import Region
from perceptiongpt.core.boxes import iou_xyxy
from perceptiongpt.core.masks import mask_to_box, without_specks

AGREE = 0.85  # IoU with its box from which the box is drawn round a mask at the edges, too
MARGIN = 0.5  # of the mask's longer side: how much of the picture around it is looked at
LEAST_SIDE = 3  # pixels at least that what is worked on is wide and high
SIDE = 256  # pixels at most that what is looked at is long
STEEP = 30.0  # logits of the mask's own word that a pixel has as far inside as the root of the mask's area
BINS, BLUR = 32, 0.75  # of colours, a channel
SURE = 3.0  # logits that colours say at most
RARE = 1e-5  # density of colours under which both sides' are alike rare
NEAR = 0.5  # roots of the area over which what lies around counts less
OWN = 0.1  # how much a pixel's own word weighs against that of a neighbour which looks the same
LEAST = 1e-3  # of one of them, however little it looks the same
STRIP = 512  # rows of a large picture that are in memory as numbers at once
STEPS = 15  # of conjugate gradients


def to_edges(region: Region, picture: Image.Image) -> Region:
    """A region of `picture` with its mask drawn to the edges there, and its box round that where it hardly differs.

    What has no mask, or an empty one, stays. Raises ValueError where the picture has another size than the mask.
    """
    if region.mask is None or not region.mask.any():
        return region
    mask = mask_to_edges(region.mask, picture)
    box = mask_to_box(mask)
    if region.box is None or box is None or float(iou_xyxy(torch.tensor(box), torch.tensor(region.box))) < AGREE:
        return replace(region, mask=mask)
    return replace(region, mask=mask, box=box)


def mask_to_edges(mask: np.ndarray, picture: Image.Image) -> np.ndarray:
    """A mask bool [H, W] of a picture of that size, drawn to its edges, without specks. One that would be left empty,
    that is all of what lies around it, or whose surroundings are a line of hardly any pixels, stays.

    What is worked on is at most SIDE long, whatever the size of the picture, and its rim is drawn between those pixels.
    Raises ValueError where the picture has another size than the mask.
    """
    if picture.size != mask.shape[::-1]:
        shape = "x".join(map(str, mask.shape[::-1]))
        raise ValueError(
            f"a mask of {shape} pixels came with a picture of {picture.width}x{picture.height}; give its own"
        )
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return mask
    height, width = mask.shape
    grow = MARGIN * max(np.ptp(rows), np.ptp(columns)) + 4
    left, top = max(0, int(columns[0] - grow)), max(0, int(rows[0] - grow))
    right, bottom = min(width, int(columns[-1] + grow) + 1), min(height, int(rows[-1] + grow) + 1)
    wide, high, small = right - left, bottom - top, min(1.0, SIDE / max(right - left, bottom - top))
    size = (max(1, round(wide * small)), max(1, round(high * small)))
    there = Image.fromarray(mask[top:bottom, left:right].astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    inside = np.asarray(there) >= 128
    if min(size) < LEAST_SIDE or not inside.any() or inside.all():
        return mask
    piece = picture.resize(size, Image.Resampling.BOX, (left, top, right, bottom)).convert("RGB").convert("YCbCr")
    share = without_specks(_walked(inside, np.asarray(piece))[None] - 0.5)[0]
    if not (share > 0).any():
        return mask
    made, whole = np.zeros_like(mask), Image.fromarray(share.astype(np.float32))
    for y in range(0, high, STRIP):
        end = min(y + STRIP, high)
        part = (0, y * size[1] / high, size[0], end * size[1] / high)
        made[top + y : top + end, left:right] = (
            np.asarray(whole.resize((wide, end - y), Image.Resampling.BILINEAR, part)) > 0
        )
    return made if made.any() else mask


def _walked(inside: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The chance [h, w] that each pixel of `colours`, uint8 [h, w, 3], is inside, told where it is bool [h, w]."""
    depth, away = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1], distance_transform_edt(~inside)
    root = np.sqrt(inside.sum())
    own = STEEP * (np.maximum(depth - 0.5, 0) - np.maximum(away - 0.5, 0)) / root
    mine = expit(own)
    binned = colours.astype(np.int64) * BINS // 256
    bins = ((binned[..., 0] * BINS + binned[..., 1]) * BINS + binned[..., 2]).ravel()
    ours, others = _density(bins, mine), _density(bins, (1 - mine) * np.exp(-away / root / NEAR))
    told = np.clip(np.log((ours + RARE) / (others + RARE)), -SURE, SURE).reshape(inside.shape)
    prior = expit(own + told).ravel()
    system = _unlikeness(colours) + OWN * diags_array(np.ones(prior.size))
    found, _ = cg(system, OWN * prior, x0=prior, rtol=1e-3, maxiter=STEPS)
    return np.asarray(found).reshape(inside.shape)


def _density(bins: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How dense each pixel's colour lies, weighed: [N] bins of BINS cubed, to [N]."""
    counts = np.bincount(bins, weights.ravel(), BINS**3).reshape(BINS, BINS, BINS)
    dense = gaussian_filter(counts, BLUR, mode="constant", truncate=2).ravel()
    return np.asarray(dense / dense.sum())[bins]


def _unlikeness(colours: np.ndarray) -> csr_array:
    """The graph Laplacian [N, N] of a picture's pixels, eight neighbours each, by how much they look alike."""
    h, w = colours.shape[:2]
    at, values = np.arange(h * w).reshape(h, w), colours.astype(np.float64) / 255
    pairs = []
    for down, along in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = (slice(0, h - down), slice(max(0, -along), w - max(0, along)))
        two = (slice(down, h), slice(max(0, along), w - max(0, -along)))
        unlike = ((values[one] - values[two]) ** 2).sum(-1).ravel()
        pairs.append((at[one].ravel(), at[two].ravel(), unlike, np.hypot(down, along)))
    mean = np.mean([unlike.mean() for _, _, unlike, _ in pairs if unlike.size]) + 1e-6
    i, j = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
    alike = np.concatenate([np.exp(-unlike / mean) / apart + LEAST for _, _, unlike, apart in pairs])
    joined = coo_array((alike, (i, j)), shape=(h * w, h * w)).tocsr()
    joined = joined + joined.T
    return csr_array(diags_array(joined.sum(1)) - joined)

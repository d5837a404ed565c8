"""Whether a COCO-80 detector sees a thing where the cut-out network does: labels are kept where the two agree.

Calls nanodet.mjs, since the detector comes as a TensorFlow.js graph. Knows nothing of names or licences.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from perceptiongpt.core.boxes import pairwise_iou
from perceptiongpt.core.masks import mask_to_box

SIDE = 416


def detections(pictures: list[Image.Image], tool: Path, models: Path) -> list[list[list[float]]]:
    """What nanodet.mjs at `tool` finds in each picture: [class, score, x0, y0, x1, y1] in shares, best first."""
    pixels = b"".join(p.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR).tobytes() for p in pictures)
    told = subprocess.run(["node", tool, models], input=pixels, capture_output=True, check=True)
    return [json.loads(line) for line in told.stdout.decode().splitlines() if line.startswith("[")]


def agreement(found: list[list[float]], mask: np.ndarray) -> float:
    """The best IoU of a detection's box with that of the mask bool [h, w], whatever its class; 0 for no detection."""
    if not found:
        return 0.0
    height, width = mask.shape
    box = torch.tensor([mask_to_box(mask)]) / torch.tensor([width, height, width, height])
    return float(pairwise_iou(box, torch.tensor([row[2:] for row in found])).max())

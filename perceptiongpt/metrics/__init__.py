"""Judges: each metric in one place, with its definition and its source; plain numbers in, plain numbers out.

What is missing counts as wrong, never as absent. Knows nothing of models, files or data sets.

referring: REC, RES; several: groups, gRefCOCO, GREC, F1@mIoU, presence, cgF1; detection: COCO AP; phrases: Flickr30k
recall; answers: VQAv2, POPE, MMBench, SEED-Bench; captions: CIDEr; calibration: ECE, reliability, risk and coverage;
bootstrap: intervals.
"""

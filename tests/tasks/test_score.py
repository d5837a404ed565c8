"""Laws of scores: one logit a region."""

from __future__ import annotations

import torch

from perceptiongpt.tasks.score import ScoreDecoder


def test_a_score_is_one_logit_a_region() -> None:
    decoder = ScoreDecoder(16)
    vectors = torch.randn(5, 16)
    assert decoder(vectors).shape == (5,)
    assert torch.allclose(decoder(vectors)[3:4], decoder(vectors[3:4]), atol=1e-6)
    assert decoder(vectors[:0]).shape == (0,)

"""Laws of scores: one logit a region."""

from __future__ import annotations

import torch

from perceptiongpt.tasks.score import MATCHES, ScoreDecoder, match


def test_a_score_is_one_logit_a_region() -> None:
    decoder = ScoreDecoder(16)
    vectors = torch.randn(5, 16)
    assert decoder(vectors).shape == (5,)
    assert torch.allclose(decoder(vectors)[3:4], decoder(vectors[3:4]), atol=1e-6)
    assert decoder(vectors[:0]).shape == (0,)


def test_a_match_is_told_at_best_and_where_the_mask_lies_and_moves_no_mask() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0, 8.0]], requires_grad=True)  # cells of 2 x 2
    masks = torch.full((1, 8, 8), -30.0)
    masks[0, :4] = 30.0  # the upper half
    masks.requires_grad_()
    told = match(logits, masks, (2, 2))
    assert torch.allclose(told, torch.tensor([[8.0, 1.5, 3.5, 7.25**0.5]]), atol=1e-4)
    told.sum().backward()
    assert masks.grad is None and logits.grad is not None and logits.grad[0, 3] > 0
    assert torch.isfinite(match(logits, torch.full((1, 8, 8), -200.0), (2, 2))).all()  # an empty mask
    alike = torch.ones(1, 4, requires_grad=True)
    match(alike, masks, (2, 2)).sum().backward()
    assert alike.grad is not None and alike.grad.isfinite().all()


def test_a_score_that_weighs_the_match_learns_what_the_vector_does_not_hold() -> None:
    torch.manual_seed(0)
    plain, weighing = ScoreDecoder(16), ScoreDecoder(16, weighs_match=True)
    weighing.load_state_dict({**plain.state_dict(), "match.weight": torch.zeros(128, MATCHES)})
    vectors, told = torch.randn(64, 16), torch.rand(64, MATCHES)
    assert torch.equal(plain(vectors), weighing(vectors, told))  # silent at birth
    wanted = (told[:, 0] > 0.5).float()
    vectors = vectors[:1].expand(64, -1)  # of which none tells it
    steps = torch.optim.Adam(weighing.parameters(), 1e-2)
    for _ in range(100):
        steps.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(weighing(vectors, told), wanted).backward()
        steps.step()
    assert ((weighing(vectors, told) > 0) == wanted.bool()).float().mean() > 0.9

"""Laws of the interactive network's parts by themselves; what a model does with them is in test_requests.py."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from perceptiongpt.model.interactive import HEADS, Block


def test_questions_taken_to_the_memory_look_as_keys_and_values_would() -> None:
    torch.manual_seed(0)
    block = Block(32)
    x, memory = torch.randn(3, 5, 32), torch.randn(3, 49, 32)
    found, weights = block(x, memory)
    asking = block.norm(x)
    over = torch.cat([memory, asking], dim=1)
    q, k, v = (
        p(y).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        for p, y in ((block.query, asking), (block.key, over), (block.value, over))
    )
    mixed = x + block.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))
    assert torch.allclose(found, mixed + block.mlp(mixed), atol=1e-5)
    assert weights.shape == (3, 5, 54)
    assert torch.allclose(weights.sum(-1), torch.ones(3, 5), atol=1e-5)


def test_what_a_mask_hides_is_not_felt() -> None:
    torch.manual_seed(0)
    block, x = Block(32), torch.randn(2, 4, 32)
    unseen = torch.ones(4, 4, dtype=torch.bool).triu(1)
    before, weights = block(x, mask=unseen)
    x[:, 3] = 0.0
    after, _ = block(x, mask=unseen)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not weights[:, unseen].any()

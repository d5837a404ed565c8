"""Laws of masks as vectors: the whole canvas goes in, a map four times as fine as the features comes out."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from perceptiongpt.tasks.mask import MASK_SIDE, MaskDecoder, MaskEncoder


def made(width: int = 32) -> MaskDecoder:
    torch.manual_seed(0)
    return MaskDecoder(feature_width=12, token_width=20, width=width)


def test_a_larger_mask_is_area_averaged_to_what_the_encoder_looks_at() -> None:
    encoder = MaskEncoder(24)
    small = (torch.rand(3, MASK_SIDE, MASK_SIDE) > 0.5).float()
    large = small.repeat_interleave(3, 1).repeat_interleave(3, 2)
    assert encoder(small).shape == (3, 24)
    assert torch.allclose(encoder(small), encoder(large), atol=1e-5)


def test_the_encoder_tells_where_a_mask_lies() -> None:
    torch.manual_seed(0)
    masks = torch.zeros(2, MASK_SIDE, MASK_SIDE)
    masks[0, :20, :20] = masks[1, -20:, -20:] = 1
    one, other = MaskEncoder(24)(masks)
    assert (one - other).norm() > 0.01 * one.norm()


def test_the_map_is_four_times_as_fine_as_the_features() -> None:
    decoder = made()
    prepared = decoder.prepare(torch.randn(2, 12, 6, 5), torch.randn(2, 20, 3, 3))
    tokens, logits, where = decoder(torch.randn(4, 3, 32), prepared, torch.tensor([0, 1, 1, 0]), torch.rand(4, 30))
    assert tokens.shape == (4, 3, 32)
    assert logits.shape == (4, 24, 20)
    assert where.shape == (4, 6, 5)


def test_a_region_sees_its_own_picture_only() -> None:
    decoder = made()
    features, cells = torch.randn(2, 12, 6, 6), torch.randn(2, 20, 3, 3)
    tokens, heat = torch.randn(2, 3, 32), torch.rand(2, 36)
    _, both, _ = decoder(tokens, decoder.prepare(features, cells), torch.tensor([1, 0]), heat)
    _, alone, _ = decoder(tokens[:1], decoder.prepare(features[1:], cells[1:]), torch.tensor([0]), heat[:1])
    assert torch.allclose(both[:1], alone, atol=1e-5)


def test_cells_that_are_no_picture_are_not_looked_at() -> None:
    decoder = made()
    features, cells = torch.randn(1, 12, 4, 4), torch.randn(1, 20, 2, 2)
    valid = torch.ones(1, 16, dtype=torch.bool)
    valid[0, 12:] = False
    tokens, heat = torch.randn(1, 3, 32), torch.zeros(1, 16)

    def said(prepared):  # the tokens after the last look
        return decoder(tokens, prepared, torch.tensor([0]), heat)[0]

    before = decoder.prepare(features, cells, valid)
    keys = before.keys.clone()
    keys[0, 12:] += torch.randn(4, 32)
    after = type(before)(keys, before.places, before.fine, before.hw, before.valid)
    blind = type(before)(keys, before.places, before.fine, before.hw, None)
    assert torch.allclose(said(before), said(after), atol=1e-5)
    assert not torch.allclose(said(before), said(blind), atol=1e-3)


def test_a_decoder_learns_to_draw_what_is_asked_of_it() -> None:
    torch.manual_seed(0)
    decoder = made()
    asked = torch.randn(2, 3, 32)
    features, cells = torch.randn(1, 12, 8, 8), torch.randn(1, 20, 4, 4)
    truth = torch.zeros(2, 32, 32)
    truth[0, :12, :16] = truth[1, 20:, 8:] = 1
    optimiser = torch.optim.Adam(decoder.parameters(), 3e-3)
    for _ in range(60):
        _, logits, _ = decoder(
            asked, decoder.prepare(features, cells), torch.zeros(2, dtype=torch.long), torch.zeros(2, 64)
        )
        loss = F.binary_cross_entropy_with_logits(logits, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    drawn = logits > 0
    assert (drawn & (truth > 0)).sum() / (drawn | (truth > 0)).sum() > 0.8

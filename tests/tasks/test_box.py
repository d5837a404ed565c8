"""Laws of boxes as vectors: fresh decoders answer near where they look; encode and decode can close the circle."""

from __future__ import annotations

import torch

from perceptiongpt.tasks.box import BoxDecoder, BoxEncoder, extent_cxcywh


def test_shapes_are_as_the_docstrings_say() -> None:
    assert BoxEncoder(48)(torch.rand(5, 4)).shape == (5, 48)
    assert BoxDecoder(48)(torch.randn(5, 48), torch.rand(5, 4)).shape == (5, 4)
    assert BoxEncoder(48)(torch.rand(0, 4)).shape == (0, 48)


def test_a_fresh_decoder_answers_with_the_rough_box() -> None:
    rough = torch.tensor([[0.1, 0.9, 0.2, 0.1], [0.5, 0.5, 0.9, 0.3]])
    assert torch.allclose(BoxDecoder(16)(torch.randn(2, 16), rough), rough, atol=1e-5)


def test_a_rough_box_on_the_border_stays_finite_and_teaches() -> None:
    decoder = BoxDecoder(16)
    boxes = decoder(torch.randn(1, 16), torch.tensor([[0.0, 1.0, 0.0, 1.0]], requires_grad=True))
    boxes.sum().backward()
    assert boxes.isfinite().all()
    assert decoder.mlp[-1].bias.grad.isfinite().all()


def test_the_extent_of_a_sure_rectangle_is_its_box() -> None:
    masks = torch.full((1, 40, 80), -20.0)
    masks[0, 10:20, 20:60] = 20.0
    assert torch.allclose(extent_cxcywh(masks), torch.tensor([[0.5, 0.375, 0.5, 0.25]]), atol=1e-3)


def test_an_empty_mask_has_a_finite_extent_with_finite_gradients() -> None:
    masks = torch.full((2, 8, 8), -60.0, requires_grad=True)
    extent = extent_cxcywh(masks)
    extent.sum().backward()
    assert extent.isfinite().all() and masks.grad.isfinite().all()


def test_a_box_survives_its_vector_after_a_little_training() -> None:
    torch.manual_seed(0)
    encoder, decoder = BoxEncoder(32, 64), BoxDecoder(32, 64)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 3e-3)
    for _ in range(300):
        boxes = torch.rand(64, 4) * 0.6 + 0.2
        loss = (decoder(encoder(boxes), torch.full((64, 4), 0.5)) - boxes).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.06  # the mean box alone scores 0.15

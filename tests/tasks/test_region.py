"""Laws of whole regions: only what is known is encoded, at the host's norm; the parts are decoded together."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from perceptiongpt.core.batch import Regions
from perceptiongpt.core.losses import cell_cross_entropy, cells_target
from perceptiongpt.core.objective import painted
from perceptiongpt.core.slots import Words
from perceptiongpt.tasks.box import extent_cxcywh
from perceptiongpt.tasks.region import AWAY, RegionDecoder, RegionEncoder

PARTS = ("box", "mask", "point")


def given(n: int, seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.rand(n, 4), (torch.rand(n, 64, 64) > 0.5).float(), torch.rand(n, 2)]


@pytest.mark.parametrize("part", range(3))
def test_a_part_that_is_not_there_leaves_no_trace(part: int) -> None:
    torch.manual_seed(0)
    encoder = RegionEncoder(24, 1.0)
    has = torch.ones(2, 3, dtype=torch.bool)
    has[:, part] = False
    one, other = given(2), given(2)
    other[part] = given(2, seed=9)[part]
    assert torch.equal(encoder(*one, has), encoder(*other, has))
    everything = torch.ones(2, 3, dtype=torch.bool)
    assert not torch.allclose(encoder(*one, everything), encoder(*other, everything), atol=1e-4), PARTS[part]


def test_a_region_has_the_norm_of_the_hosts_own_rows() -> None:
    encoder = RegionEncoder(24, 3.5)
    vectors = encoder(*given(4), torch.ones(4, 3, dtype=torch.bool))
    assert torch.allclose(vectors.norm(dim=-1), torch.full((4,), 3.5), atol=1e-3)


def test_a_region_of_which_nothing_is_known_is_finite_and_teaches_nothing_wrong() -> None:
    encoder = RegionEncoder(24, 1.0)
    vectors = encoder(*given(1), torch.zeros(1, 3, dtype=torch.bool))
    vectors.sum().backward()
    assert torch.equal(vectors, torch.zeros(1, 24))
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def decoder_and_pictures() -> tuple[RegionDecoder, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return RegionDecoder(20, 12, 32).eval(), torch.randn(2, 12, 6, 6), torch.randn(2, 20, 3, 3)


@pytest.mark.parametrize("k", [1, 3])
def test_shapes_of_decoded_regions(k: int) -> None:
    decoder, features, cells = decoder_and_pictures()
    said = decoder(torch.randn(4, k, 20), decoder.prepare(features, cells), torch.tensor([0, 0, 1, 1]))
    assert said.boxes.shape == (4, 4)
    assert said.masks.shape == (4, 24, 24)
    assert said.points.shape == (4, 3, 3)
    assert said.scores.shape == (4,)
    assert ((said.boxes > 0) & (said.boxes < 1)).all()


def test_no_regions_are_decoded_to_none() -> None:
    decoder, features, cells = decoder_and_pictures()
    said = decoder(torch.randn(0, 1, 20), decoder.prepare(features, cells), torch.zeros(0, dtype=torch.long))
    assert [len(getattr(said, f)) for f in ("boxes", "masks", "points", "scores")] == [0] * 4


def test_regions_are_decoded_each_by_itself() -> None:
    decoder, features, cells = decoder_and_pictures()
    states, prepared = torch.randn(3, 2, 20), decoder.prepare(features, cells)
    together = decoder(states, prepared, torch.tensor([1, 0, 1]))
    alone = decoder(states[1:2], prepared, torch.tensor([0]))
    for field in ("boxes", "masks", "points", "scores"):
        assert torch.allclose(getattr(together, field)[1:2], getattr(alone, field), atol=1e-5)


def test_a_second_look_finds_what_the_first_one_points_at() -> None:
    torch.manual_seed(0)
    once, twice = RegionDecoder(20, 12, 32).eval(), RegionDecoder(20, 12, 32, looks_twice=True).eval()
    twice.load_state_dict(once.state_dict())
    owner, pictures = torch.tensor([0, 0, 1, 1]), (torch.randn(2, 12, 6, 6), torch.randn(2, 20, 3, 3))
    states = torch.randn(4, 1, 20)

    def said(decoder: RegionDecoder) -> Regions:
        with torch.no_grad():
            return decoder(states, decoder.prepare(*pictures), owner)

    one, other = said(once), said(twice)
    assert torch.equal(one.points, other.points) and torch.equal(one.scores, other.scores)
    assert not torch.allclose(one.boxes, other.boxes) and not torch.allclose(one.masks, other.masks)
    twice(states, twice.prepare(*pictures), owner).points.sum().backward()
    assert twice.mask.hyper_where.weight.grad is not None  # the first look learns where


def test_one_that_passes_over_points_at_nothing_that_was_found_and_scores_the_match_as_it_was() -> None:
    torch.manual_seed(0)
    decoder = RegionDecoder(20, 12, 32, window=4, enumerates=True, weighs_match=True, passes_over=True).eval()
    prepared = decoder.prepare(torch.randn(1, 12, 6, 6), torch.randn(1, 20, 6, 6))
    words = Words(torch.randn(1, 4, 20), torch.ones(1, 4, dtype=torch.bool))
    owner, state = torch.tensor([0]), torch.randn(1, 1, 20)
    matches: list[torch.Tensor] = []
    decoder.score.match.register_forward_hook(lambda _, given, __: matches.append(given[0]))
    with torch.no_grad():
        first = decoder(state, prepared, owner, words, torch.zeros(1, 24, 24))
        best = int(first.points.flatten().argmax())
        found = torch.zeros(1, 6, 6)
        found.view(-1)[best] = 1.0
        again = decoder(state, prepared, owner, words, F.interpolate(found[None], (24, 24))[0])
        decoder.passes_over = False
        fresh = decoder(state, prepared, owner, words, F.interpolate(found[None], (24, 24))[0])
    assert torch.equal(fresh.points, first.points)  # as it is born, what was found changes nothing
    assert int(again.points.flatten().argmax()) != best
    assert again.points.flatten()[best] < first.points.flatten()[best] - AWAY
    assert torch.allclose(matches[0][:, [0, 2, 3]], matches[1][:, [0, 2, 3]])  # best, mean and spread


def test_a_fresh_box_is_the_extent_of_its_mask() -> None:
    decoder, features, cells = decoder_and_pictures()
    said = decoder(torch.randn(4, 1, 20), decoder.prepare(features, cells), torch.tensor([0, 0, 1, 1]))
    assert torch.allclose(said.boxes, extent_cxcywh(said.masks).clamp(1e-3, 1 - 1e-3), atol=1e-4)


def test_a_region_survives_its_own_vector_after_a_little_training() -> None:
    torch.manual_seed(0)
    encoder, decoder = RegionEncoder(32, 1.0), RegionDecoder(32, 12, 32, depth=1)
    features, cells = torch.randn(1, 12, 6, 6), torch.randn(1, 32, 4, 4)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 3e-3)
    for _ in range(150):
        boxes = torch.rand(16, 4) * 0.5 + 0.25
        shown = torch.tensor([[True, False, False]]).expand(16, -1)
        vectors = encoder(boxes, torch.zeros(16, 64, 64), boxes[:, :2], shown)
        said = decoder(vectors.unsqueeze(1), decoder.prepare(features, cells), torch.zeros(16, dtype=torch.long))
        error = (said.boxes - boxes).abs().mean()
        target = cells_target(painted(boxes, 64), (4, 4))
        loss = error + cell_cross_entropy(said.points, target).mean()  # as in training, pointing leads the way
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert error < 0.06  # the mean box alone scores 0.125

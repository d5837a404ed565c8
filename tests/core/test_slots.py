"""Laws of reading and writing places."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perceptiongpt.core import slots

VIS = 7


def ids(*rows):
    return torch.tensor(rows)


def test_what_is_written_is_read_back():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 9, 5, generator=generator)
    slot = torch.rand(3, 9, generator=generator) > 0.6
    vectors = torch.randn(int(slot.sum()), 5, generator=generator)
    written = slots.write(states, slot, vectors)
    assert torch.equal(slots.read(written, slot), vectors)
    assert torch.equal(written[~slot], states[~slot])


def test_writing_changes_nothing_it_was_given():
    states = torch.zeros(1, 3, 2)
    slots.write(states, torch.tensor([[False, True, False]]), torch.ones(1, 2))
    assert torch.equal(states, torch.zeros(1, 3, 2))


def test_a_wrong_count_names_both_numbers():
    slot = slots.places(ids([1, VIS, VIS]), VIS)
    with pytest.raises(ValueError, match=r"3 vectors .* 2 places"):
        slots.write(torch.zeros(1, 3, 4), slot, torch.zeros(3, 4))


def test_the_state_before_is_the_one_that_predicts():
    input_ids = ids([1, 2, VIS, 3, VIS], [1, VIS, VIS, 4, 5])
    slot = slots.places(input_ids, VIS)
    states = torch.arange(10).reshape(2, 5, 1).float()
    assert slots.read(states, slots.before(slot)).flatten().tolist() == [1, 3, 5, 6]
    assert slots.owner(slot).tolist() == [0, 0, 1, 1]
    assert slots.owner(slots.before(slot)).tolist() == [0, 0, 1, 1]


def test_a_row_that_begins_with_the_token_is_refused():
    with pytest.raises(ValueError, match=r"rows \[1\]"):
        slots.before(slots.places(ids([1, VIS], [VIS, 1]), VIS))


def test_gradients_flow_to_what_was_written_and_stop_at_what_it_replaced():
    states = torch.ones(1, 3, 2, requires_grad=True)
    vectors = torch.ones(1, 2, requires_grad=True)
    slots.write(states, torch.tensor([[False, True, False]]), vectors).sum().backward()
    assert states.grad[0, :, 0].tolist() == [1, 0, 1]
    assert vectors.grad.tolist() == [[1, 1]]


def test_a_window_ends_at_its_place_and_says_where_the_row_had_not_begun():
    states = torch.arange(5.0).reshape(1, 5, 1)
    slot = torch.tensor([[False, True, False, False, True]])
    words = slots.window(states, slot, 3, torch.zeros_like(slot))
    assert words.there.tolist() == [[False, True, True], [True, True, True]]
    assert words.vectors[0, 1:, 0].tolist() == [0, 1] and words.vectors[1, :, 0].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("regions", "since"),
    [
        ("....", "yyyy"),
        (".v..", "..yy"),  # words after another region
        (".vv.", "...y"),
        ("..vv", "yyyy"),  # the second and third of a group share their words, and see each other
        ("v.v.", "...y"),
        (".v.v", "..yy"),
        ("vvvv", "yyyy"),
    ],
)
def test_a_phrase_is_what_was_said_since_the_last_region(regions: str, since: str) -> None:
    marks = torch.tensor([[c == "v" for c in regions]])
    assert slots.since_region(marks).tolist() == [[c == "y" for c in since]]


def test_no_places_means_no_vectors():
    slot = slots.places(ids([1, 2]), VIS)
    assert slots.read(torch.zeros(1, 2, 4), slot).shape == (0, 4)
    assert slots.write(torch.zeros(1, 2, 4), slot, torch.zeros(0, 4)).shape == (1, 2, 4)


@given(st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=3), st.integers(1, 3))
def test_a_breath_is_a_row_of_regions_with_nothing_between(rows: list[list[bool]], size: int) -> None:
    breath, number = slots.breaths(torch.tensor(rows).repeat_interleave(size, 1), size)
    where = [(b, t) for b, row in enumerate(rows) for t, there in enumerate(row) if there]
    assert len(breath) == len(number) == len(where)
    for n, (b, t) in enumerate(where):
        together = [m for m, (c, u) in enumerate(where) if b == c and u < t and all(rows[b][u:t])]
        assert number[n] == len(together) and all(breath[m] == breath[n] for m in together)
        assert n == len(together) or (breath[: n - len(together)] < breath[n]).all()

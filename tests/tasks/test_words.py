"""Laws of reading words: what is not there leaves no trace, and the phrase lies among the words."""

from __future__ import annotations

import torch

from perceptiongpt.core.slots import Words
from perceptiongpt.tasks.words import WordReader


def test_words_that_are_not_there_leave_no_trace() -> None:
    torch.manual_seed(0)
    reader = WordReader(12, 4, 16).eval()
    there = torch.tensor([[False, False, True, True], [True, True, True, True]])
    vectors = torch.randn(2, 4, 12)
    other = torch.where(there.unsqueeze(-1), vectors, torch.randn(2, 4, 12))
    tokens, phrase = reader(Words(vectors, there))
    again, same = reader(Words(other, there))
    assert torch.allclose(phrase, same, atol=1e-5)
    assert torch.allclose(tokens[there], again[there], atol=1e-5)


def test_the_phrase_of_one_word_is_that_word() -> None:
    reader = WordReader(12, 4, 16).eval()
    there = torch.tensor([[False, False, False, True]])
    vectors = torch.randn(1, 4, 12)
    assert torch.allclose(reader(Words(vectors, there))[1], vectors[:, -1], atol=1e-5)


def test_of_no_regions_no_words_are_read() -> None:
    tokens, phrase = WordReader(12, 4, 16)(Words(torch.zeros(0, 4, 12), torch.zeros(0, 4, dtype=torch.bool)))
    assert tokens.shape == (0, 4, 16) and phrase.shape == (0, 12)

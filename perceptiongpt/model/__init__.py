"""A language model with eyes: hidden states, caches, adapters, token ids. Knows nothing of files of data."""

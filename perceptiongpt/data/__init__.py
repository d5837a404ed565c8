"""Files, data-set fields, phrases and padding. Knows nothing of hidden states."""

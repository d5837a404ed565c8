"""Tensors and geometry: true for any model with tokens. Imports nothing else of this package."""

"""What a kind of region is as numbers: encoders above decoders, one file a kind."""

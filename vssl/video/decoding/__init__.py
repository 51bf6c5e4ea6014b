"""From what a sample names to its frames: addresses, indices, one file a decoder."""

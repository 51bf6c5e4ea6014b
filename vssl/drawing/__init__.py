"""Pictures as files: arrays in, PNG out; what is in them is decided elsewhere. No torch."""

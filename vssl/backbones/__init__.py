"""Backbones: clips in, features out; one file a family."""

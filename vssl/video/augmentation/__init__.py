"""What is done to the pixels of a clip, one file an operation."""

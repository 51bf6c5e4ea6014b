"""What an encoder is worth: frozen features, read once, under one protocol a file; one record a number."""

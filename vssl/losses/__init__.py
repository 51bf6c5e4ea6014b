"""One file a loss: plain functions of tensors."""

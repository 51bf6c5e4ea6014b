"""Data sets: one file each. A data set subclasses `vssl.VideoDataModule` and says which videos there are."""

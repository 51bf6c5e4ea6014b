"""Parts of networks that backbones and methods share."""

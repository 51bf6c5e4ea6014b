"""Pretraining methods: one file each, nothing else."""

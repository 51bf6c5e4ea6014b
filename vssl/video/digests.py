"""Digests: proof that two runs saw the same clips, without keeping the clips.

A chain per view position: c = SHA-256(view settings); then for every sample in sampler order
c = SHA-256(c, digest of the sample, its augmentation parameters). Batch size, accumulation and ranks do not enter.
"""

import hashlib
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TENSOR_BATCHES = 8
"""Global batches whose augmented pixels enter the digest over tensors."""


class DigestState(TypedDict):
    """What a checkpoint keeps of a chain."""

    chain: str
    samples: int


class ClipDigest:
    """The chain of one view position.

    Args:
        settings_hash: hex digits that name the view's settings (`View.settings_hash`), so that runs with another
            setting differ from the start.
    """

    def __init__(self, settings_hash: str) -> None:
        self._chain = hashlib.sha256(settings_hash.encode()).digest()
        self.samples = 0

    def update(self, sample_digests: NDArray[np.uint8], rows: NDArray[np.float32] | None = None) -> None:
        """Takes samples in sampler order.

        Args:
            sample_digests: (B, 32), what the worker knows of each sample (see `vssl.video.clips`).
            rows: (B, k) augmentation parameters (`Drawn.rows`).
        """
        parameters = np.zeros((len(sample_digests), 0), np.float32) if rows is None else rows.astype("<f4")
        for digest, row in zip(sample_digests, parameters, strict=True):
            self._chain = hashlib.sha256(self._chain + digest.tobytes() + row.tobytes()).digest()
        self.samples += len(sample_digests)

    def hex(self) -> str:
        """64 hex digits over everything so far."""
        return self._chain.hex()

    def state(self) -> DigestState:
        return {"chain": self.hex(), "samples": self.samples}

    def load(self, state: DigestState) -> None:
        """Goes on from `state`, also one of a chain with other settings: the caller compares those."""
        self._chain, self.samples = bytes.fromhex(state["chain"]), state["samples"]


def tensor_digests(clip: Tensor) -> NDArray[np.uint8]:
    """(B, 32): SHA-256 over the pixels of each clip of [B, ...]. Waits for the device, so only for a few batches."""
    pixels = clip.detach().to("cpu", torch.float32).contiguous().numpy()
    return stacked_digests([hashlib.sha256(one.tobytes()).digest() for one in pixels])


def stacked_digests(digests: list[bytes]) -> NDArray[np.uint8]:
    """(B, 32) uint8 of B digests."""
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), 32)

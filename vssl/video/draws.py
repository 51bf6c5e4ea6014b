"""Keyed randomness: every draw is a pure function of who it is for, never of when or where it is made.

A sample's key comes from (seed, epoch, index, repeat), a stream from (position of the view, operation). The two give
a splitmix64 generator of their own, whose n-th number can be had without the numbers before it, so whole batches are
drawn at once. Integer arithmetic only: CPU, GPU, worker and rank agree to the bit.

Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", Fig. 16 (the mixer is
Stafford's variant 13); the state of a stream is our choice.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31
_MASK = (1 << 64) - 1


def sample_keys(
    seed: int, epoch: int, index: NDArray[np.int64], repeat: NDArray[np.int64] | int = 0
) -> NDArray[np.int64]:
    """One int64 key per sample, (N,). Different indices of one (seed, epoch, repeat) never share a key.

    Args:
        index: (N,) place of each sample in the list.
        repeat: which of the clips of one sample in one epoch (repeated augmentation), one for all or one each.
    """
    start = _first(_first(seed & _MASK) ^ (epoch & _MASK))
    keys = _first_np(np.asarray(index, dtype=np.int64).view(np.uint64) ^ np.uint64(start))
    return _first_np(keys ^ np.asarray(repeat).astype(np.uint64)).view(np.int64)


def permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order of an epoch: int64 (n,), each of 0..n-1 once."""
    # Another stream than the samples' own, so that the order tells nothing about their draws.
    keys = sample_keys(seed, epoch, np.arange(n), repeat=stream(0, "order") & _MASK)
    return np.argsort(keys, kind="stable")


@lru_cache(maxsize=1024)
def stream(position: int, operation: str) -> int:
    """The int64 that names one operation on the view at `position`; the same in every process."""
    return int.from_bytes(hashlib.sha256(f"{position}:{operation}".encode()).digest()[:8], "little", signed=True)


def uniforms(key: Tensor, stream: int, n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, n) numbers in [0, 1) for `key` (B,) int64, on the key's device; row b depends on key[b] alone.

    float32 holds the 24 highest bits of each number, float64 the 53 highest, both exactly. Not to be compiled: products
    that wrap are undefined in the C++ that `torch.compile` writes.
    """
    state = _mixed((key ^ stream) + _signed(_GAMMA))
    counter = torch.arange(1, n + 1, dtype=torch.int64, device=key.device) * _signed(_GAMMA)
    return _unit(_mixed(state[:, None] + counter), dtype)


def uniforms_np(key: NDArray[np.int64], stream: int, n: int) -> NDArray[np.float64]:
    """`uniforms(..., dtype=float64)` for the host, equal to the bit and faster on small batches."""
    state = _first_np(key.view(np.uint64) ^ np.uint64(stream & _MASK))
    numbers = _mixed_np(state[:, None] + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(_GAMMA))
    return (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform_stream(key: int, stream: int) -> Iterator[float]:
    """The numbers of `uniforms(..., dtype=float64)` for one key, one after the other, without end.

    For the few draws that a worker makes for one sample: calling an array library for each costs ten times more.
    """
    state = _first((key ^ stream) & _MASK)
    while True:
        state = (state + _GAMMA) & _MASK
        yield (_mixed_int(state) >> 11) * 2.0**-53


def uniform(key: int, stream: int) -> float:
    """The first number of `uniform_stream`."""
    return next(uniform_stream(key, stream))


# The mixer three times over: Python integers, numpy (uint64 wraps), torch (int64 wraps; it has no unsigned shift).


def _first(state: int) -> int:
    return _mixed_int((state + _GAMMA) & _MASK)


def _mixed_int(z: int) -> int:
    for shift, factor in _MIX:
        z = ((z ^ (z >> shift)) * factor) & _MASK
    return z ^ (z >> _LAST_SHIFT)


def _first_np(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return _mixed_np(state + np.uint64(_GAMMA))


def _mixed_np(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in _MIX:
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return z ^ (z >> np.uint64(_LAST_SHIFT))


def _mixed(z: Tensor) -> Tensor:
    for shift, factor in _MIX:
        z = (z ^ _shifted(z, shift)) * _signed(factor)
    return z ^ _shifted(z, _LAST_SHIFT)


def _shifted(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant >> 63 else constant


def _unit(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    # Fewer bits than the mantissa has, so that no number is rounded up to 1.
    bits = 53 if dtype == torch.float64 else 24
    return _shifted(numbers, 64 - bits).to(dtype) * 2.0**-bits

import hashlib
import json

import numpy as np
import pytest
import torch

from vssl.video.digests import ClipDigest, tensor_digests

RNG = np.random.default_rng(0)
SAMPLES = RNG.integers(0, 256, (8, 32), dtype=np.uint8)
ROWS = RNG.random((8, 12), dtype=np.float32)


def chain(settings: str, samples: np.ndarray, rows: np.ndarray) -> str:
    link = hashlib.sha256(settings.encode()).digest()
    for sample, row in zip(samples, rows, strict=True):
        link = hashlib.sha256(link + bytes(sample) + row.tobytes()).digest()
    return link.hex()


@pytest.mark.parametrize("sizes", [(8,), (4, 4), (1,) * 8, (3, 0, 5)])
def test_batching_does_not_enter(sizes: tuple[int, ...]) -> None:
    digest = ClipDigest("ab")
    for begin, size in zip(np.cumsum((0, *sizes)), sizes, strict=False):
        digest.update(SAMPLES[begin : begin + size], ROWS[begin : begin + size])
    assert (digest.hex(), digest.samples) == (chain("ab", SAMPLES, ROWS), 8)


def test_settings_order_samples_and_parameters_enter() -> None:
    changed = ROWS.copy()
    changed[3, 2] = np.nextafter(changed[3, 2], np.float32(2))
    found = set()
    for settings, samples, rows in (
        ("ab", SAMPLES, ROWS),
        ("ac", SAMPLES, ROWS),
        ("ab", SAMPLES[::-1], ROWS[::-1]),
        ("ab", SAMPLES, changed),
        ("ab", SAMPLES[:7], ROWS[:7]),
    ):
        digest = ClipDigest(settings)
        digest.update(samples, rows)
        found.add(digest.hex())
    assert len(found) == 5
    assert ClipDigest("ab").hex() != ClipDigest("ac").hex()  # before the first sample


def test_going_on_from_a_stored_state_equals_never_having_stopped() -> None:
    first, second = ClipDigest("ab"), ClipDigest("ab")
    first.update(SAMPLES[:5], ROWS[:5])
    second.load(json.loads(json.dumps(first.state())))
    second.update(SAMPLES[5:], ROWS[5:])
    assert (second.hex(), second.samples) == (chain("ab", SAMPLES, ROWS), 8)


def test_tensor_digests_are_over_the_pixels_of_each_clip() -> None:
    clip = torch.rand(3, 4, 2, 5, 5)
    digests = tensor_digests(clip.transpose(1, 2))
    assert digests.shape == (3, 32)
    assert bytes(digests[1]) == hashlib.sha256(clip[1].transpose(0, 1).numpy().tobytes()).digest()
    clip[1, 0, 0, 0, 0] += 1e-6
    assert (tensor_digests(clip.transpose(1, 2)) != digests).any(axis=1).tolist() == [False, True, False]

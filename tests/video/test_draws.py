import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vssl.video.draws import permutation, sample_keys, stream, uniform, uniform_stream, uniforms, uniforms_np

INT64 = st.integers(-(2**63), 2**63 - 1)
MODULUS = 2**64


class SplitMix64:
    """Written apart from ours, from the paper's Java: nextLong with an increment of the golden ratio."""

    def __init__(self, seed: int) -> None:
        self.x = seed % MODULUS

    def next(self) -> int:
        self.x = (self.x + 11400714819323198485) % MODULUS
        z = self.x
        z = (z ^ (z // 2**30)) * 13787848793156543929 % MODULUS
        z = (z ^ (z // 2**27)) * 10723151780598845931 % MODULUS
        return z ^ (z // 2**31)


def numbers(key: int, stream_id: int, n: int) -> list[int]:
    generator = SplitMix64(SplitMix64((key % MODULUS) ^ (stream_id % MODULUS)).next())
    return [generator.next() for _ in range(n)]


def test_the_reference_is_splitmix64() -> None:
    generator = SplitMix64(1234567)  # the published first numbers for this seed
    assert [generator.next() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(key=INT64, stream_id=INT64)
def test_all_three_forms_equal_the_reference(key: int, stream_id: int) -> None:
    expected = numbers(key, stream_id, 5)
    keys = np.array([0, key], dtype=np.int64)
    double = [number / 2**53 for number in (n >> 11 for n in expected)]
    single = [number / 2**24 for number in (n >> 40 for n in expected)]
    assert uniforms(torch.from_numpy(keys), stream_id, 5, torch.float64)[1].tolist() == double
    assert uniforms(torch.from_numpy(keys), stream_id, 5)[1].tolist() == single
    assert uniforms_np(keys, stream_id, 5)[1].tolist() == double
    assert [number for number, _ in zip(uniform_stream(key, stream_id), range(5), strict=False)] == double
    assert uniform(key, stream_id) == double[0]


def test_golden_values() -> None:
    """Draws of published runs hang on these: a change here is a change of every clip."""
    keys = sample_keys(seed=3, epoch=2, index=np.array([0, 41]))
    state = SplitMix64(SplitMix64(3).next() ^ 2).next()
    expected = [SplitMix64(SplitMix64(state ^ index).next() ^ 0).next() for index in (0, 41)]
    assert keys.view(np.uint64).tolist() == expected
    # printf 0:time | sha256sum, the first 8 bytes as a little-endian signed number
    assert stream(0, "time") == -995283437016846204
    assert stream(1, "crop") == -5609544819323561570


def test_uniforms_are_uniform_over_keys_and_along_a_key() -> None:
    keys = torch.from_numpy(sample_keys(0, 0, np.arange(4096)))
    drawn = uniforms(keys, stream(0, "mask"), 64).numpy()
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, bins=256, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > 1e-3
    first = np.histogram(drawn[:, 0], bins=64, range=(0, 1))[0]
    assert stats.chisquare(first).pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.05
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.05


def test_a_row_depends_on_its_key_alone() -> None:
    keys = torch.from_numpy(sample_keys(0, 0, np.arange(8)))
    together = uniforms(keys, 5, 100)
    assert torch.equal(together[3:5], uniforms(keys[3:5], 5, 100))
    assert torch.equal(together[:, :7], uniforms(keys, 5, 7))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.gpu
def test_the_gpu_draws_the_same() -> None:
    keys = torch.from_numpy(sample_keys(0, 0, np.arange(64)))
    assert torch.equal(uniforms(keys, 5, 1568), uniforms(keys.cuda(), 5, 1568).cpu())


def test_keys_differ_by_everything_they_are_made_of() -> None:
    made = [
        sample_keys(seed, epoch, np.arange(1000), repeat)
        for seed, epoch, repeat in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0))
    ]
    assert len(np.unique(np.concatenate(made))) == 5000


def test_streams_are_the_same_in_every_process() -> None:
    code = "from vssl.video.draws import stream; print(stream(1, 'crop'))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(output) == stream(1, "crop")
    assert len({stream(position, name) for position in range(3) for name in ("time", "crop", "flip")}) == 9


def test_a_permutation_holds_each_once_and_every_epoch_another() -> None:
    orders = [permutation(0, epoch, 100).tolist() for epoch in range(200)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 200
    firsts = np.histogram([order[0] for order in orders], bins=10, range=(0, 100))[0]
    assert stats.chisquare(firsts).pvalue > 1e-3
    assert permutation(0, 3, 100).tolist() == orders[3]
    assert permutation(1, 3, 100).tolist() != orders[3]

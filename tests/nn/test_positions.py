import math

import pytest
import torch

from vssl.nn.positions import sinusoid_table

# Rows of the official table, computed from its formula; the width decides the frequencies.
ROWS = {
    384: {
        0: [0, 1, 0, 1],
        1: [0.841471, 0.540302, 0.815251, 0.579108],
        195: [0.219455, 0.975623, -0.490445, -0.871472],
        196: [0.939530, 0.342466, -0.994489, -0.104841],
        1567: [0.608948, -0.793210, -0.975319, -0.220801],
    },
    768: {
        0: [0, 1, 0, 1],
        1: [0.841471, 0.540302, 0.828431, 0.560092],
        195: [0.219455, 0.975623, 0.951671, -0.307119],
        196: [0.939530, 0.342466, 0.278597, -0.960408],
        1567: [0.608948, -0.793210, 0.093232, -0.995644],
    },
}
LAST = {384: [0.163661, 0.986517], 768: [0.159816, 0.987147]}
SUMS = {384: (122425.86, 377914.36), 768: (245744.99, 755658.23)}


@pytest.mark.parametrize("dim", [384, 768])
def test_table_has_the_official_values(dim: int) -> None:
    table = sinusoid_table(1568, dim)
    assert table.dtype == torch.float32 and table.shape == (1568, dim)
    for row, values in ROWS[dim].items():
        assert table[row, :4].tolist() == pytest.approx(values, abs=1e-6)
    assert table[1567, -2:].tolist() == pytest.approx(LAST[dim], abs=1e-6)
    total, absolute = SUMS[dim]
    assert table.double().sum().item() == pytest.approx(total, abs=0.02)
    assert table.double().abs().sum().item() == pytest.approx(absolute, abs=0.02)


def test_table_equals_its_equation() -> None:
    table = sinusoid_table(7, 5)  # an odd width ends with a sine
    for position in range(7):
        for column in range(5):
            angle = position / 10000 ** (2 * (column // 2) / 5)
            expected = math.sin(angle) if column % 2 == 0 else math.cos(angle)
            assert table[position, column].item() == pytest.approx(expected, abs=1e-7)

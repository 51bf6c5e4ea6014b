import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from vssl.nn.positions import PositionTable, resize_table, separable_table, sinusoid_table

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


def test_the_separable_table_equals_its_equation() -> None:
    t, h, w, dim = 3, 2, 4, 16
    table = separable_table((t, h, w), dim).view(t, h, w, dim)
    for place in itertools.product(range(t), range(h), range(w)):
        expected: list[float] = []
        for position, width in zip(place, (dim // 2, dim // 4, dim // 4), strict=True):
            angles = [position / 10000 ** (i / (width // 2)) for i in range(width // 2)]
            expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
        assert table[place].tolist() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="width 20 cannot be divided among time, rows and columns"):
        separable_table((1, 1, 1), 20)


def test_a_resized_table_is_bicubic_in_space_and_linear_in_time() -> None:
    t, h, w, dim = 2, 4, 4, 3
    table = torch.rand(t * h * w, dim, generator=torch.Generator().manual_seed(0))
    resized = resize_table(table, (t, h, w), (6, 8, 5)).view(6, 8, 5, dim)
    pictures = [
        F.interpolate(slot.permute(2, 0, 1)[None], size=(8, 5), mode="bicubic") for slot in table.view(t, h, w, dim)
    ]
    for new in range(6):
        place = min(max((new + 0.5) * t / 6 - 0.5, 0), t - 1)  # slots are spans of time: their middles are matched
        expected = (1 - place) * pictures[0] + place * pictures[1]
        torch.testing.assert_close(resized[new], expected[0].permute(1, 2, 0))


def test_a_clip_that_is_only_shorter_takes_the_first_slots() -> None:
    table = torch.rand(3 * 2 * 2, 4)
    assert torch.equal(resize_table(table, (3, 2, 2), (2, 2, 2)), table[:8])


def test_learned_rows_of_time_and_place_are_added() -> None:
    positions = PositionTable("learned_separable", (2, 2, 3), 4)
    table = positions((2, 2, 3)).view(2, 6, 4)
    for slot, place in itertools.product(range(2), range(6)):
        assert torch.equal(table[slot, place], positions.time[slot] + positions.space[place])

import math

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity

from vssl.losses.cosine import direction_distance, negative_cosine


def _pair(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    p, z = torch.randn(2, 6, 9, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return p, z


def test_loss_and_gradient_equal_the_equation() -> None:
    p, z = _pair()
    p.requires_grad_()
    negative_cosine(p, z).backward()
    total = 0.0
    for i in range(6):
        length_p, length_z = math.sqrt(sum(x * x for x in p[i].tolist())), math.sqrt(sum(x * x for x in z[i].tolist()))
        dot = sum(x * y for x, y in zip(p[i].tolist(), z[i].tolist(), strict=True))
        total -= dot / (length_p * length_z) / 6
        for d in range(9):
            by_hand = -(z[i, d].item() / length_z - dot / length_z * p[i, d].item() / length_p**2) / length_p / 6
            assert p.grad is not None and p.grad[i, d].item() == pytest.approx(by_hand, rel=1e-9, abs=1e-14)
    assert negative_cosine(p, z).item() == pytest.approx(total, rel=1e-12)


def test_loss_equals_lightly() -> None:
    p, z = _pair(torch.float32)
    assert negative_cosine(p, z).item() == pytest.approx(NegativeCosineSimilarity()(p, z).item(), rel=1e-6)


def test_scale_does_not_matter_and_agreement_is_the_floor() -> None:
    p, z = _pair()
    assert negative_cosine(7 * p, 0.1 * z).item() == pytest.approx(negative_cosine(p, z).item(), rel=1e-12)
    assert negative_cosine(p, 3 * p).item() == pytest.approx(-1, rel=1e-12)


def test_half_precision_inputs_are_compared_in_float32() -> None:
    p, z = _pair()
    loss = negative_cosine(p.bfloat16(), z.bfloat16())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(negative_cosine(p.bfloat16().double(), z.bfloat16().double()).item(), rel=1e-5)


def test_distance_and_gradient_equal_the_equation() -> None:
    """arXiv:2006.07733, Eq. 2, number by number."""
    p, z = _pair()
    p.requires_grad_()
    direction_distance(p, z).backward()
    total = 0.0
    for i in range(6):
        length_p, length_z = math.sqrt(sum(x * x for x in p[i].tolist())), math.sqrt(sum(x * x for x in z[i].tolist()))
        unit_p, unit_z = [x / length_p for x in p[i].tolist()], [x / length_z for x in z[i].tolist()]
        total += sum((x - y) ** 2 for x, y in zip(unit_p, unit_z, strict=True)) / 6
        cosine = sum(x * y for x, y in zip(unit_p, unit_z, strict=True))
        for d in range(9):
            by_hand = -2 * (unit_z[d] - cosine * unit_p[d]) / length_p / 6
            assert p.grad is not None and p.grad[i, d].item() == pytest.approx(by_hand, rel=1e-9, abs=1e-14)
    assert direction_distance(p, z).item() == pytest.approx(total, rel=1e-12)


def test_distance_is_two_minus_two_cosines_of_lightly() -> None:
    p, z = _pair()
    assert direction_distance(p, z).item() == pytest.approx(2 + 2 * NegativeCosineSimilarity()(p, z).item(), rel=1e-7)


def test_distance_knows_no_length_and_never_falls_below_zero() -> None:
    p, z = _pair(torch.float32)
    assert direction_distance(7 * p, 0.1 * z).item() == pytest.approx(direction_distance(p, z).item(), rel=1e-5)
    assert direction_distance(p, -3 * p).item() == pytest.approx(4, rel=1e-6)
    for seed in range(20):
        x = torch.randn(64, 256, generator=torch.Generator().manual_seed(seed))
        assert 0 <= direction_distance(x, 3 * x).item() < 1e-12


def test_distance_of_half_precision_is_taken_in_float32() -> None:
    p, z = _pair()
    loss = direction_distance(p.bfloat16(), z.bfloat16())
    assert loss.dtype == torch.float32
    exact = direction_distance(p.bfloat16().double(), z.bfloat16().double())
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)

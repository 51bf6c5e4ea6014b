import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor
from torch.nn import functional as F

from tests.losses import equations
from vssl.losses.info_nce import info_nce


def _pair(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    q, k = torch.randn(2, 5, 8, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return q, k


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_loss_and_gradient_equal_the_equation(temperature: float) -> None:
    q, k = _pair()
    q.requires_grad_()
    ours, theirs = info_nce(q, k, temperature), equations.info_nce(q, k, temperature)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(loss, q)[0] for loss in (ours, theirs)), rtol=1e-10, atol=1e-14)


def test_keys_get_no_gradient() -> None:
    q, k = _pair()
    q.requires_grad_(), k.requires_grad_()
    info_nce(q, k, 0.2).backward()
    assert q.grad is not None and k.grad is None


@pytest.mark.parametrize(("temperature", "both_directions"), [(0.2, 0.016010), (1.0, 2.974674)])
def test_perfect_keys_of_four_clips(temperature: float, both_directions: float) -> None:
    eye = torch.eye(4, dtype=torch.float64)
    assert 2 * info_nce(eye, eye, temperature).item() == pytest.approx(both_directions, abs=5e-7)
    one_side = math.log(1 + 3 * math.exp(-1 / temperature))
    assert info_nce(eye, eye, temperature).item() == pytest.approx(2 * temperature * one_side, rel=1e-12)


@pytest.mark.parametrize(
    ("clips", "temperature", "both_directions"), [(256, 0.2, 4.4361), (1024, 0.2, 5.5452), (256, 1.0, 22.1807)]
)
def test_equal_features_cost_chance(clips: int, temperature: float, both_directions: float) -> None:
    alike = torch.ones(clips, 3)
    assert 2 * info_nce(alike, alike, temperature).item() == pytest.approx(both_directions, abs=5e-5)


def test_length_does_not_matter() -> None:
    q, k = _pair()
    assert info_nce(7 * q, 0.1 * k, 0.2).item() == pytest.approx(info_nce(q, k, 0.2).item(), rel=1e-12)


def test_it_is_half_of_nt_xent_where_no_clip_is_like_another_of_its_view() -> None:
    """lightly has no in-batch InfoNCE; with the same-view block at a cosine of -1 its NT-Xent becomes one."""
    q = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    k = torch.tensor([[0.6, 0.8], [0.0, -1.0]], dtype=torch.float64)
    ours = (info_nce(q, k, 0.05) + info_nce(k, q, 0.05)) / (2 * 0.05)
    with_own_view = 2 * NTXentLoss(temperature=0.05)(q, k)
    assert ours.item() == pytest.approx(with_own_view.item(), abs=1e-7)


def test_under_autocast_it_is_computed_in_float32() -> None:
    q, k = _pair(torch.float32)
    expected = pytest.approx(info_nce(q.double(), k.double(), 0.05).item(), rel=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert F.linear(q, k).dtype == torch.bfloat16
        assert info_nce(q, k, 0.05).item() == expected
        assert info_nce(q.bfloat16(), k.bfloat16(), 0.05).dtype == torch.float32

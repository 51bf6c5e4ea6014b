import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor

from tests.losses import equations
from vssl.losses.nt_xent import nt_xent


def _pair(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    a, b = torch.randn(2, 5, 8, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return a.requires_grad_(), b.requires_grad_()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_loss_and_gradients_equal_the_equation(temperature: float) -> None:
    a, b = _pair()
    ours, theirs = nt_xent(a, b, temperature), equations.nt_xent(a, b, temperature)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    for one, other in zip(*(torch.autograd.grad(loss, (a, b)) for loss in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_and_gradients_equal_lightly_twice(temperature: float) -> None:
    a, b = _pair()
    ours, theirs = nt_xent(a, b, temperature), 2 * NTXentLoss(temperature)(a, b)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-10)
    for one, other in zip(*(torch.autograd.grad(loss, (a, b)) for loss in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("temperature", "mean"), [(0.5, 0.594438), (0.1, 2.72362e-4)])
def test_perfect_pairs_of_four_clips(temperature: float, mean: float) -> None:
    eye = torch.eye(4, dtype=torch.float64)
    assert nt_xent(eye, eye, temperature).item() == pytest.approx(2 * mean, rel=2e-6)
    assert nt_xent(eye, eye, temperature).item() == pytest.approx(2 * math.log(1 + 6 * math.exp(-1 / temperature)))


@pytest.mark.parametrize(("clips", "chance"), [(256, 12.4727), (1024, 15.2483)])
def test_equal_features_cost_chance(clips: int, chance: float) -> None:
    alike = torch.ones(clips, 3)
    assert nt_xent(alike, alike, 0.1).item() == pytest.approx(chance, abs=1e-4)


def test_length_does_not_matter() -> None:
    a, b = _pair()
    assert nt_xent(7 * a, 0.1 * b, 0.1).item() == pytest.approx(nt_xent(a, b, 0.1).item(), rel=1e-12)


def test_one_clip_alone_costs_nothing_and_has_finite_gradients() -> None:
    a, b = _pair()
    loss = nt_xent(a[:1], b[:1], 0.1)
    loss.backward()
    assert loss.item() == 0 and a.grad is not None and torch.equal(a.grad, torch.zeros_like(a))


def test_under_autocast_it_is_computed_in_float32() -> None:
    a, b = _pair(torch.float32)
    expected = pytest.approx(nt_xent(a.double(), b.double(), 0.05).item(), rel=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert (a @ b.T).dtype == torch.bfloat16
        assert nt_xent(a, b, 0.05).item() == expected
        assert nt_xent(a.bfloat16(), b.bfloat16(), 0.05).dtype == torch.float32


def test_the_loss_of_the_paper_is_the_mean_over_anchors() -> None:
    """Of 2N anchors, each of which chooses among 2N - 1: what both directions' sum is twice of."""
    a, b = torch.eye(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64).roll(1, dims=0)
    of_one_anchor = math.log(math.e + 4)  # one negative is equal; partner and three other negatives are orthogonal
    assert nt_xent(a, b, 1.0).item() == pytest.approx(2 * of_one_anchor, rel=1e-12)

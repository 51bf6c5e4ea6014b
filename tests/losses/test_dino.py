import math

import pytest
import torch
from lightly.loss import DINOLoss
from torch import Tensor

from tests.losses.equations import self_distillation as by_equation
from vssl.losses.dino import self_distillation

TEMPERATURES = (0.1, 0.04)


def _logits(views: int = 5, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Of the student for `views` views, of the teacher for the first two, and a centre."""
    numbers = torch.randn(views + 2, 4, 7, dtype=dtype, generator=torch.Generator().manual_seed(0)) / 5
    centre = torch.randn(7, dtype=dtype, generator=torch.Generator().manual_seed(1)) / 10
    return [view.clone().requires_grad_() for view in numbers[:views]], list(numbers[views:]), centre


@pytest.mark.parametrize("views", [2, 3, 5])
def test_loss_and_gradients_equal_the_equation(views: int) -> None:
    student, teacher, centre = _logits(views)
    ours, theirs = (loss(student, teacher, centre, *TEMPERATURES) for loss in (self_distillation, by_equation))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    for one, other in zip(*(torch.autograd.grad(loss, student) for loss in (ours, theirs)), strict=True):
        assert other.abs().max() > 1e-3
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("views", [2, 10])
def test_loss_and_gradients_equal_lightly(views: int) -> None:
    student, teacher, centre = _logits(views)
    reference = DINOLoss(7)
    reference.center.data = centre.view(1, 1, 7)
    ours, theirs = self_distillation(student, teacher, centre, *TEMPERATURES), reference(teacher, student)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)  # its temperature is a float32
    for one, other in zip(*(torch.autograd.grad(loss, student) for loss in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


def test_no_gradient_flows_to_the_teacher() -> None:
    student, teacher, centre = _logits()
    teacher = [view.requires_grad_() for view in teacher]
    self_distillation(student, teacher, centre, *TEMPERATURES).backward()
    assert all(view.grad is None for view in teacher)


@pytest.mark.parametrize(("prototypes", "chance"), [(65536, 11.0904), (4096, 8.3178), (16384, 9.7041)])
def test_a_uniform_student_costs_ln_k(prototypes: int, chance: float) -> None:
    teacher = list(torch.randn(2, 2, prototypes))
    student = [torch.ones(2, prototypes)] * 3
    loss = self_distillation(student, teacher, torch.zeros(prototypes), *TEMPERATURES).item()
    assert loss == pytest.approx(chance, abs=1e-4) == pytest.approx(math.log(prototypes), abs=1e-3)


def test_half_precision_is_compared_in_float32() -> None:
    student, teacher, centre = _logits(dtype=torch.float32)
    low = [[view.detach().bfloat16() for view in views] for views in (student, teacher)]
    loss = self_distillation(*low, centre, *TEMPERATURES)
    wide = self_distillation(*([view.double() for view in views] for views in low), centre.double(), *TEMPERATURES)
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(wide.item(), rel=1e-5)

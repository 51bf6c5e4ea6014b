"""One budget, in whole steps."""

import pytest

from vssl.config.errors import ConfigError
from vssl.training.budgets import Budget


def to_steps(budget: Budget) -> int:
    return budget.to_steps(batch_size=64, batches_per_epoch=31, flops_per_step=8.4e9)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (Budget(epochs=2), 62),
        (Budget(epochs=0.5), 15),
        (Budget(steps=7), 7),
        (Budget(samples=640), 10),
        (Budget(samples=700), 10),
        (Budget(flops=84e9), 10),
        (Budget(flops=91e9), 10),
        (Budget(flops=1), 1),
    ],
)
def test_currencies(budget: Budget, steps: int) -> None:
    assert to_steps(budget) == steps


@pytest.mark.parametrize("given", [{}, {"steps": 1, "epochs": 1}, {"flops": 1e9, "samples": 5}])
def test_exactly_one(given: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="exactly one of epochs, steps, samples, flops"):
        Budget(**given)


def test_nothing_is_no_budget() -> None:
    with pytest.raises(ConfigError, match=r"budget.steps=0 must be above 0"):
        Budget(steps=0)


def test_a_flop_budget_ends_within_one_step_for_any_method() -> None:
    for cost in (8.4e9, 43.5e9, 21.7e9):
        steps = Budget(flops=12.3e12).to_steps(batch_size=64, batches_per_epoch=31, flops_per_step=cost)
        assert 0 <= 12.3e12 - steps * cost < cost

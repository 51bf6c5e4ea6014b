"""One budget, in whole steps."""

import pytest

from vssl.config.errors import ConfigError
from vssl.training.budgets import Budget


def to_steps(budget: Budget) -> int:
    return budget.to_steps(
        batch_size=64, batches_per_epoch=31, views=2, flops_per_step=lambda: 8.4e9, seconds_per_step=lambda: 0.25
    )


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (Budget(epochs=2), 62),
        (Budget(epochs=0.5), 15),
        (Budget(steps=7), 7),
        (Budget(samples=640), 10),
        (Budget(samples=700), 10),
        (Budget(clips=1280), 10),
        (Budget(clips=1407), 10),
        (Budget(seconds=2.5), 10),
        (Budget(seconds=2.7), 10),
        (Budget(flops=84e9), 10),
        (Budget(flops=91e9), 10),
        (Budget(flops=1), 1),
    ],
)
def test_currencies(budget: Budget, steps: int) -> None:
    assert to_steps(budget) == steps


@pytest.mark.parametrize("given", [{}, {"steps": 1, "epochs": 1}, {"flops": 1e9, "samples": 5}])
def test_exactly_one(given: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="exactly one of epochs, steps, samples, clips, flops, seconds"):
        Budget(**given)


def test_nothing_is_no_budget() -> None:
    with pytest.raises(ConfigError, match=r"budget.steps=0 must be above 0"):
        Budget(steps=0)

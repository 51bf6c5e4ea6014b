"""How long a training lasts, said in one of several currencies and turned into optimiser steps once."""

from collections.abc import Callable
from dataclasses import dataclass

from vssl.config.budget_rule import LIMITS
from vssl.config.errors import ConfigError


@dataclass(frozen=True)
class Budget:
    """Exactly one of these is given.

    Args:
        epochs: passes over the training list (whole batches; the remainder of an epoch is dropped).
        steps: optimiser steps.
        samples: training samples read, repeats included; a pair of views is one sample.
        clips: clips encoded; a pair of views is two.
        flops: floating-point operations of forward and backward passes of the method, augmentation apart.
        seconds: wall time of training on this machine, evaluation apart. Some steps are timed before the first start,
            and what they tell is kept in the run's record: every later start ends at the same step.
    """

    epochs: float | None = None
    steps: int | None = None
    samples: int | None = None
    clips: int | None = None
    flops: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = self.planned()
        if len(given) != 1:
            raise ConfigError(
                f"budget: exactly one of {', '.join(LIMITS)} is needed, {len(given)} given"
                + (f" ({', '.join(given)})" if given else "; for example budget.epochs=100")
            )
        (name, value), = given.items()  # fmt: skip
        if value <= 0:
            raise ConfigError(f"budget.{name}={value} must be above 0")

    def planned(self) -> dict[str, float]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def to_steps(
        self,
        *,
        batch_size: int,
        batches_per_epoch: int,
        views: int = 1,
        flops_per_step: Callable[[], float],
        seconds_per_step: Callable[[], float],
    ) -> int:
        """Whole optimiser steps within the budget: rounded down, at least one.

        Args:
            views: clips that are made of a sample.
            flops_per_step, seconds_per_step: costly to know, asked only where this budget is one of them.
        """
        if self.epochs is not None:
            steps = self.epochs * batches_per_epoch
        elif self.samples is not None:
            steps = self.samples / batch_size
        elif self.clips is not None:
            steps = self.clips / (batch_size * views)
        elif self.flops is not None:
            steps = self.flops / flops_per_step()
        elif self.seconds is not None:
            steps = self.seconds / seconds_per_step()
        else:
            steps = float(self.steps or 0)
        return max(1, int(steps + 1e-9))

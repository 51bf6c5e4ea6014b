"""LARS: momentum SGD whose step on a tensor is as long as the tensor is large."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class LARS(torch.optim.Optimizer):
    """For each tensor g' = g + decay * w; where the group says `adapt`, g' is multiplied by eta |w| / |g'|.

    The factor is 1 where either norm is 0: a tensor of zeros could otherwise never leave them. Then
    m <- momentum * m + g' and w <- w - lr * m.

    Args:
        groups: each with `params`, `lr`, `weight_decay` and `adapt`.
        eta: the trust coefficient.
        rate_in_momentum: m <- momentum * m + lr * g' and w <- w - m, which differs as soon as the rate changes.
    Source: You et al. 2017, arXiv:1708.03888; facebookresearch/moco-v3: moco/optimizer.py. With `rate_in_momentum`
    google-research/simclr: tf2/lars_optimizer.py, `classic_momentum`.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        momentum: float = 0.9,
        eta: float = 1e-3,
        rate_in_momentum: bool = False,
    ) -> None:
        super().__init__(groups, {"momentum": momentum, "eta": eta, "rate_in_momentum": rate_in_momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
        if group["adapt"]:
            gradient.mul_(_trust(parameter, gradient, group["eta"]))
        # Where the rate is outside, its changes reach the whole momentum at once; inside, new gradients only.
        inner, outer = (group["lr"], 1.0) if group["rate_in_momentum"] else (1.0, group["lr"])
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].mul_(group["momentum"]).add_(gradient, alpha=inner)
        parameter.sub_(state["momentum"], alpha=outer)


def _trust(parameter: Tensor, gradient: Tensor, eta: float) -> Tensor:
    """eta |w| / |g'| as a scalar on the device, which is not waited for."""
    size, slope = torch.linalg.vector_norm(parameter), torch.linalg.vector_norm(gradient)
    return torch.where((size > 0) & (slope > 0), eta * size / slope, 1.0)

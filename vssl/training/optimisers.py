"""Optimisers as recipes: a base rate for a reference batch, a decay rule, a schedule."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from vssl.method import Method, ParamGroup
from vssl.training.schedules import Schedule

DecayRule = Literal["all", "no_1d", "no_bias_norm"]
BASE = Schedule()


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """What every optimiser has. The peak rate is `base_lr * batch size / reference_batch` (linear rule).

    Args:
        base_lr: learning rate at the reference batch.
        reference_batch: None switches scaling off: `base_lr` is then the peak rate.
        decay: which tensors are decayed: all; none with one dimension (biases, norms); no biases and norms, by name.
        layer_decay: rate multiple from one layer to the next one below it (1: the same rate for all).
    """

    base_lr: float
    weight_decay: float
    reference_batch: int | None = 256
    decay: DecayRule = "no_1d"
    layer_decay: float = 1.0
    schedule: Schedule = BASE

    def peak_lr(self, batch_size: int) -> float:
        return self.base_lr if self.reference_batch is None else self.base_lr * batch_size / self.reference_batch

    def create(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        raise NotImplementedError

    def build(self, method: Method, batch_size: int, steps: int) -> dict[str, Any]:
        """What Lightning's `configure_optimizers` returns, for `steps` optimiser steps of `batch_size` clips."""
        peak = self.peak_lr(batch_size)
        groups = self._split(method)
        optimiser = self.create(groups, peak)
        factors = [_constant if group["rule"] == "constant" else _scheduled(self.schedule, steps) for group in groups]
        scheduler = LambdaLR(optimiser, factors)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _split(self, method: Method) -> list[dict[str, Any]]:
        """One torch group for each (method group, decayed or not)."""
        owned = method.param_groups()
        deepest = max(group.depth for group in owned)
        peak_groups = []
        for group in owned:
            for decayed in (True, False):
                params = [p for name, p in group.params.items() if self._decays(name, p, method) == decayed]
                if params:
                    peak_groups.append(self._torch_group(group, params, decayed, deepest))
        return peak_groups

    def _torch_group(
        self, group: ParamGroup, params: list[nn.Parameter], decayed: bool, deepest: int
    ) -> dict[str, Any]:
        scale = self.layer_decay ** (deepest - group.depth)
        decay = self.weight_decay if decayed else 0.0
        return {"name": group.name, "params": params, "weight_decay": decay, "lr_scale": scale, "rule": group.lr}

    def _decays(self, name: str, parameter: nn.Parameter, method: Method) -> bool:
        if self.decay == "all":
            return True
        if name in method.no_decay():
            return False
        if self.decay == "no_1d":
            return parameter.ndim > 1
        leaf = name.rsplit(".", 1)[-1]
        return not (leaf.endswith("bias") or "norm" in name.lower())


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimiser):
    """AdamW. The defaults are VideoMAE's (MCG-NJU/VideoMAE: optim_factory.py, run_mae_pretraining.py)."""

    base_lr: float = 1.5e-4
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8

    def create(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        # One kernel over all tensors instead of a dozen a tensor: the update is memory-bound, most of all on a CPU.
        return torch.optim.AdamW(_with_rates(groups, lr), lr=lr, betas=self.betas, eps=self.eps, fused=True)


@dataclass(frozen=True, kw_only=True)
class SGD(Optimiser):
    """SGD with momentum. The defaults are SimSiam's recipe (facebookresearch/simsiam: main_simsiam.py)."""

    base_lr: float = 0.05
    weight_decay: float = 1e-4
    momentum: float = 0.9
    nesterov: bool = False
    decay: DecayRule = "all"
    schedule: Schedule = Schedule(warmup_fraction=0.0)

    def create(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(_with_rates(groups, lr), lr=lr, momentum=self.momentum, nesterov=self.nesterov)


def _with_rates(groups: list[dict[str, Any]], lr: float) -> list[dict[str, Any]]:
    return [{**group, "lr": lr * group["lr_scale"]} for group in groups]


def _constant(step: int) -> float:
    return 1.0


def _scheduled(schedule: Schedule, total: int) -> Any:
    return lambda step: schedule.factor(step, total)


def describe_rate(optimiser: Optimiser, batch_size: int) -> str:
    """`1.2e-03 (base 1.5e-04 x batch 2048 / 256)`, for the start-up line."""
    peak = optimiser.peak_lr(batch_size)
    if optimiser.reference_batch is None or math.isclose(peak, optimiser.base_lr):
        return f"{peak:.3g}"
    return f"{peak:.3g} (base {optimiser.base_lr:.3g} x batch {batch_size} / {optimiser.reference_batch})"

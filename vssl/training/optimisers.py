"""Optimisers as recipes: a base rate for a reference batch, a decay rule, a schedule."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from vssl.method import Method, ParamGroup
from vssl.nn.parameters import biases_and_norms
from vssl.training import lars
from vssl.training.schedules import Schedule, cosine

TensorRule = Literal["all", "no_1d", "no_bias_norm"]
BASE = Schedule()


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """What every optimiser has. The peak rate is `base_lr * batch size / reference_batch` (linear rule).

    Args:
        base_lr: learning rate at the reference batch.
        weight_decay: at the first step.
        final_weight_decay: where a half cosine over all steps leads it, one step after the last; None: it stays.
        reference_batch: None switches scaling off: `base_lr` is then the peak rate.
        decay: which tensors are decayed: all; none with one dimension (biases, norms); no biases and no parameters of
            normalisation layers. The last two also leave out what the method never decays.
        layer_decay: rate multiple from one layer to the next one below it (1: the same rate for all).
        clip_tensor_norm: largest norm of each tensor's gradient by itself; None leaves them alone.
    """

    base_lr: float
    weight_decay: float
    final_weight_decay: float | None = None
    reference_batch: int | None = 256
    decay: TensorRule = "no_1d"
    layer_decay: float = 1.0
    clip_tensor_norm: float | None = None
    schedule: Schedule = BASE

    fused: ClassVar[bool] = False  # one kernel over all tensors, which unscales scaled gradients itself

    def __post_init__(self) -> None:
        if self.clip_tensor_norm is not None and not self.clip_tensor_norm > 0:
            raise ValueError(f"clip_tensor_norm={self.clip_tensor_norm} must be above 0; null leaves gradients alone")

    def peak_lr(self, batch_size: int) -> float:
        return self.base_lr if self.reference_batch is None else self.base_lr * batch_size / self.reference_batch

    def create(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        raise NotImplementedError

    def build(self, method: Method, batch_size: int, steps: int) -> dict[str, Any]:
        """What Lightning's `configure_optimizers` returns, for `steps` optimiser steps of `batch_size` clips."""
        peak = self.peak_lr(batch_size)
        groups = self._split(method, steps)
        optimiser = self.create(groups, peak)
        factors = [_constant if group["rule"] == "constant" else _scheduled(self.schedule, steps) for group in groups]
        if self.final_weight_decay is None:
            scheduler = LambdaLR(optimiser, factors)
        else:
            scheduler = _RatesAndDecay(optimiser, factors, self.weight_decay, self.final_weight_decay, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _split(self, method: Method, steps: int) -> list[dict[str, Any]]:
        """One torch group for the tensors of a method's group that are treated alike, decayed ones first."""
        owned = method.param_groups()
        deepest = max(group.depth for group in owned)
        split = []
        for group in owned:
            alike: dict[tuple[bool, bool], list[nn.Parameter]] = {}
            undecayed = left_out(self.decay, group.params, method)
            unadapted = left_out(self._adapt_rule(), group.params, method)
            for name, parameter in group.params.items():
                alike.setdefault((name not in undecayed, name not in unadapted), []).append(parameter)
            for decayed, adapted in sorted(alike, reverse=True):
                options = {"decayed": decayed, "adapt": adapted, "params": alike[decayed, adapted]}
                split.append({**options, **self._group_options(group, decayed, deepest, steps)})
        return split

    def _group_options(self, group: ParamGroup, decayed: bool, deepest: int, steps: int) -> dict[str, Any]:
        return {
            "name": group.name,
            "weight_decay": self.weight_decay if decayed else 0.0,
            "lr_scale": self.layer_decay ** (deepest - group.depth),
            "rule": group.lr,
            "frozen_steps": round(group.frozen_until * steps),
            "clip_tensor_norm": self.clip_tensor_norm,
        }

    def _adapt_rule(self) -> TensorRule:
        """Which tensors' steps follow their size; only LARS asks."""
        return "all"


def left_out(rule: TensorRule, params: Mapping[str, nn.Parameter], method: Method) -> set[str]:
    """The names in `params` that `rule` excludes.

    Source of `no_1d`: MCG-NJU/VideoMAE optim_factory.py, facebookresearch/moco-v3 moco/optimizer.py; of `no_bias_norm`:
    deepmind-research byol/utils/optimizers.py, google-research/simclr tf2/model.py. Both go by names there; here layers
    count as normalisation by class too, since in a Sequential they have numbers for names.
    """
    if rule == "all":
        return set()
    never = method.no_decay()
    if rule == "no_1d":
        return {name for name, p in params.items() if p.ndim <= 1 or name in never}
    never |= biases_and_norms(method)
    return {name for name in params if name in never or "norm" in name.lower()}


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimiser):
    """AdamW. The defaults are VideoMAE's (MCG-NJU/VideoMAE: optim_factory.py, run_mae_pretraining.py)."""

    base_lr: float = 1.5e-4
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8

    fused: ClassVar[bool] = True  # instead of a dozen a tensor: the update is memory-bound, most of all on a CPU

    def create(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(_with_rates(groups, lr), lr=lr, betas=self.betas, eps=self.eps, fused=self.fused)


@dataclass(frozen=True, kw_only=True)
class SGD(Optimiser):
    """SGD with momentum. The defaults are SimSiam's recipe (facebookresearch/simsiam: main_simsiam.py)."""

    base_lr: float = 0.05
    weight_decay: float = 1e-4
    momentum: float = 0.9
    nesterov: bool = False
    decay: TensorRule = "all"
    schedule: Schedule = Schedule(warmup_fraction=0.0)

    def create(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(_with_rates(groups, lr), lr=lr, momentum=self.momentum, nesterov=self.nesterov)


@dataclass(frozen=True, kw_only=True)
class LARS(Optimiser):
    """LARS. The defaults are MoCo v3's for a ResNet-50 and 300 epochs (facebookresearch/moco-v3: CONFIG.md).

    Args:
        eta: trust coefficient; a step on a tensor w has about the length lr * eta * |w|.
        adapt: which tensors' steps follow their size, in the words of `decay`; the others take those of SGD.
        rate_in_momentum: the rate is part of the momentum instead of a factor of the step (SimCLR's classic form).
    """

    base_lr: float = 0.3
    weight_decay: float = 1e-6
    momentum: float = 0.9
    eta: float = 1e-3
    adapt: TensorRule = "no_1d"
    rate_in_momentum: bool = False
    schedule: Schedule = Schedule(warmup_fraction=1 / 30)

    def create(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        return lars.LARS(_with_rates(groups, lr), self.momentum, self.eta, self.rate_in_momentum)

    def _adapt_rule(self) -> TensorRule:
        return self.adapt


class _RatesAndDecay(LambdaLR):
    """LambdaLR that also moves the decay of decayed groups from `first` to `last`, by a half cosine over `total` steps.

    Source: facebookresearch/dino: utils.py, cosine_scheduler.
    """

    def __init__(
        self, optimiser: torch.optim.Optimizer, factors: list[Any], first: float, last: float, total: int
    ) -> None:
        self.first, self.last, self.total = first, last, total  # before LambdaLR's constructor, which calls `step`
        super().__init__(optimiser, factors)

    def step(self, epoch: int | None = None) -> None:
        super().step(epoch)
        decay = cosine(self.first, self.last, min(1.0, self.last_epoch / self.total))
        for group in self.optimizer.param_groups:
            if group["decayed"]:
                group["weight_decay"] = decay


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

"""Optimisers by their papers' worked numbers: LARS, the decay that grows, gradients cut tensor by tensor."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightly.utils.lars import LARS as LightlyLARS
from torch import Tensor, nn

import vssl
from vssl.backbones.vit import VisionTransformer
from vssl.config.compose import compose
from vssl.config.errors import ConfigError
from vssl.method import Method, ParamGroup
from vssl.nn.heads import mlp
from vssl.training import lars
from vssl.training.build import assemble
from vssl.training.gradients import edit_gradients
from vssl.training.optimisers import LARS, SGD, AdamW, Optimiser, left_out
from vssl.training.schedules import Schedule


def _lars(*groups: dict[str, Any], **settings: Any) -> lars.LARS:
    return lars.LARS([{"lr": 1.0, "weight_decay": 0.1, "adapt": True, **group} for group in groups], **settings)


def _step(optimiser: torch.optim.Optimizer, *pairs: tuple[nn.Parameter, Tensor]) -> None:
    for parameter, gradient in pairs:
        parameter.grad = gradient.clone()
    optimiser.step()


def test_lars_worked_example() -> None:  # MoCo v3's rule: eta .001, momentum .9; the bias is plain SGD
    w, b = nn.Parameter(torch.tensor([[3.0, 4.0]])), nn.Parameter(torch.tensor([1.0, 1.0]))
    optimiser = _lars({"params": [w]}, {"params": [b], "weight_decay": 0.0, "adapt": False})
    gradients = (w, torch.tensor([[0.0, 1.0]])), (b, torch.tensor([0.5, -0.5]))
    _step(optimiser, *gradients)
    assert w.flatten().tolist() == pytest.approx([2.998952, 3.995111], abs=1e-6)
    assert b.tolist() == pytest.approx([0.5, 1.5], abs=1e-7)
    _step(optimiser, *gradients)
    assert w.flatten().tolist() == pytest.approx([2.996963, 3.985826], abs=1e-6)
    assert b.tolist() == pytest.approx([-0.45, 2.45], abs=1e-6)


@pytest.mark.parametrize("rate_in_momentum", [False, True])
def test_lars_equals_its_equation_while_the_rate_changes(rate_in_momentum: bool) -> None:
    w = nn.Parameter(torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    gradients = torch.randn(3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    optimiser = _lars({"params": [w]}, rate_in_momentum=rate_in_momentum)
    by_hand, momentum = w.flatten().tolist(), [0.0] * 6
    for rate, gradient in zip((0.5, 2.0, 0.1), gradients, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        _step(optimiser, (w, gradient))
        decayed = [g + 0.1 * v for g, v in zip(gradient.flatten().tolist(), by_hand, strict=True)]
        trust = 1e-3 * math.sqrt(sum(v * v for v in by_hand)) / math.sqrt(sum(g * g for g in decayed))
        inner, outer = (rate, 1.0) if rate_in_momentum else (1.0, rate)
        momentum = [0.9 * m + inner * trust * g for m, g in zip(momentum, decayed, strict=True)]
        by_hand = [v - outer * m for v, m in zip(by_hand, momentum, strict=True)]
        assert w.flatten().tolist() == pytest.approx(by_hand, rel=1e-12)


def test_lars_equals_lightly_where_the_two_norms_add_up() -> None:
    """lightly takes |g| + decay |w| for |g + decay w|: the same for gradients that point along the weights."""
    start = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimiser = _lars({"params": [ours], "lr": 0.7})
    reference = LightlyLARS([theirs], lr=0.7, momentum=0.9, weight_decay=0.1)
    for scale in (1.0, 0.3, 2.0):
        _step(optimiser, (ours, scale * start))
        _step(reference, (theirs, scale * start))
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("weight", "gradient"), [(0.0, 1.0), (1.0, 0.0)])
def test_lars_takes_plain_steps_where_a_norm_is_zero(weight: float, gradient: float) -> None:
    w = nn.Parameter(torch.full((1, 1), weight))
    _step(_lars({"params": [w], "weight_decay": 0.0}), (w, torch.full((1, 1), gradient)))
    assert w.item() == weight - gradient


class Toy(Method):
    """A backbone with a class token, a head whose BatchNorm has a number for a name, and a token of its own."""

    def __init__(self) -> None:
        super().__init__(VisionTransformer(2, 4, 8, depth=1, heads=2, patch_size=4, pool="cls"))
        self.head = mlp(8, 8, 4, layers=2, output_norm=False, output_bias=True)
        self.token = nn.Parameter(torch.ones(1, 1, 8))

    def no_decay(self) -> set[str]:
        return super().no_decay() | {"token"}


def _names(rule: Any) -> set[str]:
    method = Toy()
    return left_out(rule, dict(method.named_parameters()), method)


def test_tensor_rules_leave_out_what_they_say() -> None:
    everything = dict(Toy().named_parameters())
    never = {"encoder.cls_token", "token"}
    assert _names("all") == set()
    assert _names("no_1d") == {name for name, p in everything.items() if p.ndim == 1} | never
    # The BatchNorm of the head is `head.1`: no word in its name tells what it is.
    assert _names("no_bias_norm") == _names("no_1d") and {"head.1.weight", "head.1.bias"} <= _names("no_bias_norm")
    assert "encoder.blocks.0.attn.q_bias" in _names("no_bias_norm")


def test_a_scale_that_is_no_norm_is_decayed_by_name_and_not_by_dimension() -> None:
    method = Toy()
    method.gate = nn.Parameter(torch.ones(8))
    owned = dict(method.named_parameters())
    assert "gate" in left_out("no_1d", owned, method) and "gate" not in left_out("no_bias_norm", owned, method)


def _built(optimiser: Optimiser, steps: int = 10, method: Method | None = None) -> tuple[Any, Any]:
    built = optimiser.build(method or Toy(), 256, steps)
    return built["optimizer"], built["lr_scheduler"]["scheduler"]


def test_lars_groups_hold_every_parameter_once_with_its_rules() -> None:
    method = Toy()
    optimiser, _ = _built(LARS(decay="all", adapt="no_bias_norm"), method=method)
    names = {id(p): name for name, p in method.named_parameters()}
    seen = [names[id(p)] for group in optimiser.param_groups for p in group["params"]]
    assert sorted(seen) == sorted(names.values())
    left = _names("no_bias_norm")
    for group in optimiser.param_groups:
        assert group["weight_decay"] == 1e-6 and group["eta"] == 1e-3 and group["momentum"] == 0.9
        assert {names[id(p)] in left for p in group["params"]} == {not group["adapt"]}


def test_lars_warms_up_for_a_thirtieth() -> None:
    assert LARS().schedule.warmup(300) == 10 and LARS().peak_lr(4096) == pytest.approx(4.8)


def test_decay_follows_dinos_cosine_step_by_step() -> None:
    # facebookresearch/dino utils.py, cosine_scheduler(.04, .4, 4 epochs, 5 iterations), by its formula
    expected = 0.4 + 0.5 * (0.04 - 0.4) * (1 + np.cos(np.pi * np.arange(20) / 20))
    optimiser, scheduler = _built(AdamW(weight_decay=0.04, final_weight_decay=0.4), steps=20)
    rates = []
    for decay in expected:
        found = {group["decayed"]: group["weight_decay"] for group in optimiser.param_groups}
        assert found[True] == pytest.approx(decay, rel=1e-12) and found[False] == 0
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert optimiser.param_groups[0]["weight_decay"] == pytest.approx(0.4)
    plain, scheduler = _built(AdamW(weight_decay=0.04), steps=20)
    for rate in rates:
        assert plain.param_groups[0]["lr"] == rate and plain.param_groups[0]["weight_decay"] == 0.04
        plain.step()
        scheduler.step()


def test_dinos_rates_are_the_recipes() -> None:  # 10 iterations an epoch, 4 epochs, 1 of warm-up, base 1
    schedule = Schedule(warmup_steps=10, inclusive=True)
    expected = {0: 0, 9: 1, 10: 1, 11: 0.997261, 25: 0.500001, 39: 0.00274}
    assert {step: schedule.factor(step, 40) for step in expected} == pytest.approx(expected, abs=2e-6)


def test_a_scheduler_goes_on_where_it_stopped() -> None:
    whole, stopped = (_built(AdamW(weight_decay=0.04, final_weight_decay=0.4)) for _ in range(2))
    for optimiser, scheduler in (whole, stopped):
        for _ in range(4):
            optimiser.step()
            scheduler.step()
    resumed = _built(AdamW(weight_decay=0.04, final_weight_decay=0.4))
    for fresh, former in zip(resumed, stopped, strict=True):
        fresh.load_state_dict(former.state_dict())
    for optimiser, scheduler in (whole, resumed):
        optimiser.step()
        scheduler.step()
    for one, other in zip(whole[0].param_groups, resumed[0].param_groups, strict=True):
        assert (one["lr"], one["weight_decay"]) == (other["lr"], other["weight_decay"])


def _group(parameter: nn.Parameter, **options: Any) -> dict[str, Any]:
    return {"params": [parameter], "frozen_steps": 0, "clip_tensor_norm": None, **options}


def test_gradients_are_cut_tensor_by_tensor() -> None:
    long, short = (nn.Parameter(torch.zeros(2)) for _ in range(2))
    long.grad, short.grad = torch.tensor([6.0, 8.0]), torch.tensor([0.6, 0.8])
    edit_gradients([_group(long, clip_tensor_norm=3.0), _group(short, clip_tensor_norm=3.0)], step=0)
    assert long.grad.tolist() == pytest.approx([1.8, 2.4], rel=1e-6)
    assert short.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-7)


def test_a_frozen_group_neither_moves_nor_decays_until_its_step() -> None:
    w = nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([_group(w, frozen_steps=2)], lr=0.1, weight_decay=0.5)
    for step in range(3):
        assert w.tolist() == [1.0, 1.0] and not optimiser.state[w]
        w.grad = torch.ones(2)
        edit_gradients(optimiser.param_groups, step)
        optimiser.step()
    assert w[0].item() < 1 and optimiser.state[w]["step"] == 1


class Late(Toy):
    """Its head begins to move after half of the steps."""

    views = ("clip",)

    def losses(self, views: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
        return {"loss": self.head(self.encoder(views["clip"])).square().sum() * 1e6}

    def param_groups(self) -> list[ParamGroup]:
        *layers, heads = super().param_groups()
        return [
            *layers,
            replace(heads, params={n: p for n, p in heads.params.items() if n != "token"}, frozen_until=0.5),
        ]


def test_a_training_freezes_and_cuts(tmp_path: Path) -> None:
    """Through Lightning: where gradients are whole, and by completed steps, with two micro-batches each."""
    words = ["method=supervised", "backbone=vit_nano", "backbone.patch_size=8", "scale=smoke", "train.accumulate=2"]
    run = vssl.build([*words, "run.workers=0", f"run.out={tmp_path}"])
    method = Late()
    method.encoder = run.method.encoder
    method.head = mlp(128, 8, 4, layers=2, output_norm=False, output_bias=True)
    method.total_steps = 4
    seen: list[tuple[bool, float]] = []

    def watch(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        seen.append((method.head[0].weight.grad is None, max(gradient.norm().item() for gradient in gradients)))

    def factory(method: Method) -> Any:
        built = AdamW(clip_tensor_norm=1e-6).build(method, 8, 4)
        built["optimizer"].register_step_post_hook(watch)
        return built

    method.optimiser_factory = factory
    run.trainer.fit(method, run.datamodule)
    assert [frozen for frozen, _ in seen] == [True, True, False, False]
    assert all(0 < largest <= 1.001e-6 for _, largest in seen)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="clip_tensor_norm=0 must be above 0"):
        SGD(clip_tensor_norm=0)
    words = ["optim=dino", "train.precision=16-mixed", "backbone=vit_nano", "backbone.patch_size=8", "scale=smoke"]
    study = assemble(compose(words))
    with pytest.raises(ConfigError, match="clip gradients before they are unscaled"):
        study.check()
    assert study.optimiser.clip_tensor_norm == 3

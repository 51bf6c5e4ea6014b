"""SVT against DINO's equation and update rules written out, and the promises of its target, centre and last layer."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightly.loss import DINOLoss
from torch import Tensor
from torch.nn import functional as F

from methods import svt
from methods.svt import SVT
from tests.losses import equations
from tests.methods.equations import (
    Flat,
    assert_equal_pixel_gradients,
    assert_equal_to,
    assert_same_state,
    batches,
    fit,
    fit_by_hand,
    places_of_the_target,
    trail,
    views,
)
from vssl.backbones.vit import VisionTransformer
from vssl.cli.main import main
from vssl.config.folders import read_yaml
from vssl.method import Progress
from vssl.nn.drop_path import DropPath
from vssl.training.optimisers import AdamW


def _method(**changes: Any) -> SVT:
    """With a target and a centre that have moved."""
    torch.manual_seed(0)
    settings = {"prototypes": 9, "hidden_dim": 5, "bottleneck_dim": 4, "ema_momentum": 0.6, **changes}
    method = SVT(Flat(), **settings).double()
    for name, parameter in method.named_parameters():
        if "lengths" not in name:
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    method.centre.normal_(std=0.1)
    return method


def _clips(local: int = 3) -> dict[str, Tensor]:
    parts = torch.rand(local, 5, 3, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return {**views(), **{f"local.{place}": clip for place, clip in enumerate(parts)}}


def _head(x: Tensor, head: torch.nn.Module) -> Tensor:
    for layer in head.mlp:
        x = x @ layer.weight.T + layer.bias if isinstance(layer, torch.nn.Linear) else F.gelu(x)
    rows = [[(z @ w) / (z @ z).sqrt() / (w @ w).sqrt() for w in head.prototypes] for z in x]
    return torch.stack([torch.stack(row) for row in rows]) * head.lengths[:, 0]


def _targets(method: SVT, clips: dict[str, Tensor]) -> list[Tensor]:
    return [_head(method.target_encoder.by_hand(clips[name]), method.target_head).detach() for name in ("a", "b")]


def _by_equation(method: SVT, clips: dict[str, Tensor]) -> Tensor:
    student = [_head(method.encoder.by_hand(clip), method.head) for clip in clips.values()]
    return equations.self_distillation(student, _targets(method, clips), method.centre, 0.1, 0.04)


@pytest.mark.parametrize("unit_prototypes", [True, False])
@pytest.mark.parametrize("local", [0, 1, 3])
def test_loss_and_every_gradient_equal_the_equation(local: int, unit_prototypes: bool) -> None:
    method, clips = _method(unit_prototypes=unit_prototypes), _clips(local)
    assert_equal_to(method, method.losses(clips, {})["loss"], _by_equation(method, clips))


def test_two_whole_and_eight_local_views_make_eighteen_pairs() -> None:
    method, clips = _method(), _clips(8)
    method.target_head = method.head = torch.nn.Identity()
    method.centre = torch.zeros(6, dtype=torch.float64)
    seen: list[int] = []
    original = svt.self_distillation

    def counted(student: Any, teacher: Any, *rest: Any) -> Tensor:
        seen.append(sum(s != t for s in range(len(student)) for t in range(len(teacher))))
        return original(student, teacher, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(svt, "self_distillation", counted)
        method.losses(clips, {})
    assert seen == [18]


def test_gradient_flows_through_the_student_alone() -> None:
    assert_equal_pixel_gradients(_method(), _by_equation, _clips())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_training_equals_the_released_order_of_moves(accumulate: int) -> None:
    """There the target moves after the step, by the step's index from 0; the centre by its outputs before."""
    method = _method()
    ours, theirs = fit(copy.deepcopy(method), 4, accumulate), copy.deepcopy(method)
    means: list[Tensor] = []
    todo = iter(batches(4 * accumulate))

    def look(step: int) -> None:
        means[:] = [torch.cat(_targets(theirs, next(todo)["views"])).mean(dim=0) for _ in range(accumulate)]

    def move(step: int) -> None:
        trail(theirs, ("encoder", "head"), step / 4)
        theirs.centre = 0.9 * theirs.centre + 0.1 * sum(means) / accumulate

    fit_by_hand(theirs, 4, accumulate, before=look, after=move)
    assert_same_state(ours, theirs, moved_from=method)
    assert not torch.equal(ours.centre, method.centre) and not ours.target_means


def test_loss_and_centre_equal_lightly() -> None:
    method, clips = _method(), _clips()
    reference = DINOLoss(9).double()
    reference.center.copy_(method.centre)
    student = [_head(method.encoder.by_hand(clip), method.head) for clip in clips.values()]
    theirs = reference(_targets(method, clips), student)
    assert method.losses(clips, {})["loss"].item() == pytest.approx(theirs.item(), rel=1e-6)
    method.after_step(Progress(1, 4))
    torch.testing.assert_close(method.centre, reference.center.flatten(), rtol=1e-10, atol=1e-12)


def test_the_centre_is_that_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    method = _method()
    before, other = method.centre.clone(), torch.ones(1, 9, dtype=torch.float64)
    method.losses(_clips(), {})
    own = method.target_means[0].clone()
    monkeypatch.setattr(svt, "gather_rows", lambda x: torch.cat([x, other]))
    method.after_step(Progress(1, 4))
    torch.testing.assert_close(method.centre, 0.9 * before + 0.1 * (own + 1) / 2)


def test_the_target_after_three_steps_is_that_of_the_table() -> None:
    places = places_of_the_target(_method(ema_momentum=0.99))
    assert places == pytest.approx([0.01, 0.02698571, 0.04185078], abs=5e-9)


def test_the_target_is_what_is_evaluated_and_it_takes_no_gradient() -> None:
    method = _method()
    terms = method.losses(_clips(), {})
    terms["loss"].backward()
    assert method.exported is method.target_encoder
    assert not any(p.requires_grad for part in (method.target_encoder, method.target_head) for p in part.parameters())
    torch.testing.assert_close(terms["features"], method.target_encoder(_clips()["a"]))
    assert {name.partition(".")[0] for group in method.param_groups() for name in group.params} == {"encoder", "head"}


def test_local_views_of_another_size_and_length_are_taken() -> None:
    method = SVT(VisionTransformer(4, 16, 16, 1, 2, patch_size=8, pool="cls"), prototypes=8, hidden_dim=8)
    clips = {"a": torch.rand(2, 3, 4, 16, 16), "b": torch.rand(2, 3, 4, 16, 16), "local.0": torch.rand(2, 3, 2, 8, 8)}
    seen: list[tuple[int, ...]] = []
    method.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    method.losses(clips, {})["loss"].backward()
    assert seen == [(4, 3, 4, 16, 16), (2, 3, 2, 8, 8)]


def test_only_the_student_is_disturbed() -> None:
    method = SVT(VisionTransformer(2, 8, 16, 3, 2, patch_size=8, drop_path=0.5), prototypes=8, hidden_dim=8)
    rates = [
        [part.rate for part in m.modules() if isinstance(part, DropPath)]
        for m in (method.encoder, method.target_encoder)
    ]
    assert max(rates[0]) == 0.5 and not any(rates[1])


def test_the_last_layer_waits_for_its_share_of_the_steps() -> None:
    method = _method(frozen_last_layer=0.2, unit_prototypes=False)
    groups = AdamW().build(method, 8, 10)["optimizer"].param_groups
    frozen = {id(p) for group in groups if group["frozen_steps"] for p in group["params"]}
    assert frozen == {id(method.head.prototypes), id(method.head.lengths)}
    assert {group["frozen_steps"] for group in groups} == {0, 2}


def test_a_class_token_is_decayed_as_in_the_release() -> None:
    method = SVT(VisionTransformer(2, 8, 16, 1, 2, patch_size=8, pool="cls", positions="learned"), 8, 8, 4)
    groups = AdamW().build(method, 8, 10)["optimizer"].param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(p) for p in method.parameters() if p.requires_grad and p.ndim > 1}
    assert id(method.encoder.cls_token) in decayed


def test_a_blind_student_costs_chance() -> None:
    method = _method()
    torch.nn.init.ones_(method.head.prototypes)
    assert method.chance(5) == math.log(9)
    assert method.losses(_clips(), {})["loss"].item() == pytest.approx(math.log(9), rel=1e-12)


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"ema_momentum": 1.5}, r"ema_momentum=1.5 must lie in 0..1"),
        ({"frozen_last_layer": -0.1}, r"frozen_last_layer=-0.1 must lie in 0..1"),
        ({"target_temperature": 0.0}, r"target_temperature=0.0 must be above 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(setting: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        _method(**setting)
    assert SVT.refuses(Flat(), ("clip",), 8) == "SVT needs the views a, b; this views file gives clip"


def test_compiled_losses_are_the_same_step_after_step() -> None:
    plain, clips = _method(), _clips()
    compiled = copy.deepcopy(plain)
    losses = torch.compile(compiled.losses, backend="eager")
    for step in (1, 2):
        ours, theirs = losses(clips, {})["loss"], plain.losses(clips, {})["loss"]
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
        for method in (plain, compiled):
            method.after_step(Progress(step, 4))
    assert torch.equal(plain.centre, compiled.centre) and not compiled.target_means


def test_it_trains_from_the_command_line(tmp_path: Path) -> None:
    words = ["method=svt", "backbone=vit_nano", "backbone.patch_size=8", "scale=smoke", "budget.steps=2"]
    small = ["method.prototypes=64", "method.hidden_dim=32", "views.local.size=16", "views.local.count=2"]
    assert main(["pretrain", *words, *small, f"run.out={tmp_path}", "run.name=one", "run.probe_times=0"]) == 0
    bound = read_yaml(tmp_path / "one" / "config.yaml")
    assert bound["optim"]["final_weight_decay"] == 0.4 and bound["views"]["a"]["share"] == 0.98
    assert (tmp_path / "one" / "checkpoints" / "backbone.safetensors").exists()

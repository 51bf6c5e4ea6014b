import copy
import math

import pytest
import torch
from torch import Tensor, nn

from methods.moco_v3 import MoCoV3
from tests.methods.equations import (
    Flat,
    assert_equal_to,
    assert_same_state,
    fit,
    fit_by_hand,
    head_by_hand,
    views,
)
from vssl.backbones.vit import VisionTransformer
from vssl.cli.main import main
from vssl.method import Progress


def _method(kind: str = "test", **settings: float | bool) -> MoCoV3:
    torch.manual_seed(0)
    return MoCoV3(Flat(kind), dim=4, hidden_dim=5, **settings).double()


def _by_equation(method: MoCoV3, clips: dict[str, Tensor]) -> Tensor:
    """arXiv:2104.02057, Alg. 1: ctr(q1, k2) + ctr(q2, k1), with 2T before each."""
    queries, keys = {}, {}
    for name, clip in clips.items():
        projection = head_by_hand(method.encoder.by_hand(clip), method.projector)
        queries[name] = head_by_hand(projection, method.predictor)
        keys[name] = head_by_hand(method.target_encoder.by_hand(clip), method.target_projector).detach()
    temperature = method.temperature
    total = torch.zeros((), dtype=torch.float64)
    for one, other in (("a", "b"), ("b", "a")):
        for i, q in enumerate(queries[one]):
            scores = [torch.exp(q @ k / (q @ q).sqrt() / (k @ k).sqrt() / temperature) for k in keys[other]]
            total = total - 2 * temperature * torch.log(scores[i] / sum(scores)) / len(queries[one])
    return total


@pytest.mark.parametrize("kind", ["vit", "swin", "cnn"])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_loss_and_every_gradient_equal_the_equation(kind: str, temperature: float) -> None:
    method, clips = _method(kind, temperature=temperature), views()
    for parameter in [*method.target_encoder.parameters(), *method.target_projector.parameters()]:
        parameter.add_(0.1 * torch.randn_like(parameter))  # a target that has stayed behind
    assert_equal_to(method, method.losses(clips, {})["loss"], _by_equation(method, clips))


def test_no_gradient_flows_through_a_key() -> None:
    method, clips = _method(), views()
    ours, by_equation = ({name: clip.clone().requires_grad_() for name, clip in clips.items()} for _ in range(2))
    method.losses(ours, {})["loss"].backward()
    _by_equation(method, by_equation).backward()
    for name in ("a", "b"):
        torch.testing.assert_close(ours[name].grad, by_equation[name].grad, rtol=1e-8, atol=1e-12)
    assert all(p.grad is None for part in (method.target_encoder, method.target_projector) for p in part.parameters())
    assert not method.target(ours["a"]).requires_grad


def _released(method: MoCoV3, steps: int, accumulate: int) -> MoCoV3:
    """Its target moves in the forward pass of each step, first of all, with that step's momentum (main_moco.py)."""

    def move(step: int) -> None:
        momentum = 1.0 - 0.5 * (1.0 + math.cos(math.pi * step / steps)) * (1.0 - method.ema_momentum)
        for online, target in (
            (method.encoder, method.target_encoder), (method.projector, method.target_projector)
        ):  # fmt: skip
            for new, kept in zip(online.parameters(), target.parameters(), strict=True):
                kept.data = kept.data * momentum + new.data * (1.0 - momentum)

    return fit_by_hand(method, steps, accumulate, before=move)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("kind", ["vit", "cnn"])
def test_a_training_equals_the_released_order_of_moves(kind: str, accumulate: int) -> None:
    method = _method(kind, ema_momentum=0.6)
    ours = fit(copy.deepcopy(method), 4, accumulate)
    theirs = _released(copy.deepcopy(method), 4, accumulate)
    assert_same_state(ours, theirs, moved_from=method)


def test_the_target_after_three_steps_is_that_of_the_table() -> None:
    method = _method(ema_momentum=0.99)
    nn.init.zeros_(method.target_encoder.linear.weight)
    seen = []
    for step in (1, 2, 3):
        nn.init.constant_(method.encoder.linear.weight, step)
        method.after_step(Progress(step, 4))
        seen.append(method.target_encoder.linear.weight[0, 0].item())
    assert seen == pytest.approx([0.00853553, 0.01849286, 0.02285917], abs=5e-9)


def test_only_a_finished_step_moves_the_target() -> None:
    method, clips = _method(), views()
    nn.init.zeros_(method.target_encoder.linear.weight)
    method.losses(clips, {})
    assert method.target_encoder.linear.weight.abs().max() == 0
    assert method.exported is method.encoder


def test_batch_norm_of_the_target_sees_each_view_apart_and_keeps_its_own_statistics() -> None:
    method, clips = _method(), views()
    method.losses(clips, {})
    for projector in (method.projector, method.target_projector):
        assert projector[1].num_batches_tracked == 2
    before = method.target_projector[1].running_mean.clone()
    method.projector[1].running_mean.add_(1)
    method.after_step(Progress(1, 4))
    assert torch.equal(method.target_projector[1].running_mean, before)


def test_heads_are_those_of_the_encoders_kind() -> None:
    def shape(head: nn.Sequential) -> list[str]:
        return [type(layer).__name__ for layer in head]

    hidden = ["Linear", "BatchNorm1d", "ReLU"]
    for kind in ("vit", "swin"):
        method = _method(kind)
        assert shape(method.projector) == [*hidden, *hidden, "Linear", "BatchNorm1d"]
        assert shape(method.predictor) == [*hidden, "Linear", "BatchNorm1d"]
    method = _method("cnn")
    assert shape(method.projector) == [*hidden, "Linear", "BatchNorm1d"]
    assert shape(method.predictor) == [*hidden, "Linear"]
    assert not any(
        layer.bias is not None
        for head in (method.projector, method.predictor)
        for layer in head
        if isinstance(layer, nn.Linear)
    )


def test_by_default_heads_have_the_published_sizes() -> None:
    encoder = VisionTransformer(frames=2, size=4, embed_dim=384, depth=1, heads=12, patch_size=4)
    method = MoCoV3(encoder)
    assert sum(p.numel() for p in method.projector.parameters()) == 19_415_040
    assert sum(p.numel() for p in method.predictor.parameters()) == 2_105_344


def test_the_patch_projection_of_a_vit_stays_as_it_was_drawn() -> None:
    method = _method("vit")
    before = method.encoder.patch_embed.weight.clone()
    assert "encoder.patch_embed.weight" not in {name for group in method.param_groups() for name in group.params}
    fit(method, 2, 1)
    assert torch.equal(method.encoder.patch_embed.weight, before)
    assert torch.equal(method.target_encoder.patch_embed.weight, before)


def test_the_patch_projection_is_trained_where_that_is_asked_for_or_where_there_is_none() -> None:
    for method in (_method("vit", frozen_patch_projection=False), _method("cnn"), _method("swin")):
        assert "encoder.patch_embed.weight" in {name for name, p in method.named_parameters() if p.requires_grad}
    advice = "frozen_patch_projection is for a ViT's embedding of patches, and Flat has none; set it to false"
    with pytest.raises(ValueError, match=advice):
        _method("cnn", frozen_patch_projection=True)
    _method("cnn", frozen_patch_projection=False)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_clips_that_look_alike_cost_chance(temperature: float) -> None:
    method = _method(temperature=temperature)
    method.projector = method.target_projector = method.predictor = nn.Identity()
    alike = views()["a"][:1].expand(5, -1, -1, -1, -1)
    loss = method.losses({"a": alike, "b": alike}, {})["loss"].item()
    assert loss == pytest.approx(4 * temperature * math.log(5), rel=1e-12) == method.chance(5)


def test_features_for_the_monitor_are_projections() -> None:
    method, clips = _method(), views()
    torch.testing.assert_close(method.losses(clips, {})["features"], method.online(clips["a"])[1])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ({"ema_momentum": 1.1}, "ema_momentum=1.1 lie in 0..1"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        _method(**setting)


def test_a_single_clip_is_refused() -> None:
    encoder = Flat()
    assert MoCoV3.refuses(encoder, ("a", "b"), 2) is None
    assert MoCoV3.refuses(encoder, ("a", "b"), 1) == (
        "MoCo v3's negatives are the other clips of a forward pass, and its heads normalise over them: it needs at "
        "least 2, and gets 1"
    )
    assert MoCoV3.refuses(encoder, ("clip",), 8) == "MoCoV3 needs the views a, b; this views file gives clip"


def test_it_trains_by_command(tiny: list[str]) -> None:
    words = ["method=moco_v3", "method.hidden_dim=32", "views=moco_v3", "train.accumulate=2"]
    assert main(["pretrain", *tiny, *words]) == 0

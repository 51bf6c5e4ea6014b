import copy
import math

import pytest
import torch
from torch import Tensor, nn

from methods.moco_v3 import MoCoV3
from tests.losses import equations
from tests.methods.equations import (
    Flat,
    assert_equal_pixel_gradients,
    assert_equal_to,
    assert_one_clip_is_refused,
    assert_same_state,
    fit,
    fit_by_hand,
    head_by_hand,
    kinds,
    left_behind,
    places_of_the_target,
    trail,
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
    return sum(
        equations.info_nce(queries[one], keys[other], method.temperature) for one, other in (("a", "b"), ("b", "a"))
    )


@pytest.mark.parametrize("kind", ["vit", "swin", "cnn"])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_loss_and_every_gradient_equal_the_equation(kind: str, temperature: float) -> None:
    method, clips = _method(kind, temperature=temperature), views()
    left_behind(method.target_encoder, method.target_projector)
    assert_equal_to(method, method.losses(clips, {})["loss"], _by_equation(method, clips))


def test_no_gradient_flows_through_a_key() -> None:
    method, clips = _method(), views()
    assert_equal_pixel_gradients(method, _by_equation, clips)
    assert all(p.grad is None for part in (method.target_encoder, method.target_projector) for p in part.parameters())
    assert not method.target(clips["a"].requires_grad_()).requires_grad


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("kind", ["vit", "cnn"])
def test_a_training_equals_the_released_order_of_moves(kind: str, accumulate: int) -> None:
    """There the target moves in the forward pass of each step, first of all, with that step's momentum."""
    method = _method(kind, ema_momentum=0.6)
    ours, theirs = fit(copy.deepcopy(method), 4, accumulate), copy.deepcopy(method)
    fit_by_hand(theirs, 4, accumulate, before=lambda step: trail(theirs, ("encoder", "projector"), step / 4))
    assert_same_state(ours, theirs, moved_from=method)


def test_the_target_after_three_steps_is_that_of_the_table() -> None:
    method = _method(ema_momentum=0.99)
    assert places_of_the_target(method) == pytest.approx([0.00853553, 0.01849286, 0.02285917], abs=5e-9)
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
    hidden = ["Linear", "BatchNorm1d", "ReLU"]
    for kind in ("vit", "swin"):
        method = _method(kind)
        assert kinds(method.projector) == [*hidden, *hidden, "Linear", "BatchNorm1d"]
        assert kinds(method.predictor) == [*hidden, "Linear", "BatchNorm1d"]
    method = _method("cnn")
    assert kinds(method.projector) == [*hidden, "Linear", "BatchNorm1d"]
    assert kinds(method.predictor) == [*hidden, "Linear"]
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
    assert method.chance(1024) == pytest.approx({0.2: 5.5452, 1.0: 27.7259}[temperature], abs=5e-5)


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
    assert_one_clip_is_refused(
        MoCoV3,
        "MoCo v3's negatives are the other clips of a forward pass, and its heads normalise over them: it needs at "
        "least 2, and gets 1",
    )


def test_it_trains_by_command(tiny: list[str]) -> None:
    words = ["method=moco_v3", "method.hidden_dim=32", "views=moco_v3", "train.accumulate=2"]
    assert main(["pretrain", *tiny, *words]) == 0

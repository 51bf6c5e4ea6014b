import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from torch import Tensor, nn

from methods.simsiam import SimSiam
from tests.methods.equations import (
    Flat,
    assert_equal_pixel_gradients,
    assert_equal_to,
    assert_one_clip_is_refused,
    head_by_hand,
    views,
)
from vssl.backbones.vit import VisionTransformer


def _method() -> SimSiam:
    torch.manual_seed(0)
    return SimSiam(Flat(), dim=8, bottleneck=3).double()


def _outputs(method: SimSiam, clips: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Predictions, and projections with their gradient stopped; each view is normalised by its own statistics."""
    projections = {name: head_by_hand(method.encoder.by_hand(clip), method.projector) for name, clip in clips.items()}
    predictions = {name: head_by_hand(z, method.predictor) for name, z in projections.items()}
    return predictions, {name: z.detach() for name, z in projections.items()}


def _by_equation(method: SimSiam, clips: dict[str, Tensor]) -> Tensor:
    """arXiv:2011.10566, Eq. 2: D(p1, stopgrad(z2)) / 2 + D(p2, stopgrad(z1)) / 2."""
    predictions, targets = _outputs(method, clips)
    total = torch.zeros((), dtype=torch.float64)
    for one, other in (("a", "b"), ("b", "a")):
        for p, z in zip(predictions[one], targets[other], strict=True):
            total = total - (p @ z) / (p @ p).sqrt() / (z @ z).sqrt() / 2 / len(predictions[one])
    return total


def test_loss_and_every_gradient_equal_the_equation() -> None:
    method, clips = _method(), views()
    assert_equal_to(method, method.losses(clips, {})["loss"], _by_equation(method, clips))


def test_loss_and_every_gradient_equal_lightly() -> None:
    method, clips = _method(), views()
    predictions, targets = _outputs(method, clips)
    criterion = NegativeCosineSimilarity()
    theirs = 0.5 * (criterion(predictions["a"], targets["b"]) + criterion(predictions["b"], targets["a"]))
    assert_equal_to(method, method.losses(clips, {})["loss"], theirs)


def test_no_gradient_flows_through_a_target() -> None:
    assert_equal_pixel_gradients(_method(), _by_equation, views())


def test_views_are_normalised_apart_and_encoded_once() -> None:
    method, clips = _method(), views()
    calls = []
    method.encoder.register_forward_hook(lambda *_: calls.append(1))
    method.losses(clips, {})
    assert len(calls) == 2
    assert method.projector[1].num_batches_tracked == 2


def test_identical_views_and_an_identity_predictor_reach_the_floor() -> None:
    method, clips = _method(), views()
    method.predictor = nn.Sequential(nn.Identity())
    loss = method.losses({"a": clips["a"], "b": clips["a"]}, {})["loss"]
    assert loss.item() == pytest.approx(-1, abs=1e-10) == method.chance(5)


def test_only_the_predictor_keeps_a_constant_rate() -> None:
    groups = _method().param_groups()
    assert [group.lr for group in groups if group.name == "predictor"] == ["constant"]
    assert {name for group in groups if group.lr == "constant" for name in group.params} == {
        "predictor.0.weight", "predictor.1.weight", "predictor.1.bias", "predictor.3.weight", "predictor.3.bias"
    }  # fmt: skip
    trained = {name for name, p in _method().named_parameters() if p.requires_grad}
    assert sorted(name for group in groups for name in group.params) == sorted(trained)


def test_the_last_projector_layer_has_a_frozen_bias() -> None:
    method = SimSiam(VisionTransformer(2, 8, 16, 1, 2, patch_size=4))
    assert {name for name, p in method.named_parameters() if not p.requires_grad} == {"projector.6.bias"}
    assert method.projector[3].out_features == 16 and method.projector[6].out_features == 2048
    assert method.predictor[0].out_features == 512 and method.predictor[3].out_features == 2048


def test_features_for_the_monitor_are_projections() -> None:
    method, clips = _method(), views()
    features = method.losses(clips, {})["features"]
    torch.testing.assert_close(features, method.online(clips["a"])[1])


def test_a_single_clip_is_refused() -> None:
    says = "SimSiam's batch normalisation needs at least 2 clips in a forward pass, and gets 1"
    assert_one_clip_is_refused(SimSiam, says)

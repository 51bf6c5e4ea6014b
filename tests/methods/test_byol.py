import copy

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from torch import Tensor, nn

from methods.byol import BYOL
from tests.methods.equations import (
    Flat,
    assert_equal_pixel_gradients,
    assert_equal_to,
    assert_one_clip_is_refused,
    assert_only_weights_of_linear_layers_decay,
    assert_same_state,
    fit,
    fit_by_hand,
    head_by_hand,
    left_behind,
    places_of_the_target,
    trail,
    views,
)
from vssl.backbones.vit import VisionTransformer
from vssl.cli.main import main


def _method(ema_momentum: float = 0.99) -> BYOL:
    """With a target that has stayed behind."""
    torch.manual_seed(0)
    method = BYOL(Flat(), dim=4, hidden_dim=5, ema_momentum=ema_momentum).double()
    left_behind(method.target_encoder, method.target_projector)
    return method


def _outputs(method: BYOL, clips: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    predictions, targets = {}, {}
    for name, clip in clips.items():
        projection = head_by_hand(method.encoder.by_hand(clip), method.projector)
        predictions[name] = head_by_hand(projection, method.predictor)
        targets[name] = head_by_hand(method.target_encoder.by_hand(clip), method.target_projector).detach()
    return predictions, targets


def _by_equation(method: BYOL, clips: dict[str, Tensor]) -> Tensor:
    """arXiv:2006.07733, Eq. 2, in both directions: 2 - 2 cos(p, z') for each clip."""
    predictions, targets = _outputs(method, clips)
    total = torch.zeros((), dtype=torch.float64)
    for one, other in (("a", "b"), ("b", "a")):
        for p, z in zip(predictions[one], targets[other], strict=True):
            total = total + (2 - 2 * (p @ z) / (p @ p).sqrt() / (z @ z).sqrt()) / len(predictions[one])
    return total


def test_loss_and_every_gradient_equal_the_equation() -> None:
    method, clips = _method(), views()
    assert_equal_to(method, method.losses(clips, {})["loss"], _by_equation(method, clips))


def test_loss_and_every_gradient_equal_lightly() -> None:
    method, clips = _method(), views()
    predictions, targets = _outputs(method, clips)
    criterion = NegativeCosineSimilarity()
    cosines = criterion(predictions["a"], targets["b"]) + criterion(predictions["b"], targets["a"])
    assert_equal_to(method, method.losses(clips, {})["loss"], 4 + 2 * cosines)


def test_no_gradient_flows_through_a_target() -> None:
    method = _method()
    assert_equal_pixel_gradients(method, _by_equation, views())
    assert all(p.grad is None for part in (method.target_encoder, method.target_projector) for p in part.parameters())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_training_equals_the_released_order_of_moves(accumulate: int) -> None:
    """There the target moves after each update, to the new weights, with the momentum of that update."""
    method = _method(ema_momentum=0.6)
    ours, theirs = fit(copy.deepcopy(method), 4, accumulate), copy.deepcopy(method)
    fit_by_hand(theirs, 4, accumulate, after=lambda step: trail(theirs, ("encoder", "projector"), step / 4))
    assert_same_state(ours, theirs, moved_from=method)


def test_the_target_after_three_steps_is_that_of_the_table() -> None:
    method = _method()
    assert places_of_the_target(method) == pytest.approx([0.01, 0.02698571, 0.04185078], abs=5e-9)
    assert method.exported is method.encoder


def test_by_default_heads_have_the_published_sizes() -> None:
    encoder = VisionTransformer(frames=2, size=4, embed_dim=2048, depth=1, heads=1, patch_size=4, mlp_ratio=0.01)
    method = BYOL(encoder)
    assert sum(p.numel() for p in method.projector.parameters()) == 9_449_472
    assert sum(p.numel() for p in method.predictor.parameters()) == 2_109_440
    assert isinstance(method.projector[-1], nn.Linear) and isinstance(method.predictor[-1], nn.Linear)


def test_one_direction_everywhere_is_the_floor() -> None:
    method, clips = _method(), views()
    method.projector = method.target_projector = method.predictor = nn.Identity()
    method.target_encoder.load_state_dict(method.encoder.state_dict())
    loss = method.losses({"a": clips["a"], "b": 3 * clips["a"]}, {})["loss"].item()
    assert 0 <= loss < 1e-25 and method.chance(5) == 0


def test_the_papers_rule_decays_weights_of_linear_layers_alone() -> None:
    assert_only_weights_of_linear_layers_decay(_method())


def test_features_for_the_monitor_are_projections() -> None:
    method, clips = _method(), views()
    torch.testing.assert_close(method.losses(clips, {})["features"], method.online(clips["a"])[1])


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="ema_momentum=-0.1 must lie in 0..1"):
        _method(-0.1)


def test_a_single_clip_is_refused() -> None:
    says = "BYOL's batch normalisation needs at least 2 clips in a forward pass, and gets 1"
    assert_one_clip_is_refused(BYOL, says)


def test_it_trains_by_command(tiny: list[str]) -> None:
    words = ["method=byol", "method.hidden_dim=32", "views=byol", "train.accumulate=2"]
    assert main(["pretrain", *tiny, *words]) == 0

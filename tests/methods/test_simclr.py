import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor, nn

from methods.simclr import SimCLR
from tests.losses import equations
from tests.methods.equations import (
    Flat,
    assert_equal_pixel_gradients,
    assert_equal_to,
    assert_one_clip_is_refused,
    assert_only_weights_of_linear_layers_decay,
    head_by_hand,
    kinds,
    views,
)
from vssl.backbones.vit import VisionTransformer
from vssl.cli.main import main
from vssl.config.errors import UserError


def _method(temperature: float = 0.1) -> SimCLR:
    torch.manual_seed(0)
    return SimCLR(Flat(), dim=4, temperature=temperature).double()


def _projections(method: SimCLR, clips: dict[str, Tensor]) -> Tensor:
    """[2B, D]: both views are one batch to the norms."""
    return head_by_hand(method.encoder.by_hand(torch.cat([clips["a"], clips["b"]])), method.projector)


def _by_equation(method: SimCLR, clips: dict[str, Tensor]) -> Tensor:
    return equations.nt_xent(*_projections(method, clips).chunk(2), method.temperature)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_and_every_gradient_equal_the_equation(temperature: float) -> None:
    method, clips = _method(temperature), views()
    assert_equal_to(method, method.losses(clips, {})["loss"], _by_equation(method, clips))


def test_loss_and_every_gradient_equal_lightly() -> None:
    method, clips = _method(), views()
    one, other = _projections(method, clips).chunk(2)
    assert_equal_to(method, method.losses(clips, {})["loss"], 2 * NTXentLoss(0.1)(one, other))


def test_gradient_flows_to_both_views() -> None:
    assert_equal_pixel_gradients(_method(), _by_equation, views())


def test_the_projector_is_the_released_one() -> None:
    method = SimCLR(VisionTransformer(frames=2, size=4, embed_dim=16, depth=1, heads=2, patch_size=4))
    hidden = ["Linear", "BatchNorm1d", "ReLU"]
    assert kinds(method.projector) == [*hidden, *hidden, "Linear", "BatchNorm1d"]
    widths = [layer.out_features for layer in method.projector if isinstance(layer, nn.Linear)]
    assert widths == [16, 16, 128]
    assert {name for name, p in method.named_parameters() if not p.requires_grad} == {"projector.7.bias"}
    assert [name for name, _ in method.projector.named_parameters() if name.endswith("bias")] == [
        "1.bias", "4.bias", "7.bias"
    ]  # fmt: skip


def test_clips_that_look_alike_cost_chance() -> None:
    method = _method()
    method.projector = nn.Identity()
    alike = views()["a"][:1].expand(5, -1, -1, -1, -1)
    loss = method.losses({"a": alike, "b": alike}, {})["loss"].item()
    assert loss == pytest.approx(2 * math.log(9), rel=1e-12) == method.chance(5)


def test_the_papers_rule_decays_weights_of_linear_layers_alone() -> None:
    assert_only_weights_of_linear_layers_decay(_method())


def test_features_for_the_monitor_are_projections_of_the_first_view() -> None:
    method, clips = _method(), views()
    torch.testing.assert_close(method.losses(clips, {})["features"], _projections(method, clips)[:5])


def test_views_of_different_shape_are_refused() -> None:
    clips = views()
    longer = torch.cat([clips["b"], clips["b"]], dim=2)
    with pytest.raises(UserError) as caught:
        _method().losses({"a": clips["a"], "b": longer}, {})
    assert str(caught.value) == (
        "SimCLR encodes both views in one forward pass, and they differ in shape: 3 x 2 x 2 x 2 and 3 x 4 x 2 x 2"
    )


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        _method(0)


def test_a_single_clip_is_refused() -> None:
    says = "SimCLR's negatives are the other clips of a forward pass: it needs at least 2, and gets 1"
    assert_one_clip_is_refused(SimCLR, says)


def test_it_trains_by_command(tiny: list[str]) -> None:
    assert main(["pretrain", *tiny, "method=simclr", "views=simclr", "train.accumulate=2"]) == 0

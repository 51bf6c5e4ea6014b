import math
from typing import Any

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor, nn

from methods.cvrl import CVRL
from tests.losses import equations
from tests.methods.equations import (
    Flat,
    assert_equal_pixel_gradients,
    assert_equal_to,
    assert_one_clip_is_refused,
    head_by_hand,
    kinds,
    views,
)
from vssl.backbones.vit import VisionTransformer
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.training.build import assemble


def _method() -> CVRL:
    torch.manual_seed(0)
    method = CVRL(Flat(), dim=4, hidden_dim=5).double()
    for part in method.head:  # biases and norms that the initialisation would hide
        if not isinstance(part, nn.ReLU):
            nn.init.normal_(part.bias)
    return method


def _projections(method: CVRL, clips: dict[str, Tensor]) -> Tensor:
    """[2B, D]: both views are one batch to the norms."""
    return head_by_hand(method.encoder.by_hand(torch.cat([clips["a"], clips["b"]])), method.head)


def _by_equation(method: CVRL, clips: dict[str, Tensor]) -> Tensor:
    """arXiv:2008.03800, Eq. 1, for each of the 2N clips, N of them a direction; the released code adds both."""
    return equations.nt_xent(*_projections(method, clips).chunk(2), method.temperature)


def test_loss_and_every_gradient_equal_the_equation() -> None:
    method, clips = _method(), views()
    assert_equal_to(method, method.losses(clips, {})["loss"], _by_equation(method, clips))


def test_loss_and_every_gradient_are_twice_lightlys() -> None:
    method, clips = _method(), views()
    one, other = _projections(method, clips).chunk(2)
    assert_equal_to(method, method.losses(clips, {})["loss"], 2 * NTXentLoss(temperature=0.1)(one, other))


def test_gradient_flows_to_both_views() -> None:
    assert_equal_pixel_gradients(_method(), _by_equation, views())


def test_the_loss_goes_both_ways() -> None:
    method, clips = _method(), views()
    swapped = method.losses({"a": clips["b"], "b": clips["a"]}, {})["loss"]
    assert method.losses(clips, {})["loss"].item() == pytest.approx(swapped.item(), rel=1e-12)


def test_both_views_are_one_pass_over_which_is_normalised() -> None:
    method, clips = _method(), views()
    calls: list[int] = []
    method.encoder.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    features = method.losses(clips, {})["features"]
    assert calls == [10]
    assert method.head[1].num_batches_tracked == 1
    torch.testing.assert_close(features, _projections(method, clips)[:5])


def test_the_head_is_the_releases() -> None:
    method = CVRL(VisionTransformer(2, 8, 16, 1, 2, patch_size=4))
    assert kinds(method.head) == ["Linear", "BatchNorm1d", "ReLU"] * 3 + ["Linear"]
    linears = [part for part in method.head if isinstance(part, nn.Linear)]
    assert [(one.in_features, one.out_features) for one in linears] == [
        (16, 2048),
        (2048, 2048),
        (2048, 2048),
        (2048, 128),
    ]
    norms = [part for part in method.head if isinstance(part, nn.BatchNorm1d)]
    assert all((norm.momentum, norm.eps, norm.affine) == (0.003, 1e-5, True) for norm in norms)
    for linear in linears:  # Glorot's uniform law and zeros
        bound = math.sqrt(6 / (linear.in_features + linear.out_features))
        assert 0.99 * bound < linear.weight.abs().max() <= bound
        assert not linear.bias.any() and linear.bias.requires_grad
    # 16 x 2048 + 2 x 2048^2 + 2048 x 128 weights, biases and the norms' two numbers a channel
    assert sum(p.numel() for p in method.head.parameters()) == 32_768 + 2 * 4_194_304 + 262_144 + 3 * 2048 * 3 + 128


def test_fewer_hidden_layers_down_to_none() -> None:
    assert kinds(CVRL(Flat(), hidden_layers=0).head) == ["Linear"]
    assert CVRL(Flat(), dim=3, hidden_dim=7, hidden_layers=1).head[3].in_features == 7


def test_the_chance_is_the_loss_of_a_head_that_knows_nothing() -> None:
    method = _method()
    nn.init.zeros_(method.head[9].weight)
    assert method.losses(views(7), {})["loss"].item() == pytest.approx(method.chance(7), rel=1e-12)
    assert method.chance(1024) == pytest.approx(15.2483, abs=1e-4)


def test_what_cannot_work_is_refused() -> None:
    says = "CVRL's negatives are the other clips of a forward pass: it needs at least 2, and gets 1"
    assert_one_clip_is_refused(CVRL, says)
    clips = {"a": torch.rand(2, 3, 2, 2, 2), "b": torch.rand(2, 3, 4, 2, 2)}
    with pytest.raises(UserError, match="differ in shape: 3 x 2 x 2 x 2 and 3 x 4 x 2 x 2"):
        CVRL(Flat()).losses(clips, {})
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        CVRL(Flat(), temperature=0)


def test_the_papers_views_are_the_releases_numbers() -> None:
    """tensorflow/models: official/projects/video_ssl: video_ssl_input.py, video_ssl_preprocess_ops.py."""
    papers = bind(compose(["method=cvrl", "views=cvrl", "clip.stride=2"]).tree)["views"]
    assert papers["relation"] == {"_target_": "vssl.video.relations.cvrl.Interval", "power": 1.0}
    a, b = papers["a"]["augment"], papers["b"]["augment"]
    assert (a["blur_p"], a["solarise_p"], b["blur_p"], b["solarise_p"]) == (1.0, 0.0, 0.1, 0.2)
    for augment in (a, b):
        assert augment["crop_scale"] == (0.3, 1.0) and augment["crop_ratio"] == (0.5, 2.0)
        assert augment["jitter"] == (0.8, 0.8, 0.8, 0.2) and augment["jitter_p"] == 0.8 and augment["grey_p"] == 0.2
        assert augment["blur_sigma"] == (0.1, 2.0) and augment["solarise_threshold"] == 0.5
        assert augment["colour"] == "tensorflow" and augment["per_frame"] is False
    assert papers["a"]["pad"] == papers["b"]["pad"] == "loop"


def test_augmentation_per_frame_reaches_the_method(tiny: list[str]) -> None:
    def first_batch(words: list[str]) -> dict[str, Any]:
        study = assemble(compose([*tiny, "method=cvrl", "views=cvrl", "views.b.augment.colour=torchvision", *words]))
        study.check()
        return study.datamodule.first_batch()

    shared, apart = first_batch([]), first_batch(["views.b.augment.per_frame=true"])
    assert torch.equal(shared["views"]["a"], apart["views"]["a"])
    assert apart["views"]["b"].shape == shared["views"]["b"].shape == (8, 3, 8, 32, 32)
    torch.testing.assert_close(apart["views"]["b"][:, :, 0], shared["views"]["b"][:, :, 0])
    assert (apart["views"]["b"][:, :, 1] - shared["views"]["b"][:, :, 1]).abs().max() > 0.1
    assert apart["box"]["b"].shape == (8, 8, 4)

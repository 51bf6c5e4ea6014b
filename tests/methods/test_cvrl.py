import math
from typing import Any

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor, nn

from methods.cvrl import CVRL
from vssl.backbones.base import Backbone
from vssl.backbones.vit import VisionTransformer
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.training.build import assemble


class Flat(Backbone):
    """A linear encoder of pixels, so that the equation can be written down."""

    kind = "test"
    embed_dim = 6

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 2 * 2 * 2, 6, bias=False)

    def forward(self, clip: Tensor) -> Tensor:
        return self.linear(clip.flatten(1))


def _method() -> CVRL:
    torch.manual_seed(0)
    method = CVRL(Flat(), dim=4, hidden_dim=5).double()
    for part in method.head:  # biases and norms that the initialisation would hide
        if not isinstance(part, nn.ReLU):
            nn.init.normal_(part.bias)
    return method


def _views(batch: int = 4) -> dict[str, Tensor]:
    a, b = torch.rand(2, batch, 3, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return {"a": a, "b": b}


def _projections(method: CVRL, views: dict[str, Tensor]) -> list[Tensor]:
    """Layer by layer, with the biased variance of both views together."""
    x = torch.cat([views["a"], views["b"]]).flatten(1) @ method.encoder.linear.weight.T
    for linear, norm in ((0, 1), (3, 4), (6, 7)):
        x = x @ method.head[linear].weight.T + method.head[linear].bias
        columns = []
        for d in range(x.shape[1]):
            mean = sum(x[:, d]) / len(x)
            variance = sum((value - mean) ** 2 for value in x[:, d]) / len(x)
            scaled = (x[:, d] - mean) / (variance + 1e-5) ** 0.5
            columns.append(scaled * method.head[norm].weight[d] + method.head[norm].bias[d])
        x = torch.relu(torch.stack(columns, dim=1))
    x = x @ method.head[9].weight.T + method.head[9].bias
    return list(x)


def _by_equation(method: CVRL, views: dict[str, Tensor]) -> Tensor:
    """arXiv:2008.03800, Eq. 1, for each of the 2N clips, N of them a direction; the released code adds both."""
    z = _projections(method, views)
    n = len(z) // 2
    total = torch.zeros((), dtype=torch.float64)
    for i in range(2 * n):
        similarity = [z[i] @ other / (z[i] @ z[i]).sqrt() / (other @ other).sqrt() / method.temperature for other in z]
        partner = (i + n) % (2 * n)
        others = sum(similarity[k].exp() for k in range(2 * n) if k != i)
        total = total - (similarity[partner].exp() / others).log() / n
    return total


def _gradients(method: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    method.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def test_loss_and_every_gradient_equal_the_equation() -> None:
    method, views = _method(), _views()
    loss, expected = method.losses(views, {})["loss"], _by_equation(method, views)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    ours, by_equation = _gradients(method, loss), _gradients(method, expected)
    assert set(ours) == {name for name, _ in method.named_parameters()}
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, by_equation[name], rtol=1e-8, atol=1e-12)


def test_loss_and_every_gradient_are_twice_lightlys() -> None:
    method, views = _method(), _views(6)
    one, other = method.head(method.encoder(torch.cat([views["a"], views["b"]]))).chunk(2)
    theirs = 2 * NTXentLoss(temperature=0.1)(one, other)
    ours = method.losses(views, {})["loss"]
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-10)
    expected = _gradients(method, theirs)
    for name, gradient in _gradients(method, ours).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-8, atol=1e-12)


def test_the_loss_goes_both_ways() -> None:
    method, views = _method(), _views()
    swapped = method.losses({"a": views["b"], "b": views["a"]}, {})["loss"]
    assert method.losses(views, {})["loss"].item() == pytest.approx(swapped.item(), rel=1e-12)


def test_both_views_are_one_pass_over_which_is_normalised() -> None:
    method, views = _method(), _views()
    calls: list[int] = []
    method.encoder.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    features = method.losses(views, {})["features"]
    assert calls == [8]
    assert method.head[1].num_batches_tracked == 1
    torch.testing.assert_close(features, torch.stack(_projections(method, views)[:4]))


def test_the_head_is_the_releases() -> None:
    method = CVRL(VisionTransformer(2, 8, 16, 1, 2, patch_size=4))
    kinds = [type(part).__name__ for part in method.head]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 3 + ["Linear"]
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
    assert [type(part).__name__ for part in CVRL(Flat(), hidden_layers=0).head] == ["Linear"]
    assert CVRL(Flat(), dim=3, hidden_dim=7, hidden_layers=1).head[3].in_features == 7


def test_the_chance_is_the_loss_of_a_head_that_knows_nothing() -> None:
    method = _method()
    nn.init.zeros_(method.head[9].weight)
    assert method.losses(_views(7), {})["loss"].item() == pytest.approx(method.chance(7), rel=1e-12)
    assert method.chance(1024) == pytest.approx(15.2483, abs=1e-4)


def test_what_cannot_work_is_refused() -> None:
    encoder = Flat()
    assert CVRL.refuses(encoder, ("a", "b"), 2) is None
    refusal = CVRL.refuses(encoder, ("a", "b"), 1)
    assert refusal == "CVRL's negatives are the other clips of a forward pass: it needs at least 2, and gets 1"
    assert CVRL.refuses(encoder, ("clip",), 8) == "CVRL needs the views a, b; this views file gives clip"
    views = {"a": torch.rand(2, 3, 2, 2, 2), "b": torch.rand(2, 3, 4, 2, 2)}
    with pytest.raises(UserError, match="differ in shape: 3 x 2 x 2 x 2 and 3 x 4 x 2 x 2"):
        CVRL(encoder).losses(views, {})
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        CVRL(encoder, temperature=0)


def test_the_papers_views_are_the_releases_numbers() -> None:
    """tensorflow/models: official/projects/video_ssl: video_ssl_input.py, video_ssl_preprocess_ops.py."""
    views = bind(compose(["method=cvrl", "views=cvrl", "clip.stride=2"]).tree)["views"]
    assert views["relation"] == {"_target_": "vssl.video.relations.cvrl.Interval", "power": 1.0}
    a, b = views["a"]["augment"], views["b"]["augment"]
    assert (a["blur_p"], a["solarise_p"], b["blur_p"], b["solarise_p"]) == (1.0, 0.0, 0.1, 0.2)
    for augment in (a, b):
        assert augment["crop_scale"] == (0.3, 1.0) and augment["crop_ratio"] == (0.5, 2.0)
        assert augment["jitter"] == (0.8, 0.8, 0.8, 0.2) and augment["jitter_p"] == 0.8 and augment["grey_p"] == 0.2
        assert augment["blur_sigma"] == (0.1, 2.0) and augment["solarise_threshold"] == 0.5
        assert augment["colour"] == "tensorflow" and augment["per_frame"] is False
    assert views["a"]["pad"] == views["b"]["pad"] == "loop"


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

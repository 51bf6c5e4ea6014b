import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from torch import Tensor, nn

from methods.simsiam import SimSiam
from vssl.backbones.base import Backbone
from vssl.backbones.vit import VisionTransformer


class Flat(Backbone):
    """A linear encoder of pixels, so that the equation can be written down."""

    kind = "test"
    embed_dim = 6

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 2 * 2 * 2, 6, bias=False)

    def forward(self, clip: Tensor) -> Tensor:
        return self.linear(clip.flatten(1))


def _method() -> SimSiam:
    torch.manual_seed(0)
    return SimSiam(Flat(), dim=8, bottleneck=3).double()


def _views(batch: int = 5) -> dict[str, Tensor]:
    a, b = torch.rand(2, batch, 3, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return {"a": a, "b": b}


def _batch_norm(x: Tensor, layer: nn.BatchNorm1d) -> Tensor:
    """Column by column, with the biased variance of this view alone."""
    columns = []
    for d in range(x.shape[1]):
        column = x[:, d]
        mean = sum(column) / len(column)
        variance = sum((value - mean) ** 2 for value in column) / len(column)
        scaled = (column - mean) / (variance + layer.eps) ** 0.5
        columns.append(scaled * layer.weight[d] + layer.bias[d] if layer.affine else scaled)
    return torch.stack(columns, dim=1)


def _by_equation(method: SimSiam, views: dict[str, Tensor]) -> Tensor:
    """arXiv:2011.10566, Eq. 2: D(p1, stopgrad(z2)) / 2 + D(p2, stopgrad(z1)) / 2."""
    projections, predictions = {}, {}
    for name, clip in views.items():
        x = clip.flatten(1) @ method.encoder.linear.weight.T
        for linear, norm in ((0, 1), (3, 4)):
            x = torch.relu(_batch_norm(x @ method.projector[linear].weight.T, method.projector[norm]))
        x = x @ method.projector[6].weight.T + method.projector[6].bias
        z = projections[name] = _batch_norm(x, method.projector[7])
        hidden = torch.relu(_batch_norm(z @ method.predictor[0].weight.T, method.predictor[1]))
        predictions[name] = hidden @ method.predictor[3].weight.T + method.predictor[3].bias
    total = torch.zeros((), dtype=torch.float64)
    for one, other in (("a", "b"), ("b", "a")):
        for p, z in zip(predictions[one], projections[other].detach(), strict=True):
            total = total - (p @ z) / (p @ p).sqrt() / (z @ z).sqrt() / 2 / len(predictions[one])
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
    assert set(ours) == {name for name, p in method.named_parameters() if p.requires_grad}
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, by_equation[name], rtol=1e-8, atol=1e-12)


def test_loss_and_every_gradient_equal_lightly() -> None:
    method, views = _method(), _views()
    criterion = NegativeCosineSimilarity()
    (p_a, z_a), (p_b, z_b) = method.online(views["a"]), method.online(views["b"])
    theirs = 0.5 * (criterion(p_a, z_b.detach()) + criterion(p_b, z_a.detach()))
    ours = method.losses(views, {})["loss"]
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-10)
    for one, other in zip(_gradients(method, ours).values(), _gradients(method, theirs).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_no_gradient_flows_through_a_target() -> None:
    method = _method()
    prediction = torch.randn(4, 8, dtype=torch.float64, requires_grad=True)
    a = _views()["a"]
    a.requires_grad_()
    # With the prediction cut off, the projection is a target only.
    method.online = lambda clip: (prediction[: len(clip)], method.projector(method.encoder(clip)))
    method.losses({"a": a[:4], "b": a[:4] + 1}, {})["loss"].backward()
    assert a.grad is None and prediction.grad is not None


def test_views_are_normalised_apart_and_encoded_once() -> None:
    method, views = _method(), _views()
    calls = []
    method.encoder.register_forward_hook(lambda *_: calls.append(1))
    method.losses(views, {})
    assert len(calls) == 2
    assert method.projector[1].num_batches_tracked == 2


def test_identical_views_and_an_identity_predictor_reach_the_floor() -> None:
    method, views = _method(), _views()
    method.predictor = nn.Sequential(nn.Identity())
    loss = method.losses({"a": views["a"], "b": views["a"]}, {})["loss"]
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
    method, views = _method(), _views()
    features = method.losses(views, {})["features"]
    torch.testing.assert_close(features, method.online(views["a"])[1])


def test_a_single_clip_is_refused() -> None:
    encoder = Flat()
    assert SimSiam.refuses(encoder, ("a", "b"), 2) is None
    refusal = SimSiam.refuses(encoder, ("a", "b"), 1)
    assert refusal == "SimSiam's batch normalisation needs at least 2 clips in a forward pass, and gets 1"
    assert SimSiam.refuses(encoder, ("clip",), 8) == "SimSiam needs the views a, b; this views file gives clip"

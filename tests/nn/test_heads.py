import pytest
import torch
from torch import nn

from vssl.nn.heads import mlp


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("head", "parameters"),
    [
        (mlp(2048, 2048, 2048, 3, output_bias=True), 12_593_152),  # SimSiam's projector, ResNet-50
        (mlp(2048, 512, 2048, 2, output_norm=False, output_bias=True), 2_100_224),  # SimSiam's predictor
        (mlp(768, 4096, 256, 3), 20_987_904),  # MoCo v3's projector, ViT-B
        (mlp(2048, 4096, 256, 2), 9_445_376),  # MoCo v3's projector, ResNet-50
        (mlp(384, 4096, 256, 3), 19_415_040),  # MoCo v3's projector, ViT-S
        (mlp(256, 4096, 256, 2, output_norm=False), 2_105_344),  # MoCo v3's predictor, ResNet-50
        (mlp(256, 4096, 256, 2), 2_105_344),  # MoCo v3's predictor, ViT: the norm after it has no weights
        (mlp(2048, 4096, 256, 2, hidden_bias=True, output_norm=False), 9_449_472),  # BYOL's projector, ResNet-50
        (mlp(256, 4096, 256, 2, hidden_bias=True, output_norm=False), 2_109_440),  # BYOL's predictor
        # SimCLR's, ResNet-50, by hand: two layers of 2048^2 with a norm of weight and bias, 2048 x 128, 128 weights
        (mlp(2048, 2048, 128, 3, output_scale=True), 2 * (2048**2 + 2 * 2048) + 2048 * 128 + 128),
    ],
)
def test_parameter_counts_are_the_published_ones(head: nn.Module, parameters: int) -> None:
    assert _count(head) == parameters


def test_layers_stand_where_checkpoints_expect_them() -> None:
    kinds = [type(layer).__name__ for layer in mlp(4, 5, 6, 3)]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert [type(layer).__name__ for layer in mlp(4, 5, 6, 1, output_norm=False)] == ["Linear"]


def test_output_norm_standardises_and_has_no_weights() -> None:
    torch.manual_seed(0)
    head = mlp(4, 5, 6, 2)
    out = head(torch.randn(64, 4))
    assert out.mean(dim=0).abs().max() < 1e-5
    assert out.std(dim=0, correction=0).tolist() == pytest.approx([1.0] * 6, abs=1e-2)
    assert not list(head[-1].parameters())


def test_output_scale_multiplies_and_does_not_shift() -> None:
    torch.manual_seed(0)
    head = mlp(4, 5, 6, 2, output_scale=True)
    nn.init.constant_(head[-1].weight, 3.0)
    out = head(torch.randn(64, 4))
    assert out.std(dim=0, correction=0).tolist() == pytest.approx([3.0] * 6, abs=3e-2)
    assert out.mean(dim=0).abs().max() < 1e-5
    assert head[-1].weight.requires_grad and not head[-1].bias.requires_grad


def test_biases_stand_where_they_are_asked_for() -> None:
    def of(head: nn.Sequential) -> list[bool]:
        return [layer.bias is not None for layer in head if isinstance(layer, nn.Linear)]

    assert of(mlp(4, 5, 6, 3)) == [False, False, False]
    assert of(mlp(4, 5, 6, 3, hidden_bias=True)) == [True, True, False]
    assert of(mlp(4, 5, 6, 3, output_bias=True)) == [False, False, True]

from torch import nn

from vssl.nn.heads import mlp
from vssl.nn.parameters import biases_and_norms


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = mlp(4, 5, 6, 2, hidden_bias=True, output_norm=False)
        self.last = nn.LayerNorm(6)
        self.conv = nn.Sequential(nn.Conv3d(1, 2, 1), nn.SyncBatchNorm(2))


def test_norms_are_told_by_class_and_biases_by_name() -> None:
    assert biases_and_norms(Parts()) == {
        "head.0.bias", "head.1.weight", "head.1.bias", "last.weight", "last.bias",
        "conv.0.bias", "conv.1.weight", "conv.1.bias",
    }  # fmt: skip


def test_a_norm_alone_is_named_without_a_dot() -> None:
    assert biases_and_norms(nn.LayerNorm(3)) == {"weight", "bias"}

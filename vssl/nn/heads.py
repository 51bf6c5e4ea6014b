"""Projectors and predictors."""

from torch import nn


def mlp(
    in_dim: int, hidden_dim: int, out_dim: int, layers: int, *, output_norm: bool = True, output_bias: bool = False
) -> nn.Sequential:
    """`layers` Linear layers; all but the last are followed by BatchNorm and ReLU and have no bias.

    Args:
        output_norm: BatchNorm without weight and bias after the last layer.
        output_bias: bias on the last layer.
    Source: facebookresearch/moco-v3: moco/builder.py; facebookresearch/simsiam: simsiam/builder.py. The layers have
    the same places in the Sequential as there.
    """
    widths = [in_dim, *[hidden_dim] * (layers - 1)]
    parts: list[nn.Module] = []
    for width in widths[:-1]:
        parts += [nn.Linear(width, hidden_dim, bias=False), nn.BatchNorm1d(hidden_dim), nn.ReLU(inplace=True)]
    parts.append(nn.Linear(widths[-1], out_dim, bias=output_bias))
    if output_norm:
        parts.append(nn.BatchNorm1d(out_dim, affine=False))
    return nn.Sequential(*parts)

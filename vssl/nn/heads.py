"""Projectors and predictors."""

from torch import nn


def mlp(
    in_dim: int,
    hidden_dim: int,
    out_dim: int,
    layers: int,
    *,
    hidden_bias: bool = False,
    output_norm: bool = True,
    output_scale: bool = False,
    output_bias: bool = False,
) -> nn.Sequential:
    """`layers` Linear layers; all but the last are followed by BatchNorm and ReLU.

    Args:
        hidden_bias: bias on all layers but the last, which the BatchNorm after each of them takes away again.
        output_norm: BatchNorm after the last layer.
        output_scale: a weight on that BatchNorm, and no bias; without it neither.
        output_bias: bias on the last layer.
    Source: facebookresearch/moco-v3: moco/builder.py; facebookresearch/simsiam: simsiam/builder.py. The layers have
    the same places in the Sequential as there.
    """
    widths = [in_dim, *[hidden_dim] * (layers - 1)]
    parts: list[nn.Module] = []
    for width in widths[:-1]:
        parts += [nn.Linear(width, hidden_dim, bias=hidden_bias), nn.BatchNorm1d(hidden_dim), nn.ReLU(inplace=True)]
    parts.append(nn.Linear(widths[-1], out_dim, bias=output_bias))
    if output_norm:
        norm = nn.BatchNorm1d(out_dim, affine=output_scale)
        if output_scale:
            norm.bias.requires_grad_(False)  # 0 for good: torch knows weight and bias only together
        parts.append(norm)
    return nn.Sequential(*parts)

"""Ours and a foreign network on the same weights: outputs, gradients, running statistics."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vssl.backbones.base import Backbone

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # foreign networks take normalised pixels


def clips(frames: int, height: int, width: int | None = None, batch: int = 2) -> Tensor:
    """[B, 3, T, H, W] in [0, 1]."""
    return torch.rand(batch, 3, frames, height, width or height, generator=torch.Generator().manual_seed(1))


def weights(ours: Backbone) -> dict[str, Tensor]:
    """What a foreign network of the same names has too."""
    return {name: tensor for name, tensor in ours.state_dict().items() if name not in ("mean", "std")}


def assert_equal_training(ours: Backbone, theirs: nn.Module, clip: Tensor) -> None:
    """With our weights in the foreign network, under the same names, both in training mode."""
    theirs.load_state_dict(weights(ours))
    mine, expected = ours.train()(clip), theirs.train()(clip)
    torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn(mine.shape, generator=torch.Generator().manual_seed(3))
    (mine * weight).sum().backward()
    (expected * weight).sum().backward()
    found, wanted = ({name: p.grad for name, p in net.named_parameters()} for net in (ours, theirs))
    assert_equal_gradients(found, wanted)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor)


def assert_equal_gradients(found: Mapping[str, Tensor | None], wanted: Mapping[str, Tensor | None]) -> None:
    """To 1e-5 of each tensor's largest one, every tensor having some."""
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        mine = found[name]
        assert mine is not None and gradient is not None and gradient.any(), name
        assert (mine - gradient).abs().max() <= 1e-5 * gradient.abs().max() + 1e-7, name

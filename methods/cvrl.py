"""CVRL: two clips of a video attract each other, all other clips of the batch push both away.

Source: Qian et al. 2021, arXiv:2008.03800; tensorflow/models@00b830c: official/projects/video_ssl,
modeling/video_ssl_model.py, losses/losses.py, configs/video_ssl.py.
How the clips lie in time and what is done to them is not here but in `configs/views/cvrl.yaml`.
"""

import math

import torch
from torch import Tensor, nn

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError
from vssl.losses.nt_xent import nt_xent
from vssl.method import Batch, Method


class CVRL(Method):
    """One network, no predictor. Not a `PairMethod`: both views are one forward pass, over which BatchNorm normalises.

    Args:
        dim: width of the projection.
        hidden_dim: width of the head's hidden layers.
        hidden_layers: of the head, each followed by BatchNorm and ReLU.
        temperature: of the loss.
    """

    views = ("a", "b")

    def __init__(
        self,
        encoder: Backbone,
        dim: int = 128,
        hidden_dim: int = 2048,
        hidden_layers: int = 3,
        temperature: float = 0.1,
    ) -> None:
        super().__init__(encoder)
        if temperature <= 0 or hidden_layers < 0:
            raise ValueError(f"temperature={temperature} must be above 0 and hidden_layers={hidden_layers} at least 0")
        self.head = _head(encoder.embed_dim, hidden_dim, dim, hidden_layers)
        self.temperature = temperature

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        a, b = views["a"], views["b"]
        if a.shape != b.shape:
            shapes = " and ".join(" x ".join(map(str, view.shape[1:])) for view in (a, b))
            raise UserError(f"CVRL encodes both views in one forward pass, and they differ in shape: {shapes}")
        # BatchNorm's statistics are those of the two views together.
        one, other = self.head(self.encoder(torch.cat([a, b]))).chunk(2)
        return {"loss": nt_xent(one, other, self.temperature), "features": one}

    def chance(self, batch_size: int) -> float | None:
        """Two directions, in each of which one of 2B - 1 clips is the right one."""
        return 2 * math.log(2 * batch_size - 1)

    @classmethod
    def refuses(cls, encoder: Backbone, views: tuple[str, ...], batch_size: int) -> str | None:
        if batch_size < 2:
            return f"CVRL's negatives are the other clips of a forward pass: it needs at least 2, and gets {batch_size}"
        return super().refuses(encoder, views, batch_size)


def _head(in_dim: int, hidden_dim: int, out_dim: int, hidden_layers: int) -> nn.Sequential:
    """Linear layers that all have biases, initialised as Keras does; TensorFlow's momentum .997 is torch's .003."""
    parts: list[nn.Module] = []
    for width in [in_dim, *[hidden_dim] * (hidden_layers - 1)][:hidden_layers]:
        norm = nn.BatchNorm1d(hidden_dim, eps=1e-5, momentum=0.003)
        parts += [nn.Linear(width, hidden_dim), norm, nn.ReLU(inplace=True)]
    parts.append(nn.Linear(hidden_dim if hidden_layers else in_dim, out_dim))
    for part in parts:
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
    return nn.Sequential(*parts)

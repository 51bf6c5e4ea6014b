"""BYOL: each view predicts what a target network, which trails the trained one, makes of the other view.

Source: Grill et al. 2020, arXiv:2006.07733, Sec. 3; deepmind-research: byol/byol_experiment.py, utils/networks.py,
configs/byol.py.
Deviations: views are clips; no classifier is trained beside it (there it takes no part in the features); target and
trained network start equal (there each is drawn on its own, which made no difference); the heads keep PyTorch's
initialisation. BatchNorm sees all ranks on GPUs, as there, and one process on CPUs.
"""

import torch
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.losses.cosine import direction_distance
from vssl.method import PairMethod, Progress
from vssl.nn.heads import mlp
from vssl.nn.momentum import cosine_momentum, follow, frozen_copy


class BYOL(PairMethod):
    """The target network has encoder and projector; the predictor is the trained network's alone.

    Args:
        dim: width of projection and prediction.
        hidden_dim: width of the heads' hidden layers.
        ema_momentum: of the target network at the first step; it rises to 1 along half a cosine. The released presets:
            0.97 for 40 epochs of ImageNet, 0.99 for 100 and 300, 0.996 for 1000.
    """

    knows_its_end = True

    def __init__(self, encoder: Backbone, dim: int = 256, hidden_dim: int = 4096, ema_momentum: float = 0.99) -> None:
        super().__init__(encoder)
        if not 0 <= ema_momentum <= 1:
            raise ValueError(f"ema_momentum={ema_momentum} must lie in 0..1")
        self.ema_momentum = ema_momentum
        self.projector = mlp(encoder.embed_dim, hidden_dim, dim, layers=2, hidden_bias=True, output_norm=False)
        self.predictor = mlp(dim, hidden_dim, dim, layers=2, hidden_bias=True, output_norm=False)
        self.target_encoder, self.target_projector = frozen_copy(encoder), frozen_copy(self.projector)

    def online(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        projection = self.projector(self.encoder(clip))
        return self.predictor(projection), projection

    @torch.no_grad()
    def target(self, clip: Tensor) -> Tensor:
        return self.target_projector(self.target_encoder(clip))

    def pair_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return direction_distance(prediction, target)

    def after_step(self, done: Progress) -> None:
        """With the momentum of the step just made, counted from 0, and the weights that it gave."""
        momentum = cosine_momentum(self.ema_momentum, (done.step - 1) / done.total)
        follow(self.target_encoder, self.encoder, momentum)
        follow(self.target_projector, self.projector, momentum)

    def chance(self, batch_size: int) -> float | None:
        """The loss of a collapsed encoder, which is also the lowest one; random features cost about 4."""
        return 0.0

    @classmethod
    def refuses(cls, encoder: Backbone, views: tuple[str, ...], batch_size: int) -> str | None:
        if batch_size < 2:
            return f"BYOL's batch normalisation needs at least 2 clips in a forward pass, and gets {batch_size}"
        return super().refuses(encoder, views, batch_size)

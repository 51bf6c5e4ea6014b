"""MoCo v3: each view finds its own clip among the keys of a target network that trails the trained one.

Source: Chen, Xie and He 2021, arXiv:2104.02057, Alg. 1 and Sec. 4; facebookresearch/moco-v3@c349e6e: moco/builder.py,
main_moco.py, CONFIG.md.
Deviations: views are clips. A clip's summary, positions and initialisation are the backbone's; the paper's ViT has a
class token (`backbone.pool=cls`). Heads on a Swin are those of a ViT: unverified.
"""

import math

import torch
from torch import Tensor, nn

from vssl.backbones.base import Backbone
from vssl.losses.info_nce import info_nce
from vssl.method import PairMethod, Progress
from vssl.nn.heads import mlp
from vssl.nn.momentum import cosine_momentum, follow, frozen_copy


class MoCoV3(PairMethod):
    """The target network has encoder and projector; the predictor is the trained network's alone.

    Args:
        dim: width of projection and prediction.
        hidden_dim: width of the heads' hidden layers.
        temperature: 0.2 is the paper's for a ViT, 1.0 the one for a ResNet.
        ema_momentum: of the target network at the first step; it rises to 1 along half a cosine.
        frozen_patch_projection: the embedding of patches stays as it was drawn, against sudden drops in training.
            None: on a ViT, and only there, since other kinds have none that the paper speaks of.
    """

    knows_its_end = True

    def __init__(
        self,
        encoder: Backbone,
        dim: int = 256,
        hidden_dim: int = 4096,
        temperature: float = 0.2,
        ema_momentum: float = 0.99,
        frozen_patch_projection: bool | None = None,
    ) -> None:
        super().__init__(encoder)
        if temperature <= 0 or not 0 <= ema_momentum <= 1:
            raise ValueError(f"temperature={temperature} must be above 0 and ema_momentum={ema_momentum} lie in 0..1")
        if frozen_patch_projection or (frozen_patch_projection is None and encoder.kind == "vit"):
            _patch_projection(encoder).requires_grad_(False)
        self.temperature, self.ema_momentum = temperature, ema_momentum
        resnet = encoder.kind == "cnn"
        self.projector = mlp(encoder.embed_dim, hidden_dim, dim, layers=2 if resnet else 3)
        self.predictor = mlp(dim, hidden_dim, dim, layers=2, output_norm=not resnet)
        self.target_encoder, self.target_projector = frozen_copy(encoder), frozen_copy(self.projector)

    def online(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        projection = self.projector(self.encoder(clip))
        return self.predictor(projection), projection

    @torch.no_grad()
    def target(self, clip: Tensor) -> Tensor:
        return self.target_projector(self.target_encoder(clip))

    def pair_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return info_nce(prediction, target, self.temperature)

    def after_step(self, done: Progress) -> None:
        """The released code moves the target inside the next forward pass, by then with the next step's momentum: the
        same weights and the same place in the schedule as here. At the first step both networks are still equal, and
        after the last one the momentum is 1."""
        momentum = cosine_momentum(self.ema_momentum, done.fraction)
        follow(self.target_encoder, self.encoder, momentum)
        follow(self.target_projector, self.projector, momentum)

    def chance(self, batch_size: int) -> float | None:
        """The loss where all clips look alike: 2T ln N in each direction."""
        return 4 * self.temperature * math.log(batch_size)

    @classmethod
    def refuses(cls, encoder: Backbone, views: tuple[str, ...], batch_size: int) -> str | None:
        if batch_size < 2:
            return (
                "MoCo v3's negatives are the other clips of a forward pass, and its heads normalise over them: it "
                f"needs at least 2, and gets {batch_size}"
            )
        return super().refuses(encoder, views, batch_size)


def _patch_projection(encoder: Backbone) -> nn.Module:
    projection = getattr(encoder, "patch_embed", None)
    if encoder.kind != "vit" or not isinstance(projection, nn.Module):
        raise ValueError(
            f"frozen_patch_projection is for a ViT's embedding of patches, and {type(encoder).__name__} has none; "
            "set it to false"
        )
    return projection

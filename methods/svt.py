"""SVT: DINO on video. A student learns from parts of a video what a teacher, its own average, makes of the whole.

Source: Ranasinghe et al. 2022, arXiv:2112.01514; kahnchana/svt@1827106: train_ssl.py, datasets/decoder.py.
Caron et al. 2021, arXiv:2104.14294, Alg. 1; facebookresearch/dino: main_dino.py.
Deviations: the centre moves once an optimiser step, by the mean over its micro-batches (there with every forward pass);
the last layer's freeze is a share of all steps (there whole epochs); no warm-up of the teacher's temperature, which
SVT does not use.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.losses.dino import self_distillation
from vssl.method import Batch, Method, ParamGroup, Progress
from vssl.nn.dino_head import DINOHead
from vssl.nn.drop_path import DropPath
from vssl.nn.momentum import cosine_momentum, follow, frozen_copy
from vssl.ranks import gather_rows

LAST_LAYER = ("head.prototypes", "head.lengths")


class SVT(Method):
    """The target (the teacher) sees the views `a` and `b`, the student these and all views named `local`.

    Args:
        prototypes: outputs of the head (K).
        student_temperature, target_temperature: of the two softmaxes; the lower, the sharper.
        centre_momentum: share of the centre of the target's outputs that an optimiser step leaves.
        ema_momentum: of the target at the first step; it rises to 1 along half a cosine.
        unit_prototypes: prototypes have length 1 (`norm_last_layer` of the released code).
        frozen_last_layer: share of all steps in which the last layer stays as it was drawn.
    """

    views = ("a", "b")
    knows_its_end = True
    centre: Tensor

    def __init__(
        self,
        encoder: Backbone,
        prototypes: int = 65536,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        student_temperature: float = 0.1,
        target_temperature: float = 0.04,
        centre_momentum: float = 0.9,
        ema_momentum: float = 0.996,
        unit_prototypes: bool = True,
        frozen_last_layer: float = 0.01,
    ) -> None:
        super().__init__(encoder)
        for name, share in (
            ("centre_momentum", centre_momentum), ("ema_momentum", ema_momentum),
            ("frozen_last_layer", frozen_last_layer),
        ):  # fmt: skip
            if not 0 <= share <= 1:
                raise ValueError(f"{name}={share} must lie in 0..1")
        for name, temperature in (("student", student_temperature), ("target", target_temperature)):
            if not temperature > 0:
                raise ValueError(f"{name}_temperature={temperature} must be above 0")
        self.student_temperature, self.target_temperature = student_temperature, target_temperature
        self.centre_momentum, self.ema_momentum = centre_momentum, ema_momentum
        self.frozen_last_layer = frozen_last_layer
        self.head = DINOHead(encoder.embed_dim, prototypes, hidden_dim, bottleneck_dim, unit_prototypes)
        self.target_encoder, self.target_head = frozen_copy(encoder), frozen_copy(self.head)
        for part in self.target_encoder.modules():
            if isinstance(part, DropPath):
                part.rate = 0.0  # only the student is disturbed
        self.register_buffer("centre", torch.zeros(prototypes))
        self.target_means: list[Tensor] = []  # of this optimiser step's micro-batches, [K] each

    @property
    def exported(self) -> Backbone:
        return self.target_encoder

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        whole = [views[name] for name in SVT.views]
        parts = [clip for name, clip in views.items() if name.partition(".")[0] == "local"]
        with torch.no_grad():
            features = self.target_encoder(torch.cat(whole))
            targets = self.target_head(features)
        self.remember(targets.mean(dim=0))
        # Clips of one shape in one forward pass, as in the released code: BatchNorm, where there is one, sees them all.
        student = [*self.student(whole), *(self.student(parts) if parts else [])]
        loss = self_distillation(
            student, targets.chunk(len(whole)), self.centre, self.student_temperature, self.target_temperature
        )
        return {"loss": loss, "features": features[: len(whole[0])]}

    def student(self, clips: list[Tensor]) -> tuple[Tensor, ...]:
        """[B, C, T, H, W] of each view, all of one shape -> [B, K] of each."""
        return self.head(self.encoder(torch.cat(clips))).chunk(len(clips))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def remember(self, mean: Tensor) -> None:
        self.target_means.append(mean)

    @torch.no_grad()
    def after_step(self, done: Progress) -> None:
        """The target moves with the momentum of the step just made, counted from 0, and the weights that it gave; the
        centre by what the former target said of all clips of the step, on all ranks."""
        momentum = cosine_momentum(self.ema_momentum, (done.step - 1) / done.total)
        follow(self.target_encoder, self.encoder, momentum)
        follow(self.target_head, self.head, momentum)
        mean = gather_rows(torch.stack(self.target_means).mean(dim=0, keepdim=True)).mean(dim=0)
        self.centre.lerp_(mean, 1 - self.centre_momentum)
        self.target_means.clear()

    def param_groups(self) -> list[ParamGroup]:
        """The last layer is a group of its own, which begins to move later."""
        *layers, heads = super().param_groups()
        last = {name: p for name, p in heads.params.items() if name in LAST_LAYER}
        others = {name: p for name, p in heads.params.items() if name not in LAST_LAYER}
        return [
            *layers,
            replace(heads, name="head", params=others),
            replace(heads, name="last_layer", params=last, frozen_until=self.frozen_last_layer),
        ]

    def no_decay(self) -> set[str]:
        """Nothing beside the optimiser's rule: class token and positions are decayed in the released code."""
        return set()

    def chance(self, batch_size: int) -> float | None:
        """The loss of a student that tells no prototype from another; near 0 all clips have the same one."""
        return math.log(len(self.centre))

"""Methods of a stranger's package, for faults and traps that no method of this project shows."""

import copy
import os
import signal
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from methods.moco_v3 import MoCoV3
from methods.simclr import SimCLR
from methods.simsiam import SimSiam
from vssl.backbones.base import Backbone
from vssl.method import Batch, PairMethod, Progress
from vssl.nn.heads import mlp
from vssl.nn.momentum import frozen_copy


class Momentum(PairMethod):
    """All that a resume can lose: a momentum target with a schedule, BatchNorm statistics, dropout in the head."""

    def __init__(self, encoder: Backbone, momentum: float = 0.9) -> None:
        super().__init__(encoder)
        self.momentum = momentum
        self.head = nn.Sequential(mlp(encoder.embed_dim, 32, 16, layers=2), nn.Dropout(0.5))
        self.slow_encoder, self.slow_head = (copy.deepcopy(part).requires_grad_(False) for part in (encoder, self.head))

    def online(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        projection = self.head(self.encoder(clip))
        return projection, projection

    def target(self, clip: Tensor) -> Tensor:
        return self.slow_head(self.slow_encoder(clip)).detach()

    def pair_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().mean()

    @torch.no_grad()
    def after_step(self, done: Progress) -> None:
        share = self.momentum + (1 - self.momentum) * done.fraction
        for slow, fast in ((self.slow_encoder, self.encoder), (self.slow_head, self.head)):
            for kept, new in zip(slow.parameters(), fast.parameters(), strict=True):
                kept.lerp_(new, 1 - share)


class Faulty(SimSiam):
    """SimSiam until step `at`, then `fault` on the rank that is named."""

    def __init__(self, encoder: Backbone, fault: str, at: int, rank: int = 0) -> None:
        super().__init__(encoder, dim=32, bottleneck=16)
        self.fault, self.at, self.rank = fault, at, rank

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        terms = super().losses(views, batch)
        if self.progress.step != self.at or self.global_rank != self.rank or os.environ.get("HEALED"):
            return terms
        Path("fault_at").write_text(str(time.time()))
        if self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "raised":
            raise RuntimeError("the moon is in the way")
        return {**terms, "loss": terms["loss"] + float("inf")}


class PlainMoCo(MoCoV3):
    """Without BatchNorm, which on CPUs knows one rank alone: what is left that ranks share is the loss."""

    def __init__(self, encoder: Backbone) -> None:
        super().__init__(encoder, dim=16, hidden_dim=16)
        self.projector, self.predictor = nn.Linear(encoder.embed_dim, 16), nn.Linear(16, 16)
        self.target_projector = frozen_copy(self.projector)


class PlainSimCLR(SimCLR):
    """Likewise."""

    def __init__(self, encoder: Backbone) -> None:
        super().__init__(encoder, dim=16)
        self.projector = nn.Linear(encoder.embed_dim, 16)

"""What a pretraining method is: named views in, losses out, one hook after each optimiser step.

Lightning's hooks live here and nowhere else, so that a method's file holds only what its paper describes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypedDict, cast

from vssl import _torchvision  # noqa: F401  (before Lightning, which imports torchvision)

# isort: split
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vssl.backbones.base import Backbone


class Batch(TypedDict, total=False):
    """What a method may know about a batch besides its views. B is the number of clips on this device.

    `id` [B] index in the list, `key` [B] int64 (all randomness of a sample comes from it, see `vssl.video.draws`),
    `label` {name: [B]} (-1: none), `time` {view: [B, T]} seconds, `box` {view: [B, 4]} crop in [0, 1].
    """

    views: dict[str, Tensor]
    id: Tensor
    key: Tensor
    label: dict[str, Tensor]
    time: dict[str, Tensor]
    box: dict[str, Tensor]
    digest: dict[str, Tensor]


@dataclass(frozen=True)
class Progress:
    """A place in training, in optimiser steps: `step` of `total` are complete."""

    step: int
    total: int

    @property
    def fraction(self) -> float:
        return self.step / self.total


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that share a depth (for layer-wise decay) and a learning-rate rule.

    `frozen_until` is the share of all steps after which they begin to move.
    """

    name: str
    params: Mapping[str, nn.Parameter]
    depth: int
    lr: Literal["schedule", "constant"] = "schedule"
    frozen_until: float = 0.0


class Method(pl.LightningModule):
    """A pretraining method. A subclass gives `views`, its parts, and `losses`; `after_step` where it has a target.

    The constructor's signature is the configuration schema: it takes the encoder and the method's own settings, never
    an optimiser, a data set or a number of epochs.
    """

    views: tuple[str, ...] = ("clip",)
    encoder: Backbone
    # Whether something besides the learning rate follows the share of all steps that is done, as a momentum on a cosine
    # does. Where nothing does, trainings of different length are equal until their learning rates part.
    knows_its_end: ClassVar[bool] = False

    def __init__(self, encoder: Backbone) -> None:
        super().__init__()
        self.encoder = encoder
        self.progress = Progress(0, 1)
        self.total_steps = 1
        self.last_terms: dict[str, Tensor] = {}
        self.compiled_losses: Callable[[dict[str, Tensor], Batch], dict[str, Tensor]] | None = None
        self.optimiser_factory: Callable[[Method], Any] | None = None

    @property
    def exported(self) -> Backbone:
        """The backbone that is evaluated and saved: the trained encoder, or a target that the paper evaluates."""
        return self.encoder

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Loss terms of one micro-batch; plain code that needs no trainer.

        Args:
            views: {name: float [B, C, T, H, W] in [0, 1]} for every name in `self.views`.
        Returns:
            "loss" (scalar, with gradient), further scalars to log, optionally "features" [B, D] for the health monitor.
        """
        raise NotImplementedError(f"{type(self).__name__} must define losses(views, batch)")

    def after_step(self, done: Progress) -> None:
        """Called once after each optimiser step; `done.step` counts completed steps, the one just made included."""

    def param_groups(self) -> list[ParamGroup]:
        """All trainable parameters: the encoder's layers by depth, then everything else as the deepest group."""
        groups = [
            ParamGroup(
                f"encoder.{depth}", {f"encoder.{name}": p for name, p in layer.items() if p.requires_grad}, depth
            )
            for depth, layer in enumerate(self.encoder.layers())
        ]
        taken = {id(p) for group in groups for p in group.params.values()}
        rest = {name: p for name, p in self.named_parameters() if p.requires_grad and id(p) not in taken}
        return [group for group in [*groups, ParamGroup("heads", rest, len(groups))] if group.params]

    def no_decay(self) -> set[str]:
        """Names of parameters that the method's paper never decays, whatever the optimiser's rule says."""
        return {f"encoder.{name}" for name in self.encoder.no_decay()}

    def chance(self, batch_size: int) -> float | None:
        """The loss of a collapsed or blind model at this batch size, None where there is no such value."""
        return None

    def hides(self, views: dict[str, Tensor], batch: Batch) -> dict[str, dict[str, Tensor]]:
        """What of these views the method keeps from one of its parts, for pictures of them; a training never asks.

        Returns:
            {view: {"encoder sees": bool [B, t, h, w], ...}}, True where hidden; t, h, w divide the view's T, H, W.
        """
        return {}

    def reconstructs(self, views: dict[str, Tensor], batch: Batch) -> dict[str, dict[str, Tensor]]:
        """The pixels that the method makes of these views, for pictures of them; a training never asks.

        Returns:
            {view: {"reconstruction": float [B, C, T, H, W], ...}}: each clip filled up with what the method was shown,
            and not a number where it was shown nothing and says nothing. After a colon a name may have a remark.
            Empty where it makes no pixels.
        """
        return {}

    @classmethod
    def refuses(cls, encoder: Backbone, views: tuple[str, ...], batch_size: int) -> str | None:
        """Why this method cannot work so, in one sentence; None where it can. Asked before data is touched.

        Args:
            views: the names that the views file hands over.
            batch_size: clips in one forward pass on one device.
        """
        missing = [name for name in cls.views if name not in views]
        if missing:
            return f"{cls.__name__} needs the views {', '.join(cls.views)}; this views file gives {', '.join(views)}"
        return None

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        self.progress = Progress(self.trainer.global_step, self.total_steps)
        terms = (self.compiled_losses or self.losses)(batch["views"], batch)
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        return {**self.last_terms, "loss": terms["loss"]}

    def configure_optimizers(self) -> Any:
        if self.optimiser_factory is None:
            raise RuntimeError("no optimiser: `vssl.build` sets `optimiser_factory` before fit")
        return self.optimiser_factory(self)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then `after_step` once: here and not in `on_train_batch_end`, which fires for every micro-batch and
        only after checkpoints are written. A step that a gradient scaler skipped moves no target."""
        before = self._loss_scale()
        super().optimizer_step(*args, **kwargs)
        after = self._loss_scale()
        if before is None or after is None or after >= before:
            self.after_step(Progress(self.trainer.global_step + 1, self.total_steps))

    def _loss_scale(self) -> float | None:
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return None if scaler is None else cast(float, scaler.get_scale())


class PairMethod(Method):
    """Methods in which one view predicts another: this class walks `pairs` and encodes each view once per branch.

    A subclass gives `online`, `pair_loss`, and `target` where it has a target network; projector, predictor and the
    moving copy are parts that it holds.
    """

    views: tuple[str, ...] = ("a", "b")
    pairs: tuple[tuple[str, str], ...] = (("a", "b"), ("b", "a"))

    def online(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, T, H, W] -> prediction [B, D] and projection [B, D], both with gradient."""
        raise NotImplementedError(f"{type(self).__name__} must define online(clip)")

    def target(self, clip: Tensor) -> Tensor | None:
        """[B, C, T, H, W] -> [B, D] by the target network; None where there is none: then the projection, detached."""
        return None

    def pair_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of one direction; the sum over `pairs` is the method's loss."""
        raise NotImplementedError(f"{type(self).__name__} must define pair_loss(prediction, target)")

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        online: dict[str, tuple[Tensor, Tensor]] = {}
        targets: dict[str, Tensor] = {}
        for source, aim in self.pairs:
            if source not in online:
                online[source] = self.online(views[source])
            if aim not in targets:
                target = self.target(views[aim])
                if target is None:
                    if aim not in online:
                        online[aim] = self.online(views[aim])
                    target = online[aim][1].detach()
                targets[aim] = target
        loss = torch.stack([self.pair_loss(online[source][0], targets[aim]) for source, aim in self.pairs]).sum()
        return {"loss": loss, "features": online[self.pairs[0][0]][1]}

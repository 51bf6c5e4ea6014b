"""Fine-tuning: an encoder and a linear classifier on it, trained together on labelled videos.

Source: Tong et al. 2022, arXiv:2203.12602; MCG-NJU/VideoMAE@14ef8d8: run_class_finetuning.py, optim_factory.py,
engine_for_finetuning.py. Differs: see `configs/eval/finetune.yaml`.
"""

import copy
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.config.bind import construct
from vssl.config.errors import UserError, WorkError
from vssl.evaluation.eval_views import CENTRE, EvalViews
from vssl.evaluation.features import Labelled, labelled
from vssl.evaluation.finetuning.classifier import Classifier, Network, network, set_drop_path
from vssl.evaluation.finetuning.saved import (
    CLASSIFIER,
    SETTINGS,
    Saved,
    is_classifier,
    load_classifier,
    read_settings,
    save_classifier,
)
from vssl.evaluation.finetuning.tuning import begin, tune, tuning
from vssl.evaluation.freeze import weights_hash
from vssl.evaluation.metrics import classification, merge, predictions
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.records.atomic import write_json
from vssl.records.hashes import hash_of
from vssl.training.callbacks import Diverged
from vssl.training.optimisers import AdamW
from vssl.training.run import LAST
from vssl.training.schedules import Schedule
from vssl.training.settings import Train
from vssl.video.augmentation.erase import Erase
from vssl.video.augmentation.mixing import Mixing
from vssl.video.augmentation.rand_augment import RandAugment
from vssl.video.checks import at_least, within
from vssl.video.lists.samples import Samples
from vssl.video.views import Augment, Clip, Sampling, View, Views

REFERENCE_BATCH = 256
BETAS = (0.9, 0.999)
AUGMENT = Augment(
    crop_scale=(0.08, 1.0), flip=0.5, jitter_p=0.0, grey_p=0.0, blur_p=0.0, rand_augment=RandAugment(), erase=Erase()
)
MIXING = Mixing()
JUDGED = "judged.json"
TRAINED_ON: dict[str, Sampling] = {"even": "even", "dense": "videomae_finetune", "segments": "segments"}


class Finetune(Protocol):
    """Encoder and head are trained on train and select together, and read the test list once. Of several rates, each is
    first tried on train alone, and the best on one clip of each select video is taken.

    `sampling` is that of training clips as well. A training that is ended, however, goes on where it was.

    Args:
        base_lrs: learning rates for 256 videos a step (`lr = base_lr * batch_size / 256`).
        epochs: passes over the training videos; the remainder of each is dropped.
        batch_size: videos in an optimiser step, over all devices and micro-batches.
        repeats: clips of each video in a step, each augmented and mixed by itself; they do not enter the rate.
        accumulate: micro-batches in an optimiser step.
        warmup_epochs: over which the rate rises from 0.
        min_lr: for 256 videos, where the rate's cosine ends.
        weight_decay: of tensors with two or more dimensions.
        layer_decay: rate multiple from one layer of the encoder to the next one below it; 1 is none.
        drop_path: rate of stochastic depth in the last block; it rises from 0 in the first.
        dropout: before the linear layer.
        init_scale: factor of the linear layer's first weights.
        clip_grad_norm: largest norm of all gradients together; None leaves them alone.
        ema_decay: evaluates a moving average of the weights, with this factor a step; None is none.
        mixing: mixup, cutmix and label smoothing; None: hard labels of clips as they are.
        augment: of training clips; a flip only where it keeps every label.
        from_scratch: the backbone as `random` has it, whatever was learned: what pretraining is measured against.
    """

    name = "finetune"
    frozen = False

    def __init__(
        self,
        base_lrs: tuple[float, ...] = (1e-3,),
        epochs: float = 50,
        batch_size: int = 32,
        repeats: int = 2,
        accumulate: int = 1,
        warmup_epochs: float = 5,
        min_lr: float = 1e-6,
        weight_decay: float = 0.05,
        layer_decay: float = 0.75,
        drop_path: float = 0.1,
        dropout: float = 0.0,
        init_scale: float = 0.001,
        clip_grad_norm: float | None = None,
        ema_decay: float | None = None,
        mixing: Mixing | None = MIXING,
        augment: Augment | None = AUGMENT,
        from_scratch: bool = False,
        **shared,
    ) -> None:
        super().__init__(**shared)
        if not base_lrs or min(base_lrs) <= 0:
            raise ValueError(f"base_lrs is {list(base_lrs)}, allowed are one or more numbers above 0")
        within(0.0, min(base_lrs), "min_lr", min_lr)
        if epochs <= 0:
            raise ValueError(f"epochs is {epochs}, allowed is more than 0")
        within(0.0, epochs, "warmup_epochs", warmup_epochs)
        for key, count in {"batch_size": batch_size, "repeats": repeats, "accumulate": accumulate}.items():
            at_least(1, key, count)
        for key, share in {"drop_path": drop_path, "dropout": dropout, "ema_decay": ema_decay or 0.0}.items():
            if not 0 <= share < 1:
                raise ValueError(f"{key} is {share}, allowed is at least 0 and less than 1")
        within(1e-6, 1.0, "layer_decay", layer_decay)
        within(0.0, math.inf, "weight_decay", weight_decay)
        if init_scale <= 0 or (clip_grad_norm is not None and clip_grad_norm <= 0):
            raise ValueError(f"init_scale is {init_scale} and clip_grad_norm {clip_grad_norm}, allowed is more than 0")
        self.base_lrs, self.epochs, self.batch_size, self.repeats = base_lrs, epochs, batch_size, repeats
        self.accumulate, self.warmup_epochs, self.min_lr, self.weight_decay = (
            accumulate, warmup_epochs, min_lr, weight_decay,
        )  # fmt: skip
        self.layer_decay, self.drop_path, self.dropout, self.init_scale = layer_decay, drop_path, dropout, init_scale
        self.clip_grad_norm, self.ema_decay, self.mixing, self.augment = clip_grad_norm, ema_decay, mixing, augment
        self.from_scratch = from_scratch

    def check(self, task: Task) -> None:
        super().check(task)
        videos = len(task.carrying(task.train))
        if len(self.base_lrs) > 1 and not len(task.carrying(task.select)):
            raise UserError(
                f"finetune: there is no select video to choose among {len(self.base_lrs)} rates on",
                "give one: eval.finetune.base_lrs=[1e-3]",
            )
        if len(self.base_lrs) == 1:
            videos += len(task.carrying(task.select))
        if videos < self.batch_size:
            raise UserError(
                f"finetune: batch_size={self.batch_size}, and there are {videos} videos to train on",
                f"give eval.finetune.batch_size={2 ** int(math.log2(videos))}",
            )
        parts = self.accumulate * task.devices
        if self.batch_size % parts:
            raise UserError(
                f"finetune: batch_size={self.batch_size} is no multiple of accumulate x run.devices = {parts}",
                f"give eval.finetune.batch_size={self.batch_size // parts * parts or parts}",
            )

    def settings(self, task: Task) -> dict[str, Any]:
        return {
            "pooling": "the encoder's summary, normed after a mean over tokens instead of before",
            "start": "untrained" if self.from_scratch else "the encoder",
            "head": f"linear, dropout {self.dropout:g}, first weights x {self.init_scale:g}",
            "optimiser": {
                "name": "AdamW", "betas": list(BETAS), "weight_decay": self.weight_decay, "epochs": self.epochs,
                "batch_size": self.batch_size, "repeats": self.repeats, "warmup_epochs": self.warmup_epochs,
                "min_lr": self.min_lr, "layer_decay": self.layer_decay, "clip_grad_norm": self.clip_grad_norm,
                "schedule": "cosine", "ema_decay": self.ema_decay,
            },
            "drop_path": self.drop_path,
            "mixing": asdict(self.mixing) if self.mixing else None,
            "training_clips": asdict(self.training_views(task.clip).positions[0][1]),
            "flip_safe": task.flip_safe,
            "grid": {"base_lrs": list(self.base_lrs)},
            "selection": (
                f"top-1 on select ({task.select_rule}), then its loss; trained again on train and select"
                if len(self.base_lrs) > 1
                else "none"
            ),
        }  # fmt: skip

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        start = _untrained(task) if self.from_scratch else encoder
        identity = hash_of([self.stamp(task), weights_hash(start), task.seed])
        base_lr, chosen = self._choose(start, task, out, identity)
        trained, told = self._final(start, task, out, base_lr, identity)
        test = _read(trained, task.test, task, self.views)  # after every choice
        merged = merge(torch.from_numpy(test.values).softmax(dim=2).numpy())
        return Results(
            metrics=classification(merged.scores, test.label, task.seed),
            predictions=predictions(test, merged),
            chosen={"base_lr": base_lr, **chosen, **told},
            stamp=self.stamp(task),
            inputs=test.inputs,
            artefacts={"classifier": CLASSIFIER, "classifier_settings": SETTINGS},
        )

    def _choose(self, start: Backbone, task: Task, out: Path, identity: str) -> tuple[float, dict[str, Any]]:
        """The rate with the best top-1 on `select`, between equals the lower loss there (small lists tie often)."""
        if len(self.base_lrs) == 1:
            return self.base_lrs[0], {}
        judged = [self._judge(start, task, out / f"select-{base_lr:g}", base_lr, identity) for base_lr in self.base_lrs]
        ended = [place for place, found in enumerate(judged) if "diverged" not in found]
        if not ended:
            raise WorkError(
                f"finetune: training diverged at every rate: {judged[0]['diverged']}",
                "give lower ones: eval.finetune.base_lrs=[...]",
            )
        best = min(ended, key=lambda place: (-judged[place]["top1"], judged[place]["loss"]))
        told: dict[str, Any] = {"select_top1": judged[best]["top1"], "select_loss": judged[best]["loss"]}
        if len(ended) < len(judged):
            told["diverged_lrs"] = [lr for lr, found in zip(self.base_lrs, judged, strict=True) if "diverged" in found]
        at_edge = self.base_lrs[best] in (min(self.base_lrs), max(self.base_lrs))
        return self.base_lrs[best], {**told, "lr_at_edge": at_edge}

    def _judge(self, start: Backbone, task: Task, folder: Path, base_lr: float, identity: str) -> dict[str, Any]:
        """Top-1 and loss on `select` of a training on `train`, or how it `diverged`; kept, so that it is made once."""
        begin(folder, identity)
        if (folder / JUDGED).is_file():
            kept: dict[str, Any] = json.loads((folder / JUDGED).read_text(encoding="utf-8"))
            return kept
        try:
            trained, _ = self._trained(start, task.train, task, folder, base_lr)
        except Diverged as error:
            found: dict[str, Any] = {"diverged": str(error).splitlines()[0]}
            write_json(folder / JUDGED, found)
            return found
        by_parts = self.views.sampling == "segments"
        select = _read(trained, task.select, task, EvalViews(sampling="segments") if by_parts else CENTRE)
        logits, label = torch.from_numpy(select.centre()), torch.from_numpy(select.label)
        found = {
            "top1": float((logits.argmax(dim=1) == label).double().mean()),
            "loss": float(F.cross_entropy(logits, label)),
        }
        write_json(folder / JUDGED, found)
        (folder / LAST).unlink(missing_ok=True)
        return found

    def _final(
        self, start: Backbone, task: Task, out: Path, base_lr: float, identity: str
    ) -> tuple[Network, dict[str, Any]]:
        """The classifier on all training videos; one that a former call has left whole is taken."""
        folder = out / "training"
        begin(folder, identity)
        if is_classifier(out) and read_settings(out).identity == identity:
            trained, saved = load_classifier(out)
            return trained, dict(saved.training)
        fit = Samples.concatenate([task.train, task.select])
        trained, told = self._trained(start, fit, task, folder, base_lr)
        saved = Saved(
            backbone=task.backbone, clip=task.clip, views=self.views, label=task.label, classes=task.classes,
            identity=identity, training=told,
        )  # fmt: skip
        save_classifier(out, trained, saved)
        (folder / LAST).unlink(missing_ok=True)  # it holds no more than this, and the optimiser's averages
        return trained, told

    def _trained(
        self, start: Backbone, samples: Samples, task: Task, folder: Path, base_lr: float
    ) -> tuple[Network, dict[str, Any]]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.seed)
            made = network(copy.deepcopy(start).cpu(), len(task.classes), self.dropout, self.init_scale)
        made.train()
        blocks = set_drop_path(made.encoder, self.drop_path)
        study = tuning(
            Classifier(made, task.label, self.mixing, self.ema_decay), samples, task,
            views=self.training_views(task.clip), train=self._train(task), optimiser=self.optimiser(base_lr),
            epochs=self.epochs, folder=folder,
        )  # fmt: skip
        meter = tune(study, folder, Console(stderr=True))
        told = {
            "steps": study.steps,
            "training_seconds": round(meter.seconds, 2),
            "blocks_with_drop_path": blocks,
            "replaced": study.datamodule.bad.listed(),
        }
        return study.method.evaluated.cpu().eval(), told

    def optimiser(self, base_lr: float) -> AdamW:
        """Of a training whose batch counts every repeat, as its rate does not."""
        return AdamW(
            base_lr=base_lr, weight_decay=self.weight_decay, betas=BETAS, layer_decay=self.layer_decay,
            reference_batch=REFERENCE_BATCH * self.repeats,
            schedule=Schedule(
                warmup_fraction=self.warmup_epochs / self.epochs, floor=self.min_lr / base_lr, inclusive=True
            ),
        )  # fmt: skip

    def _train(self, task: Task) -> Train:
        return Train(
            batch_size=self.batch_size * self.repeats,
            accumulate=self.accumulate,
            precision="bf16-mixed" if task.precision == "bf16" else "32-true",
            clip_grad_norm=self.clip_grad_norm,
        )

    def training_views(self, clip: Clip) -> Views:
        """Clips of training, in time as those of the test."""
        view = View(
            frames=clip.frames, size=clip.size, augment=self.augment, sampling=TRAINED_ON[self.views.sampling],
            stride=None if self.views.sampling == "segments" else clip.stride,
        )  # fmt: skip
        return Views(repeats=self.repeats, clip=view)


def _untrained(task: Task) -> Backbone:
    """The backbone as `encoder=random` gives it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        return construct(task.backbone, Backbone, "backbone")


def _read(trained: Network, samples: Samples, task: Task, views: EvalViews) -> Labelled:
    """Logits [n, V, K] in place of features; each video once, whatever the number of devices."""
    carrying = samples.take(samples.labels[task.label] >= 0)
    return labelled(cast(Backbone, trained), carrying, task, views)

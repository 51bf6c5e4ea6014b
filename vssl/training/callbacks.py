"""What happens around optimiser steps: seeds, curves, checkpoints, signals. Each does one thing.

Lightning runs callbacks in the order given; `Curves` stands before `Checkpoints`, so that no row is newer than a
checkpoint which claims its step. A step is over when `trainer.global_step` has changed at the end of a micro-batch.
"""

import csv
import math
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import pytorch_lightning as pl
import torch

from vssl.config.errors import WorkError
from vssl.datamodule import VideoDataModule
from vssl.method import Method
from vssl.records.atomic import atomic, write_text
from vssl.video.draws import sample_keys


class StepSeed(pl.Callback):
    """Dropout and drop path draw from torch's generator: it is seeded by (seed, rank, micro-batch), so that nothing of
    it needs to be stored."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        place = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        torch.manual_seed(int(sample_keys(self.seed, trainer.global_rank, torch.tensor([place]).numpy())[0]))


class StepCallback(pl.Callback):
    """Base of callbacks that act once per optimiser step, after it."""

    def __init__(self) -> None:
        self._last_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last_step = trainer.global_step

    def stepped(self, trainer: pl.Trainer) -> bool:
        if trainer.global_step == self._last_step:
            return False
        self._last_step = trainer.global_step
        return True


class Meter(StepCallback):
    """Wall time of the whole training over all its starts, and the share of it spent waiting for clips."""

    def __init__(self, datamodule: VideoDataModule) -> None:
        super().__init__()
        self.datamodule = datamodule
        self.seconds = 0.0
        self.waited = 0.0
        self._mark = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._mark = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        now = time.perf_counter()
        self.waited += max(0.0, self.datamodule.fetched_at - self._mark)
        self.seconds += now - self._mark
        self._mark = now

    @property
    def wait_share(self) -> float:
        return self.waited / self.seconds if self.seconds else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.waited = state_dict["seconds"], state_dict["waited"]


class Curves(StepCallback):
    """`metrics.csv`: one row an optimiser step, appended by whole lines, cut back to the checkpoint on resume.

    Lightning's CSV logger deletes an existing file when it starts, and would lose the curve before a resume.
    """

    def __init__(self, path: Path, datamodule: VideoDataModule, meter: Meter, batch_size: int) -> None:
        super().__init__()
        self.path, self.datamodule, self.meter, self.batch_size = path, datamodule, meter, batch_size
        self.row: dict[str, Any] = {}
        self._sums: dict[str, float] = {}
        self._parts = 0
        self._file: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.is_global_zero:
            cut_back(self.path, trainer.global_step)
            self._file = self.path.open("a", buffering=1, newline="", encoding="utf-8")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, Method)
        for name, term in pl_module.last_terms.items():
            if term.ndim == 0:
                self._sums[name] = self._sums.get(name, 0.0) + float(term)
        self._parts += 1
        if self.stepped(trainer):
            self._write(trainer, {name: total / self._parts for name, total in self._sums.items()})
            self._sums, self._parts = {}, 0

    def _write(self, trainer: pl.Trainer, terms: dict[str, float]) -> None:
        step = trainer.global_step
        if not math.isfinite(terms["loss"]):
            raise WorkError(
                f"the loss is {terms['loss']} at step {step}",
                "the last checkpoint is from before; a lower optim.base_lr, a longer optim.schedule.warmup_fraction "
                "or train.clip_grad_norm=1 are the usual cures",
            )
        digests = {f"clips.{place['name']}": place["digest"][:16] for place in self.datamodule.digests()}
        self.row = {
            "step": step,
            "epoch": self.datamodule.sampler().epoch_of(step - 1),
            "samples": step * self.batch_size,
            **terms,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(self.meter.seconds, 3),
            "wait_share": round(self.meter.wait_share, 4),
            **digests,
        }
        if self._file is None:
            return
        writer = csv.DictWriter(self._file, list(self.row), lineterminator="\n")
        if self._file.tell() == 0:
            writer.writeheader()
        writer.writerow(self.row)
        for logger in trainer.loggers:
            scalars = {key: value for key, value in self.row.items() if isinstance(value, (int, float))}
            logger.log_metrics(scalars, step=step)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")


def cut_back(path: Path, step: int) -> None:
    """Drop rows newer than `step` and a last line that a killed run left unfinished."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    kept = whole[:1] + [line for line in whole[1:] if int(line.split(",", 1)[0]) <= step]
    if kept != lines:
        write_text(path, "".join(kept))


class Checkpoints(StepCallback):
    """`last.ckpt` every `every` steps, at the end, and when a signal asks the run to stop.

    Only outside an accumulation window: gradients of a half-filled one would be lost. SIGTERM and SIGINT end the run
    with 143 and 130 after the checkpoint; a second signal ends it at once.
    """

    def __init__(self, path: Path, every: int) -> None:
        super().__init__()
        self.path, self.every = path, every
        self._signal: int | None = None
        self._former: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        # Lightning has installed its own by now; they would end the run with exit code 0 and without a checkpoint.
        for number in (signal.SIGTERM, signal.SIGINT):
            self._former[number] = signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise SystemExit(128 + number)
        self._signal = number

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not self.stepped(trainer):
            return
        step = trainer.global_step
        if self._signal is not None or step % self.every == 0 or step == trainer.max_steps:
            self.save(trainer)
        if self._signal is not None:
            raise SystemExit(128 + self._signal)

    def save(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.path)
            return
        with atomic(self.path) as temporary:
            trainer.save_checkpoint(temporary)

    def on_train_end(self, *_: Any) -> None:
        self._restore()

    def on_exception(self, *_: Any) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

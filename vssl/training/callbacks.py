"""What happens around optimiser steps: seeds, curves, checkpoints, signals. Each does one thing.

Lightning runs callbacks in the order given; `Curves` stands before `Checkpoints`, so that no row is newer than a
checkpoint which claims its step. A step is over when `trainer.global_step` has changed at the end of a micro-batch.
"""

import contextlib
import csv
import logging
import math
import signal
import time
from collections.abc import Callable, Collection, Sequence
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
from vssl.ranks import gather
from vssl.records.atomic import atomic, refused, write_text
from vssl.training.energy import Energy
from vssl.training.memory import peak_bytes
from vssl.video.draws import sample_keys

logger = logging.getLogger(__name__)

CURVES = "metrics.csv"
KEPT = "step-{}.ckpt"


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


class Probe(StepCallback):
    """Measures the encoder now and then, on rank 0 alone; its `seconds` are not the training's. `off` says why it does
    not, where it does not."""

    seconds = 0.0
    off = ""

    def row(self) -> dict[str, float | str]:
        """For `metrics.csv`: the same keys at every step of a run."""
        raise NotImplementedError(f"{type(self).__name__} must define row()")


class Meter(StepCallback):
    """Wall time of the whole training over all its starts, the share of it spent waiting for clips, the energy where
    GPUs tell it, and at the end the peak memory of all ranks together.

    Args:
        energy: of the GPUs of all ranks; what the probe uses is in it.
    """

    def __init__(self, datamodule: VideoDataModule, probe: Probe | None = None, energy: Energy | None = None) -> None:
        super().__init__()
        self.datamodule, self.probe, self.energy = datamodule, probe, energy or Energy(0)
        self._before: float | None = 0.0  # joules of former starts
        self._energy_mark: float | None = None
        self._probed = 0.0
        self.seconds = 0.0
        self.waited = 0.0
        self.peak_bytes = 0
        self._mark = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._mark = time.perf_counter()
        self._probed = self.probe.seconds if self.probe else 0.0
        self._energy_mark = self.energy.joules()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        now = time.perf_counter()
        if self.probe:
            self._mark += self.probe.seconds - self._probed
            self._probed = self.probe.seconds
        self.waited += max(0.0, self.datamodule.fetched_at - self._mark)
        self.seconds += now - self._mark
        self._mark = now

    def on_train_end(self, *_: Any) -> None:
        self.peak_bytes = sum(gather(peak_bytes()))

    @property
    def wait_share(self) -> float:
        return self.waited / self.seconds if self.seconds else 0.0

    @property
    def joules(self) -> float | None:
        """Of all starts up to now; None where one of them had no counter."""
        now = self.energy.joules()
        if self._before is None or self._energy_mark is None or now is None:
            return None
        return self._before + now - self._energy_mark

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "waited": self.waited, "joules": self.joules}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.waited = state_dict["seconds"], state_dict["waited"]
        self._before = state_dict.get("joules")


class Curves(StepCallback):
    """`metrics.csv`: one row an optimiser step, appended by whole lines, cut back to the checkpoint on resume.

    Lightning's CSV logger deletes an existing file when it starts, and would lose the curve before a resume.

    Args:
        rows: further columns, the same at every step.
    """

    def __init__(
        self,
        path: Path,
        datamodule: VideoDataModule,
        meter: Meter,
        batch_size: int,
        rows: Sequence[Callable[[], dict[str, float | str]]] = (),
    ) -> None:
        super().__init__()
        self.path, self.datamodule, self.meter, self.batch_size = path, datamodule, meter, batch_size
        self.rows = rows
        self.row: dict[str, Any] = {}
        self._terms: dict[str, list[float]] = {}
        self._columns: list[str] = []
        self._file: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.is_global_zero:
            self._columns = cut_back(self.path, trainer.global_step)
            self._file = self.path.open("a", buffering=1, newline="", encoding="utf-8")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, Method)
        for name, term in pl_module.last_terms.items():
            if term.ndim == 0:
                self._terms.setdefault(name, []).append(float(term))
        if self.stepped(trainer):
            ranks = gather({name: _mean(name, values) for name, values in self._terms.items()})
            self._write(trainer, {name: _mean(name, [terms[name] for terms in ranks]) for name in ranks[0]})
            self._terms = {}

    def _write(self, trainer: pl.Trainer, terms: dict[str, float]) -> None:
        step = trainer.global_step
        digests = {f"clips.{place['name']}": place["digest"][:16] for place in self.datamodule.digests()}
        self.row = {
            "step": step,
            "epoch": self.datamodule.sampler().epoch_of(step - 1),
            "samples": step * self.batch_size,
            **{name: "" if name != "loss" and math.isnan(value) else value for name, value in terms.items()},
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(self.meter.seconds, 3),
            "wait_share": round(self.meter.wait_share, 4),
            **{key: value for row in self.rows for key, value in row().items()},
            **digests,
        }
        if self._file is None:
            return
        try:
            # A run that goes on may be watched by more or fewer callbacks than it began with.
            columns = self._columns or list(self.row)
            writer = csv.DictWriter(self._file, columns, restval="", extrasaction="ignore", lineterminator="\n")
            if not self._columns:
                writer.writeheader()
                self._columns = columns
            writer.writerow(self.row)
            self._file.flush()
        except OSError as error:
            raise refused(self.path, error) from error
        for watcher in trainer.loggers:
            scalars = {key: value for key, value in self.row.items() if isinstance(value, (int, float))}
            watcher.log_metrics(scalars, step=step)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk has been told already
                self._file.close()
            self._file = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")


def _mean(name: str, values: Sequence[float]) -> float:
    """Of the micro-batches or ranks of a step; where a term has no value (the accuracy on no clip), of the others."""
    known = [value for value in values if name == "loss" or not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def cut_back(path: Path, step: int) -> list[str]:
    """Drop rows newer than `step` and a last line that a killed run left unfinished; returns the columns.

    A file that somebody else damaged is kept beside the new one, which begins with what can be read of it.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if path.exists() else []
    header = lines[0] if lines and lines[0].startswith("step,") else ""
    rows = {number: line for line in lines if (number := _step_of(line, header)) is not None}
    kept = "".join([header, *(rows[number] for number in sorted(rows) if number <= step)])
    if lost := step - sum(number <= step for number in rows):
        logger.warning("%s lacks %d of the %d steps that are done: the curve has gaps", path, lost, step)
        if lines:
            path.replace(path.with_suffix(".damaged.csv"))
    if kept != "".join(lines) or (lost and lines):
        write_text(path, kept)
    return header.rstrip("\n").split(",") if header else []


def _step_of(line: str, header: str) -> int | None:
    """The step of a whole row, None of anything else."""
    first, _, _ = line.partition(",")
    is_whole = line.endswith("\n") and line.count(",") == header.count(",")
    return int(first) if is_whole and first.isascii() and first.isdigit() else None


class Announce(pl.Callback):
    """Says what `found` has to tell after a micro-batch, on rank 0."""

    def __init__(self, found: Callable[[], str | None], say: Callable[[str], None]) -> None:
        self.found, self.say = found, say

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if (text := self.found()) and trainer.is_global_zero:
            self.say(text)


class Diverged(WorkError):
    """A loss or weights are no finite numbers."""


class Checkpoints(StepCallback):
    """`last.ckpt` every `every` steps, at the end, and when a signal asks the run to stop.

    Only outside an accumulation window: gradients of a half-filled one would be lost. SIGTERM and SIGINT end the run
    with 143 and 130 after the checkpoint; a second signal ends it at once. What is not finite is never saved.

    Args:
        name: the method's, for messages.
        curves: hold the loss of the step, averaged over micro-batches and ranks.
        cures: the settings that usually help where numbers are not finite any more.
        kept: after these steps one more is written, `step-N.ckpt`, that nothing takes the place of.
    """

    def __init__(
        self, path: Path, every: int, name: str, curves: Curves, cures: str, kept: Collection[int] = ()
    ) -> None:
        super().__init__()
        self.path, self.every, self.name, self.curves, self.cures = path, every, name, curves, cures
        self.kept = kept
        self._saved_step: int | None = None
        self._signal: int | None = None
        self._former: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._saved_step = trainer.global_step or None
        # Lightning has installed its own by now; they would end the run with exit code 0 and without a checkpoint.
        for number in (signal.SIGTERM, signal.SIGINT):
            self._former[number] = signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise SystemExit(128 + number)
        self._signal = number

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if not self.stepped(trainer):
            return
        step = trainer.global_step
        if not math.isfinite(loss := self.curves.row["loss"]):
            raise self._not_finite(f"the loss of {self.name} is {loss} at step {step}")
        # Any rank may have been asked, by a signal or by a callback; all of them stop at the same step.
        self._signal = max(gather(self._signal or (signal.SIGINT if trainer.should_stop else 0))) or None
        if self._signal is not None or step % self.every == 0 or step == trainer.max_steps:
            self.save(trainer, pl_module)
        if step in self.kept:
            self._write(trainer, pl_module, self.path.with_name(KEPT.format(step)))
        if self._signal is not None:
            raise SystemExit(128 + self._signal)

    def save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, pl_module, self.path)
        self._saved_step = trainer.global_step

    def _write(self, trainer: pl.Trainer, pl_module: pl.LightningModule, path: Path) -> None:
        if not all(bool(torch.isfinite(weights).all()) for weights in pl_module.parameters()):
            raise self._not_finite(f"weights of {self.name} are not finite after step {trainer.global_step}")
        if trainer.is_global_zero:
            with atomic(path) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(path)  # writes nothing, and waits for rank 0

    def _not_finite(self, what: str) -> "Diverged":
        good = f"the last good checkpoint is {self.path}, of step {self._saved_step}"
        return Diverged(
            what,
            f"{good if self._saved_step else 'there is no checkpoint from before'}; {self.cures} are the usual cures",
        )

    def on_train_end(self, *_: Any) -> None:
        self._restore()

    def on_exception(self, *_: Any) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

"""Progress that a person can read: a live bar on a terminal, a line now and then in a log."""

import time
from typing import Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vssl.training.callbacks import Curves, Meter, StepCallback

LOG_EVERY_S = 15.0


class Bar(StepCallback):
    """Loss, clips/s, share of waiting for clips, and time left, per optimiser step."""

    def __init__(self, name: str, curves: Curves, meter: Meter, console: Console) -> None:
        super().__init__()
        self.name, self.curves, self.meter, self.console = name, curves, meter, console
        self._bar: Progress | None = None
        self._task: Any = None
        self._first = (0, 0.0)
        self._spoke = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._first = (trainer.global_step, time.perf_counter())
        self._spoke = time.perf_counter()
        if trainer.is_global_zero and self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"), TimeRemainingColumn(compact=True), TextColumn("left"),
                console=self.console, transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=trainer.max_steps, state="")

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not self.stepped(trainer) or not trainer.is_global_zero:
            return
        now = time.perf_counter()
        rate = (trainer.global_step - self._first[0]) / max(1e-9, now - self._first[1])
        state = (
            f"loss {self.curves.row['loss']:.4f}  {rate * self.curves.batch_size:.0f} clips/s  "
            f"waiting {self.meter.wait_share:.0%}"
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=trainer.global_step, state=state)
        elif now - self._spoke >= LOG_EVERY_S:
            self._spoke = now
            left = (trainer.max_steps - trainer.global_step) / rate
            self.console.print(
                f"{self.name}  step {trainer.global_step}/{trainer.max_steps}  {state}  {left:.0f} s left",
                highlight=False, soft_wrap=True,
            )  # fmt: skip

    def on_train_end(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_exception(self, *_: Any) -> None:
        self.on_train_end()

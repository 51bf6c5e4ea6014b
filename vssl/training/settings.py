"""What a run may be told: training settings, where it runs, and what is passed on to Lightning's Trainer."""

import os
from dataclasses import dataclass
from typing import Any, Literal

from vssl.config.errors import ConfigError, nearest
from vssl.training.meeting import nodes


@dataclass(frozen=True)
class Train:
    """Settings that change the numbers of a training.

    Args:
        batch_size: clips in one optimiser step, over all ranks and micro-batches.
        accumulate: micro-batches in one optimiser step.
        precision: Lightning's name of the arithmetic; losses stay in fp32.
        compile: `torch.compile` for the method's losses, encoder included; the first step then takes a minute or so.
        strategy: `ddp`: one process a device, each with its share of every batch; `auto`: that where there are several.
        clip_grad_norm: largest norm of all gradients together; None leaves them alone.
    """

    batch_size: int = 64
    accumulate: int = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    strategy: Literal["auto", "ddp"] = "auto"
    clip_grad_norm: float | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.accumulate < 1 or self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size={self.batch_size} and accumulate={self.accumulate} must be positive, the second a divisor"
            )


@dataclass(frozen=True)
class Run:
    """Where and how fast a run is made; nothing here enters a hash.

    Args:
        out: folder of all runs.
        name: the run's folder in it; None: `<method>-<backbone>-<data>-s<seed>-<hash8>`.
        workers: loader processes; None: one per spare core for decoding, none for a prepared set.
        threads: torch threads of a process; None: max(1, (cores - 1) / devices). Another number changes sums in their
            last bits.
        device: "auto" takes a GPU where there is one.
        devices: processes that train together, a GPU each where there are GPUs, on all nodes of a job; None: 1, and
            every GPU with `train.strategy=ddp`.
        save_steps: optimiser steps between checkpoints.
        health_steps: optimiser steps between two measurements of the features' spread.
        probe_times: how often in a training kNN on held-back training videos is asked; 0: never.
        probe_videos: training videos that this takes, at most.
        branches: budgets of shorter runs, in the unit of this one's: where each of them begins to cool down a
            checkpoint is kept (`optim.schedule.after=cooldown`).
        branch_of: folder of the longer run whose checkpoint this one begins with. It ends with the very weights that
            it would have come to alone, and costs its cool-down.
    """

    out: str = "runs"
    name: str | None = None
    workers: int | None = None
    threads: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int | None = None
    save_steps: int = 200
    health_steps: int = 20
    probe_times: int = 10
    probe_videos: int = 512
    branches: tuple[float, ...] = ()
    branch_of: str | None = None

    def __post_init__(self) -> None:
        least = {"workers": 0, "threads": 1, "devices": 1, "save_steps": 1, "health_steps": 1, "probe_times": 0}
        for key, lowest in {**least, "probe_videos": 8}.items():
            value = getattr(self, key)
            if value is not None and value < lowest:
                raise ValueError(f"{key}={value} must be {lowest} or more")
        if self.name is not None and (not self.name or "/" in self.name or self.name in (".", "..")):
            raise ValueError(f"name={self.name!r} must be the name of one folder; its place is run.out")

    def device_count(self, strategy: str) -> int:
        """Processes of a training. Raises ConfigError where there are fewer GPUs."""
        gpus = _gpus() if self.device != "cpu" else 0
        if self.device == "cuda" and not gpus:
            raise ConfigError(
                "run.device=cuda: torch finds no GPU here", "run.device=auto takes one where there is one"
            )
        if self.devices is None:
            if strategy == "ddp" and not gpus:
                raise ConfigError("train.strategy=ddp finds no GPU here", "say how many processes: run.devices=2")
            return gpus if strategy == "ddp" else 1
        if gpus and self.devices > gpus:
            raise ConfigError(f"run.devices={self.devices}: there are {gpus} GPU(s)", "run.device=cpu uses none")
        return self.devices

    def thread_count(self, devices: int = 1) -> int:
        return self.threads if self.threads is not None else max(1, (cores() - 1) // _here(devices))

    def worker_count(self, decoder: str, devices: int = 1) -> int:
        if self.workers is not None:
            return self.workers
        return 0 if decoder == "prepared" else max(1, min(8, (cores() - 1) // _here(devices)))


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() * nodes()


def _here(devices: int) -> int:
    """Of so many processes, those that share this one's cores; a scheduler gives each rank cores of its own."""
    return 1 if nodes() > 1 else devices


def cores() -> int:
    """Cores that this process may use, which a scheduler can have cut to fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


OWNED = {
    "max_steps": "budget.steps", "max_epochs": "budget.epochs", "min_steps": "budget.steps",
    "min_epochs": "budget.epochs", "max_time": "budget", "precision": "train.precision", "devices": "run.devices",
    "accelerator": "run.device", "strategy": "train.strategy", "accumulate_grad_batches": "train.accumulate",
    "gradient_clip_val": "train.clip_grad_norm", "gradient_clip_algorithm": "train.clip_grad_norm",
    "limit_train_batches": "budget.samples", "overfit_batches": "data.num_videos", "num_nodes": "run.devices",
    "reload_dataloaders_every_n_epochs": "data", "barebones": "run", "logger": "logger", "callbacks": "method",
    "default_root_dir": "run.out", "enable_checkpointing": "run.save_steps", "enable_progress_bar": "run",
    "use_distributed_sampler": "data", "num_sanity_val_steps": "eval",
}  # fmt: skip


class TrainerOptions:
    """Further arguments of Lightning's Trainer (`trainer.profiler=simple`, `trainer.fast_dev_run=true`, ...).

    Refused is what another key decides, and what would end or restart Lightning's one endless epoch: clips would be
    read twice.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        if not options:
            return
        from vssl import _torchvision  # noqa: F401  (before Lightning)

        # isort: split
        import inspect

        import pytorch_lightning as pl

        allowed = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"} - set(OWNED)
        for key in options:
            if key in OWNED:
                raise ConfigError(f"trainer.{key} is decided elsewhere: use {OWNED[key]}")
            if key not in allowed:
                raise ConfigError(f"trainer.{key}: Lightning's Trainer has no such argument{nearest(key, allowed)}")

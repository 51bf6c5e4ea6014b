"""From a bound configuration to built objects: data set, method on a backbone, trainer."""

import copy
import inspect
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import pytorch_lightning as pl
import torch

from vssl.backbones.base import Backbone
from vssl.checkpoints.load import fill_from
from vssl.checkpoints.report import Report
from vssl.config.bind import BESIDE, bind, construct, import_target
from vssl.config.budget_rule import LIMITS
from vssl.config.compose import Composed, compose
from vssl.config.errors import ConfigError, UserError, nearest
from vssl.config.paths import take_paths
from vssl.datamodule import Loading, VideoDataModule
from vssl.method import Method
from vssl.records.hashes import file_hash, part_hashes, trial_hash
from vssl.records.weights import weights_file
from vssl.training.budgets import Budget
from vssl.training.callbacks import StepSeed
from vssl.training.checkpoint_io import StreamedCheckpoints
from vssl.training.flops import StepCost, step_cost
from vssl.training.gradients import Gradients
from vssl.training.launch import Place
from vssl.training.loggers import loggers
from vssl.training.optimisers import Optimiser
from vssl.training.settings import Run, Train, TrainerOptions
from vssl.training.timing import AT_MOST, seconds_per_step
from vssl.video.views import Views


@dataclass
class Study:
    """One training, built but not started; cheap parts at once, costly ones when they are asked for."""

    bound: dict[str, Any]
    choices: Mapping[str, str]
    datamodule: VideoDataModule
    views: Views
    train: Train
    run: Run
    budget: Budget
    optimiser: Optimiser
    seed: int
    start: Report | None = None  # what the first weights were loaded from, once `method` is built

    # Where a training diverges.
    cures: ClassVar[str] = "a lower optim.base_lr, a longer optim.schedule.warmup_fraction or train.clip_grad_norm=1"

    @cached_property
    def content_hash(self) -> str:
        return self.datamodule.content_hash()

    @cached_property
    def hashes(self) -> dict[str, str]:
        return part_hashes(self.bound, self.content_hash)

    @property
    def name(self) -> str:
        if self.run.name is not None:
            return self.run.name
        parts = [self.choices[group] for group in ("method", "backbone", "data")]
        return "-".join([*parts, f"s{self.seed}", trial_hash(self.bound, self.content_hash)[:8]])

    @property
    def folder(self) -> Path:
        return Path(self.run.out) / self.name

    @cached_property
    def devices(self) -> int:
        """Processes that train together."""
        return self.run.device_count(self.train.strategy)

    @property
    def workers(self) -> int:
        return self.run.worker_count(self.datamodule.decoder, self.devices)

    @cached_property
    def label(self) -> str | tuple[str, ...] | None:
        """The label that the method learns from, or several, one a data set; None for a method without labels."""
        if not _names(self.bound["method"], "num_classes"):
            return None
        label = self.bound["method"]["label"]
        return label if isinstance(label, str) else tuple(label)

    @cached_property
    def method(self) -> Method:
        torch.manual_seed(self.seed)  # the encoder comes first: every method starts from the same one
        encoder = construct(self.bound["backbone"], Backbone, "backbone")
        assert isinstance(encoder, Backbone)
        self.start = start_from(encoder, self.bound["backbone"])
        micro_batch = self.train.batch_size // self.train.accumulate // self.devices
        cls = import_target(self.bound["method"]["_target_"])
        if issubclass(cls, Method) and (reason := cls.refuses(encoder, self.views.names, micro_batch)):
            raise UserError(f"method={self.choices['method']} on backbone={self.choices['backbone']}: {reason}")
        provided: dict[str, Any] = {"encoder": encoder}
        if isinstance(self.label, str):
            provided["num_classes"] = len(self.datamodule.classes[self.label])
        elif self.label is not None:
            provided["num_classes"] = [len(self.datamodule.classes[label]) for label in self.label]
        method = construct(self.bound["method"], Method, "method", **provided)
        assert isinstance(method, Method)
        return method

    def check(self) -> None:
        """Raises UserError for what cannot work; no video is opened and no folder made."""
        for name, view in self.views.positions:
            try:
                self.method.encoder.grid((view.frames, view.size, view.size))
            except ValueError as error:
                raise ConfigError(f"views.{name}: {error}") from error
        if self.train.precision == "16-mixed":
            self._refuse_to_clip_scaled()
        self.attach()
        self.datamodule.sampler()

    def _refuse_to_clip_scaled(self) -> None:
        hint = "train.precision=bf16-mixed scales nothing"
        if self.optimiser.clip_tensor_norm is not None:
            raise ConfigError(
                "optim.clip_tensor_norm: train.precision=16-mixed would clip gradients before they are unscaled", hint
            )
        if self.optimiser.fused and self.train.clip_grad_norm is not None:
            raise ConfigError(
                f"train.clip_grad_norm: with train.precision=16-mixed {type(self.optimiser).__name__} unscales "
                "gradients in its own step, and none can be clipped before",
                hint,
            )

    def attach(self, steps: int = 1) -> None:
        """Tell the data set how this run reads it."""
        self.datamodule.attach(
            Loading(
                views=self.views, batch_size=self.train.batch_size, seed=self.seed, accumulate=self.train.accumulate,
                steps=steps, workers=self.workers, devices=self.devices, label=self.label,
            )
        )  # fmt: skip

    @cached_property
    def cost(self) -> StepCost:
        """Of one micro-batch of one device; read before training, since it takes the first one."""
        return step_cost(self.method, self.datamodule.first_batch())

    @property
    def flops_per_step(self) -> float:
        return self.cost.flops * self.train.accumulate * self.devices

    @cached_property
    def steps(self) -> int:
        """Optimiser steps that the budget pays for."""
        return self.steps_of(self.budget)

    def steps_of(self, budget: Budget) -> int:
        return budget.to_steps(
            batch_size=self.train.batch_size,
            batches_per_epoch=self.datamodule.sampler().batches_per_epoch,
            views=len(self.views.positions),
            flops_per_step=lambda: self.flops_per_step,
            seconds_per_step=self._timed,
        )

    def _timed(self) -> float:
        bound = {**self.bound, "budget": {**_without_limits(self.bound["budget"]), "steps": AT_MOST}}
        twin = assemble(Composed(bound, dict(self.choices)), bound)
        return seconds_per_step(twin, ranks_of(twin))

    def prepare(self) -> None:
        """Join method, optimiser and data set for `steps` optimiser steps."""
        self.attach()
        steps = self.steps
        self.attach(steps)
        self.method.total_steps = steps
        self.method.optimiser_factory = lambda method: self.optimiser.build(method, self.train.batch_size, steps)
        if self.train.compile:
            _refuse_without_compiler()
            # The losses and not the encoder: a masked method never calls the encoder's forward.
            self.method.compiled_losses = torch.compile(self.method.losses)

    def trainer(
        self,
        callbacks: Sequence[pl.Callback] = (),
        folder: Path | None = None,
        place: Place | None = None,
    ) -> pl.Trainer:
        """Lightning's Trainer for this run: one endless epoch, since only that resumes exactly.

        Args:
            place: which of several processes this is; None: Lightning starts the others where there are several.
        """
        _quieten()
        options = construct(self.bound["trainer"], TrainerOptions, "trainer")
        assert isinstance(options, TrainerOptions)
        return pl.Trainer(
            max_steps=self.steps,
            max_epochs=-1,
            accumulate_grad_batches=self.train.accumulate,
            precision=self.train.precision,
            accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[self.run.device],
            devices=self.devices // (place.nodes if place else 1),
            num_nodes=place.nodes if place else 1,
            strategy="ddp" if self.devices > 1 else "auto",
            # Batch statistics are those of the whole micro-batch where torch can gather them: on GPUs.
            sync_batchnorm=self.devices > 1 and torch.cuda.is_available() and self.run.device != "cpu",
            plugins=[StreamedCheckpoints(), *([place] if place else [])],
            logger=(loggers(self.bound.get("logger") or {}, folder, self.bound) if folder else []) or False,
            callbacks=[StepSeed(self.seed), Gradients(self.train.clip_grad_norm), *callbacks],
            default_root_dir=folder,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            **{"enable_model_summary": False, "num_sanity_val_steps": 0, **options.options},
        )


@dataclass(frozen=True)
class Built:
    """What `vssl.build` gives: `trainer.fit(method, datamodule)` trains, `method.exported` is the encoder."""

    datamodule: VideoDataModule
    method: Method
    trainer: pl.Trainer
    config: dict[str, Any]


def build(overrides: Sequence[str] = ()) -> Built:
    """Build data set, method and trainer from overrides as on the command line; nothing is written.

    >>> run = vssl.build(["method=simsiam", "backbone=vit_nano", "scale=smoke"])
    >>> run.trainer.fit(run.method, run.datamodule)
    """
    words, paths = take_paths(overrides)
    composed = compose(words, paths=paths)
    study = assemble(composed)
    study.check()
    study.prepare()
    return Built(study.datamodule, study.method, study.trainer(), study.bound)


def assemble(composed: Composed, bound: dict[str, Any] | None = None) -> Study:
    """Bind and check everything that can be checked before data is touched."""
    bound = copy.deepcopy(bound if bound is not None else bind(composed.tree))
    pin_weights(bound)
    parts = {
        name: construct(bound[node], expected, node)
        for name, node, expected in (
            ("train", "train", Train), ("run", "run", Run), ("budget", "budget", Budget), ("views", "views", Views),
            ("optimiser", "optim", Optimiser), ("trainer", "trainer", TrainerOptions),
        )
    }  # fmt: skip
    del parts["trainer"]
    datamodule = construct(bound["data"], VideoDataModule, "data")
    assert isinstance(datamodule, VideoDataModule)
    if _names(bound["method"], "num_classes"):
        _choose_label(bound["method"], datamodule)
    study = Study(bound=bound, choices=composed.choices, datamodule=datamodule, seed=bound["seed"], **parts)  # type: ignore[arg-type]
    torch.set_num_threads(study.run.thread_count(study.devices))
    return study


def ranks_of(study: Study) -> dict[str, Any]:
    """What further ranks make the same pretraining from, as plain data."""
    return {"study": f"{__name__}.study_of", "bound": study.bound, "choices": dict(study.choices)}


def study_of(task: Mapping[str, Any]) -> Study:
    """A pretraining as a further rank makes it."""
    return assemble(Composed(task["bound"], task["choices"]), task["bound"])


def _without_limits(budget: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in budget.items() if key not in LIMITS}


def pin_weights(bound: dict[str, Any]) -> None:
    """Writes the hash of the first weights beside their path, so that a bound configuration says what they were."""
    node = bound.get("backbone") or {}
    if node.get("weights") and "weights_sha256" not in node:
        node["weights_sha256"] = file_hash(weights_file(Path(node["weights"])))


def start_from(encoder: Backbone, node: Mapping[str, Any]) -> Report | None:
    """Fills the encoder with the weights that `backbone.weights` names, if any, and says what matched."""
    if not node.get("weights"):
        return None
    own = {name: value for name, value in node.items() if name not in BESIDE["backbone"]}
    report = fill_from(encoder, own, Path(node["weights"]))
    if report.sha256 != node.get("weights_sha256", report.sha256):
        raise UserError(
            f"backbone.weights={node['weights']}: the file is another one than this run began with",
            "put the former file there, or choose another run.name",
        )
    logging.getLogger("vssl").info(report.told())
    return report


def _choose_label(node: dict[str, Any], datamodule: VideoDataModule) -> None:
    """A method that learns from labels says which one, of a mix which ones: it is part of what the method is."""
    known = datamodule.classes
    if not known:
        raise ConfigError("the method learns from labels, the data set has none", "add a column 'label' to its list")
    if (given := node.get("label")) is None:
        given = list(datamodule.labels())[: len(datamodule.parts) or 1]
    labels = [given] if isinstance(given, str) else list(dict.fromkeys(given))
    for label in labels:
        if label not in known:
            ending = [one for one in known if one.endswith(f".{label}")]  # of a mix, without the name of its set
            meant = f"; did you mean '{ending[0]}'?" if ending else nearest(label, known)
            raise ConfigError(f"method.label={label}: the data set's labels are {', '.join(known)}{meant}")
        if label in datamodule.samples("train").multi:
            raise ConfigError(f"method.label={label}: its videos carry several classes each, the method learns one")
    if not labels:
        raise ConfigError("method.label=[]: no label is named", f"the data set's labels are {', '.join(known)}")
    node["label"] = labels[0] if len(labels) == 1 else labels


def _names(node: Mapping[str, Any], parameter: str) -> bool:
    return parameter in inspect.signature(import_target(node["_target_"])).parameters


def _refuse_without_compiler() -> None:
    """Without one, the first forward pass would fail deep inside torch."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise UserError("train.compile=true needs a C++ compiler, and none is found", "install g++") from error


def _quieten() -> None:
    """Lightning's advice is about defaults that this framework has decided."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric")
    warnings.filterwarnings("ignore", message=r".*(does not have many workers|GPU available|LeafSpec).*")

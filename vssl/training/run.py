"""One pretraining from its folder's first file to its record; the same call again goes on or finds it done."""

import datetime
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import pytorch_lightning as pl
import torch
from rich.console import Console
from safetensors.torch import save

from vssl.config.compose import Composed
from vssl.config.errors import UserError, WorkError
from vssl.config.render import to_yaml
from vssl.listed import lists_of, missing_of
from vssl.records.atomic import refused, remove_leftovers, writable, write_bytes, write_text
from vssl.records.environment import environment
from vssl.records.folders import BACKBONE, RECORD
from vssl.records.locks import FolderLock
from vssl.records.record import read_record, write_record
from vssl.records.run_config import CONFIG, other_than
from vssl.training.branches import Branch, branch_of, check_branches, kept_steps
from vssl.training.build import Study, assemble, ranks_of
from vssl.training.callbacks import CURVES, Announce, Checkpoints, Curves, Meter, Probe
from vssl.training.energy import Energy
from vssl.training.health import Health
from vssl.training.launch import Place, Ranks
from vssl.training.loggers import end
from vssl.training.memory import keep_freed, reset_peak
from vssl.training.optimisers import describe_rate
from vssl.training.progress import Bar
from vssl.training.settings import cores
from vssl.training.timing import Clock

LAST = "checkpoints/last.ckpt"


def pretrain(
    composed: Composed,
    bound: dict[str, Any],
    console: Console | None = None,
    probe: Callable[[Study], Probe] | None = None,
    known: Callable[[Path], None] | None = None,
) -> Path:
    """Train one method; returns the run's folder.

    A finished run is left as it is, an unfinished one goes on from its last checkpoint.

    Args:
        probe: makes the callback that measures the encoder now and then (`vssl.evaluation.online.online_probe`).
        known: is given the run's folder as soon as that is known.
    Raises:
        UserError: the request cannot work, and nothing was written; or the folder holds another configuration, then
            the keys that differ are named.
    """
    console = console or Console(stderr=True)
    study = assemble(composed, bound)
    if not (out := Path(bound["run"]["out"])).exists():
        writable(out, keep=False)  # before a made data set is written; what is finished may lie on a read-only disk
    study.check()
    check_branches(study)
    folder = study.folder
    if known is not None:
        known(folder)
    if _is_done(folder, study.bound):
        console.print(f"{study.name}: finished already", highlight=False, soft_wrap=True)
        return folder
    writable(folder)
    with FolderLock(folder):
        for place in (folder, (folder / LAST).parent):
            remove_leftovers(place)
        write_text(folder / CONFIG, to_yaml(study.bound))
        record = _first_record(study)
        former = _former(folder)
        if steps := former.get("budget", {}).get("steps"):  # timed again, a budget in seconds would be another one
            study.steps = record["budget"]["steps"] = steps
        branch = None if (folder / LAST).exists() else branch_of(study)
        record["branch"] = branch.told if branch else former.get("branch")
        write_record(folder, record)
        try:
            _fit(study, folder, record, console, probe(study) if probe else None, branch)
        except BaseException as error:
            if not isinstance(error, SystemExit | KeyboardInterrupt):
                failed = {"status": "failed", "error": _last_line(error), "finished": _now()}
                # On a full disk this fails as well, and what failed first is what has to be told.
                with suppress(WorkError):
                    write_record(folder, {**record, **failed, "clips": {"replaced": study.datamodule.bad.listed()}})
            raise
    return folder


def _fit(
    study: Study, folder: Path, record: dict[str, Any], console: Console, probe: Probe | None, branch: Branch | None
) -> None:
    if study.budget.seconds is not None and "steps" not in record["budget"]:
        say(study, folder, "some steps are timed, which tells how many a budget in seconds is", console)
    study.prepare()
    record["budget"]["steps"] = study.steps
    write_record(folder, record)
    say(study, folder, describe(study), console)
    if branch:
        branch.copy(folder / LAST)
        say(study, folder, f"begins with step {branch.step} of {branch.trunk}, and cools down", console)
    if missing := missing_of(study.datamodule):
        say(study, folder, missing, console)
    if mixture := study.datamodule.sampler().mixture:
        say(study, folder, mixture.told(), console)
    if probe and probe.off:
        say(study, folder, f"no online probe: {probe.off}", console)
    meter, health, trainer = fit(study, folder, {**ranks_of(study), "steps": study.steps}, console, probe)
    if trainer.global_step < study.steps:  # trainer.fast_dev_run
        say(study, folder, f"stopped after {trainer.global_step} of {study.steps} steps: not finished", console)
        return
    weights = {name: tensor.contiguous() for name, tensor in study.method.exported.state_dict().items()}
    write_bytes(folder / BACKBONE, save(weights))
    write_record(
        folder,
        {
            **record,
            "status": "done",
            "budget": _budget(study, meter),
            "clips": {
                "samples": study.steps * study.train.batch_size,
                "positions": study.datamodule.digests(),
                "padded": study.datamodule.padded,
                "clamped": study.datamodule.clamped,
                "replaced": study.datamodule.bad.listed(),
            },
            "health": {**health.summary(), **(probe.row() if probe else {})},
            "finished": _now(),
        },
    )
    say(study, folder, f"finished {study.steps} steps in {meter.seconds:.0f} s{_told(health, probe)}", console)
    if (bad := study.datamodule.bad).found:
        say(study, folder, f"{bad.counted} could not be read and were replaced by others: {bad.told()}", console)


def fit(
    study: Study, folder: Path, ranks: Mapping[str, Any], console: Console, probe: Probe | None = None
) -> tuple[Meter, Health, pl.Trainer]:
    """Trains what is prepared, from the folder's last checkpoint where there is one.

    Args:
        ranks: what further ranks make the same study from, as plain data: "study" names the function that is given it.
    """
    reset_peak()
    keep_freed()
    (folder / LAST).parent.mkdir(exist_ok=True)
    start = _whole_checkpoint(folder / LAST)
    with Ranks(study.devices, {**ranks, "folder": str(folder), "start": start}) as others:
        meter, health, trainer = _trainer(study, folder, console, others.place, probe)
        try:
            with _explained():
                trainer.fit(study.method, study.datamodule, ckpt_path=start, weights_only=True)
        finally:
            end(trainer.loggers)
    return meter, health, trainer


def _trainer(
    study: Study, folder: Path, console: Console, place: Place | None, probe: Probe | None = None
) -> tuple[Meter, Health, pl.Trainer]:
    """The same callbacks on every rank, since some of them gather; the probe is rank 0's alone."""
    # One process asks for all; of GPUs of other machines it knows nothing.
    gpus = study.devices if _on_gpu(study) and (place is None or place.nodes == 1) else 0
    meter = Meter(study.datamodule, probe, Energy(gpus))
    health = Health(study.run.health_steps)
    rows = [health.row, *([probe.row] if probe else [])]
    curves = Curves(folder / CURVES, study.datamodule, meter, study.train.batch_size, rows)
    checkpoints = Checkpoints(
        folder / LAST, study.run.save_steps, study.choices["method"], curves, study.cures, kept_steps(study)
    )
    bar = Bar(study.choices["method"], curves, meter, console)
    announce = Announce(health.warning, lambda text: say(study, folder, text, console))
    watching = [meter, health, *([probe] if probe else []), curves, bar, announce, checkpoints]
    return meter, health, study.trainer(watching, folder, place)


def _on_gpu(study: Study) -> bool:
    return torch.cuda.is_available() and study.run.device != "cpu"


def _told(health: Health, probe: Probe | None) -> str:
    """What was measured last, for the closing line."""
    found = health.summary()
    told = ""
    if found["effective_rank"] is not None:
        told += f"; features: effective rank {found['effective_rank']:.1f}, spread {found['feature_std']:.2f} of 1"
    if probe and isinstance(top1 := probe.row().get("probe_knn"), float):
        told += f"; online probe {top1:.1%}"
    return told


@contextmanager
def _explained() -> Iterator[None]:
    """Memory that ran out, in words that say what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        hint = "train.accumulate=2 halves it and trains on the same clips; a smaller train.batch_size does not"
        raise WorkError(f"the GPU's memory ran out: {str(error).splitlines()[0]}", hint) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        hint = "fewer run.workers need less memory; the same command goes on from the last checkpoint"
        raise WorkError(f"a loader process died, as they do when memory runs out: {error}", hint) from error


def _whole_checkpoint(path: Path) -> str | None:
    """Where training goes on from; None where it begins. A damaged one is never taken for none."""
    if not path.exists():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise UserError(
            f"{path} is no whole checkpoint: {_last_line(error)}",
            "something other than vssl damaged it, which writes whole files only; put a copy in its place, or delete "
            "it, and the same command begins anew",
        ) from error
    return str(path)


def join(task: Mapping[str, Any], place: Place, ready: Callable[[], object]) -> None:
    """A training as one of its further ranks, which writes nothing; `ready` is called when only `fit` is left."""
    study: Study = resolve_name(task["study"])(task)
    if "steps" in task:
        study.steps = task["steps"]
    study.prepare()
    if task.get("timed"):
        trainer = study.trainer([Clock()], None, place)
    else:
        _, _, trainer = _trainer(study, Path(task["folder"]), Console(stderr=True), place)
    keep_freed()
    ready()
    with _explained():
        trainer.fit(study.method, study.datamodule, ckpt_path=task.get("start"), weights_only=True)


def describe(study: Study) -> str:
    """The start-up line: everything about the plan that people get wrong when it stays unsaid."""
    train, samples = study.train, study.steps * study.train.batch_size
    parameters = sum(p.numel() for p in study.method.parameters() if p.requires_grad)
    per_epoch = study.datamodule.sampler().batches_per_epoch
    # Weights, gradients and up to two moments of the optimiser, and what autograd keeps of one micro-batch.
    memory = 4 * 4 * parameters + study.cost.activation_bytes
    # Torch has no half precision on CPUs, and takes bfloat16 without a word.
    halves = (
        "; precision bf16-mixed, as CPUs have no 16-mixed"
        if train.precision == "16-mixed" and not _on_gpu(study)
        else ""
    )
    return (
        f"{study.steps} steps = {samples} samples = {study.steps / per_epoch:.1f} epochs of {per_epoch} steps; "
        f"batch {train.batch_size} ({study.devices} x {train.accumulate} x "
        f"{train.batch_size // train.accumulate // study.devices}); "
        f"lr {describe_rate(study.optimiser, train.batch_size)}; {parameters / 1e6:.2f} M parameters; "
        f"{study.flops_per_step / 1e9:.1f} GFLOP a step, {study.flops_per_step * study.steps / 1e12:.2f} TFLOP in all; "
        f"about {memory / 1e9:.2f} GB beside the libraries{halves}"
    )


def _first_record(study: Study) -> dict[str, Any]:
    return {
        "kind": "pretrain",
        "status": "running",
        "error": None,
        "identity": {
            "name": study.name,
            **{group: study.choices[group] for group in ("method", "backbone", "data", "views")},
            "label": study.label if study.label is None or isinstance(study.label, str) else ", ".join(study.label),
            "split": study.datamodule.split_rule,
            "hashes": study.hashes,
        },
        "seed": study.seed,
        "budget": {"planned": study.budget.planned()},
        **({"loaded": study.start.plain()} if study.start else {}),
        "clips": None,
        "lists": lists_of(study.datamodule),
        "environment": {
            **environment(), "decoder": study.datamodule.decoder, "threads": torch.get_num_threads(),
            "workers": study.workers, "cores_used": cores(), "world_size": study.devices,
        },
        "started": _now(),
        "finished": None,
    }  # fmt: skip


def _former(folder: Path) -> dict[str, Any]:
    """What a former start has recorded; nothing where there was none."""
    try:
        return read_record(folder)
    except UserError:
        return {}


def _budget(study: Study, meter: Meter) -> dict[str, Any]:
    samples = study.steps * study.train.batch_size
    views = [view for _, view in study.views.positions]
    return {
        "planned": study.budget.planned(),
        "steps": study.steps,
        "epochs": study.steps / study.datamodule.sampler().batches_per_epoch,
        "samples": samples,
        "clips": samples * len(views),
        "frames": samples * sum(view.frames for view in views),
        "flops": study.flops_per_step * study.steps,
        "seconds": round(meter.seconds, 2),
        "gpu_hours": round(meter.seconds * study.devices / 3600, 4) if _on_gpu(study) else 0.0,
        "energy_joules": round(meter.joules, 1) if meter.joules is not None else None,
        "peak_memory_host_bytes": meter.peak_bytes,
        "peak_memory_device_bytes": torch.cuda.max_memory_allocated() if _on_gpu(study) else None,
        "data_wait_share": round(meter.wait_share, 4),
        "parameters": sum(p.numel() for p in study.method.exported.parameters()),
        "effective_batch": study.train.batch_size,
    }


def _is_done(folder: Path, bound: dict[str, Any]) -> bool:
    """Whether this very run is finished; another configuration in its folder is refused."""
    if not (folder / CONFIG).exists():
        return False
    if different := other_than(folder, bound):
        shown = "\n  ".join(different[:12])
        raise UserError(
            f"{folder} holds a run with another configuration:\n  {shown}", "choose another run.name or run.out"
        )
    if not (folder / RECORD).exists() or not (folder / BACKBONE).exists():
        return False
    return bool(read_record(folder)["status"] == "done")


def say(study: Study, folder: Path, text: str, console: Console) -> None:
    try:
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{_now()}  {text}\n")
    except OSError as error:
        raise refused(folder / "log.txt", error) from error
    console.print(f"{study.choices['method']}: {text}", highlight=False, soft_wrap=True)


def _last_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

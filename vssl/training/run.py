"""One pretraining from its folder's first file to its record; the same call again goes on or finds it done."""

import datetime
import math
import resource
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from safetensors.torch import save_file

from vssl.config.compose import Composed
from vssl.config.errors import UserError
from vssl.config.render import to_yaml
from vssl.records.atomic import atomic, writable, write_text
from vssl.records.environment import environment
from vssl.records.locks import FolderLock
from vssl.records.record import read_record, write_record
from vssl.training.build import Study, assemble
from vssl.training.callbacks import Checkpoints, Curves, Meter
from vssl.training.optimisers import describe_rate
from vssl.training.progress import Bar
from vssl.training.settings import cores

CONFIG = "config.yaml"
BACKBONE = "checkpoints/backbone.safetensors"
LAST = "checkpoints/last.ckpt"

# What may differ between two starts of one run: where it lies, how fast it goes, who watches.
_MAY_DIFFER = ("run", "logger", "eval", "bench")


def pretrain(composed: Composed, bound: dict[str, Any], console: Console | None = None) -> Path:
    """Train one method; returns the run's folder.

    A finished run is left as it is, an unfinished one goes on from its last checkpoint.

    Raises:
        UserError: the request cannot work, and nothing was written; or the folder holds another configuration, then
            the keys that differ are named.
    """
    console = console or Console(stderr=True)
    study = assemble(composed, bound)
    writable(Path(bound["run"]["out"]), keep=False)
    study.check()
    folder = study.folder
    if _is_done(folder, study.bound):
        console.print(f"{study.name}: finished already", highlight=False, soft_wrap=True)
        return folder
    writable(folder)
    with FolderLock(folder):
        write_text(folder / CONFIG, to_yaml(study.bound))
        record = _first_record(study)
        write_record(folder, record)
        try:
            _fit(study, folder, record, console)
        except BaseException as error:
            if not isinstance(error, SystemExit | KeyboardInterrupt):
                write_record(folder, {**record, "status": "failed", "error": _last_line(error), "finished": _now()})
            raise
    return folder


def _fit(study: Study, folder: Path, record: dict[str, Any], console: Console) -> None:
    study.prepare()
    meter = Meter(study.datamodule)
    curves = Curves(folder / "metrics.csv", study.datamodule, meter, study.train.batch_size)
    checkpoints = Checkpoints(folder / LAST, study.run.save_steps)
    bar = Bar(study.choices["method"], curves, meter, console)
    trainer = study.trainer([meter, curves, bar, checkpoints], folder)
    _say(study, folder, describe(study), console)
    _reset_peak_memory()
    (folder / LAST).parent.mkdir(exist_ok=True)
    ckpt = folder / LAST if (folder / LAST).exists() else None
    trainer.fit(study.method, study.datamodule, ckpt_path=ckpt, weights_only=True)
    if trainer.global_step < study.steps:  # trainer.fast_dev_run
        _say(study, folder, f"stopped after {trainer.global_step} of {study.steps} steps: not finished", console)
        return
    with atomic(folder / BACKBONE) as temporary:
        weights = {name: tensor.contiguous() for name, tensor in study.method.exported.state_dict().items()}
        save_file(weights, temporary)
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
                "replaced": [],
            },
            "finished": _now(),
        },
    )
    _say(study, folder, f"finished {study.steps} steps in {meter.seconds:.0f} s", console)


def describe(study: Study) -> str:
    """The start-up line: everything about the plan that people get wrong when it stays unsaid."""
    train, samples = study.train, study.steps * study.train.batch_size
    parameters = sum(p.numel() for p in study.method.parameters() if p.requires_grad)
    per_epoch = study.datamodule.sampler().batches_per_epoch
    # Weights, gradients and up to two moments of the optimiser, and what autograd keeps of one micro-batch.
    memory = 4 * 4 * parameters + study.cost.activation_bytes
    return (
        f"{study.steps} steps = {samples} samples = {study.steps / per_epoch:.1f} epochs of {per_epoch} steps; "
        f"batch {train.batch_size} ({study.run.devices} x {train.accumulate} x "
        f"{train.batch_size // train.accumulate // study.run.devices}); "
        f"lr {describe_rate(study.optimiser, train.batch_size)}; {parameters / 1e6:.2f} M parameters; "
        f"{study.flops_per_step / 1e9:.1f} GFLOP a step, {study.flops_per_step * study.steps / 1e12:.2f} TFLOP in all; "
        f"about {memory / 1e9:.2f} GB beside the libraries"
    )


def _first_record(study: Study) -> dict[str, Any]:
    return {
        "kind": "pretrain",
        "status": "running",
        "error": None,
        "identity": {
            "name": study.name,
            **{group: study.choices[group] for group in ("method", "backbone", "data", "views")},
            "label": study.label,
            "split": study.datamodule.split_rule,
            "hashes": study.hashes,
        },
        "seed": study.seed,
        "budget": {"planned": study.budget.planned()},
        "clips": None,
        "environment": {
            **environment(), "decoder": study.datamodule.decoder, "threads": torch.get_num_threads(),
            "workers": study.run.worker_count(study.datamodule.decoder), "cores_used": cores(),
            "world_size": study.run.devices,
        },
        "started": _now(),
        "finished": None,
    }  # fmt: skip


def _budget(study: Study, meter: Meter) -> dict[str, Any]:
    samples = study.steps * study.train.batch_size
    views = [view for _, view in study.views.positions]
    on_gpu = torch.cuda.is_available() and study.run.device != "cpu"
    return {
        "planned": study.budget.planned(),
        "steps": study.steps,
        "epochs": study.steps / study.datamodule.sampler().batches_per_epoch,
        "samples": samples,
        "clips": samples * len(views),
        "frames": samples * sum(view.frames for view in views),
        "flops": study.flops_per_step * study.steps,
        "seconds": round(meter.seconds, 2),
        "gpu_hours": round(meter.seconds * study.run.devices / 3600, 4) if on_gpu else 0.0,
        "energy_joules": None,
        "peak_memory_host_bytes": _peak_memory(),
        "peak_memory_device_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
        "data_wait_share": round(meter.wait_share, 4),
        "parameters": sum(p.numel() for p in study.method.exported.parameters()),
        "effective_batch": study.train.batch_size,
    }


def _is_done(folder: Path, bound: dict[str, Any]) -> bool:
    """Whether this very run is finished; another configuration in its folder is refused."""
    if not (folder / CONFIG).exists():
        return False
    former = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    different = [
        f"{key}: there {there!r}, now {now!r}"
        for key, there, now in differences(former, bound)
        if key.split(".")[0] not in _MAY_DIFFER
    ]
    if different:
        shown = "\n  ".join(different[:12])
        raise UserError(
            f"{folder} holds a run with another configuration:\n  {shown}", "choose another run.name or run.out"
        )
    return bool(read_record(folder)["status"] == "done") if (folder / "record.json").exists() else False


def differences(there: Any, now: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, value there, value now) for every leaf that differs."""
    if isinstance(there, dict) and isinstance(now, dict):
        return [
            found
            for key in sorted({*there, *now})
            for found in differences(there.get(key), now.get(key), f"{where}.{key}" if where else key)
        ]
    if isinstance(there, list | tuple) and isinstance(now, list | tuple):
        return [] if list(there) == list(now) else [(where, there, now)]
    same = there == now or (isinstance(there, float) and isinstance(now, float) and math.isclose(there, now))
    return [] if same else [(where, there, now)]


def _say(study: Study, folder: Path, text: str, console: Console) -> None:
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"{_now()}  {text}\n")
    console.print(f"{study.choices['method']}: {text}", highlight=False, soft_wrap=True)


def _last_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _reset_peak_memory() -> None:
    """Several runs in one process each report their own peak (Linux; elsewhere the process's)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

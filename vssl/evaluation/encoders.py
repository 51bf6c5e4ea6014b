"""Where an encoder comes from: a run folder, a file of weights, an untrained backbone, or one without weights."""

import logging
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vssl.backbones.base import Backbone
from vssl.checkpoints.files import OURS, SETTINGS
from vssl.checkpoints.known import facts_of
from vssl.checkpoints.load import fill_with, open_known
from vssl.checkpoints.own import OWN
from vssl.config.bind import construct
from vssl.config.compose import Composed
from vssl.config.errors import UserError, nearest
from vssl.evaluation.freeze import weights_hash
from vssl.method import Method
from vssl.records.folders import BACKBONE, RECORD
from vssl.records.record import Record, read_record
from vssl.records.run_config import CONFIG, read_config
from vssl.training.build import assemble
from vssl.training.run import LAST

Checkpoint = Literal["final", "last"]

RANDOM = "random"
WITHOUT_WEIGHTS = {
    "mean_frame": "vssl.backbones.mean_frame.MeanFrame",
    "motion_path": "vssl.backbones.motion_path.MotionPath",
}
BASELINES = (RANDOM, *WITHOUT_WEIGHTS)
NAMED = 3  # tensors named in a message about a wrong backbone


def load_encoder(spec: str, bound: dict[str, Any], checkpoint: Checkpoint = "final") -> tuple[Backbone, dict[str, Any]]:
    """The encoder that `spec` names, built from the node `backbone` of `bound`, and who it is.

    Args:
        spec: a run folder, a file of weights of a layout in `vssl.checkpoints.known`, a folder of transformers,
            "random" (the backbone untrained, by `seed`), "mean_frame" or "motion_path".
        checkpoint: "last" reads the last checkpoint of an unfinished run.
    Returns:
        The encoder on the CPU; {"name", "kind", "method", "weights"}, with "checkpoint" where it is not the final one.
    Raises:
        UserError: there is no such encoder, its run is not finished, or its weights belong to another backbone.
    """
    if spec in WITHOUT_WEIGHTS:
        encoder = construct(weightless_node(spec, bound), Backbone, "backbone")
        return encoder, _identity(spec, spec, spec, encoder)
    if spec == RANDOM:
        if path_of_start := (bound["backbone"] or {}).get("weights"):
            raise UserError(
                f"encoder={RANDOM}: backbone.weights={path_of_start} are not random",
                f"vssl evaluate {path_of_start} reads them",
            )
        encoder = untrained(bound)
        return encoder, _identity(spec, RANDOM, spec, encoder)
    path = Path(spec)
    if is_foreign(path):
        return _of_file(path, bound)
    if path.is_dir():
        return _of_run(path, bound, checkpoint)
    raise UserError(f"encoder={spec}: there is no such folder or file{_nearest_encoder(path)}", _KINDS)


def load(run_or_file: str | Path, method: bool = False) -> Backbone | Method:
    """An encoder from a finished run's folder; with `method`, the LightningModule as its last checkpoint holds it.

    >>> encoder = vssl.load("runs/simsiam-vit_nano-moving_shapes-s0-0a1b2c3d")
    """
    folder = Path(run_or_file)
    if is_foreign(folder) and not (folder.parent.parent / CONFIG).is_file() and not method:
        return _alone(folder)
    if folder.is_file():
        # checkpoints/backbone.safetensors of a run: its settings lie two folders up.
        folder = folder.parent.parent
    if not folder.is_dir():
        raise UserError(f"{run_or_file}: there is no such run{_nearest_encoder(folder)}")
    bound = run_config(folder)
    if method:
        return _last_method(folder, bound, read_record(folder))
    return _of_run(folder, bound, "final")[0]


def is_foreign(path: Path) -> bool:
    """Whether weights lie at `path` itself, a file or a folder of an export, and no run."""
    if path.is_dir():
        return not (path / CONFIG).is_file() and any((path / name).is_file() for name in (SETTINGS, OURS))
    return path.is_file()


def run_config(folder: Path) -> dict[str, Any]:
    """The bound configuration of a run, as its folder keeps it."""
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} holds no run: there is no {CONFIG} in it", _KINDS)
    return read_config(folder)


def untrained(bound: dict[str, Any]) -> Backbone:
    """The backbone with the weights that every method of this seed starts from; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(bound["seed"])
        return construct(bound["backbone"], Backbone, "backbone")


def weightless_node(name: str, bound: dict[str, Any]) -> dict[str, Any]:
    """The node `backbone` of one of `WITHOUT_WEIGHTS`."""
    return {"_target_": WITHOUT_WEIGHTS[name], "size": bound["clip"]["size"]}


def fill(encoder: Backbone, weights: dict[str, torch.Tensor], source: Path) -> None:
    """Puts `weights` into `encoder`, all of them or none.

    Raises:
        UserError: names or shapes differ; the first differing tensors are named.
    """
    expected = encoder.state_dict()
    different = [
        f"{name} is {_shape(weights.get(name))} there, {_shape(expected.get(name))} here"
        for name in [*expected, *(name for name in weights if name not in expected)]
        if _shape(weights.get(name)) != _shape(expected.get(name))
    ]
    if different:
        more = f"; {len(different) - NAMED} more differ" if len(different) > NAMED else ""
        raise UserError(
            f"{source} holds another backbone than the one chosen: {'; '.join(different[:NAMED])}{more}",
            "leave backbone= and clip.* out: a run's folder knows its own",
        )
    encoder.load_state_dict(weights)


_KINDS = f"an encoder is a run folder, a file of weights (vssl checkpoint inspect FILE) or {', '.join(BASELINES)}"


def _of_file(path: Path, bound: dict[str, Any]) -> tuple[Backbone, dict[str, Any]]:
    """The weights of a file; ours have to fit exactly, those of others as their layout says."""
    opened, layout = open_known(path)
    encoder = untrained(bound)
    if layout.name == OWN:
        fill(encoder, layout.tensors(opened), path)
        return encoder, _identity(path.stem, "file", path.stem, encoder)
    report = fill_with(encoder, bound["backbone"], opened, layout, str(path))
    logging.getLogger("vssl").info(report.told())
    name = path.stem if path.is_file() else path.resolve().name
    return encoder, {**_identity(name, "file", layout.name, encoder), "loaded": report.plain()}


def _alone(path: Path) -> Backbone:
    """An encoder that its file tells in full."""
    opened, layout = open_known(path)
    if (facts := facts_of(opened, layout)) is None:
        raise UserError(f"{path}: the file alone does not tell its backbone", _KINDS)
    encoder = construct(facts.backbone, Backbone, "backbone")
    report = fill_with(encoder, facts.backbone, opened, layout, str(path))
    # A notebook shows warnings alone; what stayed as it was drawn is one.
    logging.getLogger("vssl").log(logging.WARNING if report.missing else logging.INFO, "%s", report.told())
    return encoder


def _of_run(folder: Path, bound: dict[str, Any], checkpoint: Checkpoint) -> tuple[Backbone, dict[str, Any]]:
    own = run_config(folder)
    record = read_record(folder)
    who = record["identity"]
    if checkpoint == "last" and record["status"] != "done":
        encoder = _last_method(folder, own, record).exported
        return encoder, {**_identity(who["name"], "run", who["method"], encoder), "checkpoint": "last"}
    if record["status"] != "done":
        raise UserError(
            f"{folder}: this run is not finished (its status is '{record['status']}')",
            "give its pretrain command again to finish it, or checkpoint=last to read what there is",
        )
    encoder = untrained(bound)
    again = _made_again(folder) if record["kind"] == "pretrain" else "import it again: vssl checkpoint import"
    fill(encoder, _read_weights(folder / BACKBONE, again), folder / BACKBONE)
    return encoder, _identity(who["name"], "run", who["method"], encoder)


def _last_method(folder: Path, bound: dict[str, Any], record: Record) -> Method:
    """The method with the weights of `last.ckpt`; a final file holds the exported backbone only."""
    path = folder / LAST
    if not path.is_file():
        raise UserError(f"{folder}: the run has no checkpoint yet: there is no {LAST} in it")
    threads = torch.get_num_threads()
    # What it started from is not needed any more, and may be gone.
    bound = {**bound, "backbone": {key: value for key, value in bound["backbone"].items() if key != "weights"}}
    method = assemble(Composed(bound, record["identity"]), bound).method
    torch.set_num_threads(threads)  # assembling sets those of the run
    try:
        method.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, UnpicklingError) as error:
        raise UserError(
            f"{path} is no whole checkpoint of this run: {(str(error).splitlines() or [type(error).__name__])[0]}",
            "it was damaged by something other than vssl, which writes whole files only; without a copy of it, delete "
            "it and give the run's pretrain command again, which then begins anew",
        ) from error
    return method


def _read_weights(path: Path, hint: str) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file, although its run is finished", hint) from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no whole file of weights (safetensors): {error}", hint) from error


def _made_again(folder: Path) -> str:
    """What to do about the weights of a finished run that are damaged or gone."""
    return f"delete {folder / RECORD} and give the run's pretrain command again: {LAST} holds the same weights"


def _identity(name: str, kind: str, method: str, encoder: Backbone) -> dict[str, Any]:
    return {"name": name, "kind": kind, "method": method, "weights": weights_hash(encoder)}


def _shape(tensor: torch.Tensor | None) -> str:
    return "absent" if tensor is None else str(tuple(tensor.shape))


def _nearest_encoder(path: Path) -> str:
    """The name that was probably meant: a baseline, or what lies beside."""
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    return nearest(path.name, [*BASELINES, *beside])

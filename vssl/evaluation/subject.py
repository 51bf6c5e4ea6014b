"""The encoder that is asked: what it is called, and what its records say of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl.backbones.base import Backbone
from vssl.datamodule import VideoDataModule
from vssl.evaluation.encoders import WITHOUT_WEIGHTS, Checkpoint, load_encoder, weightless_node
from vssl.records.folders import baseline_folder
from vssl.records.hashes import hash_of, part_hashes


@dataclass(frozen=True)
class Subject:
    """The encoder that is asked, and what its records say of it.

    Args:
        who: {"name", "kind", "method", "weights"}.
        names: {"backbone", "data"}: what the user calls the parts.
        hashes: of the parts, see `vssl.records.hashes.part_hashes`.
        backbone: the node that the encoder was built from.
        folder: of the run, or of the baseline.
    """

    encoder: Backbone
    who: dict[str, Any]
    names: dict[str, str | None]
    hashes: dict[str, str]
    seed: int
    backbone: dict[str, Any]
    folder: Path


def subject_of(
    bound: dict[str, Any],
    choices: Mapping[str, str],
    spec: str,
    checkpoint: Checkpoint,
    datamodule: VideoDataModule,
    out: Path,
) -> Subject:
    encoder, who = load_encoder(spec, bound, checkpoint)
    names = {part: choices.get(part) for part in ("backbone", "data")}
    if spec in WITHOUT_WEIGHTS:
        names["backbone"] = spec
        bound = {**bound, "backbone": weightless_node(spec, bound)}
    hashes = part_hashes(bound, datamodule.content_hash())
    identity = hash_of([hashes["data"], hashes["backbone"], who["weights"], bound["seed"]])
    folder = Path(spec) if who["kind"] == "run" else baseline_folder(out, who["name"], identity)
    return Subject(encoder, who, names, hashes, bound["seed"], bound["backbone"], folder)

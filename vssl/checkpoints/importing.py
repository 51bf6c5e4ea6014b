"""A file of weights of a known layout as a folder that is read like a run of ours."""

import datetime
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

from vssl.backbones.base import Backbone
from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import Layout
from vssl.checkpoints.load import fill_with
from vssl.config.bind import construct
from vssl.config.errors import ConfigError, UserError
from vssl.config.render import to_yaml
from vssl.records.atomic import writable, write_bytes, write_text
from vssl.records.environment import environment
from vssl.records.folders import BACKBONE, RECORD
from vssl.records.hashes import PARTS, part_hashes
from vssl.records.record import write_record
from vssl.records.run_config import CONFIG, IMPORTED


def import_weights(bound: Mapping[str, Any], opened: Opened, layout: Layout, source: str, out: Path) -> Path:
    """Writes `out` with `config.yaml`, `checkpoints/backbone.safetensors` and, last, `record.json`.

    Args:
        bound: bound configuration, whose `seed`, `clip` and `backbone` it keeps.
        source: path of the weights, as given.
    Raises:
        UserError: the weights do not fit, the backbone does not take the clip, or there is something at `out` already.
            Nothing is written then.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"out: {out} is there already", "choose a folder that is not there, or remove it first")
    config = {key: bound[key] for key in IMPORTED}
    encoder = construct(bound["backbone"], Backbone, "backbone")
    clip = bound["clip"]
    try:
        encoder.grid((clip["frames"], clip["size"], clip["size"]))
    except ValueError as error:
        raise ConfigError(f"clip: {error}") from error
    report = fill_with(encoder, bound["backbone"], opened, layout, source)
    logging.getLogger("vssl").info(report.told())
    writable(out / Path(BACKBONE).parent)
    weights = {name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    write_text(out / CONFIG, to_yaml(config))
    write_bytes(out / BACKBONE, save(weights))
    hashes = dict.fromkeys(PARTS) | {"backbone": part_hashes(config, data_content="")["backbone"]}
    nothing = ("steps", "epochs", "samples", "clips", "frames", "flops", "seconds", "gpu_hours", "effective_batch")
    write_record(
        out,
        {
            "kind": "encoder",
            "status": "done",
            "error": None,
            "identity": {
                "name": out.resolve().name, "method": layout.name, "backbone": layout.name, "data": None, "views": None,
                "hashes": hashes,
            },
            "seed": bound["seed"],
            "budget": {
                "planned": {}, **dict.fromkeys(nothing, 0), "parameters": sum(p.numel() for p in encoder.parameters()),
            },
            "clips": None,
            "loaded": report.plain(),
            "environment": environment(),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
    )  # fmt: skip
    return out / RECORD

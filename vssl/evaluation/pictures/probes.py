"""Attentive probes that lie beside an encoder: what their query looks at."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError
from vssl.evaluation.attentive import heads_for
from vssl.evaluation.attentive_head import AttentiveHead
from vssl.evaluation.freeze import weights_hash
from vssl.evaluation.pictures.scene import Scene
from vssl.records.folders import RECORD
from vssl.records.record import Record, read_record


def probes_beside(scene: Scene) -> dict[str, AttentiveHead]:
    """{protocol: head}, the newest of each, on this encoder, label and size of clips."""
    found: dict[str, tuple[str, Path, Record]] = {}
    own = weights_hash(scene.encoder)
    for path in sorted(scene.out.parent.glob(f"*/{RECORD}")):
        try:
            record = read_record(path)
        except UserError:
            continue  # of whoever made it; `vssl table` tells
        if _is_of(record, scene, own):
            name, finished = record["identity"]["protocol"], str(record.get("finished") or "")
            if name not in found or found[name][0] < finished:
                found[name] = (finished, path.parent, record)
    return {name: _head(folder, record, scene.encoder) for name, (_, folder, record) in found.items()}


def _is_of(record: Record, scene: Scene, weights: str) -> bool:
    stamp: dict[str, Any] = record.get("protocol") or {}
    head, clip = stamp.get("head"), stamp.get("clip") or {}
    return (
        record["status"] == "done"
        and isinstance(head, dict)
        and head.get("name") == "attentive"
        and (stamp["label"], stamp["classes"]) == (scene.task.label, len(scene.task.classes))
        and (clip["frames"], clip["size"]) == (scene.task.clip.frames, scene.task.clip.size)
        and record["identity"]["encoder"]["weights"] == weights
    )


def _head(folder: Path, record: Record, encoder: Backbone) -> AttentiveHead:
    stamp, dim = record["protocol"], encoder.embed_dim
    told = stamp["head"]
    heads = told["heads"] if isinstance(told["heads"], int) else heads_for(dim)
    head = AttentiveHead(dim, heads, stamp["classes"], told["blocks"], told["mlp_ratio"], told["output layer"])
    head.load_state_dict(load_file(folder / record["artefacts"]["probe"]))
    return head.eval()

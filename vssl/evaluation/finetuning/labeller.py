"""What gives videos labels: a saved classifier, or a linear probe with the encoder that it reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError, nearest
from vssl.evaluation.encoders import BASELINES, load_encoder, run_config
from vssl.evaluation.eval_views import EvalViews
from vssl.evaluation.finetuning.saved import SETTINGS, is_classifier, load_classifier
from vssl.evaluation.freeze import weights_hash
from vssl.evaluation.linear import FEATURES, PROBE
from vssl.records.folders import RECORD
from vssl.records.record import NoRecord, owner, read_record
from vssl.records.run_config import CONFIG
from vssl.video.views import Clip

LAYER = {"mean", "scale", "weight", "bias"}


@dataclass(frozen=True)
class Labeller:
    """A network and how its clips are read.

    Args:
        network: clips [B, C, T, H, W] -> logits [B, K].
        weights: its hash.
        several: a video may carry several classes: each has a probability of its own.
    """

    network: nn.Module
    clip: Clip
    views: EvalViews
    label: str
    classes: tuple[str, ...]
    weights: str
    several: bool = False


class Probed(nn.Module):
    """A linear probe on the summary of the encoder that it was trained on.

    Args:
        of_length_1: the summary is first divided by its length.
    """

    def __init__(self, encoder: Backbone, probe: Mapping[str, Tensor], of_length_1: bool) -> None:
        super().__init__()
        self.encoder, self.of_length_1 = encoder, of_length_1
        for name in LAYER:
            self.register_buffer(name, probe[name])

    def forward(self, clip: Tensor) -> Tensor:
        mean, scale, weight, bias = (self.get_buffer(name) for name in ("mean", "scale", "weight", "bias"))
        summary = self.encoder(clip).float()
        if self.of_length_1:
            summary = F.normalize(summary, dim=1)
        return (summary - mean) / scale @ weight + bias


def find_labeller(path: Path) -> Labeller:
    """Of the folder of an evaluation (eval=finetune or eval=linear) or of a run with one such evaluation.

    Fine-tuned classifiers go before probes.

    Raises:
        UserError: there is none, or several; what is there is named.
    """
    if is_classifier(path):
        return _classifier(path)
    if (path / PROBE).is_file():
        return _probe(path)
    if path.is_file() and path.name == PROBE:
        return _probe(path.parent)
    if str(path) not in BASELINES and not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"encoder={path}: there is no such folder or file{nearest(path.name, beside)}", _KINDS)
    for protocol, file, load in (("finetune", SETTINGS, _classifier), ("linear", PROBE, _probe)):
        found = [place.parent for place in sorted(path.glob(f"eval/*/{file}")) if _is_done(place.parent, protocol)]
        if len(found) == 1:
            return load(found[0])
        if found:
            raise UserError(
                f"encoder={path}: {len(found)} classifiers are there: {', '.join(place.name for place in found)}",
                f"give the folder of one of them: encoder={found[0]}",
            )
    raise UserError(f"encoder={path}: an encoder without a classifier has no labels to give", _fine_tune(str(path)))


_KINDS = "a classifier is the folder of an evaluation (eval=finetune or eval=linear), or a run with one in it"


def _fine_tune(encoder: str) -> str:
    return f"fine-tune it first: vssl evaluate {encoder} eval=finetune; then give the folder that this prints"


def _is_done(folder: Path, protocol: str) -> bool:
    try:
        record = read_record(folder)
    except NoRecord:
        return False
    return bool(record["status"] == "done" and record["protocol"]["protocol"] == protocol)


def _classifier(path: Path) -> Labeller:
    trained, saved = load_classifier(path)
    return Labeller(trained, saved.clip, saved.views, saved.label, saved.classes, weights_hash(trained))


def _probe(folder: Path) -> Labeller:
    record, run = read_record(folder), owner(folder)
    who = record["identity"]["encoder"]
    if not (run / CONFIG).is_file():
        raise UserError(f"{folder}: the probe's encoder, {who['name']}, is no run of ours", _fine_tune(who["name"]))
    bound = run_config(run)
    kept: Literal["final", "last"] = "last" if who.get("checkpoint") == "last" else "final"
    encoder, now = load_encoder(str(run), bound, kept)
    if now["weights"] != who["weights"]:
        raise UserError(f"{run} holds other weights than those that {folder.name} was made from", "evaluate it again")
    probe = _layer(folder / PROBE)
    if not record.get("classes") or not probe.keys() >= LAYER:
        raise UserError(
            f"{folder / PROBE} is no linear layer with the names of its classes in the {RECORD} beside it",
            "evaluate it again: vssl evaluate RUN eval=linear",
        )
    stamp = record["protocol"]
    network = Probed(encoder, probe, of_length_1=stamp.get("features") == FEATURES["l2"]).eval()
    return Labeller(
        network, _clip(stamp["clip"], bound), _views(stamp["clip"]), record["identity"]["label"],
        tuple(record["classes"]), weights_hash(network), several=bool(stamp.get("multi_label")),
    )  # fmt: skip


def _layer(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} is no whole file of weights (safetensors): {error}", "evaluate it again") from error


def _clip(read: Mapping[str, Any], bound: Mapping[str, Any]) -> Clip:
    """Of the part `clip` of a stamp; frames of equal parts of a video have no stride there, and need none."""
    return Clip(read["frames"], read["stride"] or bound["clip"]["stride"], read["size"])


def _views(read: Mapping[str, Any]) -> EvalViews:
    """Of the part `clip` of a stamp."""
    clips, crops = (int(count) for count in read["views"].split(" x "))
    return EvalViews(clips, crops, "even" if read["mode"] == "centre" else read["mode"])

"""A classifier on disk: its weights, and beside them everything that they are read with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from vssl.backbones.base import Backbone
from vssl.config.bind import BESIDE, construct
from vssl.config.errors import ConfigError, UserError
from vssl.config.folders import read_yaml
from vssl.config.render import to_yaml
from vssl.evaluation.eval_views import EvalViews
from vssl.evaluation.finetuning.classifier import Network, network
from vssl.records.atomic import write_bytes, write_text
from vssl.video.views import Clip

CLASSIFIER, SETTINGS = "classifier.safetensors", "classifier.yaml"
NAMED = 3


@dataclass(frozen=True)
class Saved:
    """A classifier and how it was tested.

    Args:
        backbone: node that the encoder was built from.
        identity: of what it was made from and how, 64 hex digits.
        training: what it took, for the record.
    """

    backbone: Mapping[str, Any]
    clip: Clip
    views: EvalViews
    label: str
    classes: tuple[str, ...]
    identity: str
    training: Mapping[str, Any]


def save_classifier(folder: Path, trained: Network, saved: Saved) -> None:
    """Weights, then the settings, which say that it is whole."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in trained.state_dict().items()}
    write_bytes(folder / CLASSIFIER, save(weights, {"identity": saved.identity}))
    clip, views = saved.clip, saved.views
    settings = {
        "label": saved.label,
        "classes": list(saved.classes),
        "clip": {"frames": clip.frames, "stride": clip.stride, "size": clip.size},
        "views": {"clips": views.clips, "crops": views.crops, "sampling": views.sampling},
        "training": dict(saved.training),
        "identity": saved.identity,
        "backbone": {key: value for key, value in saved.backbone.items() if key not in BESIDE["backbone"]},
    }
    write_text(folder / SETTINGS, to_yaml(settings))


def is_classifier(path: Path) -> bool:
    """Whether `path` is a folder of a saved classifier, or its file."""
    return (path / SETTINGS).is_file() or (path.name == CLASSIFIER and path.with_name(SETTINGS).is_file())


def read_settings(folder: Path) -> Saved:
    """Raises UserError where the file is not whole."""
    path = folder / SETTINGS
    try:
        found = read_yaml(path)
        return Saved(
            backbone=found["backbone"], clip=Clip(**found["clip"]), views=EvalViews(**found["views"]),
            label=found["label"], classes=tuple(found["classes"]), identity=found["identity"],
            training=found["training"],
        )  # fmt: skip
    except ConfigError as error:
        raise UserError(str(error), _AGAIN) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not the whole settings of a classifier: {error}", _AGAIN) from error


def load_classifier(path: Path) -> tuple[Network, Saved]:
    """The classifier of a folder or of a file in it, on the CPU, in evaluation mode.

    Raises:
        UserError: a file is not whole, or the two do not belong together.
    """
    folder = path if path.is_dir() else path.parent
    saved = read_settings(folder)
    file = folder / CLASSIFIER
    try:
        weights = load_file(file)
    except FileNotFoundError:
        raise UserError(f"{file}: there is no such file, although {SETTINGS} is beside it", _AGAIN) from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} is no whole file of weights (safetensors): {error}", _AGAIN) from error
    loaded = network(construct(saved.backbone, Backbone, "backbone"), len(saved.classes))
    expected = loaded.state_dict()
    wrong = [name for name in {**expected, **weights} if _shape(expected, name) != _shape(weights, name)]
    if wrong:
        raise UserError(
            f"{file} does not belong to the {SETTINGS} beside it: {', '.join(wrong[:NAMED])} differ", _AGAIN
        )
    loaded.load_state_dict(weights)
    return loaded.eval(), saved


def _shape(tensors: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


_AGAIN = "copy both files again, or remove the folder's record.json and evaluate again"

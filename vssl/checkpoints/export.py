"""An encoder of ours for other projects: a folder of weights by their names and the settings that they need."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.backbones.swin import VideoSwin
from vssl.backbones.timesformer import TimeSformer
from vssl.backbones.torchvision_resnet import TorchvisionResNet
from vssl.backbones.vit import VisionTransformer
from vssl.checkpoints.files import OURS, SETTINGS
from vssl.checkpoints.layout import CLIP, EXPORTED, KEPT
from vssl.checkpoints.timesformer_hf import to_timesformer_hf
from vssl.checkpoints.torchvision_r3d import to_torchvision_r3d
from vssl.checkpoints.torchvision_swin3d import to_torchvision_swin3d
from vssl.checkpoints.videomae_hf import preprocessor, to_videomae_hf
from vssl.config.errors import UserError
from vssl.config.render import to_yaml
from vssl.records.atomic import writable, write_bytes, write_json, write_text
from vssl.records.folders import BACKBONE

Target = Literal["vssl", "huggingface", "torchvision"]
Names = tuple[dict[str, Tensor], dict[str, Any]]


class Export:
    """Args: layout: whose names and files are written."""

    def __init__(self, layout: Target = "vssl") -> None:
        self.layout = layout

    def __call__(self, encoder: Backbone, clip: Mapping[str, Any], node: Mapping[str, Any], out: Path) -> Path:
        """Writes the folder `out`; returns the file of weights in it.

        Args:
            clip: what the encoder was trained on; `size` goes into the preprocessor.
            node: its bound configuration. What the other project has no word for is kept in its `config.json`.
        Raises:
            UserError: the layout has no such encoder, or there is something at `out` already. Nothing is written then.
        """
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"out: {out} is there already", "choose a folder that is not there, or remove it first")
        tensors, settings = self._names(encoder)
        writable(out)
        if self.layout == "vssl":
            write_text(out / OURS, to_yaml({"clip": dict(clip), "backbone": dict(node)}))
            weights = out / Path(BACKBONE).name
        else:
            if self.layout == "huggingface":
                write_json(out / "preprocessor_config.json", preprocessor(encoder, clip["size"]))
            own = {**{key: node[key] for key in KEPT if key in node}, **{key: clip[key] for key in CLIP if key in clip}}
            write_json(out / SETTINGS, {**settings, EXPORTED: own})
            weights = out / "model.safetensors"
        write_bytes(weights, save({name: t.contiguous() for name, t in tensors.items()}, {"format": "pt"}))
        return weights

    def _names(self, encoder: Backbone) -> Names:
        if self.layout == "vssl":
            return dict(encoder.state_dict()), {}
        known: dict[type[Backbone], Callable[[Any], Names]] = _KNOWN[self.layout]
        for cls, names in known.items():
            if isinstance(encoder, cls):
                return names(encoder)
        raise UserError(
            f"layout={self.layout}: it has no {type(encoder).__name__}, only "
            f"{', '.join(cls.__name__ for cls in known)}",
            "layout=vssl keeps the encoder as it is",
        )


_KNOWN: dict[str, dict[type[Backbone], Callable[[Any], Names]]] = {
    "huggingface": {VisionTransformer: to_videomae_hf, TimeSformer: to_timesformer_hf},
    "torchvision": {VideoSwin: to_torchvision_swin3d, TorchvisionResNet: to_torchvision_r3d},
}

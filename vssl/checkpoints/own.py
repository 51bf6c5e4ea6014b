"""Our own `backbone.safetensors`: names and shapes are the encoder's, pixel statistics included."""

from typing import Any

from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import CLIP, Facts, Layout, Tensors
from vssl.config.bind import BESIDE

OWN = "vssl"


class Own(Layout):
    """Of a run, imported or trained; alone, such a file does not say which backbone it is of."""

    name = OWN
    told = "backbone.safetensors of this project"
    prefixes = ()
    signature = (r"^mean$", r"^std$")

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        node: Any = opened.settings.get("backbone")
        clip: Any = opened.settings.get("clip")
        if not isinstance(node, dict) or not isinstance(clip, dict):
            return None
        own = {key: value for key, value in node.items() if key not in BESIDE["backbone"]}
        return Facts(own, {key: clip[key] for key in CLIP if key in clip})

    def rename(self, name: str) -> str | None:
        return name

"""Video Swin as torchvision names it: swin3d_t, swin3d_s, swin3d_b; in and out.

Source: torchvision.models.video.swin_transformer, and its weights' transforms.
"""

from typing import Any

from torch import Tensor

from vssl.backbones.swin import VideoSwin
from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import Facts, Layout, Tensors
from vssl.checkpoints.swin_facts import swin_facts
from vssl.config.errors import UserError

MODELS = {(96, (2, 2, 6, 2)): "swin3d_t", (96, (2, 2, 18, 2)): "swin3d_s", (128, (2, 2, 18, 2)): "swin3d_b"}


class TorchvisionSwin3d(Layout):
    """Names are ours; only the head has no place."""

    name = "torchvision_swin3d"
    told = "swin3d_t, swin3d_s, swin3d_b of torchvision"
    signature = (r"^patch_embed\.proj\.weight$", r"^features\.0\.0\.attn\.relative_position_bias_table$")
    kernel = ("patch_embed.proj.weight", 5)
    left_out = ((r"head\.(weight|bias)", "the classifier"),)
    may_lack = ((r".*\.relative_position_index", "follows from the window"),)

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        block = "features.{stage}.{block}."
        table, mlp = f"{block}attn.relative_position_bias_table", f"{block}mlp.0.weight"
        return swin_facts(tensors, tensors["patch_embed.proj.weight"], table, mlp, self.mean, self.std)

    def rename(self, name: str) -> str | None:
        return None if name.startswith("head.") else name


def to_torchvision_swin3d(encoder: VideoSwin) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of torchvision's model but for `head`, and which model it is.

    Raises:
        UserError: torchvision has no such model.
    """
    blocks = [stage for stage in encoder.features if hasattr(stage, "__len__")]
    shape = (encoder.patch_embed.proj.out_channels, tuple(len(stage) for stage in blocks))
    if shape not in MODELS or encoder.window != (8, 7, 7) or encoder.patch != (2, 4, 4):
        raise UserError(
            f"torchvision has no Video Swin of width {shape[0]}, depths {shape[1]}, windows {encoder.window} and "
            f"patches {encoder.patch}",
            f"its models are {', '.join(MODELS.values())}, with windows (8, 7, 7) and patches (2, 4, 4); layout=vssl "
            "keeps the encoder as it is",
        )
    kept = {name: tensor for name, tensor in encoder.state_dict().items() if name not in ("mean", "std")}
    return kept, {"model": MODELS[shape], "without": ["head.weight", "head.bias"]}

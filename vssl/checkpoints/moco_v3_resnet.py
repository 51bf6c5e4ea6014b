"""MoCo v3's ResNet-50 as released: an image network, whose kernels are repeated over time.

Source: facebookresearch/moco-v3: moco/builder.py, main_moco.py; torchvision's ResNet. R3D and Slow-R50 have its blocks,
and CVRL's baseline "ImageNet inflated" (arXiv:2008.03800) starts so, from a network trained with labels.
"""

import argparse
from collections.abc import Iterator

from vssl.backbones.base import Backbone
from vssl.backbones.inflate import resnet3d_from_image, resnet_name
from vssl.backbones.resnet3d import ResNet3d
from vssl.backbones.slow_r50 import SlowR50
from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import Facts, Layout, Move, Tensors, count
from vssl.checkpoints.moco_v3 import PREFIX
from vssl.config.errors import UserError

TARGET = "vssl.backbones.resnet3d.ResNet3d"
FRAMES, SIZE = 16, 224  # the frames are our choice
STAGES = 4


class MoCoV3ResNet(Layout):
    """The trained encoder, without momentum copy and heads: an R3D, or the Slow-R50 that you choose."""

    name = "moco_v3_resnet"
    told = "official MoCo v3 of a ResNet, inflated over time (facebookresearch/moco-v3)"
    containers = (("state_dict",), ())
    signature = (r"^base_encoder\.layer4\.0\.conv3\.weight$", r"^base_encoder\.layer1\.0\.downsample\.1\.weight$")
    kernel = (f"{PREFIX}conv1.weight", 4)
    left_out = (
        (r"momentum_encoder\..*", "the momentum copy"),
        (r"predictor\..*", "the predictor"),
        (r"base_encoder\.fc\..*", "the projection head"),
    )
    safe_globals = (argparse.Namespace,)

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        depths = [count(tensors, rf"base_encoder\.layer{stage}\.(\d+)\.") for stage in range(1, STAGES + 1)]
        node = {
            "_target_": TARGET, "depths": depths, "width": len(tensors[f"{PREFIX}conv1.weight"]),
            "mean": self.mean, "std": self.std,
        }  # fmt: skip
        return Facts(node, {"frames": FRAMES, "size": SIZE})

    def rename(self, name: str) -> str | None:
        inner = name.removeprefix(PREFIX)
        return resnet_name(inner) if inner != name and not inner.startswith("fc.") else None

    def moves(self, tensors: Tensors, encoder: Backbone, opened: Opened) -> Iterator[Move]:
        if not isinstance(encoder, ResNet3d | SlowR50):
            raise UserError(
                f"{opened.path}: an image ResNet starts r3d_50 or slow_r50, no {type(encoder).__name__}",
                "leave backbone= out, or choose one of them",
            )
        image = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if self.rename(name)}
        try:
            found = resnet3d_from_image(image, encoder)
        except ValueError as error:
            raise UserError(f"{opened.path} does not fit this backbone: {error}") from error
        sources = {resnet_name(name): f"{PREFIX}{name}" for name in image}
        for ours, tensor in found.items():
            yield Move(ours, (sources[ours],) if ours in sources else (), tensor)

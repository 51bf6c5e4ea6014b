"""torchvision's 18-layer video networks: R3D-18, MC3-18 and R(2+1)D-18.

Source: Tran et al. 2018, arXiv:1711.11248; torchvision.models.video.resnet, whose names of weights are kept.
"""

from collections.abc import Sequence
from typing import Literal

from vssl import _torchvision  # noqa: F401  (before torchvision)

# isort: split
from torch import nn
from torchvision.models import video

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB
from vssl.backbones.maps import ConvBackbone, extents, halved
from vssl.nn.drop_path import DropPath, rising

STAGES = ("layer1", "layer2", "layer3", "layer4")
SHRINKING = 3  # stages of stride 2


class TorchvisionResNet(ConvBackbone):
    """Two basic blocks a stage; the last three stages halve height and width, and time where their kernels span it.

    Args:
        name: convolutions over space and time, over space alone from the second stage on, or one after the other.
        zero_init: the last norm of each block starts at 0; torchvision leaves it at 1.
        drop_path: rate of stochastic depth in the last block; it rises linearly from 0 in the first.
        checkpoint: recompute each block in the backward pass.
    """

    embed_dim = 512

    def __init__(
        self,
        name: Literal["r3d_18", "mc3_18", "r2plus1d_18"],
        zero_init: bool = False,
        drop_path: float = 0.0,
        checkpoint: bool = False,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        super().__init__(mean, std)
        self.drop_path, self.checkpoint = drop_path, checkpoint
        net = {"r3d_18": video.r3d_18, "mc3_18": video.mc3_18, "r2plus1d_18": video.r2plus1d_18}[name](weights=None)
        self.stem = net.stem
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        self.strides_time = name != "mc3_18"
        _, *blocks = self.parts().values()
        for block, rate in zip(blocks, rising(drop_path, len(blocks)), strict=True):
            branch = block.get_submodule("conv2")
            assert isinstance(branch, nn.Sequential)
            if zero_init:
                nn.init.zeros_(branch.get_parameter("1.weight"))
            branch.append(DropPath(rate))

    def parts(self) -> dict[str, nn.Module]:
        return {
            "stem": self.stem,
            **{f"{name}.{i}": block for name in STAGES for i, block in enumerate(getattr(self, name))},
        }

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        frames, height, width = extents(clip_shape)
        t = halved(frames, SHRINKING) if self.strides_time else frames
        return t, halved(height, SHRINKING + 1), halved(width, SHRINKING + 1)

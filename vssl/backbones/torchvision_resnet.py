"""torchvision's 18-layer video networks: R3D-18, MC3-18 and R(2+1)D-18.

Source: Tran et al. 2018, arXiv:1711.11248; torchvision.models.video.resnet, whose names of weights are kept.
"""

from collections.abc import Sequence
from typing import Literal

from vssl import _torchvision  # noqa: F401  (before torchvision)

# isort: split
from torch import Tensor, nn
from torchvision.models import video

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB
from vssl.backbones.maps import MapBackbone, extents, halved

STAGES = ("layer1", "layer2", "layer3", "layer4")
SHRINKING = 3  # stages of stride 2


class TorchvisionResNet(MapBackbone):
    """Two basic blocks a stage; the last three stages halve height and width, and time where their kernels span it.

    Args:
        name: convolutions over space and time, over space alone from the second stage on, or one after the other.
        zero_init: the last norm of each block starts at 0; torchvision leaves it at 1.
        checkpoint: recompute each block in the backward pass.
    """

    kind = "cnn"
    embed_dim = 512

    def __init__(
        self,
        name: Literal["r3d_18", "mc3_18", "r2plus1d_18"],
        zero_init: bool = False,
        checkpoint: bool = False,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        super().__init__(mean, std)
        self.checkpoint = checkpoint
        net = {"r3d_18": video.r3d_18, "mc3_18": video.mc3_18, "r2plus1d_18": video.r2plus1d_18}[name](weights=None)
        self.stem = net.stem
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        self.strides_time = name != "mc3_18"
        if zero_init:
            for block in self._blocks().values():
                nn.init.zeros_(block.get_parameter("conv2.1.weight"))

    def _blocks(self) -> dict[str, nn.Module]:
        return {f"{name}.{i}": block for name in STAGES for i, block in enumerate(getattr(self, name))}

    def feature_map(self, clip: Tensor) -> Tensor:
        self.grid(clip.shape)
        x = self.stem(self.normalise(clip, channel_dim=1))
        for block in self._blocks().values():
            x = self.run(block, x)
        return x

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        frames, height, width = extents(clip_shape)
        t = halved(frames, SHRINKING) if self.strides_time else frames
        return t, halved(height, SHRINKING + 1), halved(width, SHRINKING + 1)

    def layers(self) -> list[dict[str, nn.Parameter]]:
        """The stem, then a group for each block."""
        stem = {f"stem.{n}": p for n, p in self.stem.named_parameters()}
        return [stem, *({f"{k}.{n}": p for n, p in b.named_parameters()} for k, b in self._blocks().items())]

"""Slow-R50, the slow path of SlowFast, by pytorchvideo.

Source: Feichtenhofer et al. 2019, arXiv:1812.03982; facebookresearch/pytorchvideo: models/hub/resnet.py. The backbone
of Feichtenhofer et al. 2021, arXiv:2104.14558. Names of weights are pytorchvideo's.
Deviation: the mean over all places in place of the released head's pool, which fits clips of 8 x 224 x 224 only.
"""

from collections.abc import Sequence

from vssl import _torchvision  # noqa: F401  (before torchvision, which pytorchvideo imports)

# isort: split
from torch import Tensor, nn

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB
from vssl.backbones.maps import MapBackbone, extents, halved
from vssl.backbones.resnet3d import bottleneck_layers, initialise, residual_blocks
from vssl.config.errors import UserError


class SlowR50(MapBackbone):
    """ResNet-50 with temporal kernels in the last two stages; no stride in time.

    Args:
        zero_init: the last norm of each block starts at 0, as in SlowFast's contrastive models.
        checkpoint: recompute each block in the backward pass.
    """

    kind = "cnn"
    embed_dim = 2048

    def __init__(
        self,
        zero_init: bool = True,
        checkpoint: bool = False,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        super().__init__(mean, std)
        self.checkpoint = checkpoint
        self.blocks = _parts()
        initialise(self, zero_init)

    def feature_map(self, clip: Tensor) -> Tensor:
        self.grid(clip.shape)
        x = self.blocks[0](self.normalise(clip, channel_dim=1))
        for block in residual_blocks(self.blocks).values():
            x = self.run(block, x)
        return x

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        frames, height, width = extents(clip_shape)
        return frames, halved(height, 5), halved(width, 5)

    def layers(self) -> list[dict[str, nn.Parameter]]:
        """The stem, then a group for each block."""
        return bottleneck_layers(self.blocks)


def _parts() -> nn.ModuleList:
    """Stem and stages, without the head."""
    try:
        # Not from the package's top, whose transforms import a part of torchvision that is gone.
        from pytorchvideo.models.hub.resnet import slow_r50
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pytorchvideo":
            raise
        hint = "pip install -c constraints.txt 'vssl[pytorchvideo]', or choose backbone=r3d_50, which needs no package"
        raise UserError("backbone=slow_r50 needs the package pytorchvideo, which is not installed", hint) from error
    return nn.ModuleList(slow_r50(pretrained=False).blocks[:-1])

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
from vssl.backbones.maps import ConvBackbone, extents, halved
from vssl.backbones.resnet3d import initialise, stem_and_blocks
from vssl.config.errors import UserError
from vssl.nn.drop_path import DropPath, rising


class Sum(nn.Module):
    """shortcut + branch, the branch left out at random."""

    def __init__(self, drop_path: float) -> None:
        super().__init__()
        self.drop_path = DropPath(drop_path)

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        return shortcut + self.drop_path(branch)


class SlowR50(ConvBackbone):
    """ResNet-50 with temporal kernels in the last two stages; no stride in time.

    Args:
        zero_init: the last norm of each block starts at 0, as in SlowFast's contrastive models.
        drop_path: rate of stochastic depth in the last block; it rises linearly from 0 in the first.
        checkpoint: recompute each block in the backward pass.
    """

    embed_dim = 2048

    def __init__(
        self,
        zero_init: bool = True,
        drop_path: float = 0.0,
        checkpoint: bool = False,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        super().__init__(mean, std)
        self.drop_path, self.checkpoint = drop_path, checkpoint
        self.blocks = _parts()
        _, *blocks = self.parts().values()
        for block, rate in zip(blocks, rising(drop_path, len(blocks)), strict=True):
            block.branch_fusion = Sum(rate)
        initialise(self, zero_init)

    def parts(self) -> dict[str, nn.Module]:
        return stem_and_blocks(self.blocks)

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        frames, height, width = extents(clip_shape)
        return frames, halved(height, 5), halved(width, 5)


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

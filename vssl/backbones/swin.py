"""Video Swin: attention in shifted windows of space and time, of torchvision's parts.

Source: Liu et al. 2022, arXiv:2106.13230; torchvision.models.video.swin_transformer, whose names of weights are kept.
Deviation: where a feature map is smaller than the window in height or width, torchvision takes its position biases from
a corner of the whole window's index, where they stand for other offsets; here each pair of places gets that of its own.
"""

from collections.abc import Sequence

from vssl import _torchvision  # noqa: F401  (before torchvision)

# isort: split
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformerBlock
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d, SwinTransformer3d

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB
from vssl.backbones.maps import MapBackbone, extents, halved


class WindowAttention(ShiftedWindowAttention3d):  # type: ignore[misc]  # torchvision publishes no types
    """torchvision's attention, with the right biases in windows that are cut to the map."""

    def get_relative_position_bias(self, window_size: list[int]) -> Tensor:
        """[1, heads, n, n] for the n places of a window, cut or whole."""
        d, h, w = window_size
        whole = self.relative_position_index.view(*self.window_size, *self.window_size)
        index = whole[:d, :h, :w, :d, :h, :w].reshape(d * h * w, d * h * w)
        return self.relative_position_bias_table[index].permute(2, 0, 1).unsqueeze(0)


class VideoSwin(MapBackbone):
    """Stages of window attention; between them, two by two places are merged into one. Time is never merged.

    Args:
        frames: the clips it is built for; with `window_frames` null a longer one does not fit.
        width: features of a token in the first stage; each further stage doubles them.
        depths, heads: blocks and attention heads of each stage.
        patch_size, tubelet_size: pixels a side and frames of a token of the first stage.
        window_size: rows and columns of a window, in tokens; every second block shifts its windows by half.
        window_frames: time slots of a window, shifted likewise. Null: windows span all time slots of `frames`.
        drop_path: rate of stochastic depth in the last block; it rises linearly from 0 in the first.
        checkpoint: recompute each block in the backward pass.
    """

    kind = "swin"

    def __init__(
        self,
        frames: int,
        width: int,
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        patch_size: int = 4,
        tubelet_size: int = 2,
        window_size: int = 7,
        window_frames: int | None = 8,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.1,
        checkpoint: bool = False,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        super().__init__(mean, std)
        _check(width, tuple(depths), tuple(heads))
        smallest = {
            "frames": frames,
            "patch_size": patch_size,
            "tubelet_size": tubelet_size,
            "window_size": window_size,
        }
        for name, value in {**smallest, "window_frames": window_frames or 1}.items():
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path is {drop_path}; it must be at least 0 and below 1")
        self.patch = (tubelet_size, patch_size, patch_size)
        self.drop_path, self.checkpoint = drop_path, checkpoint
        slots = -(-frames // tubelet_size)
        self.window = (window_frames or slots, window_size, window_size)
        self.longest = None if window_frames is not None else slots
        body = SwinTransformer3d(
            patch_size=list(self.patch),
            embed_dim=width,
            depths=list(depths),
            num_heads=list(heads),
            window_size=list(self.window),
            mlp_ratio=mlp_ratio,
            stochastic_depth_prob=drop_path,
            block=_block,
        )
        self.patch_embed, self.features, self.norm = body.patch_embed, body.features, body.norm
        self.embed_dim = body.num_features

    def feature_map(self, clip: Tensor) -> Tensor:
        self.grid(clip.shape)
        x = self.patch_embed(self.normalise(clip, channel_dim=1))  # [B, t, h, w, width]
        for stage in self.features:
            for part in stage if isinstance(stage, nn.Sequential) else [stage]:
                x = self.run(part, x)
        return self.norm(x).permute(0, 4, 1, 2, 3)

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        frames, height, width = extents(clip_shape)
        t, h, w = (-(-extent // step) for extent, step in zip((frames, height, width), self.patch, strict=True))
        if self.longest is not None and t > self.longest:
            raise ValueError(
                f"a clip of {frames} frames of {height} x {width} pixels does not fit this backbone, whose windows "
                f"span {self.longest} time slots of {self.patch[0]} frames"
            )
        merges = len(self.features) // 2
        return t, halved(h, merges), halved(w, merges)

    def layers(self) -> list[dict[str, nn.Parameter]]:
        """The embedding, then a group a block; a merging goes with the block after it, the norm with the last one."""
        groups = [_named("patch_embed", self.patch_embed)]
        merging: dict[str, nn.Parameter] = {}
        for i, stage in enumerate(self.features):
            if not isinstance(stage, nn.Sequential):
                merging = _named(f"features.{i}", stage)
                continue
            for j, block in enumerate(stage):
                groups.append({**merging, **_named(f"features.{i}.{j}", block)})
                merging = {}
        groups[-1].update(_named("norm", self.norm))
        return groups

    def no_decay(self) -> set[str]:
        """The bias tables. Source: microsoft/Swin-Transformer: models/swin_transformer.py."""
        return {name for name, _ in self.named_parameters() if name.endswith("relative_position_bias_table")}


def _block(*args: object, **settings: object) -> nn.Module:
    """torchvision names its own attention when it builds a block; ours takes the place."""
    return SwinTransformerBlock(*args, **{**settings, "attn_layer": WindowAttention})


def _named(prefix: str, module: nn.Module) -> dict[str, nn.Parameter]:
    return {f"{prefix}.{name}": p for name, p in module.named_parameters()}


def _check(width: int, depths: tuple[int, ...], heads: tuple[int, ...]) -> None:
    if len(depths) != len(heads) or min(depths, default=0) < 1:
        raise ValueError(f"depths is {depths} and heads {heads}; each stage needs at least one block, and its heads")
    if sum(depths) < 2:
        raise ValueError(f"depths is {depths}; at least two blocks are needed, the second of which shifts its windows")
    for stage, count in enumerate(heads):
        if count < 1 or width * 2**stage % count:
            raise ValueError(f"stage {stage} is {width * 2**stage} wide and has {count} heads, which must divide it")

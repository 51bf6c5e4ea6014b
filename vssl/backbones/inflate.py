"""Weights of image networks as a start for video networks: plain functions from state dict to state dict.

Nothing is left out in silence: a tensor that is missing, of another shape, or without a place is an error.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.backbones.swin import VideoSwin
from vssl.backbones.timesformer import TimeSformer

Weights = Mapping[str, Tensor]


def inflate_kernel(kernel: Tensor, frames: int) -> Tensor:
    """[O, I, h, w] -> [O, I, frames, h, w], repeated over time and divided by it: a still clip gives what a frame gave.

    Source: Carreira and Zisserman 2017, arXiv:1705.07750, Sec. 2.
    """
    return kernel.unsqueeze(2).repeat(1, 1, frames, 1, 1) / frames


def inflate_bias_table(table: Tensor, from_window: tuple[int, int], window: tuple[int, int, int]) -> Tensor:
    """Relative biases [(2h - 1)(2w - 1), heads] -> [(2d' - 1)(2h' - 1)(2w' - 1), heads].

    Repeated over offsets in time and not divided; bicubic where the window's height or width differs.
    Source: SwinTransformer/Video-Swin-Transformer: mmaction/models/backbones/swin_transformer.py, `inflate_weights`.
    """
    (h, w), (slots, height, width) = from_window, window
    if (h, w) != (height, width):
        maps = table.T.reshape(1, -1, 2 * h - 1, 2 * w - 1)
        maps = F.interpolate(maps, size=(2 * height - 1, 2 * width - 1), mode="bicubic", align_corners=False)
        table = maps.flatten(2)[0].T
    return table.repeat(2 * slots - 1, 1)


def timesformer_from_image(image: Weights, encoder: TimeSformer) -> dict[str, Tensor]:
    """A state dict for `encoder` from that of an image ViT with timm's names (also DeiT's and DINO's).

    Attention and norm over time start as copies of those over space; the time table and `temporal_fc` stay as they are
    in `encoder`: zero, if it is new. Position tables of another size take the nearest row.
    Source: facebookresearch/TimeSformer: timesformer/models/helpers.py.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in _without_head(image, ("head.", "fc_norm.")):
        if name == "patch_embed.proj.weight":
            found["patch_embed.weight"] = tensor.flatten(1)
        elif name == "patch_embed.proj.bias":
            found["patch_embed.bias"] = tensor
        elif name == "pos_embed":
            found[name] = _nearest_table(tensor, encoder.pos_embed.shape[1] - 1)
        else:
            found[name] = tensor
            over_time = re.sub(r"\.(attn|norm1)\.", r".temporal_\1.", name)
            found[over_time] = tensor
    return _complete(encoder, found, own=("mean", "std", "time_embed", "temporal_fc."))


def swin_from_image(image: Weights, encoder: VideoSwin) -> dict[str, Tensor]:
    """A state dict for `encoder` from that of torchvision's image Swin (swin_t, swin_s, swin_b).

    Source: as `inflate_bias_table`; the patch embedding is repeated over a token's frames and divided by them.
    """
    tubelet = encoder.patch[0]
    found: dict[str, Tensor] = {}
    for name, tensor in _without_head(image, ("head.",)):
        if name.endswith("relative_position_index"):
            continue  # of the image's windows; the encoder has its own
        if match := re.fullmatch(r"features\.0\.(0|2)\.(weight|bias)", name):
            kernel = match[1] == "0" and match[2] == "weight"
            part = {"0": "proj", "2": "norm"}[match[1]]
            found[f"patch_embed.{part}.{match[2]}"] = inflate_kernel(tensor, tubelet) if kernel else tensor
            continue
        ours = re.sub(r"^features\.(\d+)", lambda stage: f"features.{int(stage[1]) - 1}", name)
        if name.endswith("relative_position_bias_table"):
            side = (round(len(tensor) ** 0.5) + 1) // 2  # windows of torchvision's image Swin are square
            tensor = inflate_bias_table(tensor, (side, side), encoder.window)
        found[ours] = tensor
    return _complete(encoder, found, own=("mean", "std", "relative_position_index"))


def resnet3d_from_image(image: Weights, encoder: Backbone) -> dict[str, Tensor]:
    """A state dict for `encoder`, a ResNet3d or SlowR50, from that of torchvision's ResNet of the same blocks."""
    shapes = {name: tensor.shape for name, tensor in encoder.state_dict().items()}
    found: dict[str, Tensor] = {}
    for name, tensor in _without_head(image, ("fc.",)):
        ours = resnet_name(name)
        kernel = tensor.ndim == 4 and ours in shapes
        found[ours] = inflate_kernel(tensor, shapes[ours][2]) if kernel else tensor
    return _complete(encoder, found, own=("mean", "std"))


def resnet_name(name: str) -> str:
    """`layer2.0.conv1.weight` -> `blocks.2.res_blocks.0.branch2.conv_a.weight`."""
    name = re.sub(r"^conv1\.", "blocks.0.conv.", name)
    name = re.sub(r"^bn1\.", "blocks.0.norm.", name)
    name = re.sub(r"^layer(\d)\.(\d+)\.", r"blocks.\1.res_blocks.\2.", name)
    name = re.sub(r"\.downsample\.0\.", ".branch1_conv.", name)
    name = re.sub(r"\.downsample\.1\.", ".branch1_norm.", name)
    letter = {"1": "a", "2": "b", "3": "c"}
    name = re.sub(r"\.conv([123])\.", lambda part: f".branch2.conv_{letter[part[1]]}.", name)
    return re.sub(r"\.bn([123])\.", lambda part: f".branch2.norm_{letter[part[1]]}.", name)


def _nearest_table(table: Tensor, places: int) -> Tensor:
    """[1, 1 + n, D] -> [1, 1 + places, D], both grids square; the class token's row stays."""
    if table.shape[1] == 1 + places:
        return table
    side, wanted = (round(count**0.5) for count in (table.shape[1] - 1, places))
    maps = table[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
    maps = F.interpolate(maps, size=(wanted, wanted), mode="nearest")
    return torch.cat([table[:, :1], maps.flatten(2).transpose(1, 2)], dim=1)


def _without_head(image: Weights, heads: tuple[str, ...]) -> list[tuple[str, Tensor]]:
    return [(name, tensor) for name, tensor in image.items() if not name.startswith(heads)]


def _complete(encoder: Backbone, found: dict[str, Tensor], own: tuple[str, ...]) -> dict[str, Tensor]:
    """`found`, and the encoder's own tensors whose names contain one of `own`.

    Raises:
        ValueError: a tensor is missing, has another shape, or has no place in the encoder.
    """
    expected = encoder.state_dict()
    kept = {name: tensor for name, tensor in expected.items() if any(part in name for part in own)}
    filled = {**kept, **found}
    wrong = [name for name in expected if name in filled and filled[name].shape != expected[name].shape]
    missing = [name for name in expected if name not in filled]
    homeless = [name for name in filled if name not in expected]
    problems = {"lacks": missing, "has, without a place for them here,": homeless, "has in another shape": wrong}
    for problem, names in problems.items():
        if names:
            raise ValueError(f"the image network {problem} {', '.join(names[:3])} ({len(names)} in all)")
    return filled

"""TimeSformer as released (`.pyth`), divided attention.

Source: facebookresearch/TimeSformer: timesformer/models/vit.py, helpers.py; the pixels' mean and
deviation by timesformer/config/defaults.py.
"""

import argparse
from collections.abc import Iterator
from typing import ClassVar

from vssl.backbones.base import Backbone
from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import HEADS, MUST_BE_GIVEN, Facts, Layout, Move, Tensors, count

TARGET = "vssl.backbones.timesformer.TimeSformer"


class TimeSformerOfficial(Layout):
    """Names are ours but for the patch embedding, which is a convolution there."""

    name = "timesformer"
    told = "official TimeSformer with divided attention (facebookresearch/TimeSformer)"
    containers: ClassVar[tuple[tuple[str, ...], ...]] = (("model_state",), ("state_dict",), ("model",), ())
    prefixes = ("module.", "model.")
    signature = (
        r"^patch_embed\.proj\.weight$", r"^blocks\.0\.temporal_attn\.qkv\.weight$", r"^time_embed$", r"^pos_embed$",
    )  # fmt: skip
    kernel = ("patch_embed.proj.weight", 4)
    left_out = ((r"head\.(.+\.)?\w+", "the head"),)
    safe_globals = (argparse.Namespace,)
    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        width, _, patch, _ = tensors["patch_embed.proj.weight"].shape
        return timesformer_facts(
            width, patch, tensors["time_embed"].shape[1], tensors["pos_embed"].shape[1],
            count(tensors, r"blocks\.(\d+)\."), len(tensors["blocks.0.mlp.fc1.weight"]), self,
        )  # fmt: skip

    def refuses(self, opened: Opened) -> str | None:
        return not_divided(self.tensors(opened), "time_embed", ".temporal_attn.")

    def rename(self, name: str) -> str | None:
        return None if name.startswith("head.") else name.replace("patch_embed.proj.", "patch_embed.")

    def moves(self, tensors: Tensors, encoder: Backbone, opened: Opened) -> Iterator[Move]:
        for move in super().moves(tensors, encoder, opened):
            kernel = move.ours == "patch_embed.weight"
            yield Move(move.ours, move.sources, move.tensor.flatten(1)) if kernel else move


def not_divided(tensors: Tensors, times: str, attention: str) -> str | None:
    """Args: times: name of the table of times; attention: part of the names of attention over time."""
    joint = times in tensors and not any(attention in name for name in tensors)
    return (
        "a TimeSformer of joint attention, and no backbone here has that: divided attention is read" if joint else None
    )


def timesformer_facts(
    width: int, patch: int, frames: int, places: int, depth: int, hidden_dim: int, layout: Layout
) -> Facts:
    """Args: places: rows of the table of positions, the class token's included."""
    size = round((places - 1) ** 0.5) * patch
    node = {
        "_target_": TARGET, "frames": frames, "size": size, "embed_dim": width, "depth": depth,
        "heads": HEADS.get(width, MUST_BE_GIVEN), "patch_size": patch, "mlp_ratio": hidden_dim / width,
        "mean": layout.mean, "std": layout.std,
    }  # fmt: skip
    return Facts(node, {"frames": frames, "size": size})

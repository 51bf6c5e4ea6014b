"""MoCo v3 as released: an image ViT, whose patches become tubelets.

Source: facebookresearch/moco-v3: vits.py, main_moco.py. The bias of k is dropped, which changes nothing: it adds the
same number to all scores of a query. A still clip of one tubelet gives what the image network gives of its frame.
"""

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.backbones.inflate import inflate_kernel, timesformer_from_image
from vssl.backbones.timesformer import TimeSformer
from vssl.backbones.vit import VisionTransformer
from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import MUST_BE_GIVEN, Facts, Layout, Move, Tensors, count
from vssl.checkpoints.videomae import VIT
from vssl.config.errors import UserError

HEADS = {384: 12, 768: 12}  # its small model has twice the heads of others of that width
FRAMES, TUBELET = 16, 2  # our choice: an image network tells neither

PREFIX = "base_encoder."
KERNEL, TABLE, CLS = (f"{PREFIX}{name}" for name in ("patch_embed.proj.weight", "pos_embed", "cls_token"))


class MoCoV3(Layout):
    """The trained encoder, without momentum copy and heads. Positions are the image's in every time slot."""

    name = "moco_v3"
    told = "official MoCo v3 of a ViT, inflated over time (facebookresearch/moco-v3)"
    containers = (("state_dict",), ())
    signature = (r"^base_encoder\.patch_embed\.proj\.weight$", r"^base_encoder\.blocks\.0\.attn\.qkv\.weight$")
    kernel = ("base_encoder.patch_embed.proj.weight", 4)
    left_out = (
        (r"momentum_encoder\..*", "the momentum copy"),
        (r"predictor\..*", "the predictor"),
        (r"base_encoder\.head\..*", "the projection head"),
    )
    safe_globals = (argparse.Namespace,)

    def refuses(self, opened: Opened) -> str | None:
        if f"{PREFIX}patch_embed.proj.0.weight" not in self.tensors(opened):
            return None
        return "a MoCo v3 ViT with a convolutional stem, and no backbone here has that: those of patches are read"

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        width, _, patch, _ = tensors[KERNEL].shape
        size = round((tensors[TABLE].shape[1] - 1) ** 0.5) * patch
        node = {
            "_target_": VIT, "frames": FRAMES, "size": size, "embed_dim": width,
            "depth": count(tensors, r"base_encoder\.blocks\.(\d+)\."), "heads": HEADS.get(width, MUST_BE_GIVEN),
            "patch_size": patch, "tubelet_size": TUBELET,
            "mlp_ratio": len(tensors[f"{PREFIX}blocks.0.mlp.fc1.weight"]) / width, "pool": "cls",
            "positions": "learned_separable", "mean": self.mean, "std": self.std,
        }  # fmt: skip
        return Facts(node, {"frames": FRAMES, "size": size})

    def rename(self, name: str) -> str | None:
        inner = name.removeprefix(PREFIX)
        return inner if inner != name and not inner.startswith("head.") else None

    def moves(self, tensors: Tensors, encoder: Backbone, opened: Opened) -> Iterator[Move]:
        if isinstance(encoder, TimeSformer):
            yield from self._to_timesformer(tensors, encoder, opened)
        elif isinstance(encoder, VisionTransformer):
            yield from self._to_tubelets(tensors, encoder, opened)
        else:
            raise UserError(
                f"{opened.path}: an image ViT starts a tubelet ViT or a TimeSformer, no {type(encoder).__name__}",
                "leave backbone= out, or choose vit_* or timesformer_*",
            )

    def _to_timesformer(self, tensors: Tensors, encoder: TimeSformer, opened: Opened) -> Iterator[Move]:
        image = {ours: tensor for name, tensor in tensors.items() if (ours := self.rename(name))}
        try:
            found = timesformer_from_image(image, encoder)
        except ValueError as error:
            raise UserError(f"{opened.path} does not fit this backbone: {error}") from error
        for ours, tensor in found.items():
            theirs = ours.replace("temporal_", "").replace("patch_embed.", "patch_embed.proj.")
            source = f"{PREFIX}{theirs}"
            yield Move(ours, (source,) if source in tensors else (), tensor)

    def _to_tubelets(self, tensors: Tensors, encoder: VisionTransformer, opened: Opened) -> Iterator[Move]:
        for move in super().moves(tensors, encoder, opened):
            if move.ours == "patch_embed.proj.weight":
                yield Move("patch_embed.weight", move.sources, inflate_kernel(move.tensor, encoder.patch[0]).flatten(1))
            elif move.ours == "patch_embed.proj.bias":
                yield Move("patch_embed.bias", move.sources, move.tensor)
            elif move.ours.endswith("attn.qkv.bias"):
                block = move.ours.removesuffix("qkv.bias")
                q, _, v = move.tensor.chunk(3)
                yield Move(f"{block}q_bias", move.sources, q)
                yield Move(f"{block}v_bias", move.sources, v)
            elif move.ours == "cls_token":
                # Ours gets no position, so that of the class token goes into it.
                yield Move("cls_token", (CLS,), move.tensor + tensors[TABLE][:, :1])
            elif move.ours == "pos_embed":
                yield from _positions(tensors[TABLE][0, 1:], encoder)
            else:
                yield move


def _positions(table: Tensor, encoder: VisionTransformer) -> Iterator[Move]:
    """[h * w, D], for the learned kinds; a fixed table has no place for it, and is told as a difference."""
    slots = encoder.positions.built_for[0]
    yield Move("positions.space", (TABLE,), table)
    yield Move("positions.time", (), torch.zeros(slots, table.shape[1]))
    yield Move("positions.table", (TABLE,), table.repeat(slots, 1))

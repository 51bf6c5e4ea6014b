"""VideoMAE as released: the pretraining and the fine-tuning code's files.

Source: MCG-NJU/VideoMAE@14ef8d8: modeling_pretrain.py, modeling_finetune.py, run_class_finetuning.py (containers).
"""

import argparse
import re
from collections.abc import Iterator
from typing import ClassVar

from vssl.backbones.base import Backbone
from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import HEADS, MUST_BE_GIVEN, Facts, Layout, Move, Tensors, count

VIT = "vssl.backbones.vit.VisionTransformer"
FRAMES, SIZE = 16, 224  # of every released model; the files hold no position table that would tell
BLOCK = re.compile(r"blocks\.\d+\.(norm[12]|attn|mlp)\..+")


class VideoMAEOfficial(Layout):
    """Names of blocks are ours; a pretraining puts `encoder.` before them, a fine-tuning nothing."""

    name = "videomae"
    told = "official VideoMAE, pretrained or fine-tuned (MCG-NJU/VideoMAE)"
    containers = (("model",), ("module",), ())
    prefixes: ClassVar[tuple[str, ...]] = ("_orig_mod.", "module.", "backbone.", "encoder.")
    signature = (r"^patch_embed\.proj\.weight$", r"^blocks\.0\.attn\.q_bias$", r"^blocks\.0\.attn\.qkv\.weight$")
    kernel = ("patch_embed.proj.weight", 5)
    left_out = (
        (r"decoder\..*|encoder_to_decoder\.weight|mask_token", "the decoder of the pretraining"),
        (r"head\.(weight|bias)", "the classifier"),
        (r"fc_norm\.(weight|bias)", "the norm after the mean, which belongs to the classifier"),
    )
    may_lack = ((r"norm\.(weight|bias)", "fine-tuned without a norm before the mean: scale 1 and shift 0 stand there"),)
    safe_globals = (argparse.Namespace,)

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        width, _, tubelet, patch, _ = tensors["patch_embed.proj.weight"].shape
        frames, size = int(opened.args.get("num_frames", FRAMES)), int(opened.args.get("input_size", SIZE))
        node = {
            "_target_": VIT, "frames": frames, "size": size, "embed_dim": width,
            "depth": count(tensors, r"blocks\.(\d+)\."), "heads": HEADS.get(width, MUST_BE_GIVEN),
            "patch_size": patch, "tubelet_size": tubelet,
            "mlp_ratio": len(tensors["blocks.0.mlp.fc1.weight"]) / width, "positions": "sinusoid",
            "mean": self.mean, "std": self.std,
        }  # fmt: skip
        return Facts(node, {"frames": frames, "size": size})

    def rename(self, name: str) -> str | None:
        if name.startswith("patch_embed.proj."):
            return name.replace(".proj.", ".")
        return name if BLOCK.fullmatch(name) or name.startswith("norm.") else None

    def moves(self, tensors: Tensors, encoder: Backbone, opened: Opened) -> Iterator[Move]:
        for move in super().moves(tensors, encoder, opened):
            kernel = move.ours == "patch_embed.weight"
            yield Move(move.ours, move.sources, move.tensor.flatten(1)) if kernel else move

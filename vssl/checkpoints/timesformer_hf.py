"""TimeSformer as transformers names it, in and out.

Source: huggingface/transformers: models/timesformer; its conversion from the official names is 1 to 1.
"""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.backbones.timesformer import TimeSformer
from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import Facts, Layout, Move, Tensors, count
from vssl.checkpoints.timesformer import not_divided, timesformer_facts

KERNEL = "embeddings.patch_embeddings.projection.weight"
IN_BLOCK = {
    "norm1": "layernorm_before", "norm2": "layernorm_after", "temporal_norm1": "temporal_layernorm",
    "attn.qkv": "attention.attention.qkv", "attn.proj": "attention.output.dense",
    "temporal_attn.qkv": "temporal_attention.attention.qkv", "temporal_attn.proj": "temporal_attention.output.dense",
    "temporal_fc": "temporal_dense", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
}  # fmt: skip
OUTSIDE = {
    "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
    "time_embed": "embeddings.time_embeddings", "patch_embed.weight": KERNEL,
    "patch_embed.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight", "norm.bias": "layernorm.bias",
}  # fmt: skip


class TimeSformerHf(Layout):
    """A model alone or with its classifier."""

    name = "timesformer_hf"
    told = "TimeSformer of transformers (save_pretrained)"
    prefixes = ("module.", "timesformer.")
    signature = (
        r"^embeddings\.time_embeddings$", r"^encoder\.layer\.0\.temporal_attention\.attention\.qkv\.weight$",
    )  # fmt: skip
    kernel = (KERNEL, 4)
    left_out = ((r"classifier\.(weight|bias)", "the classifier"),)
    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        width, _, patch, _ = tensors[KERNEL].shape
        frames, places = (tensors[f"embeddings.{name}_embeddings"].shape[1] for name in ("time", "position"))
        depth = count(tensors, r"encoder\.layer\.(\d+)\.")
        found = timesformer_facts(
            width, patch, frames, places, depth, len(tensors["encoder.layer.0.intermediate.dense.weight"]), self
        )
        known = {"num_attention_heads": "heads", "layer_norm_eps": "norm_eps"}
        told = {ours: opened.settings[theirs] for theirs, ours in known.items() if theirs in opened.settings}
        return Facts({**found.backbone, **told}, found.clip)

    def refuses(self, opened: Opened) -> str | None:
        return not_divided(self.tensors(opened), "embeddings.time_embeddings", ".temporal_attention.")

    def rename(self, name: str) -> str | None:
        stem, _, kind = name.rpartition(".")
        if found := re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", stem):
            ours = next((ours for ours, theirs in IN_BLOCK.items() if theirs == found[2]), None)
            return f"blocks.{found[1]}.{ours}.{kind}" if ours else None
        return next((ours for ours, theirs in OUTSIDE.items() if theirs == name), None)

    def moves(self, tensors: Tensors, encoder: Backbone, opened: Opened) -> Iterator[Move]:
        for move in super().moves(tensors, encoder, opened):
            kernel = move.ours == "patch_embed.weight"
            yield Move(move.ours, move.sources, move.tensor.flatten(1)) if kernel else move


def to_timesformer_hf(encoder: TimeSformer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights by transformers' names and its `config.json`; its model gives tokens, the first the class token."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in encoder.state_dict().items():
        if name == "patch_embed.weight":
            tensors[f"timesformer.{KERNEL}"] = tensor.view(len(tensor), -1, *encoder.patch[1:])
        elif name in OUTSIDE:
            tensors[f"timesformer.{OUTSIDE[name]}"] = tensor
        elif found := re.fullmatch(r"blocks\.(\d+)\.(.+)\.(\w+)", name):
            tensors[f"timesformer.encoder.layer.{found[1]}.{IN_BLOCK[found[2]]}.{found[3]}"] = tensor
    block: Any = encoder.blocks[0]
    config = {
        "architectures": ["TimesformerModel"], "model_type": "timesformer", "attention_type": "divided_space_time",
        "hidden_act": "gelu", "hidden_size": encoder.embed_dim, "num_hidden_layers": len(encoder.blocks),
        "num_attention_heads": block.attn.heads, "intermediate_size": block.mlp.fc1.out_features,
        "image_size": encoder.size, "num_frames": encoder.frames, "patch_size": encoder.patch[1],
        "num_channels": len(encoder.mean), "layer_norm_eps": encoder.norm.eps, "qkv_bias": True, "drop_path_rate": 0,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    return tensors, config

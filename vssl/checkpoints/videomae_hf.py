"""VideoMAE as transformers names it, in and out.

Source: huggingface/transformers: models/videomae. Generation 1 of its names (4.x, 5.0.0, and what is published) keeps
the biases of q and v as `q_bias` and `v_bias`, generation 2 (seen from 5.8.0) as `query.bias` and `value.bias`.
Versions seen from 5.8.0 to 5.16.0 read files of generation 1 with these biases zero, and save them so.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.backbones.vit import VisionTransformer
from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import HEADS, MUST_BE_GIVEN, Facts, Layout, Move, Tensors, count
from vssl.checkpoints.videomae import FRAMES, SIZE, VIT
from vssl.config.errors import UserError

EPS = 1e-12  # of VideoMAEConfig, where its config.json does not say another
ATTENTION = "attention.attention."
BIAS_NAMES = {"q": ("q_bias", "query.bias"), "v": ("v_bias", "value.bias")}

# Ours -> theirs, inside a block and outside.
IN_BLOCK = {
    "norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
}  # fmt: skip
OUTSIDE = {"patch_embed": "embeddings.patch_embeddings.projection", "norm": "layernorm"}


class VideoMAEHf(Layout):
    """A model alone, with its decoder, or with its classifier; with `config.json` beside it, heads are known."""

    name = "videomae_hf"
    told = "VideoMAE of transformers, both generations of names (save_pretrained)"
    prefixes = ("module.", "videomae.")
    signature = (
        r"^embeddings\.patch_embeddings\.projection\.weight$",
        r"^encoder\.layer\.0\.attention\.attention\.query\.weight$",
    )  # fmt: skip
    kernel = ("embeddings.patch_embeddings.projection.weight", 5)
    left_out = (
        (r"decoder\..*|encoder_to_decoder\.weight|mask_token", "the decoder of the pretraining"),
        (r"classifier\.(weight|bias)", "the classifier"),
        (r"fc_norm\.(weight|bias)", "the norm after the mean, which belongs to the classifier"),
    )
    may_lack = (
        (r"norm\.(weight|bias)", "use_mean_pooling has no norm before the mean: scale 1 and shift 0 stand there"),
    )

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        width, _, tubelet, patch, _ = tensors["embeddings.patch_embeddings.projection.weight"].shape
        config = opened.settings
        frames, size = int(config.get("num_frames", FRAMES)), int(config.get("image_size", SIZE))
        node = {
            "_target_": VIT, "frames": frames, "size": size, "embed_dim": width,
            "depth": count(tensors, r"encoder\.layer\.(\d+)\."),
            "heads": config.get("num_attention_heads", HEADS.get(width, MUST_BE_GIVEN)),
            "patch_size": patch, "tubelet_size": tubelet,
            "mlp_ratio": len(tensors["encoder.layer.0.intermediate.dense.weight"]) / width, "positions": "sinusoid",
            "norm_eps": float(config.get("layer_norm_eps", EPS)), "mean": self.mean, "std": self.std,
        }  # fmt: skip
        return Facts(node, {"frames": frames, "size": size})

    def rename(self, name: str) -> str | None:
        stem, _, kind = name.rpartition(".")
        if found := re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", stem):
            ours = next((ours for ours, theirs in IN_BLOCK.items() if theirs == found[2]), None)
            return f"blocks.{found[1]}.{ours}.{kind}" if ours else None
        return next((f"{ours}.{kind}" for ours, theirs in OUTSIDE.items() if theirs == stem), None)

    def moves(self, tensors: Tensors, encoder: Backbone, opened: Opened) -> Iterator[Move]:
        for move in super().moves(tensors, encoder, opened):
            kernel = move.ours == "patch_embed.weight"
            yield Move(move.ours, move.sources, move.tensor.flatten(1)) if kernel else move
        biases = list(_biases(tensors, opened))
        if _has_biases(opened):
            _refuse_lost(biases, opened)
        yield from biases
        for block in range(count(tensors, r"encoder\.layer\.(\d+)\.")):
            names = tuple(f"encoder.layer.{block}.{ATTENTION}{part}.weight" for part in ("query", "key", "value"))
            if all(name in tensors for name in names):
                yield Move(f"blocks.{block}.attn.qkv.weight", names, torch.cat([tensors[name] for name in names]))


def _biases(tensors: Tensors, opened: Opened) -> Iterator[Move]:
    """Those of q and v of every block, by either generation's name."""
    for block in range(count(tensors, r"encoder\.layer\.(\d+)\.")):
        for part, names in BIAS_NAMES.items():
            found = [name for name in (f"encoder.layer.{block}.{ATTENTION}{name}" for name in names) if name in tensors]
            if len(found) > 1:
                raise UserError(f"{opened.path}: {' and '.join(found)} are both there; one of them is meant")
            if found:
                yield Move(f"blocks.{block}.attn.{part}_bias", (found[0],), tensors[found[0]])
            elif not _has_biases(opened):
                width = len(tensors[f"encoder.layer.{block}.{ATTENTION}query.weight"])
                yield Move(f"blocks.{block}.attn.{part}_bias", (), torch.zeros(width))


def _has_biases(opened: Opened) -> bool:
    """Whether the model is one with biases of q and v, which its `config.json` says by one of two names."""
    return bool(opened.settings.get("qv_bias", opened.settings.get("qkv_bias", True)))


def _refuse_lost(biases: list[Move], opened: Opened) -> None:
    lost = []
    for part in BIAS_NAMES:
        found = [move.tensor for move in biases if move.ours.endswith(f".{part}_bias")]
        if found and not any(bool(tensor.any()) for tensor in found):
            lost.append(part)
    if lost:
        raise UserError(
            f"{opened.path}: all biases of {' and '.join(lost)} are zero, as some versions of transformers (seen from "
            "5.8.0 to 5.16.0) read published files and save them",
            "take the file as it was published, or read it with transformers 5.21 or newer and save it again",
        )


def to_videomae_hf(encoder: VisionTransformer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights by transformers' names (generation 1, which old and new versions read) and its `config.json`.

    Raises:
        UserError: transformers has no such model.
    """
    if encoder.cls_token is not None or encoder.positions.kind != "sinusoid":
        raise UserError(
            "transformers' VideoMAE has sinusoid positions and no class token, this encoder has others",
            "layout=vssl keeps the encoder as it is",
        )
    tensors: dict[str, Tensor] = {}
    for name, tensor in encoder.state_dict().items():
        for theirs, part in _theirs(name, tensor, encoder):
            tensors[f"videomae.{theirs}"] = part.contiguous()
    tubelet, patch, _ = encoder.patch
    block: Any = encoder.blocks[0]
    config = {
        "architectures": ["VideoMAEModel"], "model_type": "videomae", "hidden_act": "gelu",
        "hidden_size": encoder.embed_dim, "num_hidden_layers": len(encoder.blocks),
        "num_attention_heads": block.attn.heads, "intermediate_size": block.mlp.fc1.out_features,
        "image_size": encoder.size, "num_frames": encoder.frames, "patch_size": patch, "tubelet_size": tubelet,
        "num_channels": len(encoder.mean), "layer_norm_eps": encoder.norm.eps, "qkv_bias": True,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "use_mean_pooling": False,
    }  # fmt: skip
    return tensors, config


def _theirs(name: str, tensor: Tensor, encoder: VisionTransformer) -> Iterator[tuple[str, Tensor]]:
    if name == "patch_embed.weight":
        yield f"{OUTSIDE['patch_embed']}.weight", tensor.view(len(tensor), len(encoder.mean), *encoder.patch)
        return
    stem, _, kind = name.rpartition(".")
    if stem in OUTSIDE:
        yield f"{OUTSIDE[stem]}.{kind}", tensor
    elif found := re.fullmatch(r"blocks\.(\d+)\.(.+)", name):
        layer, inner = f"encoder.layer.{found[1]}", found[2]
        if inner == "attn.qkv.weight":
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                yield f"{layer}.{ATTENTION}{part}.weight", rows
        elif inner in ("attn.q_bias", "attn.v_bias"):
            yield f"{layer}.{ATTENTION}{inner.removeprefix('attn.')}", tensor
        else:
            part, _, kind = inner.rpartition(".")
            yield f"{layer}.{IN_BLOCK[part]}.{kind}", tensor


def preprocessor(encoder: Backbone, size: int) -> Mapping[str, Any]:
    """`preprocessor_config.json` for transformers' VideoMAEImageProcessor: the pixels that this encoder was given."""
    return {
        "image_processor_type": "VideoMAEImageProcessor", "do_resize": True, "size": {"shortest_edge": size},
        "do_center_crop": True, "crop_size": {"height": size, "width": size}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "resample": 2,
        "image_mean": _floats(encoder.mean), "image_std": _floats(encoder.std),
    }  # fmt: skip


def _floats(values: Tensor) -> list[float]:
    """As they were written in decimals: float32 has about seven digits."""
    return [float(f"{value:.7g}") for value in values.tolist()]

"""One small file of every layout, as its project writes it, and the configuration of the backbone that it starts."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.models import video
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.video.swin_transformer import SwinTransformer3d
from transformers import TimesformerConfig, TimesformerModel, VideoMAEConfig, VideoMAEModel

from tests.checkpoints.test_moco_v3_resnet import released
from tests.checkpoints.test_swin import official_swin
from tests.checkpoints.test_timesformer import official as official_timesformer
from tests.checkpoints.test_timesformer import timesformer
from tests.checkpoints.test_videomae import official, vit
from tests.checkpoints.tools import randomised
from vssl.backbones.slow_r50 import SlowR50

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 16,
    "patch_size": 8, "num_frames": 4,
}  # fmt: skip
ARGS = {"num_frames": 4, "input_size": 16}
HEADS = "backbone.heads=2"  # of widths that no project released, no file tells them
GROUPS = {
    "VisionTransformer": "vit_nano", "TimeSformer": "timesformer_nano", "VideoSwin": "swin_nano",
    "ResNet3d": "r3d_nano", "SlowR50": "slow_r50", "TorchvisionResNet": "r3d_18",
}  # fmt: skip


def write(layout: str, folder: Path) -> tuple[Path, list[str]]:
    """The file or folder, and what has to be said beside it."""
    return _WRITERS[layout](folder)


def chosen(facts: Any) -> Iterator[str]:
    """The words that choose the backbone of a file for a training."""
    node = dict(facts.backbone)
    yield f"backbone={GROUPS[node.pop('_target_').rpartition('.')[2]]}"
    for key, value in node.items():
        shown = f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else value
        yield f"backbone.{key}={shown}"
    for key, value in facts.clip.items():
        yield f"clip.{key}={value}"


def _saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def _own(folder: Path) -> tuple[Path, list[str]]:
    encoder = vit()
    save_file({name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}, folder / "w.safetensors")
    (folder / "backbone.yaml").write_text(
        "clip: {frames: 4, stride: 2, size: 16}\n"
        "backbone: {_target_: vssl.backbones.vit.VisionTransformer, frames: 4, size: 16, embed_dim: 32, depth: 2, "
        "heads: 2, patch_size: 8}\n"
    )
    return folder / "w.safetensors", []


def _videomae(folder: Path) -> tuple[Path, list[str]]:
    return _saved({"model": official(vit(), "encoder."), "args": argparse.Namespace(**ARGS)}, folder / "v.pth"), [HEADS]


def _videomae_v2(folder: Path) -> tuple[Path, list[str]]:
    args = argparse.Namespace(**ARGS, decoder_mask_ratio=0.5)
    return _saved({"module": official(vit()), "args": args}, folder / "v2.pth"), [HEADS]


def _videomae_hf(folder: Path) -> tuple[Path, list[str]]:
    randomised(VideoMAEModel(VideoMAEConfig(**SMALL, use_mean_pooling=False))).save_pretrained(folder / "hub")
    return folder / "hub", []


def _timesformer(folder: Path) -> tuple[Path, list[str]]:
    content = {"model_state": official_timesformer(timesformer(), "model."), "cfg": "x"}
    return _saved(content, folder / "t.pyth"), [HEADS]


def _svt(folder: Path) -> tuple[Path, list[str]]:
    return _saved(official_timesformer(timesformer(), "backbone."), folder / "svt.pth"), [HEADS]


def _timesformer_hf(folder: Path) -> tuple[Path, list[str]]:
    randomised(TimesformerModel(TimesformerConfig(**SMALL))).save_pretrained(folder / "hub")
    return folder / "hub", []


def _swin() -> SwinTransformer3d:
    return randomised(SwinTransformer3d([2, 4, 4], 24, [2, 2], [2, 4], [2, 2, 2], num_classes=5))


def _torchvision_swin3d(folder: Path) -> tuple[Path, list[str]]:
    return _saved(_swin().state_dict(), folder / "swin.pth"), ["clip.frames=8", "clip.size=32"]


def _video_swin(folder: Path) -> tuple[Path, list[str]]:
    content = {"meta": {"epoch": 30}, "state_dict": official_swin(_swin())}
    return _saved(content, folder / "swin.pth"), ["clip.frames=8", "clip.size=32"]


def _torchvision_r3d(folder: Path) -> tuple[Path, list[str]]:
    net = randomised(video.mc3_18(weights=None))
    return _saved(net.state_dict(), folder / "mc3.pth"), ["clip.frames=8", "clip.size=32"]


def _slow_r50(folder: Path) -> tuple[Path, list[str]]:
    pytest.importorskip("pytorchvideo")
    net = randomised(SlowR50())
    weights = {name: tensor for name, tensor in net.state_dict().items() if name not in ("mean", "std")}
    return _saved({"model_state": weights}, folder / "slow.pyth"), ["clip.frames=8", "clip.size=32"]


def _moco_v3(folder: Path) -> tuple[Path, list[str]]:
    net = timm.models.VisionTransformer(img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=0)
    weights = {f"module.base_encoder.{name}": tensor for name, tensor in randomised(net).state_dict().items()}
    return _saved({"arch": "vit_small", "state_dict": weights}, folder / "m.pth.tar"), [HEADS, "clip.frames=4"]


def _moco_v3_resnet(folder: Path) -> tuple[Path, list[str]]:
    path = released(randomised(ResNet(Bottleneck, [1, 1, 1, 1])), folder / "r.pth.tar")
    return path, ["clip.frames=8", "clip.size=32"]


_WRITERS: dict[str, Callable[[Path], tuple[Path, list[str]]]] = {
    "vssl": _own, "videomae": _videomae, "videomae_v2": _videomae_v2, "videomae_hf": _videomae_hf, "svt": _svt,
    "timesformer": _timesformer, "timesformer_hf": _timesformer_hf, "torchvision_swin3d": _torchvision_swin3d,
    "video_swin": _video_swin, "torchvision_r3d": _torchvision_r3d, "slow_r50": _slow_r50, "moco_v3": _moco_v3,
    "moco_v3_resnet": _moco_v3_resnet,
}  # fmt: skip

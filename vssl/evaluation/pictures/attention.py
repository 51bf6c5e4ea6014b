"""Where the encoder looks: its last attention over the frames of a clip."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.drawing.contact_sheet import Block, Strip, chosen_frames, draw_sheet
from vssl.evaluation.attentive_head import AttentiveHead
from vssl.evaluation.freeze import frozen
from vssl.evaluation.pictures.probes import probes_beside
from vssl.evaluation.pictures.scene import LeftOut, Scene, pictures_of

_COLOURS, _SHARE = "inferno", 0.75  # how much of a pixel is the map's colour; the rest is the frame, in grey
_NOTE = (
    "Attention of the last block to each token, heads averaged: of the class token or, where the summary is a mean "
    "over tokens, averaged over all of them. Dark is none, bright the clip's own largest, which is named."
)
_PROBES = " Below it that of the query of an attentive probe, which here sees the centre clip alone."


def draw_attention(scene: Scene, path: Path) -> None:
    """A block a test video: the clip, and below it each attention drawn over it."""
    samples = scene.asked.take(scene.shown)
    clips, times = scene.clips(samples)
    labels = scene.label(samples)
    probes = {name: head.to(scene.task.device) for name, head in probes_beside(scene).items()}
    blocks = []
    with frozen(scene.encoder.to(scene.task.device)):
        for row, clip in enumerate(clips):
            chosen = chosen_frames(clip.shape[1])
            frames = pictures_of(clip, chosen)
            captions = [f"{second:.2f} s" for second in times[row][chosen]]
            strips = [Strip("clip", "", frames, captions=captions, repeated=[False] * len(chosen))]
            for name, weights in attention_maps(scene.encoder, clip[None].to(scene.task.device), probes).items():
                lowest, highest = (float(end * weights.numel()) for end in (weights.min(), weights.max()))
                notes = f"{lowest:.2f} to {highest:.2f} x the mean"
                strips.append(Strip(name, notes, overlaid(frames, weights, chosen, clip.shape[1])))
            blocks.append(Block(str(samples.id[row]), scene.class_name(int(labels[row])), strips))
    draw_sheet(f"{scene.name}: attention over the clip", blocks, _NOTE + (_PROBES if probes else ""), path)


def attention_maps(encoder: Backbone, clip: Tensor, probes: Mapping[str, AttentiveHead]) -> dict[str, Tensor]:
    """{"encoder": [t, h, w], a probe: [t, h, w]} of one clip [1, C, T, H, W]: those of many would fill gigabytes."""
    own = encoder.attention(clip)
    if own is None:
        raise LeftOut(f"{type(encoder).__name__} has no attention maps")
    maps = {"encoder": own}
    if probes:
        tokens, grid = encoder.tokens(clip), encoder.grid(clip.shape)
        maps |= {name: head.attention(tokens).mean(dim=1).view(1, *grid) for name, head in probes.items()}
    return {name: weights[0].float().cpu() for name, weights in maps.items()}


def overlaid(frames: NDArray[np.uint8], weights: Tensor, chosen: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    """The frames [n, H, W, 3] in grey under the colours of weights [t, h, w]; they are those at `chosen` of `count`."""
    _, high, wide, _ = frames.shape
    t, h, w = weights.shape
    share = (weights / weights.max().clamp(min=1e-12)).numpy()[chosen * t // count]
    share = share.repeat(high // h, axis=1).repeat(wide // w, axis=2)
    colours = colormaps[_COLOURS](share)[..., :3] * 255
    grey = 64 + frames.mean(axis=-1, keepdims=True) / 2  # of half the contrast: a bright object is no attention
    return np.rint(_SHARE * colours + (1 - _SHARE) * grey).astype(np.uint8)

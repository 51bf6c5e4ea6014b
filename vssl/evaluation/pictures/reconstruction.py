"""What a masked method was shown, and the pixels it makes of that, frame by frame."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vssl.drawing.contact_sheet import Block, Strip, chosen_frames, draw_sheet
from vssl.evaluation.pictures.scene import LeftOut, Scene, pictures_of
from vssl.method import Method

_NOTE = (
    "Grey: hidden, and in the rows below it what the method neither saw nor made. Where the method saw a clip, rows "
    "show it as given. Error: root mean square over the hidden pixels, of a range from 0 to 1."
)


def draw_reconstruction(scene: Scene, path: Path) -> None:
    """A block a test video: the view, what of it is hidden, what is made of that."""
    method = scene.method
    name = type(method).__name__
    if type(method).reconstructs is Method.reconstructs:
        raise LeftOut(f"{name} makes no pixels")
    samples = scene.asked.take(scene.shown)
    views, batch = scene.of_method(samples)
    with torch.no_grad():
        made = method.reconstructs(views, cast(Any, batch))
        hidden = method.hides(views, cast(Any, batch))
    if not made:
        raise LeftOut(f"{name} as it was trained here makes no pixels of a clip")
    labels = scene.label(samples)
    blocks = [
        Block(
            str(samples.id[row]),
            scene.class_name(int(labels[row])),
            [strip for view in made for strip in _strips(views[view], batch["time"][view], hidden, made, view, row)],
        )
        for row in range(len(samples))
    ]
    draw_sheet(f"{scene.name}: what {name} sees, and what it makes of that", blocks, _NOTE, path)


def _strips(
    clips: Tensor, times: Tensor, hidden: dict[str, dict[str, Tensor]], made: dict[str, dict[str, Tensor]], view: str,
    row: int,
) -> list[Strip]:  # fmt: skip
    clip = clips[row]
    chosen = chosen_frames(clip.shape[1])
    frames = pictures_of(clip, chosen)
    captions = [f"{float(second):.2f} s" for second in times[row][chosen]]
    strips = [Strip(view, "as it is", frames, captions=captions, repeated=[False] * len(chosen))]
    masks = {part: of_all[row].cpu() for part, of_all in hidden.get(view, {}).items()}
    for part, mask in masks.items():
        slots = torch.from_numpy(chosen * len(mask) // clip.shape[1])
        strips.append(
            Strip(part, f"{100 * (1 - mask.float().mean()):.3g} % of the clip", frames, hidden=mask[slots].numpy())
        )
    unseen = next(iter(masks.values()), torch.ones(1, 1, 1, dtype=torch.bool))
    for told, whole in made[view].items():
        name, _, remark = told.partition(": ")
        notes = f"error {error(whole[row], clip, unseen):.3f}" + (f"; {remark}" if remark else "")
        strips.append(Strip(name, notes, pictures_of(whole[row], chosen), hidden=_nowhere(whole[row], chosen)))
    return strips


def error(made: Tensor, clip: Tensor, hidden: Tensor) -> float:
    """Root mean square over the hidden pixels that were made, those that are exactly right among them.

    Args:
        made, clip: [C, T, H, W]. hidden: bool [t, h, w], which divide T, H and W.
    """
    for dim, (whole, part) in enumerate(zip(clip.shape[1:], hidden.shape, strict=True)):
        hidden = hidden.repeat_interleave(whole // part, dim=dim)
    difference = (made - clip)[torch.isfinite(made) & hidden.to(made.device)]
    return float(difference.square().mean().sqrt()) if len(difference) else 0.0


def _nowhere(made: Tensor, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
    nowhere: NDArray[np.bool_] = torch.isnan(made).any(dim=0)[torch.from_numpy(chosen)].cpu().numpy()
    return nowhere

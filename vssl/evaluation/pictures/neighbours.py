"""Test videos and the training videos whose features are nearest."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vssl.drawing.contact_sheet import Block, Strip, draw_sheet
from vssl.evaluation.pictures.scene import LeftOut, Scene, pictures_of

_FRAMES = 8  # of each clip, evenly
_NOTE = "Cosine of the encoder's summaries, one centre clip a video."
_COLOURS = " Green: of the query's class; red: of another."


def draw_neighbours(scene: Scene, path: Path, count: int) -> None:
    """A block a video: its frames, and below them those of its neighbours, the nearest first."""
    test, bank = scene.asked, scene.others
    queries = scene.features_of_asked()[scene.shown]
    order, cosine = nearest(queries, scene.features_of_others(), count, scene.shown if scene.asks_itself else None)
    if order.shape[1] == 0:
        raise LeftOut("there is no other video to compare with")
    label, own = scene.label(bank), scene.label(test)
    clips, _ = scene.clips(test.take(scene.shown))
    blocks = []
    for row, place in enumerate(scene.shown):
        found, _ = scene.clips(bank.take(order[row]))
        asked = int(own[place])
        strips = [Strip("query", "", _frames(clips[row]))]
        for rank, (neighbour, clip) in enumerate(zip(order[row], found, strict=True), 1):
            known = asked >= 0 and label[neighbour] >= 0
            right = bool(label[neighbour] == asked) if known else None
            verdict = {True: ", the same class", False: ", another class", None: ""}[right]
            notes = [scene.class_name(int(label[neighbour])) + verdict, f"cosine {cosine[row, rank - 1]:.3f}"]
            strips.append(Strip(f"neighbour {rank}", "; ".join(filter(None, notes)), _frames(clip), right=right))
        blocks.append(Block(str(test.id[place]), scene.class_name(asked), strips))
    draw_sheet(
        f"{scene.name}: nearest {'' if scene.asks_itself else 'training '}videos",
        blocks,
        _NOTE + (_COLOURS if (own >= 0).any() else ""),
        path,
    )


def nearest(
    queries: NDArray[np.float32], bank: NDArray[np.float32], count: int, own: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The videos of the bank that are most alike each query; of equals the first.

    Args:
        queries: [Q, D]. bank: [N, D].
        own: [Q], places of the queries in the bank, which are no neighbours of themselves.
    Returns:
        Places in the bank and cosines, [Q, k], the nearest first; k is `count`, or all there are.
    """
    cosine = _unit(queries) @ _unit(bank).T
    if own is not None:
        cosine[np.arange(len(queries)), own] = -np.inf
    count = min(count, len(bank) - (own is not None))
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(cosine, order, axis=1)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _frames(clip: Tensor) -> NDArray[np.uint8]:
    frames = clip.shape[1]
    shown = min(frames, _FRAMES)
    return pictures_of(clip, np.arange(shown) * frames // shown)

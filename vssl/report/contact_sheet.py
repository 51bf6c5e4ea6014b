"""A contact sheet: the frames of clips in rows, each with its place in the video and its crop in the frame.

The layout is in whole pixels from the top left corner. Frames are copied into a canvas, so that they stay exact; text
and lines are drawn over it.
"""

import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray
from PIL import Image

from vssl.config.errors import UserError
from vssl.records.atomic import atomic

MOST_FRAMES = 16  # in a row; of longer clips so many are shown
MOST_PX = 30_000  # of height: drawing stops at 65,535, and viewers sooner

_INK, _PALE, _ACCENT, _FAINT, _WARN = "#24292f", "#6e7781", "#2f6fb5", "#d0d7de", "#b35900"
_VEIL, _THROUGH = 226, 0.1  # grey of a hidden token, and how much of the picture still shows
_FRAME_PX = 128  # a frame is enlarged or reduced by a whole factor to about so many pixels
_DPI = 100
_TITLE, _HEADING, _NAME, _TEXT = (19, "bold"), (16, "bold"), (16, "bold"), (14, "normal")  # size in pixels, weight
_EDGE, _GAP, _COLUMN, _LINE = 24, 8, 216, 19  # margin, between things, width of the names, height of a line of text
_INSET_PX = 28  # height of the little frame that shows the crop


@dataclass(frozen=True)
class Place:
    """Where a clip lies.

    Args:
        taken: (T,) places of its frames in the video, in [0, 1].
        boxes: (1, 4) top, left, bottom, right of the crop as shares of the frame, or (T, 4).
        aspect: width / height of the frame.
    """

    taken: NDArray[np.float64]
    boxes: NDArray[np.float32]
    aspect: float


@dataclass(frozen=True)
class Strip:
    """One row.

    Args:
        name: in the column on the left, with `notes` below.
        frames: uint8 [n, H, W, 3].
        captions: one below each frame, or none at all.
        repeated: of the captions, which are in the colour of a warning.
        hidden: bool [n, h, w], h and w dividing H and W: True is veiled.
    """

    name: str
    notes: str
    frames: NDArray[np.uint8]
    captions: Sequence[str] = ()
    repeated: Sequence[bool] = ()
    place: Place | None = None
    hidden: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Block:
    """One sample: its name, what else is known of it, its rows."""

    heading: str
    facts: str
    strips: Sequence[Strip]


def chosen_frames(count: int) -> NDArray[np.int64]:
    """Which of `count` frames are shown: all, or `MOST_FRAMES` evenly from the first to the last."""
    return np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(np.int64)


def draw_sheet(title: str, blocks: Sequence[Block], note: str, path_png: Path, colours: int | None = None) -> None:
    """Writes the picture.

    Args:
        note: below everything.
        colours: to which it is reduced; None: pixels stay exact.
    Raises:
        UserError: it would be too high.
        WorkError: the operating system refused the write.
    """
    picture = Image.fromarray(_Sheet(title, blocks, note).pixels())
    if colours is not None:
        picture = picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    with atomic(path_png) as temporary:
        picture.save(temporary, format="png", optimize=True)


@dataclass
class _Row:
    """A strip, ready to be placed."""

    strip: Strip
    pictures: NDArray[np.uint8]
    notes: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.notes = textwrap.wrap(self.strip.notes, int((_COLUMN - _GAP) / _TEXT[0] / 0.52))

    @property
    def height(self) -> int:
        frames = self.pictures.shape[1] + (_LINE + 2 if self.strip.captions else 0)
        told = _LINE * (1 + len(self.notes)) + (_INSET_PX + 2 * _GAP if self.strip.place else 0)
        return max(frames, told) + _GAP


class _Sheet:
    """Where everything stands."""

    def __init__(self, title: str, blocks: Sequence[Block], note: str) -> None:
        strips = [strip for block in blocks for strip in block.strips]
        largest = max(max(strip.frames.shape[1:3]) for strip in strips)
        self.rows = [[_Row(strip, _scaled(_veiled(strip), largest)) for strip in block.strips] for block in blocks]
        pictures = max(row.pictures.shape[2] for rows in self.rows for row in rows)
        captions = max((_measured(text, _TEXT) for strip in strips for text in strip.captions), default=0)
        self.pitch = max(pictures, captions) + _GAP
        self.width = 2 * _EDGE + _COLUMN + self.pitch * max(len(strip.frames) for strip in strips) - _GAP
        self.room = self.width - 2 * _EDGE
        self.title, self.blocks = _fitted(title, self.room, _TITLE), blocks
        self.note = textwrap.wrap(note, int(self.room / _TEXT[0] / 0.52))
        self.height = 2 * _EDGE + 2 * _LINE + _LINE * len(self.note)
        self.height += sum(self._head_height(block) + _GAP for block in blocks)
        self.height += sum(row.height for rows in self.rows for row in rows)
        if self.height > MOST_PX:
            raise UserError(
                f"a picture of {len(strips)} rows would be {self.height:,} pixels high; at most {MOST_PX:,} can be",
                "show fewer videos (data.show.videos=1) or fewer views",
            )

    def pixels(self) -> NDArray[np.uint8]:
        """The picture, [height, width, 3]."""
        # Half a pixel more, since inches are rounded down to pixels.
        self._figure = Figure(figsize=((self.width + 0.5) / _DPI, (self.height + 0.5) / _DPI), dpi=_DPI)
        drawn: Any = FigureCanvasAgg(self._figure)
        canvas = np.full((self.height, self.width, 3), 255, dtype=np.uint8)
        self._text(_EDGE, _EDGE, self.title, _TITLE)
        top = _EDGE + 2 * _LINE
        for block, rows in zip(self.blocks, self.rows, strict=True):
            top += self._head(top, block)
            for row in rows:
                self._row(top, row, canvas)
                top += row.height
            top += _GAP
        for number, line in enumerate(self.note):
            self._text(_EDGE, top + number * _LINE, line, _TEXT, _PALE)
        self._figure.figimage(canvas, origin="upper")
        with warnings.catch_warnings():
            # A font that lacks a letter of a file's name shows a box in its place.
            warnings.filterwarnings("ignore", message=r".*missing from.*font", category=UserWarning)
            drawn.draw()
        return np.asarray(drawn.buffer_rgba())[..., :3].copy()

    def _head(self, top: int, block: Block) -> int:
        """Draws the heading of a sample and returns its height."""
        self._box(_EDGE, top, self.room, 1, _FAINT)
        heading = _fitted(block.heading, self.room, _HEADING)
        self._text(_EDGE, top + _GAP, heading, _HEADING)
        beside = self._is_beside(block)
        left = _measured(heading, _HEADING) + 2 * _GAP if beside else 0
        line = top + _GAP + (2 if beside else _LINE)
        self._text(_EDGE + left, line, _fitted(block.facts, self.room, _TEXT), _TEXT, _PALE)
        return self._head_height(block)

    def _head_height(self, block: Block) -> int:
        return 3 * _GAP + _LINE * (1 if self._is_beside(block) else 2)

    def _is_beside(self, block: Block) -> bool:
        """Whether a line holds the facts as well."""
        return _measured(block.heading, _HEADING) + 2 * _GAP + _measured(block.facts, _TEXT) <= self.room

    def _row(self, top: int, row: _Row, canvas: NDArray[np.uint8]) -> None:
        strip = row.strip
        self._text(_EDGE, top, _fitted(strip.name, _COLUMN - _GAP, _NAME), _NAME)
        for number, line in enumerate(row.notes, start=1):
            self._text(_EDGE, top + number * _LINE + 2, line, _TEXT, _PALE)
        _, high, wide, _ = row.pictures.shape
        if strip.place:
            self._place(max(top + high - _INSET_PX, top + _LINE * (1 + len(row.notes)) + _GAP), strip.place)
        for number, picture in enumerate(row.pictures):
            left = _EDGE + _COLUMN + number * self.pitch
            canvas[top : top + high, left : left + wide] = picture
            if strip.captions:
                colour = _WARN if strip.repeated and strip.repeated[number] else _PALE
                text = strip.captions[number]
                inset = max(0, (wide - _measured(text, _TEXT)) / 2)
                self._text(left + inset, top + high + 3, text, _TEXT, colour)

    def _place(self, top: int, place: Place) -> None:
        """The frame with the crop in it, then the video as a line with a mark at each frame that is taken."""
        wide = min(round(_INSET_PX * place.aspect), _COLUMN // 3)
        high = min(_INSET_PX, round(wide / place.aspect))
        self._box(_EDGE, top, wide, high, _FAINT)
        for upper, left, lower, right in np.unique(place.boxes, axis=0):
            self._box(
                _EDGE + left * wide, top + upper * high, (right - left) * wide, (lower - upper) * high, _ACCENT,
                opacity=1 / len(np.unique(place.boxes, axis=0)),
            )  # fmt: skip
        begin, end = _EDGE + wide + 2 * _GAP, _EDGE + _COLUMN - 2 * _GAP
        self._box(begin, top + high / 2 - 1, end - begin, 2, _FAINT)
        for share in np.unique(place.taken):
            self._box(begin + share * (end - begin) - 1, top + high / 2 - 7, 2, 14, _ACCENT)

    def _text(self, left: float, top: float, text: str, font: tuple[int, str], colour: str = _INK) -> None:
        size, weight = font
        self._figure.text(
            left, self.height - top, text, transform=None, va="top", fontsize=size * 72 / _DPI, fontweight=weight,
            color=colour, parse_math=False,
        )  # fmt: skip

    def _box(self, left: float, top: float, wide: float, high: float, colour: str, opacity: float = 1.0) -> None:
        bottom = self.height - top - high
        self._figure.add_artist(
            Rectangle(
                (left, bottom), wide, high, transform=None, facecolor=colour, linewidth=0, alpha=opacity, zorder=2
            )
        )


def _veiled(strip: Strip) -> NDArray[np.uint8]:
    if strip.hidden is None:
        return strip.frames
    _, high, wide, _ = strip.frames.shape
    _, rows, columns = strip.hidden.shape
    hidden = strip.hidden.repeat(high // rows, axis=1).repeat(wide // columns, axis=2)[..., None]
    return np.where(hidden, np.rint(_VEIL + _THROUGH * (strip.frames.astype(np.float32) - _VEIL)), strip.frames).astype(
        np.uint8
    )


def _scaled(frames: NDArray[np.uint8], largest: int) -> NDArray[np.uint8]:
    """By the whole factor that brings frames of `largest` pixels near `_FRAME_PX`: views keep their sizes' ratio."""
    factor = max(1, round(_FRAME_PX / largest))
    if factor > 1 or largest <= _FRAME_PX * 1.25:
        return frames.repeat(factor, axis=1).repeat(factor, axis=2)
    step = -(-largest // _FRAME_PX)
    count, high, wide, _ = frames.shape
    padded = np.pad(frames, ((0, 0), (0, -high % step), (0, -wide % step), (0, 0)), mode="edge")
    blocks = padded.reshape(count, padded.shape[1] // step, step, padded.shape[2] // step, step, 3)
    return np.rint(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)


def _measured(text: str, font: tuple[int, str]) -> int:
    """Width in pixels."""
    size, weight = font
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size, weight=weight), False)
    return int(np.ceil(width))


def _fitted(text: str, room: int, font: tuple[int, str]) -> str:
    """The text, without its beginning where it is too wide: the end of a path tells more."""
    if _measured(text, font) <= room:
        return text
    return next(
        cut
        for start in range(1, len(text) + 1)
        if _measured(cut := f"…{text[start:]}", font) <= room or start == len(text)
    )

"""A contact sheet: the frames of clips in rows, each with its place in the video and its crop in the frame.

The layout is in whole pixels from the top left corner. Frames are copied into a canvas, so that they stay exact; text
and lines are drawn over it.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
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
_RIGHT, _WRONG, _ROUND = "#2e8b57", "#c8342b", 3  # colours, and width, of the line round frames
_VEIL, _THROUGH = 226, 0.1  # grey of a hidden token, and how much of the picture still shows
_FRAME_PX = 128  # a frame is enlarged or reduced by a whole factor to about so many pixels
_DPI = 100
Font = tuple[int, str]  # size in pixels, weight
_TITLE, _HEADING, _NAME, _TEXT = (19, "bold"), (16, "bold"), (16, "bold"), (14, "normal")
_EDGE, _GAP, _COLUMN = 24, 8, 216  # margin, between things, width of the names
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
        right: whether what the row shows is right, a coloured line round its frames; None: no line.
    """

    name: str
    notes: str
    frames: NDArray[np.uint8]
    captions: Sequence[str] = ()
    repeated: Sequence[bool] = ()
    place: Place | None = None
    hidden: NDArray[np.bool_] | None = None
    right: bool | None = None


@dataclass(frozen=True)
class Block:
    """One sample: its name, what else is known of it, its rows."""

    heading: str
    facts: str
    strips: Sequence[Strip]


def chosen_frames(count: int) -> NDArray[np.int64]:
    """Which of `count` frames are shown: all, or `MOST_FRAMES` evenly from the first on."""
    shown = min(count, MOST_FRAMES)
    return np.arange(shown) * count // shown


def draw_sheet(title: str, blocks: Sequence[Block], note: str, path_png: Path, colours: int | None = None) -> None:
    """Writes the picture.

    Args:
        note: below everything.
        colours: to which it is reduced; None: pixels stay exact.
    Raises:
        UserError: it would be too high.
        WorkError: the operating system refused the write.
    """
    with warnings.catch_warnings():
        # A font that lacks a letter of a file's name shows a box in its place.
        warnings.filterwarnings("ignore", message=r".*missing from font", category=UserWarning)
        picture = Image.fromarray(_Sheet(title, blocks, note).pixels())
    if colours is not None:
        picture = picture.quantize(colours, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    with atomic(path_png) as temporary:
        picture.save(temporary, format="png", optimize=True)


@dataclass(frozen=True)
class _Row:
    """A strip, ready to be placed."""

    strip: Strip
    pictures: NDArray[np.uint8]
    notes: list[str]

    @property
    def height(self) -> int:
        frames = self.pictures.shape[1] + (_line(_TEXT) + 2 if self.strip.captions else 0)
        return max(frames, self.told + (_INSET_PX + 2 * _GAP if self.strip.place else 0)) + _GAP

    @property
    def told(self) -> int:
        """Height of name and notes."""
        return _line(_NAME) + len(self.notes) * _line(_TEXT)


@dataclass(frozen=True)
class _Part:
    """A block, ready to be placed; `beside`: its facts stand in the line of its heading."""

    heading: str
    facts: list[str]
    beside: bool
    rows: list[_Row]

    @property
    def head(self) -> int:
        return 3 * _GAP + _line(_HEADING) + (0 if self.beside else len(self.facts) * _line(_TEXT))

    @property
    def height(self) -> int:
        return self.head + sum(row.height for row in self.rows) + _GAP


class _Sheet:
    """Where everything stands."""

    def __init__(self, title: str, blocks: Sequence[Block], note: str) -> None:
        strips = [strip for block in blocks for strip in block.strips]
        captions = max((_measured(text, _TEXT) for strip in strips for text in strip.captions), default=0)
        largest = max(max(strip.frames.shape[1:3]) for strip in strips)
        rows = [
            [
                _Row(one, _scaled(_veiled(one), largest), _wrapped(one.notes, _COLUMN - _GAP, _TEXT))
                for one in block.strips
            ]
            for block in blocks
        ]
        self.pitch = max(captions, *(row.pictures.shape[2] for part in rows for row in part)) + _GAP
        self.room = _COLUMN + self.pitch * max(len(strip.frames) for strip in strips) - _GAP
        self.parts = [self._part(*one) for one in zip(blocks, rows, strict=True)]
        self.title, self.note = _wrapped(title, self.room, _TITLE), _wrapped(note, self.room, _TEXT)
        self.width = self.room + 2 * _EDGE
        self.top = _EDGE + _line(_TITLE) * len(self.title) + _GAP
        self.height = self.top + sum(part.height for part in self.parts) + _line(_TEXT) * len(self.note) + _EDGE
        if self.height > MOST_PX:
            raise UserError(
                f"a picture of {len(strips)} rows would be {self.height:,} pixels high; at most {MOST_PX:,} can be",
                "show fewer videos (data.show.videos=1) or fewer views",
            )

    def _part(self, block: Block, rows: list[_Row]) -> _Part:
        heading = _fitted(block.heading, self.room, _HEADING)
        beside = _measured(heading, _HEADING) + 2 * _GAP + _measured(block.facts, _TEXT) <= self.room
        return _Part(heading, [block.facts] if beside else _wrapped(block.facts, self.room, _TEXT), beside, rows)

    def pixels(self) -> NDArray[np.uint8]:
        """The picture, [height, width, 3]."""
        # Half a pixel more, since inches are rounded down to pixels.
        self._figure = Figure(figsize=((self.width + 0.5) / _DPI, (self.height + 0.5) / _DPI), dpi=_DPI)
        drawn: Any = FigureCanvasAgg(self._figure)
        canvas = np.full((self.height, self.width, 3), 255, dtype=np.uint8)
        self._text(_EDGE, _EDGE, self.title, _TITLE)
        top = self.top
        for part in self.parts:
            self._head(top, part)
            place = top + part.head
            for row in part.rows:
                self._row(place, row, canvas)
                place += row.height
            top += part.height
        self._text(_EDGE, top, self.note, _TEXT, _PALE)
        self._figure.figimage(canvas, origin="upper")
        drawn.draw()
        return np.asarray(drawn.buffer_rgba())[..., :3].copy()

    def _head(self, top: int, part: _Part) -> None:
        self._box(_EDGE, top, self.room, 1, _FAINT)
        self._text(_EDGE, top + _GAP, [part.heading], _HEADING)
        if part.beside:
            left = _EDGE + _measured(part.heading, _HEADING) + 2 * _GAP
            self._text(left, top + _GAP + 2, part.facts, _TEXT, _PALE)
        else:
            self._text(_EDGE, top + _GAP + _line(_HEADING), part.facts, _TEXT, _PALE)

    def _row(self, top: int, row: _Row, canvas: NDArray[np.uint8]) -> None:
        strip = row.strip
        self._text(_EDGE, top, [_fitted(strip.name, _COLUMN - _GAP, _NAME)], _NAME)
        self._text(_EDGE, top + _line(_NAME), row.notes, _TEXT, _PALE)
        _, high, wide, _ = row.pictures.shape
        if strip.place:
            self._place(max(top + high - _INSET_PX, top + row.told + _GAP), strip.place)
        for number, picture in enumerate(row.pictures):
            left = _EDGE + _COLUMN + number * self.pitch
            canvas[top : top + high, left : left + wide] = picture
            if strip.right is not None:
                self._round(left, top, wide, high, _RIGHT if strip.right else _WRONG)
            if strip.captions:
                text, colour = strip.captions[number], _WARN if strip.repeated[number] else _PALE
                inset = max(0.0, (wide - _measured(text, _TEXT)) / 2)
                self._text(left + inset, top + high + 3, [text], _TEXT, colour)

    def _place(self, top: int, place: Place) -> None:
        """The frame with the crop in it, then the video as a line with a mark at each frame that is taken."""
        wide = min(round(_INSET_PX * place.aspect), _COLUMN // 3)
        high = max(1, round(wide / place.aspect))
        self._box(_EDGE, top, wide, high, _FAINT)
        boxes = np.unique(place.boxes, axis=0)
        for upper, left, lower, right in boxes * [high, wide, high, wide]:
            self._box(_EDGE + left, top + upper, right - left, lower - upper, _ACCENT, opacity=1 / len(boxes))
        begin, end = _EDGE + wide + 2 * _GAP, _EDGE + _COLUMN - 2 * _GAP
        middle = top + high / 2
        self._box(begin, middle - 1, end - begin, 2, _FAINT)
        for share in np.unique(place.taken):
            self._box(begin + share * (end - begin) - 1, middle - 7, 2, 14, _ACCENT)

    def _round(self, left: float, top: float, wide: float, high: float, colour: str) -> None:
        """A line outside of a box."""
        for side in (-_ROUND, high):
            self._box(left - _ROUND, top + side, wide + 2 * _ROUND, _ROUND, colour)
        for side in (-_ROUND, wide):
            self._box(left + side, top, _ROUND, high, colour)

    def _text(self, left: float, top: float, lines: Sequence[str], font: Font, colour: str = _INK) -> None:
        size, weight = font
        for number, line in enumerate(lines):
            self._figure.text(
                left, self.height - top - number * _line(font), line, transform=None, va="top", color=colour,
                fontsize=size * 72 / _DPI, fontweight=weight, parse_math=False,
            )  # fmt: skip

    def _box(self, left: float, top: float, wide: float, high: float, colour: str, opacity: float = 1.0) -> None:
        corner = (left, self.height - top - high)
        self._figure.add_artist(Rectangle(corner, wide, high, transform=None, color=colour, linewidth=0, alpha=opacity))


def _veiled(strip: Strip) -> NDArray[np.uint8]:
    """The frames, with what is hidden under a grey that lets a little through."""
    if strip.hidden is None:
        return strip.frames
    (_, high, wide, _), (_, rows, columns) = strip.frames.shape, strip.hidden.shape
    hidden = strip.hidden.repeat(high // rows, axis=1).repeat(wide // columns, axis=2)[..., None]
    veiled = np.rint(_VEIL + _THROUGH * (strip.frames.astype(np.float32) - _VEIL))
    return np.where(hidden, veiled, strip.frames).astype(np.uint8)


def _scaled(frames: NDArray[np.uint8], largest: int) -> NDArray[np.uint8]:
    """By the whole factor that brings frames of `largest` pixels near `_FRAME_PX`: views keep their sizes' ratio."""
    if largest <= _FRAME_PX:
        factor = round(_FRAME_PX / largest)
        return frames.repeat(factor, axis=1).repeat(factor, axis=2)
    step = -(-largest // _FRAME_PX)
    count, high, wide, _ = frames.shape
    padded = np.pad(frames, ((0, 0), (0, -high % step), (0, -wide % step), (0, 0)), mode="edge")
    blocks = padded.reshape(count, padded.shape[1] // step, step, padded.shape[2] // step, step, 3)
    return np.rint(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)


def _measured(text: str, font: Font) -> int:
    """Width in pixels."""
    size, weight = font
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size, weight=weight), False)
    return int(np.ceil(width))


def _fitted(text: str, room: int, font: Font) -> str:
    """The text, without its beginning where it is too wide: the end of a path tells more."""
    cut = text
    while len(cut) > 1 and _measured(cut, font) > room:
        cut = f"…{cut[2:]}"
    return cut


def _wrapped(text: str, room: int, font: Font) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _measured(longer, font) <= room:
            lines[-1] = longer
        else:
            lines.append(_fitted(word, room, font))
    return lines


def _line(font: Font) -> int:
    """Height of a line of text."""
    return round(1.35 * font[0])

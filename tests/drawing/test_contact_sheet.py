"""A sheet holds every frame as it is, at one place, and nothing is written over it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vssl.config.errors import UserError
from vssl.drawing.contact_sheet import MOST_FRAMES, Block, Place, Strip, chosen_frames, draw_sheet

Picture = NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def strip(frames: Picture, **changes: Any) -> Strip:
    count = len(frames)
    place = Place(np.linspace(0, 1, count), np.array([[0.1, 0.2, 0.8, 0.9]], dtype=np.float32), 16 / 9)
    given: dict[str, Any] = {
        "name": "local.3", "notes": "jitter", "place": place, "repeated": [False] * count,
        "captions": [f"{number} · 0.04 s" for number in range(count)],
    }  # fmt: skip
    return Strip(frames=frames, **{**given, **changes})


def drawn(tmp_path: Path, *strips: Strip, heading: str = "a.mp4", facts: str = "24 frames", **how: Any) -> Picture:
    draw_sheet("method none", [Block(heading, facts, strips)], "a note", tmp_path / "sheet.png", **how)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    return np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))


def corner(sheet: Picture, frame: Picture) -> tuple[int, int]:
    """Where the frame stands: (top, left). Frames are of noise, so that there is one such place at most."""
    high, wide, _ = frame.shape
    starts = np.argwhere((sheet[: 1 - high or None, : 1 - wide or None] == frame[0, 0]).all(axis=-1))
    (found,) = [(y, x) for y, x in starts.tolist() if np.array_equal(sheet[y : y + high, x : x + wide], frame)]
    return found


def enlarged(frames: Picture, factor: int) -> Picture:
    return frames.repeat(factor, axis=1).repeat(factor, axis=2)


LONG = "flip, jitter, grey, blur 1.9 px, solarise, drawn for each frame; padded; a smaller stride: short video " * 3


def test_frames_are_exact_in_rows_and_columns_whatever_the_texts(tmp_path: Path) -> None:
    first, second = noise(5, 64, 64, 3), noise(3, 32, 32, 3, seed=1)
    captions = ["1234567 · 123456.78 s"] * 5
    sheet = drawn(
        tmp_path, strip(first, captions=captions, name=LONG, notes=LONG), strip(second, notes=LONG), heading=LONG,
        facts=LONG,
    )  # fmt: skip
    # Twice as large, both: that one view is half as large as another is to be seen.
    tops, lefts = np.array([corner(sheet, frame) for frame in enlarged(first, 2)]).T
    below, places = np.array([corner(sheet, frame) for frame in enlarged(second, 2)]).T
    assert len(set(tops)) == len(set(below)) == 1 and below[0] > tops[0] + 128
    assert set(np.diff(lefts)) == set(np.diff(places)) and lefts[0] == places[0]
    assert lefts[1] - lefts[0] > 150  # more than the frame is: the captions are wider


@pytest.mark.parametrize(("size", "factor"), [(8, 16), (32, 4), (64, 2), (96, 1), (112, 1), (128, 1)])
def test_small_frames_are_enlarged_by_a_whole_factor(tmp_path: Path, size: int, factor: int) -> None:
    frames = noise(2, size, size, 3)
    sheet = drawn(tmp_path, strip(frames))
    assert [corner(sheet, frame) for frame in enlarged(frames, factor)]


@pytest.mark.parametrize(("size", "shown", "step"), [(130, 65, 2), (224, 112, 2), (301, 101, 3)])
def test_large_frames_are_means_of_blocks(tmp_path: Path, size: int, shown: int, step: int) -> None:
    frames = noise(1, size, size, 3)
    expected = np.empty((shown, shown, 3), dtype=np.uint8)
    edge = np.pad(frames[0], ((0, step), (0, step), (0, 0)), mode="edge").astype(np.float64)
    for y in range(shown):
        for x in range(shown):
            block = edge[step * y : step * (y + 1), step * x : step * (x + 1)]
            expected[y, x] = np.rint(block.mean(axis=(0, 1)))
    assert corner(drawn(tmp_path, strip(frames)), expected)


def test_what_is_hidden_is_grey_and_the_rest_as_it_is(tmp_path: Path) -> None:
    frames = noise(1, 128, 128, 3)
    hidden = np.zeros((1, 4, 2), dtype=np.bool_)
    hidden[0, 1, 0] = True
    sheet = drawn(tmp_path, strip(frames, hidden=hidden, place=None, captions=()))
    middle, left = corner(sheet, frames[0, 64:])
    masked = sheet[middle - 64 : middle + 64, left : left + 128]
    assert np.array_equal(masked[:32], frames[0, :32]) and np.array_equal(masked[32:64, 64:], frames[0, 32:64, 64:])
    veil, below = masked[32:64, :64].astype(int), frames[0, 32:64, :64]
    assert veil.min() > 190 and np.corrcoef(veil.ravel(), below.ravel())[0, 1] > 0.99  # a little shows through


def test_repeated_frames_have_captions_of_another_colour(tmp_path: Path) -> None:
    frames = np.zeros((2, 128, 128, 3), dtype=np.uint8)

    def warnings(repeated: list[bool]) -> int:
        red, green, blue = drawn(tmp_path, strip(frames, repeated=repeated)).astype(int).transpose(2, 0, 1)
        return int(((red > 150) & (red - green > 60) & (green > blue)).sum())

    assert warnings([False, False]) == 0 < warnings([False, True]) < warnings([True, True])


def test_crop_and_frames_are_drawn_where_they_lie(tmp_path: Path) -> None:
    blue = np.array([0x2F, 0x6F, 0xB5])

    def columns(box: tuple[float, ...], taken: list[float]) -> NDArray[np.int64]:
        place = Place(np.array(taken), np.array([box], dtype=np.float32), 1.0)
        sheet = drawn(tmp_path, strip(noise(1, 128, 128, 3), place=place))[:, :240]
        return np.flatnonzero((sheet == blue).all(axis=-1).any(axis=0))

    crop_left, crop_right = columns((0, 0, 1, 0.5), []), columns((0, 0.5, 1, 1), [])
    assert crop_left.max() < crop_right.min() and len(crop_left) == len(crop_right) == 14  # half of the little frame
    begin, end = columns((0, 0, 1, 0.5), [0.0]), columns((0, 0, 1, 0.5), [1.0])
    middle = columns((0, 0, 1, 0.5), [0.5])
    assert begin[-1] < middle[-1] < end[-1] and 2 * middle[-1] == pytest.approx(begin[-1] + end[-1], abs=2)


@pytest.mark.parametrize("count", [1, 7, 16])
def test_up_to_sixteen_frames_are_all_shown(count: int) -> None:
    assert chosen_frames(count).tolist() == list(range(count))


@pytest.mark.parametrize("count", [17, 32, 40, 64])
def test_longer_clips_are_thinned_evenly(count: int) -> None:
    chosen = chosen_frames(count)
    assert len(chosen) == MOST_FRAMES and chosen[0] == 0 and chosen[-1] < count
    assert set(np.diff(chosen)) <= {count // MOST_FRAMES, -(-count // MOST_FRAMES)}


def test_fewer_colours_look_the_same_and_are_a_smaller_file(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 128)[:, None] * np.linspace(0, 1, 128)
    frames = np.stack([ramp, ramp.T, 255 - ramp], axis=-1)[None].astype(np.uint8)
    exact = drawn(tmp_path, strip(frames)).astype(int)
    size = (tmp_path / "sheet.png").stat().st_size
    fewer = drawn(tmp_path, strip(frames), colours=64).astype(int)
    assert (tmp_path / "sheet.png").stat().st_size < 0.7 * size
    assert len(np.unique(fewer.reshape(-1, 3), axis=0)) <= 64 < len(np.unique(exact.reshape(-1, 3), axis=0))
    assert abs(fewer - exact).max() < 40 and abs(fewer - exact).mean() < 2


def test_letters_that_the_font_lacks_and_signs_of_formulas_are_drawn(tmp_path: Path, recwarn: Any) -> None:
    drawn(tmp_path, strip(noise(1, 64, 64, 3)), heading=r"视频/$\frac$ $x_{1}$.mp4", facts="$")
    assert not recwarn.list


def test_a_picture_that_no_program_opens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a picture of 300 rows would be 4\d,\d{3} pixels high; at most 30,000 can be"):
        draw_sheet("", [Block("a", "", [strip(noise(1, 128, 128, 3))] * 300)], "", tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("right", "colour"), [(True, (0x2E, 0x8B, 0x57)), (False, (0xC8, 0x34, 0x2B)), (None, None)])
def test_a_line_round_each_frame_tells_right_from_wrong(tmp_path: Path, right: bool | None, colour: Any) -> None:
    frames = noise(2, 128, 128, 3)
    sheet = drawn(tmp_path, strip(frames, right=right, place=None, captions=()))
    for frame in frames:
        top, left = corner(sheet, frame)
        round_it = sheet[top - 3 : top + 131, left - 3 : left + 131].reshape(-1, 3)
        found = sheet[top - 2, left : left + 128], sheet[top : top + 128, left + 129]
        expected = (255, 255, 255) if colour is None else colour
        assert all((line == expected).all() for line in found)
        assert len(round_it) == 134**2  # all of it lies within the sheet

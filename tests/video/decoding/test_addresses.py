"""Addresses: whatever a part and its file are called comes back, and each reader gets exactly its bytes."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vssl.video.decoding import addresses
from vssl.video.decoding.addresses import Row, Span
from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.errors import Limits, VideoError
from vssl.video.decoding.prepared import prepare

MakeVideo = Callable[..., Path]
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=()), min_size=1)


@given(NAMES, st.integers(0, 2**60), st.integers(0, 2**60), NAMES)
def test_what_an_address_says_comes_back(file: str, start: int, size: int, part: str) -> None:
    for one in (Span(file, start, start + size, part), Row(file, start, size, part)):
        assert addresses.parsed(one.address) == one
        assert addresses.parsed(str(np.array([one.address])[0])) == one
        assert addresses.size(one.address) == size


@given(NAMES)
def test_no_path_is_taken_for_an_address(path: str) -> None:
    for text in (path, f"subfile,,start,0,end,9,,:{path}", f"row,,number,0,size,9,,:{path}"):
        assert addresses.parsed(text) is None
        assert addresses.name(text) == text


@pytest.fixture
def parts(tmp_path: Path, make_video: MakeVideo) -> tuple[Path, list[str]]:
    """A file, and addresses of its content in a larger file, in an Arrow-like place at its end, and in a table."""
    plain = make_video(tmp_path / "plain.mp4", frames=20)
    content = plain.read_bytes()
    holder = tmp_path / "a, b: (c).bin"
    holder.write_bytes(b"x" * 1000 + content + b"y" * 77 + content)
    spans = [Span(str(holder), at, at + len(content), f"at {at}") for at in (1000, 1077 + len(content))]
    table = pa.table({"video": [{"bytes": b, "path": None} for b in (b"other", b"rows", content)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    return plain, [*(span.address for span in spans), Row(str(tmp_path / "t.parquet"), 2, 9, "video").address]


def test_every_part_gives_the_frames_of_the_plain_file(parts: tuple[Path, list[str]], tmp_path: Path) -> None:
    plain, others = parts
    wanted = np.array([0, 3, 4, 19])
    with PyAVReader().open(str(plain), 0.08, 10.0) as video:
        times = video.times
    with PyAVReader().open(str(plain)) as video:
        frames = video.frames(wanted)
    for address in others:
        assert addresses.read_bytes(address) == plain.read_bytes()
        with PyAVReader().open(address, 0.08, 10.0) as video:
            assert video.times.tolist() == times.tolist()
        for reader in (PyAVReader(), prepare([address], PyAVReader(), tmp_path / "prepared")):
            with reader.open(address) as video:
                assert (video.frames(wanted) == frames).all()
        assert PyAVReader().survey(address).damage is None


def test_a_part_ends_where_it_ends(tmp_path: Path, make_video: MakeVideo) -> None:
    """A transport stream has no length of its own: FFmpeg would read on into the one that follows it in the file."""
    content = make_video(tmp_path / "plain.ts", frames=20).read_bytes()
    (tmp_path / "holder").write_bytes(content + content)
    for start, end, frames in ((0, len(content), 20), (len(content), 2 * len(content), 20), (0, 2 * len(content), 40)):
        assert len(PyAVReader().survey(Span(str(tmp_path / "holder"), start, end, "").address).times) == frames


def test_messages_name_the_file_and_the_part(tmp_path: Path) -> None:
    holder = tmp_path / "shard.tar"
    holder.write_bytes(b"no video" * 100)
    member = "member wave/clip_01.mp4"
    cases = {
        Span(str(holder), 0, 0, member): "empty: the file has 0 bytes",
        Span(str(holder), 0, 800, member): "unreadable: cannot be opened: Invalid data",
        Span(
            str(holder), 0, 801, member
        ): "unreadable: cannot be opened: it ends at byte 801 of a file that now has 800",
        Span(str(tmp_path / "gone.tar"), 0, 8, member): "unreadable: cannot be opened: No such file",
        Span(str(tmp_path), 0, 8, member): "unreadable: this is no regular file",
        Row(str(holder), 0, 8, "video"): "unreadable: cannot be opened: ",
    }
    for part, message in cases.items():
        with pytest.raises(VideoError) as caught, PyAVReader().open(part.address):
            pass
        assert str(caught.value).startswith(f"{part.file}, {part.part}: {message}"), str(caught.value)


@pytest.mark.parametrize("value", [None, {"bytes": None, "path": "x.mp4"}, {"bytes": b"", "path": None}])
def test_a_row_without_a_video_is_a_typed_error(tmp_path: Path, value: object) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    file = str(tmp_path / "t.parquet")
    pq.write_table(pa.table({"video": pa.array([value], kind)}), file)
    for number in (0, 1):
        address = Row(file, number, 8, "video").address
        with pytest.raises(VideoError, match=rf"t\.parquet, row {number}: unreadable: "), PyAVReader().open(address):
            pass


def test_a_playlist_inside_a_part_opens_nothing_else(parts: tuple[Path, list[str]], tmp_path: Path) -> None:
    plain, _ = parts
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:1/{plain.name}\n#EXT-X-ENDLIST\n".encode()
    holder = tmp_path / "shard.tar"
    holder.write_bytes(text)
    with pytest.raises(VideoError), PyAVReader().open(Span(str(holder), 0, len(text), "member a.m3u8").address):
        pass


def test_a_prepared_set_is_made_anew_when_the_file_behind_changes(
    parts: tuple[Path, list[str]], tmp_path: Path
) -> None:
    _, (first, *_) = parts
    read: list[str] = []

    class Counting(PyAVReader):
        def open(self, path: str, *rest: float):  # type: ignore[no-untyped-def, override]
            read.append(path)
            return super().open(path, *rest)

    holder = addresses.parsed(first)
    assert holder is not None
    for expected, changed in ((1, False), (1, False), (2, True)):
        os.utime(holder.file, (0, 1000 + changed))
        prepare([first], Counting(Limits()), tmp_path / "prepared")
        assert len(read) == expected


def test_bytes_are_given_to_ffmpeg_as_a_file(parts: tuple[Path, list[str]]) -> None:
    plain, (first, _, row) = parts
    assert addresses.for_ffmpeg(first) == first.partition("\0")[0]
    content = addresses.for_ffmpeg(row)
    assert isinstance(content, bytes)
    assert io.BytesIO(content).read() == plain.read_bytes()

"""What two lists share is found: by name, by bytes, by what is seen; and nothing else is."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vssl.video.decoding.errors import Limits
from vssl.video.upkeep import perceptual
from vssl.video.upkeep.fast_copy import CopySettings, copy
from vssl.video.upkeep.overlap import distance, find_overlap, sha256
from vssl.video.upkeep.perceptual import FrameHash, hash_video, nearest, signs
from vssl.video.upkeep.pool import Trouble
from vssl.video.upkeep.video_set import Place, Video, VideoSet, read_set

MakeVideo = Callable[..., Path]
NOTHING: dict[Place, str] = {}


def refuse(path: str) -> str:
    raise AssertionError(f"{path} was read")


def named(name: str, *videos: str) -> VideoSet:
    return VideoSet(name, tuple(Video(one, f"/absent/{name}/{one}") for one in videos))


def found(*sets: VideoSet, hashes: dict[Place, str] = NOTHING, threshold: float = 0.1) -> list[tuple[str, str, str]]:
    return [(pair.kind, pair.path_a, pair.path_b) for pair in find_overlap(sets, hashes, threshold, refuse)]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["a/x.mp4", "a/y.mp4"], ["b/x.avi", "b/z.avi"], [("a/x.mp4", "b/x.avi")]),
        # In one list the name stands for several videos: it tells nothing without its folder.
        (["a/1.mp4", "b/1.mp4"], ["b/1.mkv", "c/1.mp4"], [("b/1.mp4", "b/1.mkv")]),
        # Kinetics: another cut of the same YouTube video.
        (["-Qz25rXdMjE_000014_000024.mp4"], ["x/-Qz25rXdMjE_000030_000040.mp4"],
         [("-Qz25rXdMjE_000014_000024.mp4", "x/-Qz25rXdMjE_000030_000040.mp4")]),
        (["-Qz25rXdMjE_000014_000024.mp4", "-Qz25rXdMjE_000040_000050.mp4"], ["-Qz25rXdMjE.mp4", "else.mp4"],
         [("-Qz25rXdMjE_000014_000024.mp4", "-Qz25rXdMjE.mp4")]),
        (["v_Archery_g01_c01.avi"], ["v_Archery_g01_c02.avi"], []),
        (["a.b.mp4"], ["a.mp4"], []),
    ],
)  # fmt: skip
def test_by_id(one: list[str], other: list[str], expected: list[tuple[str, str]]) -> None:
    assert found(named("one", *one), named("other", *other)) == [("id", *pair) for pair in expected]


def test_spans_of_one_file_are_the_same_video_in_two_lists_and_no_double_in_one(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_text("x")
    spans = [Video("a.mp4", str(file), start, start + 1) for start in (0.0, 1.0, 2.0)]
    assert found(VideoSet("one", tuple(spans))) == []
    pairs = found(VideoSet("one", tuple(spans[:2])), VideoSet("other", tuple(spans[2:])))
    assert pairs == [("id", "a.mp4", "a.mp4"), ("file", "a.mp4", "a.mp4")]


def test_by_bytes_only_equal_sizes_are_read(tmp_path: Path) -> None:
    contents = {"one/a.mp4": "same", "one/b.mp4": "longer than all", "other/c.mp4": "same", "other/d.mp4": "else",
                "other/e.mp4": "same", "other/f.mp4": "", "other/g.mp4": ""}  # fmt: skip
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "other" / "h.mp4").symlink_to(tmp_path / "one" / "b.mp4")
    os.mkfifo(tmp_path / "other" / "pipe.mp4")
    read: list[str] = []

    def spy(path: str) -> str:
        read.append(os.path.relpath(path, tmp_path))
        return sha256(path)

    sets = [part for name in ("one", "other") for part in read_set(tmp_path / name, None, "test")]
    pairs = [(one.kind, one.path_a, one.path_b, one.distance) for one in find_overlap(sets, {}, 0.1, spy)]
    assert pairs == [
        ("file", "a.mp4", "c.mp4", 0.0), ("file", "a.mp4", "e.mp4", 0.0), ("file", "b.mp4", "h.mp4", 0.0),
        ("file", "c.mp4", "e.mp4", 0.0),
    ]  # fmt: skip
    assert sorted(read) == ["one/a.mp4", "other/c.mp4", "other/d.mp4", "other/e.mp4"]


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(3_000_000) + b"x")
    assert sha256(str(tmp_path / "a")) == hashlib.sha256(bytes(3_000_000) + b"x").hexdigest()
    assert sha256(str(tmp_path / "absent")) != sha256(str(tmp_path / "gone"))


@given(st.data())
def test_the_nearest_is_that_of_a_loop(data: st.DataObject) -> None:
    few = st.lists(st.binary(min_size=40, max_size=40).map(bytes.hex), min_size=1, max_size=12)
    one, other = data.draw(few), data.draw(few)
    place, far = nearest(signs(one), signs(other))
    for number, bits in enumerate(other):
        loop = [bin(int(bits, 16) ^ int(each, 16)).count("1") / 320 for each in one]
        assert far[number] == min(loop) == distance(one[place[number]], bits)
        assert place[number] == loop.index(min(loop))


def test_the_nearest_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    one, other = ([draw.bytes(40).hex() for _ in range(count)] for count in (50, 31))
    whole = nearest(signs(one), signs(other))
    monkeypatch.setattr(perceptual, "_BLOCK", 7)
    blocks = nearest(signs(one), signs(other))
    assert [part.tolist() for part in whole] == [part.tolist() for part in blocks]


def test_by_frames_within_the_threshold_and_not_told_twice(tmp_path: Path) -> None:
    one, other = named("one", "a.mp4", "b.mp4"), named("other", "c.mp4", "d.mp4")
    bits = {"a.mp4": 0, "b.mp4": (1 << 40) - 1, "c.mp4": (1 << 32) - 1, "d.mp4": (1 << 200) - 1}
    hashes = {video.place: f"{bits[video.name]:080x}" for part in (one, other) for video in part.videos}
    assert found(one, other, hashes=hashes, threshold=8 / 320) == [("frames", "b.mp4", "c.mp4")]
    assert found(one, other, hashes=hashes, threshold=7 / 320) == []
    (pair,) = find_overlap([one, other], hashes, 0.1, refuse)
    assert pair.distance == 8 / 320
    for video in (one.videos[1], other.videos[0]):
        del hashes[video.place]  # too flat, or unreadable
    assert found(one, other, hashes=hashes) == []


def hash_of(path: Path) -> str:
    answer = hash_video((str(path), None, None), Limits())
    assert isinstance(answer, FrameHash)
    return answer.bits


def test_a_copy_is_near_and_another_video_is_far(shared_data: Path, tmp_path: Path) -> None:
    clips = sorted((shared_data / "clips").glob("*_g250.mp4"))
    originals = [hash_of(path) for path in clips]
    for path, bits in zip(clips[:4], originals, strict=False):
        copy(str(path), tmp_path / path.name, CopySettings(short_side=64, crf=23))
        near = distance(bits, hash_of(tmp_path / path.name))
        assert near is not None and near < 0.08
    far = [distance(one, other) for n, one in enumerate(originals) for other in originals[n + 1 :]]
    assert min(value for value in far if value is not None) > 0.3


def test_flat_short_and_broken_videos(tmp_path: Path, make_video: MakeVideo, shared_data: Path) -> None:
    assert hash_of(make_video(tmp_path / "grey.mp4")) == ""
    assert len(hash_of(shared_data / "odd" / "single_frame.mp4")) == 80
    answer = hash_video((str(tmp_path / "absent.mp4"), None, None), Limits())
    assert isinstance(answer, Trouble) and "No such file" in answer.reason


def test_the_known_distances_of_real_clips(shared_data: Path) -> None:
    """The data's README: between folds 0.153 at least, of up_11 and up_13; three pairs within a fold below 0.10.

    How frames are chosen and reduced there is not said; here it is 0.172 of the same pair, and the three pairs that it
    names are the nearest of all, in its order.
    """
    sets = read_set(shared_data / "egogestar10" / "clips.csv", None, "test")
    assert [len(part.videos) for part in sets] == [53, 48, 39, 40, 37]
    bits = [signs([hash_of(Path(video.path)) for video in part.videos]) for part in sets]
    smallest = []
    for number, one in enumerate(bits):
        for later, other in enumerate(bits[number + 1 :], number + 1):
            place, far = nearest(one, other)
            at = int(far.argmin())
            smallest.append((float(far[at]), sets[number].videos[place[at]].name, sets[later].videos[at].name))
    assert min(smallest) == (55 / 320, "up/up_13.mp4", "up/up_11.mp4")
    within = []
    for part, one in zip(sets, bits, strict=True):
        product = (320 - one @ one.T) / 640
        rows, columns = np.triu_indices(len(one), 1)
        within += [
            (float(product[a, b]), part.videos[a].name[:-4], part.videos[b].name[:-4])
            for a, b in zip(rows, columns, strict=True)
        ]
    assert [{one.rpartition("/")[2], other.rpartition("/")[2]} for _, one, other in sorted(within)[:3]] == [
        {"right_19", "up_19"}, {"down_05", "up_06"}, {"down_19", "left_19"},
    ]  # fmt: skip
    assert [round(far, 3) for far, _, _ in sorted(within)[:3]] == [0.072, 0.078, 0.081]

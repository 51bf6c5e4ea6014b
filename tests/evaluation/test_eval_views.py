"""Test views through the whole reader: which frames and which squares of them an encoder is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.backbones.mean_frame import MeanFrame
from vssl.config.errors import UserError
from vssl.evaluation.changes import Change
from vssl.evaluation.eval_views import CENTRE, EvalViews
from vssl.evaluation.features import features
from vssl.evaluation.knn import Knn
from vssl.evaluation.linear import Linear
from vssl.evaluation.protocol import Protocol, Task
from vssl.evaluation.retrieval import Retrieval
from vssl.video.augmentation.crops import crop_resize
from vssl.video.clips import ClipDataset
from vssl.video.decoding.decode import PyAVReader
from vssl.video.lists.samples import Samples
from vssl.video.views import Clip, View


@dataclass
class Ruled:
    """A video whose red tells the frame (i = 256 * hundreds + red), whose green and blue tell row and column, / 2."""

    length: int
    height: int
    width: int
    asked: list[int] = field(default_factory=list)

    @property
    def times(self) -> NDArray[np.float64]:
        return np.arange(self.length, dtype=np.float64)

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.asked.extend(indices.tolist())
        found = np.zeros((len(indices), self.height, self.width, 3), np.uint8)
        found[..., 0] = (indices % 256)[:, None, None]
        found[..., 1] = np.arange(self.height)[None, :, None] // 2
        found[..., 2] = np.arange(self.width)[None, None, :] // 2
        return found


@dataclass
class OneVideo:
    """A Reader that opens the same video whatever its path, and counts how often."""

    video: Ruled
    opened: int = 0

    @contextmanager
    def open(self, path: str, start_s: float = np.nan, end_s: float = np.nan) -> Iterator[Ruled]:
        self.opened += 1
        yield self.video


def listed(*paths: str) -> Samples:
    names, nothing = np.array(paths), np.full(len(paths), np.nan)
    label = {"motion": np.arange(len(paths)) % 2}
    return Samples(names, names, nothing, nothing, label, names, np.full(len(paths), -1))


def read(views: EvalViews, clip: Clip, length: int, height: int = 32, width: int = 32) -> tuple[Any, OneVideo]:
    reader = OneVideo(Ruled(length, height, width))
    return ClipDataset(listed("video"), views.views(clip), reader)[0, 0], reader


def frames_read(views: EvalViews, clip: Clip, length: int) -> list[list[int]]:
    """By the times that the reader hands over, and by the pixels as well."""
    item, reader = read(views, clip, length)
    found = [times.astype(int).tolist() for times in item["time"].values()]
    assert [clip[:, 0, 0, 0].tolist() for clip in item["views"].values()] == [[i % 256 for i in one] for one in found]
    assert (reader.opened, len(reader.video.asked)) == (1, len({i for one in found for i in one}))
    return found


VIDEOMAE = Clip(frames=16, stride=4, size=32)


@pytest.mark.parametrize(
    ("length", "firsts", "lasts"),
    [
        (300, [0, 56, 116, 176, 236], [60, 116, 176, 236, 296]),
        (250, [0, 44, 92, 140, 188], [60, 104, 152, 200, 248]),
        (150, [0, 20, 44, 64, 88], [60, 80, 104, 124, 148]),
        (64, [0] * 5, [60] * 5),
    ],
)
def test_five_dense_clips_by_the_recipes_vectors(length: int, firsts: list[int], lasts: list[int]) -> None:
    found = frames_read(EvalViews(clips=5, sampling="dense"), VIDEOMAE, length)
    assert found == [list(range(first, last + 1, 4)) for first, last in zip(firsts, lasts, strict=True)]


def test_dense_clips_of_a_short_video_repeat_its_last_sampled_frame() -> None:
    found = frames_read(EvalViews(clips=5, sampling="dense"), VIDEOMAE, 40)
    assert found == [[*range(0, 37, 4), *[36] * 6]] * 5


@pytest.mark.parametrize(
    ("length", "first", "second"),
    [
        (48, list(range(0, 46, 3)), list(range(1, 47, 3))),
        (
            45,
            [0, 2, 5, 8, 11, 14, 16, 19, 22, 25, 28, 30, 33, 36, 39, 42],
            [1, 4, 7, 9, 12, 15, 18, 21, 23, 26, 29, 32, 35, 37, 40, 43],
        ),
        (12, [0, 0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11], None),
    ],
)
def test_two_clips_by_segments_by_the_recipes_vectors(length: int, first: list[int], second: list[int] | None) -> None:
    found = frames_read(EvalViews(clips=2, sampling="segments"), VIDEOMAE, length)
    assert found[0] == first and second in (None, found[1])


def test_even_clips_go_from_the_first_frame_to_the_last() -> None:
    clip = Clip(frames=4, stride=2, size=32)  # spans 7 of 20 frames: starts 0 to 13
    found = frames_read(EvalViews(clips=3), clip, 20)
    assert found == [[0, 2, 4, 6], [6, 8, 10, 12], [13, 15, 17, 19]]
    assert frames_read(EvalViews(clips=3), clip, 5) == [[0, 2, 4, 4]] * 3
    assert frames_read(EvalViews(crops=1), clip, 20) == [[6, 8, 10, 12]]


@pytest.mark.parametrize(
    ("long", "places"), [(256, [0, 16, 32]), (298, [0, 37, 74]), (299, [0, 37, 75]), (398, [0, 87, 174])]
)
@pytest.mark.parametrize("upright", [False, True])
def test_three_crops_by_the_recipes_vectors(long: int, places: list[int], upright: bool) -> None:
    height, width = (long, 224) if upright else (224, long)
    item, reader = read(EvalViews(clips=2, crops=3), Clip(frames=2, stride=1, size=224), 9, height, width)
    channel, row, column = (1, 0, 0) if upright else (2, 0, 0)
    for clip in item["views"].values():
        assert clip.shape == (3, 2, 3, 224, 224)
        assert clip[:, 0, channel, row, column].tolist() == [place // 2 for place in places]
        assert clip[:, 0, channel, -1, -1].tolist() == [(place + 223) // 2 for place in places]
        assert clip[:, 0, 3 - channel, 0, 0].tolist() == [0, 0, 0]
    assert reader.opened == 1


def test_the_shorter_side_is_resized_to_the_size_and_the_longer_one_rounded_down() -> None:
    """240 x 320 at size 56: 74.67 columns are 74, so that the last crop begins at 18, and ends at the border."""
    item, _ = read(EvalViews(crops=3), Clip(frames=2, stride=1, size=56), 9, 240, 320)
    (box,), (clip,) = item["box"].values(), item["views"].values()
    np.testing.assert_allclose(box[:, 1], [0, 9 / 74, 18 / 74], atol=1e-6)
    assert box[:, [0, 2]].tolist() == [[0, 1]] * 3 and box[2, 3] == 1
    columns = clip[:, 0, 2, 0].float() * 2  # of the source; 4.32 of them are one
    np.testing.assert_allclose(columns[2, -1] - columns[0, 0], 320 * 73 / 74, atol=4)


def test_one_even_view_is_the_centre_clip_bit_for_bit(
    make_video: Any, tmp_path: Path, world: Any, pixels: MeanFrame
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=20)
    task = replace(world.blobs(), reader=PyAVReader())
    found = features(pixels, listed(str(path)), task, EvalViews())
    ((name, view),) = CENTRE.views(task.clip).positions
    assert (name, type(view), CENTRE.settings_hash(task.clip)) == ("clip", View, view.settings_hash())
    with PyAVReader().open(str(path)) as video:  # 48 x 64, and two frames of twenty
        frames = torch.from_numpy(video.frames(np.array([9, 10]))).permute(0, 3, 1, 2)
    clip = crop_resize(frames, (0, 8, 48, 48), 8)
    with torch.no_grad():
        expected = pixels(clip.transpose(0, 1)[None].float() / 255)
    assert found.values.shape == (1, 1, 192)
    np.testing.assert_array_equal(found.values[0], expected.numpy())


class Numbered(Backbone):
    """Its features are the first frame's number, and row and column of its first pixel."""

    kind, embed_dim = "test", 3

    def forward(self, clip: Tensor) -> Tensor:
        return clip[:, :, 0, 0, 0] * 255

    def tokens(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        return clip[:, :, :, 0, 0].transpose(1, 2) * 255  # one token a frame

    def grid(self, clip_shape: Any) -> tuple[int, int, int]:
        return clip_shape[-3], 1, 1


def numbered(world: Any, length: int = 200, **settings: Any) -> Task:
    reader = OneVideo(Ruled(length, 8, 16))
    return replace(world.blobs(videos=(8, 4, 5)), reader=reader, **settings)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_views_are_ordered_by_clip_then_by_crop(world: Any, batch_size: int) -> None:
    task = numbered(world, batch_size=batch_size)
    found = features(Numbered(), task.test, task, EvalViews(clips=2, crops=3)).values
    assert found.shape == (5, 6, 3)
    assert found[0].round().tolist() == [[frame, 0, column] for frame in (0, 198) for column in (0, 2, 4)]
    assert (found == found[:1]).all()
    assert task.reader.opened == 5  # one decode a video


def test_tokens_of_every_view(world: Any) -> None:
    task = numbered(world)
    found = features(Numbered(), task.test, task, EvalViews(clips=3), tokens=True).values
    assert found.shape == (5, 3, 2, 3)
    assert found[0, :, :, 0].round().tolist() == [[0, 1], [99, 100], [198, 199]]
    assert features(Numbered(), task.test.take(np.empty(0, int)), task, tokens=True).values.shape == (0, 1, 2, 3)


def test_an_encoder_without_tokens_is_refused_before_a_video_is_read(world: Any) -> None:
    task = world.blobs(videos=(8, 4, 7))

    class Blind(Backbone):
        kind, embed_dim = "test", 3

        def forward(self, clip: Tensor) -> Tensor:
            return clip[:, :, 0, 0, 0]

    with pytest.raises(UserError, match="the encoder Blind gives one summary a clip and has no tokens") as caught:
        features(Blind(), task.test, task, tokens=True)
    assert caught.value.exit_code == 2 and world.reader.opened == []


@pytest.mark.parametrize("workers", [0, 1])
def test_more_clips_than_frames_is_one_message_that_names_the_video(world: Any, workers: int) -> None:
    task = numbered(world, length=3, workers=workers)
    with pytest.raises(
        UserError, match=r"test0000: clips=4: a video has only 3 frames.*\n.*give 3 clips or fewer"
    ) as e:
        features(Numbered(), task.test, task, EvalViews(clips=4))
    assert e.value.exit_code == 2
    assert features(Numbered(), task.test, task, EvalViews(clips=3)).values.shape == (5, 3, 3)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"crops": 2}, "crops is 2, allowed are 1 .* and 3"), ({"clips": 0}, "clips is 0, allowed is at least 1"),
        ({"sampling": "dence"}, "sampling is 'dence', allowed is even or dense or segments"),
    ],
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, Any], text: str) -> None:
    for made in (EvalViews, Knn, Linear, Retrieval):
        with pytest.raises(ValueError, match=text):
            made(**settings)


@dataclass(frozen=True)
class Brighter(Change):
    """Adds a number to all pixels, and a number of the video's own to the red ones."""

    name = "brighter"
    by: int = 1

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        own = torch.zeros(3, dtype=torch.uint8).repeat(len(key), 1)
        own[:, 0] = (key % 7).to(torch.uint8)
        return clips + self.by + own[:, None, :, None, None]


@dataclass(frozen=True)
class Faster(Change):
    name = "faster"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        return clips

    def clip(self, clip: Clip) -> Clip:
        return replace(clip, stride=2 * clip.stride)


def test_a_change_gets_the_videos_own_key_whatever_its_place_and_enters_key_digest_and_stamp(world: Any) -> None:
    task, views = numbered(world), EvalViews(clips=2)
    plain = features(Numbered(), task.test, task, views)
    changed = features(Numbered(), task.test, task, replace(views, change=Brighter(2)))
    own = (changed.values - plain.values).round()
    assert (own[:, :, 1:] == 2).all() and (own[:, 0] == own[:, 1]).all()
    assert len(np.unique(own[:, 0, 0])) > 1  # drawn for the video
    turned = features(Numbered(), task.test.take(np.arange(5)[::-1]), task, replace(views, change=Brighter(2)))
    assert (turned.values[::-1] == changed.values).all()
    stronger = features(Numbered(), task.test, task, replace(views, change=Brighter(3)))
    assert len({plain.inputs, changed.inputs, stronger.inputs}) == 3
    assert (stronger.values - changed.values).round().max() == 1  # not from the cache


def test_a_change_of_stride_is_read_and_stamped(world: Any) -> None:
    task = numbered(world)
    found = features(Numbered(), task.test, task, EvalViews(change=Faster()), tokens=True).values
    assert found[0, 0, :, 0].round().tolist() == [98, 100]
    stamp = EvalViews(change=Faster()).stamp(task.clip)
    assert (stamp["stride"], stamp["change"]) == (2, {"name": "faster"})


@pytest.mark.parametrize("protocol", [Knn(k=5, clips=2, crops=3), Linear(epochs=5, clips=2, crops=3)])
def test_scores_are_the_mean_of_those_of_the_views_which_are_kept(
    world: Any, pixels: MeanFrame, tmp_path: Path, protocol: Protocol
) -> None:
    task = world.blobs(videos=(60, 20, 20))
    results = protocol.run(pixels, task, tmp_path)
    of_views = np.array(results.predictions["view_scores"].tolist())
    scores = np.array(results.predictions["scores"].tolist())
    assert of_views.shape == (20, 6, 4)
    np.testing.assert_allclose(of_views.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(scores, of_views.mean(axis=1), atol=1e-6)
    assert (scores.argmax(axis=1) == results.predictions["prediction"]).all()
    assert results.stamp["clip"]["views"] == "2 x 3" and results.stamp["clip"]["mode"] == "even"
    alone = type(protocol)(**({"k": 5} if isinstance(protocol, Knn) else {"epochs": 5})).run(pixels, task, tmp_path)
    assert "view_scores" not in alone.predictions
    # The videos stand still: every view is the centre clip, and so is their mean.
    np.testing.assert_allclose(np.stack(alone.predictions["scores"].tolist()), scores, atol=1e-5)


def test_the_stamp_tells_sampling_and_padding_apart() -> None:
    clip = Clip(frames=16, stride=4, size=224)
    stamps = {name: EvalViews(clips=2, sampling=name).stamp(clip) for name in ("even", "dense", "segments")}  # type: ignore[arg-type]
    assert [stamp["mode"] for stamp in stamps.values()] == ["even", "dense", "segments"]
    assert [stamp["stride"] for stamp in stamps.values()] == [4, 4, None]
    assert len({stamp["padding"] for stamp in stamps.values()}) == 3

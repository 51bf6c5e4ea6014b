from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vssl.video.augmentation.erase import Erase
from vssl.video.augmentation.fame import Fame
from vssl.video.augmentation.rand_augment import RandAugment
from vssl.video.draws import stream, uniform_stream
from vssl.video.relations.centre import Centre
from vssl.video.relations.independent import Independent
from vssl.video.sampling import uniform_start
from vssl.video.views import Augment, Clip, View, Views, evaluation_views

VIEW = View(frames=8, size=32, stride=2)


def test_positions_expand_counts_in_order() -> None:
    views = Views(whole=VIEW, part=replace(VIEW, size=16, count=3))
    assert views.names == ("whole", "part.0", "part.1", "part.2")
    assert [view.size for _, view in views.positions] == [32, 16, 16, 16]
    assert isinstance(views.relation, Independent)


def test_the_settings_hash_knows_neither_name_nor_count() -> None:
    single, pair = Views(clip=VIEW), Views(a=replace(VIEW, count=2), b=VIEW)
    hashes = {view.settings_hash() for _, view in (*single.positions, *pair.positions)}
    assert len(hashes) == 1
    assert VIEW.settings_hash() == replace(VIEW, count=5).settings_hash()


def test_equal_settings_hash_equally_however_they_are_written() -> None:
    written: Any = {"crop_scale": [0.2, 1], "flip": 0.5, "solarise_p": 0}
    assert View(frames=8, size=32, stride=2, augment=Augment(**written)).settings_hash() == VIEW.settings_hash()


def test_settings_hashes_are_those_of_older_runs() -> None:
    """Settings that came later do not enter where they are not used: digests in old records stay comparable."""
    assert VIEW.settings_hash() == "46cf0e7bfb454d53db1aae53d698c43a6ced32328e21361b0c4ffdcb987949e1"
    without = View(frames=8, size=32, fps=5.0, augment=None)
    assert without.settings_hash() == "3fd928d0789b3cbc0cf5994254f0d8a865aebb1e1dbcae02041cb3b0e6a77801"


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 9}, {"size": 33}, {"stride": 3}, {"stride": None, "fps": 2.0}, {"pad": "loop"}, {"augment": None},
        {"augment": Augment(crop="multi_scale")}, {"augment": Augment(crop_scale=(0.3, 1.0))},
        {"augment": Augment(crop_ratio=(0.5, 2.0))}, {"augment": Augment(flip=0.4)},
        {"augment": Augment(jitter=(0.4, 0.4, 0.4, 0.2))}, {"augment": Augment(jitter_p=0.7)},
        {"augment": Augment(grey_p=0.1)}, {"augment": Augment(blur_p=0.4)}, {"augment": Augment(blur_sigma=(0.1, 1.0))},
        {"augment": Augment(solarise_p=0.1)}, {"augment": Augment(solarise_threshold=0.6)},
        {"augment": Augment(colour="tensorflow")}, {"augment": Augment(per_frame=True)}, {"pad": "clamp_stride"},
        {"sampling": "videomae"}, {"sampling": "videomae_finetune"}, {"sampling": "segments", "stride": None},
    ],
)  # fmt: skip
def test_any_other_setting_changes_the_settings_hash(change: dict[str, Any]) -> None:
    assert replace(VIEW, **change).settings_hash() != VIEW.settings_hash()


def test_settings_of_a_part_change_the_settings_hash() -> None:
    changes: list[dict[str, Any]] = [
        {"rand_augment": RandAugment(magnitude=8)}, {"rand_augment": RandAugment(increasing=False)},
        {"erase": Erase(mode="mean")}, {"erase": Erase(probability=0.5)}, {"fame": Fame(foreground=0.3)},
    ]  # fmt: skip
    plain: list[dict[str, Any]] = [{"rand_augment": RandAugment()}, {"erase": Erase()}, {"fame": Fame()}]
    hashes = {replace(VIEW, augment=Augment(**part)).settings_hash() for part in (*changes, *plain)}
    assert len(hashes) == 8


def test_indices_by_stride_and_by_fps_agree_at_a_constant_rate() -> None:
    times = np.arange(60) / 25
    by_fps = View(frames=8, size=32, fps=12.5)
    assert by_fps.span(times) == VIEW.span(times) == 15
    assert by_fps.indices(7, times).tolist() == VIEW.indices(7, times).tolist() == list(range(7, 22, 2))


@pytest.mark.parametrize(("sampling", "starts"), [("videomae", 237), ("videomae_finetune", 236)])
def test_released_samplings_draw_from_as_many_starts_as_released(sampling: Any, starts: int) -> None:
    """tests/video/test_published.py has the frames themselves."""
    view, times = View(frames=16, size=32, stride=4, sampling=sampling), np.arange(300) / 25
    assert uniform_start(0.0, view.span(times), 300) == 0
    assert uniform_start(1 - 2**-53, view.span(times), 300) == starts - 1
    drawn = [view.indices(start, times).tolist() for start in (0, starts - 1)]
    first, last = (236, 296) if sampling == "videomae" else (235, 298)
    assert drawn[0][0] == 0 and (drawn[1][0], drawn[1][-1]) == (first, last)


def test_segments_cover_the_video_and_are_drawn_for_each_sample() -> None:
    view, times = View(frames=8, size=32, sampling="segments"), np.arange(80) / 25
    drawn = [view.indices(0, times, uniform_stream(key, stream(0, "frames"))) for key in (1, 2, 1)]
    assert view.span(times) == 80
    assert all((clip // 10).tolist() == list(range(8)) for clip in drawn)
    assert drawn[0].tolist() == drawn[2].tolist() != drawn[1].tolist()


def test_a_released_sampling_takes_no_padding_of_ours() -> None:
    for wrong in ({"pad": "loop"}, {"stride": None, "fps": 5.0}, {"stride": None, "share": 0.5}):
        with pytest.raises(ValueError, match="sampling is videomae, allowed is no share, no fps and no pad beside it"):
            View(**{"frames": 8, "size": 32, "stride": 4, "sampling": "videomae", **wrong})
    with pytest.raises(ValueError, match="sampling is segments, allowed is no stride and no fps beside it"):
        View(frames=8, size=32, stride=4, sampling="segments")


def test_a_stride_too_long_for_a_video_is_clamped_to_the_largest_that_fits() -> None:
    view = View(frames=8, size=32, stride=4, pad="clamp_stride")
    for video_len, stride in ((29, 4), (28, 3), (22, 3), (21, 2), (8, 1)):
        times = np.arange(video_len) / 25
        assert view.stride_in(video_len) == stride
        assert view.span(times) == 7 * stride + 1 <= video_len
        assert view.indices(0, times).tolist() == list(range(0, 7 * stride + 1, stride))
    assert view.span(np.arange(5) / 25) == 8  # more than 5: it is padded
    assert view.indices(0, np.arange(5) / 25).tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert View(frames=8, size=32, stride=4).stride_in(9) == 4
    assert View(frames=1, size=32, stride=4, pad="clamp_stride").stride_in(1) == 4


def test_evaluation_reads_one_view_without_augmentation() -> None:
    views = evaluation_views(Clip(frames=8, stride=2, size=32))
    assert views.positions == (("clip", View(frames=8, size=32, stride=2, augment=None)),)
    assert isinstance(views.relation, Centre)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames is 0, allowed is at least 1"),
        ({"size": 0}, "size is 0, allowed is at least 1"),
        ({"stride": 0}, "stride is 0, allowed is at least 1"),
        ({"count": 0}, "count is 0, allowed is at least 1"),
        ({"stride": None}, "stride is None and fps is None, allowed is exactly one of them"),
        ({"fps": 5.0}, "stride is 2 and fps is 5.0, allowed is exactly one of them"),
        ({"stride": None, "fps": 0.0}, "fps is 0.0, allowed is more than 0"),
        ({"pad": "zeros"}, "pad is 'zeros', allowed is repeat_last or loop or refuse or clamp_stride"),
        (
            {"stride": None, "fps": 5.0, "pad": "clamp_stride"},
            "pad is clamp_stride and fps is 5.0, allowed is a stride",
        ),
    ],
)
def test_a_view_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        View(**{"frames": 8, "size": 32, "stride": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop": "centre"}, "crop is 'centre', allowed is random_resized or multi_scale"),
        ({"colour": "opencv"}, "colour is 'opencv', allowed is torchvision or tensorflow"),
        ({"flip": 1.5}, "flip is 1.5, allowed is 0 to 1"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale is .* two numbers above 0 and up to 1, the smaller first"),
        ({"crop_scale": (0.9, 0.2)}, "crop_scale is .* the smaller first"),
        ({"crop_ratio": (0.5,)}, "crop_ratio is .* two numbers above 0, the smaller first"),
        ({"jitter": (0.4, 0.4, 0.4)}, "jitter is .* 4 strengths"),
        ({"jitter": (0.4, 0.4, 0.4, 0.6)}, "jitter is .* up to 0.5"),
    ],
)
def test_an_augmentation_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augment(**arguments)


def test_views_refuse_no_view_and_names_that_are_no_words() -> None:
    with pytest.raises(ValueError, match="there is no view"):
        Views()
    with pytest.raises(ValueError, match="a view is named 'a.0'"):
        Views(**{"a.0": VIEW})


def test_a_share_spreads_frames_over_videos_of_any_length() -> None:
    view = View(frames=8, size=32, share=0.125)
    spans = {length: view.span(np.arange(length) / 25) for length in (300, 40, 8, 1)}
    assert spans == {300: 37, 40: 5, 8: 1, 1: 1}
    assert view.indices(100, np.arange(300) / 25).tolist() == [100, 105, 110, 115, 120, 125, 130, 136]
    assert view.indices(3, np.arange(40) / 25).tolist() == [3, 3, 4, 4, 5, 5, 6, 7]
    whole = View(frames=8, size=32, share=1.0)
    assert whole.indices(0, np.arange(300) / 25).tolist() == [0, 42, 85, 128, 170, 213, 256, 299]


def test_a_share_is_a_setting_like_others() -> None:
    half = View(frames=8, size=32, share=0.5)
    assert half.settings_hash() not in (VIEW.settings_hash(), replace(half, share=0.25).settings_hash())
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        View(frames=8, size=32, share=1.5)
    with pytest.raises(ValueError, match=r"share is 0\.5, allowed is no stride and no fps beside it"):
        View(frames=8, size=32, share=0.5, stride=2)

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vssl.video.relations.centre import Centre
from vssl.video.relations.independent import Independent
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


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 9}, {"size": 33}, {"stride": 3}, {"stride": None, "fps": 2.0}, {"pad": "loop"}, {"augment": None},
        {"augment": Augment(crop="multi_scale")}, {"augment": Augment(crop_scale=(0.3, 1.0))},
        {"augment": Augment(crop_ratio=(0.5, 2.0))}, {"augment": Augment(flip=0.4)},
        {"augment": Augment(jitter=(0.4, 0.4, 0.4, 0.2))}, {"augment": Augment(jitter_p=0.7)},
        {"augment": Augment(grey_p=0.1)}, {"augment": Augment(blur_p=0.4)}, {"augment": Augment(blur_sigma=(0.1, 1.0))},
        {"augment": Augment(solarise_p=0.1)}, {"augment": Augment(solarise_threshold=0.6)},
    ],
)  # fmt: skip
def test_any_other_setting_changes_the_settings_hash(change: dict[str, Any]) -> None:
    assert replace(VIEW, **change).settings_hash() != VIEW.settings_hash()


def test_indices_by_stride_and_by_fps_agree_at_a_constant_rate() -> None:
    times = np.arange(60) / 25
    by_fps = View(frames=8, size=32, fps=12.5)
    assert by_fps.span(times) == VIEW.span(times) == 15
    assert by_fps.indices(7, times).tolist() == VIEW.indices(7, times).tolist() == list(range(7, 22, 2))


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
        ({"pad": "zeros"}, "pad is 'zeros', allowed is repeat_last or loop or refuse"),
    ],
)
def test_a_view_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        View(**{"frames": 8, "size": 32, "stride": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop": "centre"}, "crop is 'centre', allowed is random_resized or multi_scale"),
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

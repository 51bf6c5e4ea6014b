from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vssl.config.errors import UserError
from vssl.evaluation.knn import Knn
from vssl.evaluation.linear import Linear
from vssl.evaluation.protocol import Protocol, Task
from vssl.records.hashes import hash_of
from vssl.video.lists.samples import Samples

BOTH = pytest.mark.parametrize("protocol", [Knn(k=1), Linear()], ids=lambda protocol: protocol.name)


def relabelled(samples: Samples, label: list[int]) -> Samples:
    return replace(samples, labels={"motion": np.array(label)})


def small(world: Any, train: list[int], select: list[int], test: list[int]) -> Task:
    task = world.blobs(videos=(len(train), len(select), len(test)))
    lists = zip((task.train, task.select, task.test), (train, select, test), strict=True)
    whole = replace(task, classes=("left", "right", "up"))
    return replace(
        whole, **dict(zip(("train", "select", "test"), (relabelled(*pair) for pair in lists), strict=True))
    )  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    ("train", "select", "test", "text"),
    [
        ([0, 1, 1], [0], [0, 2, 2], "classes of the test list without a training video: 'up' \\(2 test videos\\)"),
        ([1, 1, 1], [1], [1], "all 4 training videos are of one class, 'right'; there must be two"),
        ([-1, -1, 1], [-1], [1], "1 training videos carry this label; at least two are needed"),
        ([-1], [-1], [1], "0 training videos carry this label"),
        ([0, 1], [0], [-1, -1], "no test video carries this label"),
    ],
)
def test_what_cannot_work_is_refused_before_a_video_is_read(
    world: Any, protocol: Protocol, train: list[int], select: list[int], test: list[int], text: str
) -> None:
    with pytest.raises(UserError, match=f"eval.label=motion: {text}") as caught:
        protocol.check(small(world, train, select, test))
    assert caught.value.exit_code == 2
    assert world.reader.opened == []


@BOTH
def test_a_class_of_the_select_split_alone_is_known(world: Any, protocol: Protocol) -> None:
    protocol.check(small(world, [0, 1], [2], [0, 2]))


@BOTH
def test_an_unknown_label_names_the_nearest(world: Any, protocol: Protocol) -> None:
    with pytest.raises(UserError, match=r"eval.label=motoin: no such label; did you mean 'motion'"):
        protocol.check(replace(world.blobs(), label="motoin"))


def test_videos_without_the_label_are_left_out(world: Any, pixels: Any, tmp_path: Any) -> None:
    task = world.blobs(videos=(40, 8, 8))
    partly = task.test.labels["motion"].copy()
    partly[[1, 5]] = -1
    results = Knn().run(pixels, replace(task, test=replace(task.test, labels={"motion": partly})), tmp_path)
    assert results.predictions["id"].tolist() == [
        name for place, name in enumerate(task.test.id) if place not in (1, 5)
    ]


@BOTH
def test_a_stamp_is_plain_and_changes_with_what_it_states(world: Any, protocol: Protocol) -> None:
    task = world.blobs()
    stamp = protocol.stamp(task)
    assert stamp["clip"] == {
        "views": "1 x 1", "frames": 2, "stride": 1, "size": 8, "mode": "centre", "padding": "repeat_last",
    }  # fmt: skip
    assert (stamp["protocol"], stamp["version"], stamp["frozen"]) == (protocol.name, 1, True)
    assert set(stamp["lists"]) == {"train", "select", "test"}
    others = [
        replace(task, label="shape"), replace(task, test=task.test.take(np.arange(40))),
        replace(task, train=task.train.take(np.arange(40))), replace(task, precision="bf16"),
        replace(task, clip=replace(task.clip, stride=2)),
    ]  # fmt: skip
    assert len({hash_of(protocol.stamp(other)) for other in [task, *others]}) == 6
    same = [
        replace(task, workers=3),
        replace(task, batch_size=1),
        replace(task, cache=world.folder),
        replace(task, seed=1),
    ]
    assert {hash_of(protocol.stamp(other)) for other in same} == {hash_of(stamp)}


def test_settings_of_a_protocol_are_in_its_stamp(world: Any) -> None:
    task = world.blobs()
    stamps = [
        Knn().stamp(task), Knn(k=5).stamp(task), Knn(temperature=0.1).stamp(task), Linear().stamp(task),
        Linear(epochs=9).stamp(task), Linear(lrs=(0.1,)).stamp(task), Linear(momentum=0.0).stamp(task),
    ]  # fmt: skip
    assert len({hash_of(stamp) for stamp in stamps}) == len(stamps)

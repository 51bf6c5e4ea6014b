import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vssl.backbones.base import Backbone
from vssl.backbones.mean_frame import MeanFrame
from vssl.config.errors import WorkError
from vssl.evaluation.features import features
from vssl.evaluation.freeze import frozen, weights_hash
from vssl.evaluation.knn import Knn
from vssl.evaluation.linear import Linear
from vssl.video.decoding.decode import PyAVReader
from vssl.video.lists.samples import Samples
from vssl.video.views import Clip


class Restless(Backbone):
    """An encoder in which everything moves that can move in training mode."""

    kind, embed_dim = "test", 5

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(192, 5)
        self.norm = nn.BatchNorm1d(5)
        self.dropout = nn.Dropout(0.5)

    def forward(self, clip: Tensor) -> Tensor:
        return self.dropout(self.norm(self.projection(clip.mean(dim=2).flatten(1))))


class Counting(Restless):
    """Changes a buffer whenever it is called, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, clip: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(clip)


def expected(encoder: Backbone, task: Any) -> np.ndarray:
    """Features of the test list computed by hand: every frame of a video is the same image."""
    images = np.stack([task.reader.images[name] for name in task.test.id])
    clip = torch.from_numpy(images).permute(0, 3, 1, 2)[:, :, None].float() / 255
    with torch.no_grad():
        return encoder.eval()(clip.repeat(1, 1, 2, 1, 1)).numpy()


def test_features_are_the_encoder_in_evaluation_mode_row_by_row(world: Any) -> None:
    task, encoder = world.blobs(batch_size=7), Restless()  # 80 videos: the last batch is not full
    encoder.norm.running_mean.fill_(0.3)  # type: ignore[union-attr]
    values = features(encoder, task.test, task).values[:, 0]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected(encoder, task), atol=1e-5)


def test_the_encoder_ends_as_it_came(world: Any) -> None:
    task, encoder = world.blobs(), Restless().train()
    encoder.norm.eval()  # a part that was frozen by its owner stays frozen
    before = weights_hash(encoder)
    features(encoder, task.test, task)
    assert weights_hash(encoder) == before
    assert (encoder.training, encoder.norm.training, encoder.dropout.training) == (True, False, True)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in encoder.parameters())


def test_an_encoder_that_changes_while_it_is_read_is_refused(world: Any) -> None:
    task = world.blobs()
    with pytest.raises(RuntimeError, match="Counting: its weights or buffers changed"):
        features(Counting(), task.test, task)
    assert not list(task.cache.rglob("*"))


def test_modes_are_restored_after_a_failure() -> None:
    encoder = Restless().train()
    modes = []

    def fail_inside() -> None:
        with frozen(encoder):
            modes.append(encoder.dropout.training)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert modes == [False]
    assert encoder.training and encoder.dropout.training


def test_the_hash_sees_every_bit_of_weights_and_buffers() -> None:
    torch.manual_seed(0)
    encoder = Restless()
    seen = {weights_hash(encoder)}
    with torch.no_grad():
        encoder.projection.weight[2, 3] = torch.nextafter(encoder.projection.weight[2, 3], torch.tensor(9.0))
        seen.add(weights_hash(encoder))
        encoder.norm.running_var[1] += 1  # type: ignore[index]
        seen.add(weights_hash(encoder))
    assert len(seen) == 3


def test_labels_and_protocols_share_one_reading(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs()
    for label in ("motion", "shape"):
        for protocol in (Knn(), Linear(epochs=2)):
            protocol.run(pixels, replace(task, label=label, classes=("a", "b", "c", "d")), tmp_path)
    assert len(world.reader.opened) == 120 + 40 + 80
    assert len(set(world.reader.opened)) == 120 + 40 + 80


def test_a_second_call_reads_the_cache_and_gives_the_same_bits(world: Any, pixels: MeanFrame) -> None:
    task = world.blobs()
    first = features(pixels, task.test, task)
    opened = len(world.reader.opened)
    second = features(pixels, task.test, task)
    assert len(world.reader.opened) == opened == 80
    assert np.array_equal(first.values, second.values) and first.inputs == second.inputs
    assert [path.suffix for path in task.cache.iterdir()] == [".safetensors"]  # and no temporary file


@pytest.mark.parametrize("change", ["weights", "list", "clip", "precision", "file"])
def test_whatever_features_depend_on_makes_them_anew(world: Any, change: str) -> None:
    task, encoder = world.blobs(), Restless()
    features(encoder, task.test, task)
    samples = task.test
    if change == "weights":
        with torch.no_grad():
            encoder.norm.weight[0] += 1
    elif change == "list":
        samples = samples.take(np.arange(80)[::-1])
    elif change == "clip":
        task = replace(task, clip=Clip(frames=2, stride=2, size=8))
    elif change == "precision":
        task = replace(task, precision="bf16")
    else:
        Path(samples.path[3]).write_bytes(b"longer")
    features(encoder, samples, task)
    assert len(world.reader.opened) == 160


@pytest.mark.parametrize("damage", ["flipped bit", "cut short", "empty", "another file"])
def test_a_damaged_cache_file_is_computed_again(
    world: Any, pixels: MeanFrame, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = world.blobs()
    first = features(pixels, task.test, task)
    (path,) = task.cache.iterdir()
    whole = path.read_bytes()
    flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    path.write_bytes(
        {"flipped bit": flipped, "cut short": whole[:-40], "empty": b"", "another file": b"not a tensor file"}[damage]
    )
    with caplog.at_level(logging.WARNING):
        second = features(pixels, task.test, task)
    assert np.array_equal(first.values, second.values)
    assert f"{path}: damaged" in caplog.text
    assert len(world.reader.opened) == 160
    assert np.array_equal(features(pixels, task.test, task).values, first.values)
    assert len(world.reader.opened) == 160  # the file is whole again


def test_equal_inputs_have_equal_digests_for_every_encoder(world: Any, pixels: MeanFrame) -> None:
    task = world.blobs()
    digest = features(pixels, task.test, task).inputs
    assert features(Restless(), task.test, replace(task, batch_size=3)).inputs == digest
    assert features(pixels, task.test, replace(task, clip=Clip(frames=2, stride=2, size=8))).inputs != digest
    assert features(pixels, task.select, task).inputs != digest


def test_bf16_is_used_in_the_encoder_and_gives_fp32(world: Any) -> None:
    task, encoder = world.blobs(), Restless()
    full = features(encoder, task.test, task).values[:, 0]
    half = features(encoder, task.test, replace(task, precision="bf16")).values[:, 0]
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.05


def test_features_that_are_not_finite_are_refused(world: Any) -> None:
    task, encoder = world.blobs(), Restless()
    with torch.no_grad():
        encoder.projection.weight.fill_(torch.nan)
    with pytest.raises(WorkError, match="features of 80 of 80 videos are not finite"):
        features(encoder, task.test, task)
    assert not list(task.cache.rglob("*"))


def test_a_list_without_videos_has_features_without_rows(world: Any, pixels: MeanFrame) -> None:
    task = world.blobs(videos=(20, 0, 20))
    assert features(pixels, task.select, task).values.shape == (0, 1, 192)


def real_videos(folder: Path, make_video: Any, count: int) -> Samples:
    paths = [make_video(folder / f"{place}.mp4", frames=8 + place) for place in range(count)]
    return Samples(
        id=np.array([path.name for path in paths]),
        path=np.array([str(path) for path in paths]),
        start_s=np.full(count, np.nan),
        end_s=np.full(count, np.nan),
        labels={"motion": np.arange(count) % 2},
        group=np.array([path.name for path in paths]),
        fold=np.full(count, -1),
    )


def test_workers_change_nothing_on_real_files(world: Any, pixels: MeanFrame, make_video: Any, tmp_path: Path) -> None:
    samples = real_videos(tmp_path, make_video, 7)
    task = replace(world.blobs(), reader=PyAVReader(), batch_size=2)
    alone = features(pixels, samples, task)
    shared = features(pixels, samples, replace(task, workers=2, cache=tmp_path / "other"))
    assert np.array_equal(alone.values, shared.values) and alone.inputs == shared.inputs


@pytest.mark.parametrize("workers", [0, 1])
def test_a_video_that_cannot_be_read_is_named(
    world: Any, pixels: MeanFrame, make_video: Any, tmp_path: Path, workers: int
) -> None:
    samples = real_videos(tmp_path, make_video, 3)
    Path(samples.path[1]).write_bytes(b"no video at all")
    task = replace(world.blobs(), reader=PyAVReader(), workers=workers)
    with pytest.raises(WorkError, match=r"1\.mp4: unreadable: .*\n  hint: take it out of the list"):
        features(pixels, samples, task)

import hashlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from vssl.config.errors import WorkError
from vssl.video.augmentation.augment import draw
from vssl.video.augmentation.crops import crop_box, crop_resize
from vssl.video.clips import ClipBatch, ClipDataset, collate
from vssl.video.decoding.decode import PyAVReader, VideoError
from vssl.video.digests import ClipDigest
from vssl.video.draws import sample_keys
from vssl.video.lists.samples import Samples
from vssl.video.relations.same import Same
from vssl.video.sampler import BatchSampler
from vssl.video.unreadable import TrainingClips
from vssl.video.views import Augment, Clip, View, Views, evaluation_views

SHARED = View(frames=8, size=32, stride=2)
SINGLE, PAIR = Views(clip=SHARED), Views(a=SHARED, b=SHARED)
HEIGHT, WIDTH = 40, 60


@dataclass
class NoiseVideo:
    """Frame i of every video is noise from the generator seeded with i."""

    length: int
    asked: list[list[int]]
    height: int = HEIGHT
    width: int = WIDTH

    @property
    def times(self) -> NDArray[np.float64]:
        return 3.0 + np.arange(self.length) / 25

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.asked.append(indices.tolist())
        return np.stack([noise(index) for index in indices])


def noise(index: int) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


class NoiseReader:
    """The path says how many frames there are."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    @contextmanager
    def open(self, path: str, start_s: float = 0.0, end_s: float = 0.0) -> Iterator[NoiseVideo]:
        yield NoiseVideo(int(path), self.asked)


def samples(lengths: Sequence[int]) -> Samples:
    n = len(lengths)
    return Samples(
        id=np.array([f"video{place}" for place in range(n)]),
        path=np.array([str(length) for length in lengths]),
        start_s=np.full(n, np.nan),
        end_s=np.full(n, np.nan),
        labels={"motion": np.arange(n) % 3, "shape": np.full(n, -1)},
        group=np.array([""] * n),
        fold=np.full(n, -1),
    )


def dataset(views: Views = SINGLE, lengths: Sequence[int] = (60,) * 12) -> ClipDataset:
    return ClipDataset(samples(lengths), views, NoiseReader())


def requests(n: int) -> list[tuple[int, int]]:
    return list(enumerate(sample_keys(0, 0, np.arange(n)).tolist()))


def test_an_item_holds_the_pixels_that_its_indices_and_box_name() -> None:
    key = requests(1)[0][1]
    item = dataset()[0, key]
    (start,) = SINGLE.relation.starts(key, [15], 60)
    indices = np.arange(start, start + 16, 2)
    box = crop_box(key, 0, Augment(), HEIGHT, WIDTH, 32)
    clip = torch.from_numpy(np.stack([noise(index) for index in indices])).permute(0, 3, 1, 2)
    assert torch.equal(item["views"]["clip"], crop_resize(clip, box, 32))
    assert item["time"]["clip"].tolist() == (3.0 + indices / 25).tolist()
    top, left, height, width = box
    corners = [top / HEIGHT, left / WIDTH, (top + height) / HEIGHT, (left + width) / WIDTH]
    assert item["box"]["clip"].tolist() == pytest.approx(corners)
    numbers = np.array([*indices, *box], dtype="<i8").tobytes()
    assert bytes(item["digest"]["clip"]) == hashlib.sha256(b"video0\0\0" + numbers).digest()
    assert (item["id"], item["key"], item["label"]) == (0, key, {"motion": 0, "shape": -1})


def test_all_views_come_from_one_decode_of_each_frame_once() -> None:
    clips = dataset(PAIR)
    reader = clips.reader
    assert isinstance(reader, NoiseReader)
    for request in requests(12):
        clips[request]
    assert len(reader.asked) == 12
    assert all(asked == sorted(set(asked)) for asked in reader.asked)
    alone = dataset(Views(x=SHARED, b=SHARED))[requests(3)[2]]
    assert torch.equal(alone["views"]["b"], clips[requests(3)[2]]["views"]["b"])


def test_repeats_are_the_items_of_their_keys_from_one_decode() -> None:
    clips = dataset(PAIR)
    keys = sample_keys(0, 0, np.array([3, 3, 3]), np.arange(3)).tolist()
    repeats = clips.read_repeats(3, keys)
    assert len(clips.reader.asked) == 1  # type: ignore[attr-defined]
    for item, key in zip(repeats, keys, strict=True):
        alone = clips.read(3, key)
        assert torch.equal(item["views"]["b"], alone["views"]["b"]) and item["key"] == key
        assert (item["digest"]["b"] == alone["digest"]["b"]).all() and (item["time"]["a"] == alone["time"]["a"]).all()
    assert not torch.equal(repeats[0]["views"]["a"], repeats[1]["views"]["a"])


def test_the_loader_reads_slots_of_one_video_in_one_decode() -> None:
    views = Views(repeats=3, clip=SHARED)
    sampler = BatchSampler(size=12, batch_size=6, accumulate=1, steps=2, seed=0, repeats=views.repeats)
    clips = dataset(views)
    training, slots = TrainingClips(clips, sampler, tries=1), next(iter(sampler))
    items = training.__getitems__(slots)
    assert len(clips.reader.asked) == 2  # type: ignore[attr-defined]
    for item, slot in zip(items, slots, strict=True):
        assert isinstance(item, dict) and (item["id"], item["key"]) == (slot.sample, slot.key)
        assert torch.equal(item["views"]["clip"], training[slot]["views"]["clip"])  # type: ignore[index]


def test_position_0_of_pair_is_position_0_of_single() -> None:
    single, pair = (collate([dataset(views)[request] for request in requests(12)]) for views in (SINGLE, PAIR))
    for part in ("views", "time", "box", "digest", "padded"):
        assert torch.equal(single[part]["clip"], pair[part]["a"]), part  # type: ignore[literal-required]
        assert part == "padded" or not torch.equal(pair[part]["a"], pair[part]["b"])  # type: ignore[literal-required]
    assert chain(SINGLE, [single]).hex() == chain(PAIR, [pair]).hex()


def chain(views: Views, batches: Sequence[ClipBatch]) -> ClipDigest:
    """The digest of the first view."""
    name, view = views.positions[0]
    digest = ClipDigest(view.settings_hash())
    for batch in batches:
        digest.update(batch["digest"][name].numpy(), draw(batch["key"], 0, view.augment, True).rows())
    return digest


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [4, 12])
def test_neither_batches_nor_workers_enter(workers: int, batch_size: int) -> None:
    clips, asked = dataset(PAIR), requests(12)
    batches = [asked[begin : begin + batch_size] for begin in range(0, 12, batch_size)]
    loader: Any = DataLoader(clips, batch_sampler=batches, num_workers=workers, collate_fn=collate)
    found = list(loader)
    expected = collate([clips[request] for request in asked])
    for name in ("a", "b"):
        assert torch.equal(torch.cat([batch["views"][name] for batch in found]), expected["views"][name])
    assert chain(PAIR, found).hex() == chain(PAIR, [expected]).hex()


@pytest.mark.parametrize(
    "augment",
    [Augment(blur_p=0.4), Augment(jitter=(0.4, 0.4, 0.4, 0.05)), Augment(crop_scale=(0.3, 1.0)), Augment(flip=0.4)],
)
def test_one_other_augmentation_value_changes_the_digest_from_its_start(augment: Augment) -> None:
    other = Views(clip=replace(SHARED, augment=augment))
    assert chain(SINGLE, []).hex() != chain(other, []).hex()
    batches = [[collate([dataset(views)[request] for request in requests(2)])] for views in (SINGLE, other)]
    assert chain(SINGLE, batches[0]).hex() != chain(other, batches[1]).hex()


@pytest.mark.parametrize("change", [{"key": 7}, {"index": 1}, {"replaced": 5}])
def test_key_sample_and_replaced_sample_enter_the_digest(change: dict[str, int]) -> None:
    asked = {"index": 0, "key": 3}
    before, after = dataset().read(**asked), dataset().read(**{**asked, **change})
    assert bytes(before["digest"]["clip"]) != bytes(after["digest"]["clip"])


def test_short_videos_are_padded_by_the_rule_and_counted() -> None:
    views = Views(relation=Same(), a=SHARED, b=replace(SHARED, pad="loop"), c=replace(SHARED, frames=5))
    item = dataset(views, lengths=[10])[0, 0]
    assert item["padded"] == {"a": True, "b": True, "c": False}
    assert ((item["time"]["a"] - 3) * 25).round().tolist() == [0, 2, 4, 6, 8, 9, 9, 9]
    assert ((item["time"]["b"] - 3) * 25).round().tolist() == [0, 2, 4, 6, 8, 0, 2, 4]
    assert torch.equal(item["views"]["a"][5], item["views"]["a"][7])
    assert not torch.equal(item["views"]["a"][4], item["views"]["a"][5])


def test_a_video_too_short_for_the_stride_is_read_at_a_smaller_one_and_counted() -> None:
    views = Views(short=SHARED, long=replace(SHARED, stride=8, pad="clamp_stride"))
    clips = dataset(views, lengths=[57, 40, 6])
    items = [clips[index, 5] for index in range(3)]
    steps = [((item["time"]["long"] - 3) * 25).round().astype(int) for item in items]
    assert [set(np.diff(indices).tolist()) for indices in steps] == [{8}, {5}, {1, 0}]
    assert steps[2].tolist() == [0, 1, 2, 3, 4, 5, 5, 5]
    batch = collate(items)
    assert batch["clamped"]["long"].tolist() == [False, True, True]
    assert batch["padded"]["long"].tolist() == [False, False, True]
    assert batch["clamped"]["short"].tolist() == [False, False, False]
    assert batch["padded"]["short"].tolist() == [False, False, True]


def test_per_frame_crops_are_told_and_enter_the_digest() -> None:
    views = Views(clip=replace(SHARED, augment=Augment(per_frame=True)))
    item, shared = dataset(views)[0, 5], dataset()[0, 5]
    assert item["box"]["clip"].shape == (8, 4) and shared["box"]["clip"].shape == (4,)
    assert item["box"]["clip"][0].tolist() == shared["box"]["clip"].tolist()
    assert torch.equal(item["views"]["clip"][0], shared["views"]["clip"][0])
    assert not torch.equal(item["views"]["clip"][1], shared["views"]["clip"][1])
    assert bytes(item["digest"]["clip"]) != bytes(shared["digest"]["clip"])


def test_a_view_that_refuses_padding_names_video_and_view() -> None:
    views = Views(clip=replace(SHARED, pad="refuse"))
    with pytest.raises(WorkError, match=r"10: view clip: 8 frames .* need 15, there are 10\n  hint: views.clip.pad="):
        dataset(views, lengths=[10])[0, 0]
    assert not dataset(views, lengths=[15])[0, 0]["padded"]["clip"]


def test_a_segment_without_frames_is_an_error() -> None:
    with pytest.raises(VideoError, match="no frame in the sample's segment"):
        dataset(lengths=[0])[0, 0]


def test_evaluation_reads_the_middle_whatever_the_key() -> None:
    clips = dataset(evaluation_views(Clip(frames=8, stride=2, size=32)))
    item, other = clips[3, 0], clips[3, 99]
    assert torch.equal(item["views"]["clip"], other["views"]["clip"])
    assert ((item["time"]["clip"] - 3) * 25).round().tolist() == list(range(22, 38, 2))
    assert item["box"]["clip"].tolist() == pytest.approx([0, 10 / 60, 1, 50 / 60])


def test_a_batch_is_tensors_with_the_batch_in_front() -> None:
    batch = collate([dataset(PAIR)[request] for request in requests(3)])
    assert batch["id"].tolist() == [0, 1, 2]
    assert batch["key"].tolist() == [key for _, key in requests(3)]
    assert batch["label"]["motion"].tolist() == [0, 1, 2]
    shapes = {name: (value["b"].shape, value["b"].dtype) for name, value in batch.items() if name in _PER_VIEW}
    assert shapes == _PER_VIEW


_PER_VIEW = {
    "views": ((3, 8, 3, 32, 32), torch.uint8),
    "time": ((3, 8), torch.float64),
    "box": ((3, 4), torch.float32),
    "digest": ((3, 32), torch.uint8),
    "padded": ((3,), torch.bool),
    "clamped": ((3,), torch.bool),
}


def test_numpy_integers_are_taken_as_they_come() -> None:
    index, key = requests(4)[3]
    clips = dataset()
    assert torch.equal(clips[np.int64(index), np.int64(key)]["views"]["clip"], clips[index, key]["views"]["clip"])


def test_it_survives_pickling() -> None:
    clips = dataset()
    copy = pickle.loads(pickle.dumps(clips))
    assert torch.equal(copy[requests(1)[0]]["views"]["clip"], clips[requests(1)[0]]["views"]["clip"])


def test_real_files(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    listed = replace(samples([24, 24]), path=np.array([str(make_video(tmp_path / f"{i}.mp4")) for i in range(2)]))
    item = ClipDataset(listed, PAIR, PyAVReader())[1, 5]
    for name in ("a", "b"):
        shown = (item["time"][name] * 25).round()
        grey = item["views"][name].float().mean(dim=(1, 2, 3))
        assert grey.tolist() == pytest.approx((16 + 7 * shown).tolist(), abs=4)

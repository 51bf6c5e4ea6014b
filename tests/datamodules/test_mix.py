"""`data=mix`: names, labels, readers, flips and shares of several sets in one training, and one set evaluated."""

import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from datamodules.images import Images
from datamodules.mix import Mix, MixReader
from datamodules.ucf101 import UCF101
from datamodules.video_list import VideoList
from methods.supervised import Supervised
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import ConfigError, UserError, WorkError
from vssl.config.paths import take_paths
from vssl.datamodule import Loading, VideoDataModule
from vssl.evaluation.online import drawn, online_probe
from vssl.evaluation.run import evaluate
from vssl.listed import lists_of, missing_of
from vssl.records.record import read_record
from vssl.training.build import Study, assemble, build
from vssl.training.run import pretrain
from vssl.video.views import Augment, View, Views

MakeVideo = Callable[..., Path]
Sets = dict[str, VideoDataModule]
# The whole frame of 32 x 40 pixels, mirrored.
FLIPPED = Augment(flip=1.0, crop_scale=(0.99, 1.0), crop_ratio=(1.25, 1.25), jitter_p=0.0, grey_p=0.0, blur_p=0.0)


@pytest.fixture
def clips(tmp_path: Path, make_video: MakeVideo) -> Path:
    """Ten videos of two classes, of which eight are trained on."""
    for name in [f"{label}/{i}.mp4" for label in ("wave", "nod") for i in range(5)]:
        make_video(tmp_path / "clips" / name, frames=12, size=(32, 40))
    return tmp_path / "clips"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Fifteen images of three classes, of which twelve are trained on; the left half is dark."""
    for label, level in (("cat", 90), ("cow", 150), ("dog", 210)):
        for i in range(5):
            path = tmp_path / "pictures" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            rgb = np.full((32, 40, 3), level + i, dtype=np.uint8)
            rgb[:, :20] //= 3
            Image.fromarray(rgb).save(path)
    return tmp_path / "pictures"


@pytest.fixture
def mix(clips: Path, pictures: Path) -> Mix:
    sets: Sets = {"videos": VideoList(root=str(clips)), "pictures": Images(root=str(pictures), flip_safe=True)}
    return Mix(sets, weights={"videos": 3.0})  # 24 clips of videos and 12 of pictures


def loaded(data: Mix, *, label: Any = None, **given: Any) -> Mix:
    views = Views(clip=View(2, 16, stride=1, augment=FLIPPED))
    data.attach(Loading(views=views, label=label, **{"batch_size": 4, "seed": 0, "steps": 18, **given}))
    return data


def test_samples_labels_and_groups_carry_the_name_of_their_set(mix: Mix) -> None:
    train, test = mix.samples("train"), mix.samples("test")
    assert Counter(name.partition("/")[0] for name in train.id) == {"videos": 8, "pictures": 12}
    assert train.id[0].startswith("videos/nod/") and train.group[0] == train.id[0]
    assert mix.classes == {"videos.label": ("nod", "wave"), "pictures.label": ("cat", "cow", "dog")}
    assert list(train.labels) == ["videos.label", "pictures.label"] == list(mix.labels())
    for name, own in mix.sets.items():
        mine = mix.belonging(train, f"{name}.label")
        assert mine.labels[f"{name}.label"].tolist() == own.samples("train").labels["label"].tolist()
        assert mine.path.tolist() == own.samples("train").path.tolist()
        (other,) = set(train.labels) - {f"{name}.label"}
        assert set(mine.labels[other].tolist()) == {-1}
    assert len(test) == 5
    assert mix.split_rule == "; ".join(f"{name}: {own.split_rule}" for name, own in mix.sets.items())
    assert not mix.flip_safe and not mix.reverse_safe


def test_labels_are_those_that_the_sets_or_the_user_choose(clips: Path, pictures: Path) -> None:
    sets: Sets = {"a": VideoList(root=str(clips)), "b": Images(root=str(pictures))}
    assert Mix(sets, label="b.label").labels() == ("b.label",)
    assert Mix(sets, label=["b.label", "a.label"]).labels() == ("b.label", "a.label")


def test_an_epoch_holds_the_shares_and_each_clip_has_a_label(mix: Mix) -> None:
    loaded(mix, label=("videos.label", "pictures.label"))
    assert mix.sampler().batches_per_epoch == 9
    slots = [slot for batch in list(mix.sampler())[:9] for slot in batch]
    names = Counter(str(mix.pretraining().id[slot.sample]) for slot in slots)
    assert {name.partition("/")[0]: times for name, times in names.items()} == {"videos": 3, "pictures": 1}
    told = "an epoch takes 24 clips of videos (66.7 %) and 12 of pictures (33.3 %)"
    assert mix.mixture(mix.pretraining()).told() == told
    batch = mix.first_batch()
    carried = torch.stack([batch["label"][name] >= 0 for name in mix.labels()])
    assert (carried.sum(dim=0) == 1).all()
    assert len(mix.pretraining("pictures.label")) == 12 and len(mix.pretraining(mix.labels())) == 20
    with pytest.raises(ConfigError, match="method.label=label: this data set has no such label; it has videos.label"):
        mix.pretraining("label")


def test_only_clips_of_a_set_that_allows_it_are_flipped(mix: Mix) -> None:
    loaded(mix, batch_size=16)
    batch = mix.first_batch()
    names = mix.pretraining().id[batch["id"].numpy()]
    is_picture = np.array([name.startswith("pictures/") for name in names])
    assert is_picture.any() and not is_picture.all()
    left, right = (batch["views"]["clip"][..., half].mean(dim=(1, 2, 3, 4)) for half in (slice(0, 6), slice(10, 16)))
    mirrored = (left > right + 0.1).numpy()  # the dark half came to the right
    assert (mirrored == is_picture).all()
    assert (mix._draw(batch)["drawn"]["clip"].flip.numpy() == is_picture).all()  # what enters the digests


def test_an_unreadable_video_is_replaced_by_one_of_its_set(mix: Mix, clips: Path) -> None:
    loaded(mix, batch_size=4)
    bad = int(np.flatnonzero([name.startswith("videos/") for name in mix.pretraining().id])[0])
    Path(str(mix.pretraining().path[bad])).write_bytes(b"no video")
    slots = [slot for batch in list(mix.sampler())[:9] for slot in batch if slot.sample == bad]
    assert len(slots) == 3
    for slot in slots:
        replaced = mix._dataset[slot]
        assert replaced.item["label"]["videos.label"] >= 0  # type: ignore[union-attr, index]


def test_each_set_is_read_by_its_own_reader_and_may_share_a_file(clips: Path, cache: Path, pictures: Path) -> None:
    sets: Sets = {"a": VideoList(root=str(clips)), "b": VideoList(root=str(clips))}
    assert Mix(sets).reader == sets["a"].reader  # one way of reading: nothing to find
    sets = {"a": VideoList(root=str(clips), decoder="prepared"), "b": Images(root=str(pictures))}
    both = Mix(sets)
    assert isinstance(both.reader, MixReader) and both.decoder == "prepared+pyav"
    for reader in (both.reader, pickle.loads(pickle.dumps(both.reader))):
        for name, own in sets.items():
            path = str(own.samples("test").path[0])
            with reader.open(path) as video, own.reader.open(path) as alone:
                assert type(video) is type(alone), name
                assert (video.frames(np.array([0])) == alone.frames(np.array([0]))).all()
    with pytest.raises(WorkError, match="nowhere.mp4 is in none of the sets of the mix"):
        both.reader.open("nowhere.mp4")
    sets = {"a": VideoList(root=str(clips), decoder="prepared"), "b": VideoList(root=str(clips))}
    with pytest.raises(
        ConfigError, match=r"data\.sets\.a and data\.sets\.b both hold (.|\n)*data\.sets\.b\.decoder=prepared"
    ):
        Mix(sets).reader  # noqa: B018
    sets["b"] = VideoList(root=str(clips), decoder="prepared")
    with Mix(sets).reader.open(str(sets["b"].samples("test").path[0])) as video:
        assert len(video.times) == 12


def test_the_hash_covers_every_set_and_its_name(clips: Path, pictures: Path, make_video: MakeVideo) -> None:
    def hashed(**roots: Path) -> str:
        return Mix({name: VideoList(root=str(root)) for name, root in roots.items()}).content_hash()

    other = clips.parent / "other"
    for name in ("x/0.mp4", "x/1.mp4", "y/2.mp4", "y/3.mp4"):
        make_video(other / name, frames=4, size=(16, 16))
    before = hashed(a=clips, b=other)
    assert len({before, hashed(a=clips), hashed(a=clips, c=other), hashed(a=other, b=clips)}) == 4
    make_video(other / "x/0.mp4", frames=9, size=(16, 16))
    assert hashed(a=clips, b=other) != before


def test_counts_and_missing_videos_are_those_of_each_set(
    clips: Path, videos: Callable[..., Path], tmp_path: Path
) -> None:
    root = videos("v_A_g01_c01.mp4", "v_B_g01_c01.mp4", "v_A_g02_c01.mp4")
    (tmp_path / "lists").mkdir()
    for file, text in {
        "classInd.txt": "1 A\n2 B\n",
        "trainlist01.txt": "A/v_A_g01_c01.avi 1\nB/v_B_g01_c01.avi 2\nB/v_B_g03_c01.avi 2\n",
        "testlist01.txt": "A/v_A_g02_c01.avi\n",
    }.items():  # fmt: skip
        (tmp_path / "lists" / file).write_text(text)
    official = UCF101(root=str(root), annotations=str(tmp_path / "lists"), max_missing_fraction=0.5)
    mix = Mix({"own": VideoList(root=str(clips)), "ucf": official})
    told = lists_of(mix)
    assert told["train"]["videos"] == 10 and told["sets"]["own"]["train"]["videos"] == 8
    ucf = told["sets"]["ucf"]["train"]
    assert [ucf[key] for key in ("videos", "listed", "found", "missing")] == [2, 3, 2, ["v_B_g03_c01"]]
    assert missing_of(mix) == "ucf: 1 of 3 listed training videos are missing"
    assert "1 of 3 listed training videos are missing" in mix.split_rule


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sets": {}}, "data.sets: there is no set"),
        ({"sets": {"a/b": None}}, "data.sets: a set is named 'a/b', allowed are letters, digits and _"),
        ({"sets": {"a.b": None}}, "data.sets: a set is named 'a.b', allowed are letters, digits and _"),
        ({"weights": {"vidoes": 2.0}}, "data.weights.vidoes: there is no such set; did you mean 'videos'?"),
        ({"weights": {"videos": 0.0}}, "data.weights.videos=0 must be above 0"),
        ({"weights": {"videos": -1.0}}, "data.weights.videos=-1 must be above 0"),
        ({"weights": {"videos": float("inf")}}, "data.weights.videos=inf must be above 0"),
    ],
)
def test_a_wrong_mix_is_refused(clips: Path, given: dict[str, Any], told: str) -> None:
    sets: Sets = {name: VideoList(root=str(clips)) for name in given.get("sets", {"videos": None})}
    with pytest.raises(ConfigError) as caught:
        Mix(sets, weights=given.get("weights"))
    assert told in str(caught.value)


def test_what_a_set_cannot_decide_or_be_is_refused(clips: Path, tmp_path: Path) -> None:
    one = VideoList(root=str(clips), max_bad_fraction=0.2)
    with pytest.raises(ConfigError, match=r"data\.sets\.a\.max_bad_fraction: (.|\n)*give data\.max_bad_fraction="):
        Mix({"a": one})
    with pytest.raises(ConfigError, match=r"data\.sets\.a: a mix in a mix"):
        Mix({"a": Mix({"b": VideoList(root=str(clips))})})
    (tmp_path / "none" / "x").mkdir(parents=True)
    with pytest.raises(UserError, match=r"data\.sets\.b: data\.root: there are no videos in the folders of"):
        Mix({"a": VideoList(root=str(clips)), "b": VideoList(root=str(tmp_path / "none"))}).samples("train")


def test_a_set_without_a_training_video_is_refused(clips: Path) -> None:
    class Tested(VideoList):
        def samples(self, split: Any) -> Any:
            return super().samples("test" if split == "test" else "unlabelled")

    with pytest.raises(UserError, match=r"data\.sets\.b: there is no training video(.|\n)*leave the set out"):
        Mix({"a": VideoList(root=str(clips)), "b": Tested(root=str(clips))}).samples("train")


def test_one_set_alone_is_trained_on_as_without_a_mix(clips: Path) -> None:
    alone, mix = VideoList(root=str(clips)), Mix({"a": VideoList(root=str(clips))})
    views = Views(clip=View(2, 16, stride=1))
    for data in (alone, mix):
        data.attach(Loading(views=views, batch_size=4, seed=0, steps=4))
    assert list(mix.sampler()) == list(alone.sampler())
    assert torch.equal(mix.first_batch()["views"]["clip"], alone.first_batch()["views"]["clip"])


SETS = [
    "data=mix", "data.sets.gestures=video_list", "data.sets.shapes=moving_shapes", "data.sets.pictures=images",
    "data.weights.shapes=0.5", "data.weights.pictures=2", "data.sets.pictures.flip_safe=true",
]  # fmt: skip


@pytest.fixture
def words(tiny: list[str], clips: Path, pictures: Path) -> list[str]:
    """A mix of a folder of clips, the made set, and a folder of images, on the command line."""
    return [*tiny, "run.workers=0", *SETS, f"data.sets.gestures.root={clips}", f"data.sets.pictures.root={pictures}"]


def study_of(words: list[str]) -> tuple[Study, dict[str, Any], Any]:
    rest, paths = take_paths(words)
    composed = compose(rest, paths=paths)
    bound = bind(composed.tree)
    return assemble(composed, bound), bound, composed


def trained(words: list[str]) -> tuple[Path, dict[str, Any], Any]:
    _, bound, composed = study_of(words)
    return pretrain(composed, bound), bound, composed


def test_supervised_learns_the_first_label_of_every_set_and_one_set_is_evaluated(words: list[str]) -> None:
    folder, bound, composed = trained([*words, "method=supervised"])
    record = read_record(folder)
    assert folder.name.startswith("supervised-vit_nano-mix-s0-")
    assert record["identity"]["label"] == "gestures.label, shapes.motion, pictures.label"
    assert {name: told["train"]["videos"] for name, told in record["lists"]["sets"].items()} == {
        "gestures": 8, "shapes": 48, "pictures": 12,
    }  # fmt: skip
    share = "an epoch takes 8 clips of gestures (14.3 %), 24 of shapes (42.9 %) and 24 of pictures (42.9 %)"
    assert share in (folder / "log.txt").read_text()
    curve = pd.read_csv(folder / "metrics.csv")
    assert {"accuracy", "accuracy.gestures.label", "accuracy.shapes.motion", "chance"} <= set(curve)
    assert np.isfinite(curve["loss"]).all()
    bound = {**bound, "eval": {**bound["eval"], "label": ["pictures.label"]}}
    knn, linear = evaluate(bound, composed.choices, str(folder), Path("runs"))
    found = read_record(knn)
    assert found["identity"]["label"] == "pictures.label" and found["environment"]["reader"] == "PyAVReader"
    seen = pd.read_parquet(knn / "predictions.parquet")
    assert len(seen) == 2 and seen["id"].str.startswith("pictures/").all()
    assert read_record(linear)["protocol"]["lists"] == found["protocol"]["lists"]


def test_a_method_without_labels_reads_the_whole_mix(words: list[str]) -> None:
    folder, bound, composed = trained([*words, "method=simsiam", "views=cvrl", "data.label=gestures.label"])
    record = read_record(folder)
    assert record["clips"]["padded"] > 0  # images are shorter than any view
    assert record["identity"]["label"] is None
    (knn, *_) = evaluate(bound, composed.choices, str(folder), Path("runs"))
    assert pd.read_parquet(knn / "predictions.parquet")["id"].str.startswith("gestures/").all()


def test_the_online_probe_asks_one_set(words: list[str]) -> None:
    study, _, _ = study_of([*words, "method=simsiam"])
    bank, queries = drawn(study.datamodule, "shapes.motion", 32, seed=0)
    assert len(bank) and len(queries)
    assert all(name.startswith("shapes/") for part in (bank, queries) for name in part.id)
    study.datamodule.label = "shapes.motion"
    study.prepare()
    probe = online_probe(study)
    assert not probe.off and probe._measured(study.method.encoder, torch.device("cpu"), 1)["probe_knn"] >= 0


def test_a_training_that_goes_on_in_the_middle_reads_the_same_clips(words: list[str]) -> None:
    study, _, _ = study_of([*words, "method=supervised", "train.accumulate=2", "budget.steps=20"])
    study.attach(20)
    whole = list(study.datamodule.sampler())
    again, _, _ = study_of([*words, "method=supervised", "train.accumulate=2", "budget.steps=20"])
    again.attach(20)
    assert list(again.datamodule.sampler(start=17)) == whole[17:]


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (
            "motion",
            "method.label=motion: the data set's labels are gestures.label, shapes.motion, .*mean 'shapes.motion'",
        ),
        ("[gestures.label,shapes.moton]", "method.label=shapes.moton: .*did you mean 'shapes.motion'"),
        ("[]", r"method.label=\[\]: no label is named"),
    ],
)
def test_a_label_that_no_set_has_is_refused(words: list[str], label: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        study_of([*words, "method=supervised", f"method.label={label}"])


def test_vssl_build_gives_one_head_for_several_labels(words: list[str]) -> None:
    built = build([*words, "method=supervised", "method.label=[gestures.label,pictures.label]"])
    assert isinstance(built.method, Supervised)
    assert built.method.num_classes == [2, 3] and built.method.head.out_features == 5
    assert set(built.datamodule.bad.names) == set(built.datamodule.pretraining(built.method.labels).id)
    single = build([*words, "method=supervised", "method.label=[shapes.shape]"])
    assert single.config["method"]["label"] == "shapes.shape" and single.method.num_classes == [4]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_ranks_read_and_learn_what_one_process_does(words: list[str]) -> None:
    """Micro-batches of two clips: there is none with clips of all three heads."""
    words = [*words, "method=supervised", "train.batch_size=4", "run.probe_times=0", "run.device=cpu"]
    one, _, _ = trained([*words, "run.name=one"])
    two, _, _ = trained([*words, "run.name=two", "run.devices=2"])
    curves = [pd.read_csv(folder / "metrics.csv") for folder in (one, two)]
    assert curves[0]["clips.clip"].equals(curves[1]["clips.clip"])
    assert curves[1]["loss"].tolist() == pytest.approx(curves[0]["loss"].tolist(), rel=1e-5)
    assert curves[1]["chance"].tolist() == pytest.approx(curves[0]["chance"].tolist(), rel=1e-6)

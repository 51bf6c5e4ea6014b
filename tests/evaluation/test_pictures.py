"""Pictures: the files that appear, why others do not, and that what is drawn is what was computed."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vssl.backbones.mean_frame import MeanFrame
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import ConfigError, UserError
from vssl.drawing.contact_sheet import Block
from vssl.evaluation.knn import Knn
from vssl.evaluation.pictures import attention as picture_attention
from vssl.evaluation.pictures import neighbours as picture_neighbours
from vssl.evaluation.pictures import protocol as pictures
from vssl.evaluation.pictures import reconstruction as picture_reconstruction
from vssl.evaluation.pictures.classes import counts
from vssl.evaluation.pictures.neighbours import nearest
from vssl.evaluation.pictures.projection import pca
from vssl.evaluation.pictures.protocol import NAMES, Pictures
from vssl.evaluation.pictures.reconstruction import error
from vssl.evaluation.pictures.scene import Scene, pictures_of
from vssl.evaluation.run import evaluate
from vssl.records.record import read_record
from vssl.training.run import LAST, pretrain

OUT = Path("runs")


def run(words: list[str]) -> Path:
    composed = compose(words)
    return pretrain(composed, bind(composed.tree))


def ask(words: list[str], encoder: str | Path) -> list[Path]:
    composed = compose(words)
    return evaluate(bind(composed.tree), composed.choices, str(encoder), OUT)


def place_of(task: Any, tmp_path: Path) -> Path:
    """A folder where the evaluation of an encoder without a run would lie."""
    out = tmp_path / "encoders" / "pixels-0" / "eval" / "pictures-motion-0"
    out.mkdir(parents=True)
    return out


def caught(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[Block]:
    """The blocks of the contact sheet that a picture draws; the file is an empty one."""
    drawn: list[Block] = []

    def draw_sheet(title: str, blocks: list[Block], note: str, path: Path) -> None:
        drawn.extend(blocks)
        Image.new("RGB", (4, 4)).save(path)

    monkeypatch.setattr(module, "draw_sheet", draw_sheet)
    return drawn


@pytest.fixture
def mae(tiny: list[str]) -> tuple[list[str], Path]:
    """A VideoMAE run watched by TensorBoard; the overrides that it was made with."""
    words = [*tiny, "method=videomae", "method.mask_ratio=0.75", "logger=tensorboard"]
    return words, run(words)


def test_a_run_has_all_pictures_beside_it_and_in_its_event_files(mae: tuple[list[str], Path]) -> None:
    words, folder = mae
    (place,) = ask([*words, "eval=pictures", "eval.pictures.videos=2", "eval.pictures.neighbours=1"], folder)
    assert read_record(place)["identity"]["label"] == "motion"
    record = read_record(place)
    assert place.parent == folder / "eval" and record["results"] == {} and record["status"] == "done"
    assert record["artefacts"] == {name: f"{name}.png" for name in NAMES}
    assert record["chosen"] == {"left_out": {}, "tensorboard": True}
    assert sorted(path.name for path in place.iterdir() if not path.name.startswith(".")) == sorted(
        [*record["artefacts"].values(), "record.json"]
    )
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert sorted(events.Tags()["images"]) == sorted(f"pictures/{name}" for name in NAMES)
    for name in NAMES:
        with Image.open(place / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert pixels.min() < 100 and pixels.max() == 255 and pixels.std() > 10, name
        (logged,) = events.Images(f"pictures/{name}")
        assert (logged.height, logged.width) == pixels.shape[:2]
        assert logged.step == read_record(folder)["budget"]["steps"]


def test_reconstruction_shows_mask_and_pixels_of_the_method(
    mae: tuple[list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, folder = mae
    drawn = caught(monkeypatch, picture_reconstruction)
    ask([*words, "eval=pictures", "eval.pictures.only=[reconstruction]", "eval.pictures.videos=2"], folder)
    assert len(drawn) == 2
    frames = []
    for block in drawn:
        clip, sees, made, means = block.strips
        assert [strip.name for strip in block.strips] == [
            "clip", "encoder sees", "reconstruction", "patch means alone",
        ]  # fmt: skip
        assert sees.notes == "25 % of the clip" and sees.hidden is not None and sees.hidden.mean() == 0.75
        side = clip.frames.shape[1] // sees.hidden.shape[1]
        hidden = sees.hidden.repeat(side, axis=1).repeat(side, axis=2)
        assert np.array_equal(sees.frames, clip.frames)  # veiled by the sheet, see tests/drawing
        for row in (made, means):
            assert np.array_equal(row.frames[~hidden], clip.frames[~hidden])
            assert (row.frames[hidden] != clip.frames[hidden]).any() and not row.hidden.any()
        assert not np.array_equal(made.frames, means.frames)
        frames.append(clip.frames)
    assert not np.array_equal(*frames)


def test_the_encoder_that_is_asked_is_the_one_whose_decoder_is_drawn(
    mae: tuple[list[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    words, folder = mae
    ckpt = torch.load(folder / LAST, weights_only=True)
    ckpt["state_dict"]["encoder.norm.weight"] += 1
    torch.save(ckpt, folder / LAST)
    with caplog.at_level(logging.INFO):
        (place,) = ask([*words, "eval=pictures", "eval.pictures.only=[reconstruction]"], folder)
    reason = "the training checkpoint holds another encoder than the one that is evaluated"
    assert read_record(place)["chosen"]["left_out"] == {"reconstruction": reason}
    assert f"reconstruction is left out: {reason}" in caplog.text and not (place / "reconstruction.png").exists()


def test_what_a_method_or_an_encoder_lacks_is_left_out_and_named(tiny: list[str]) -> None:
    words = [*tiny, "eval=pictures", "eval.pictures.only=[reconstruction,attention,training]"]
    folder = run([*tiny, "method=simsiam"])
    reasons = {}
    for encoder in (folder, "random", "mean_frame"):
        (place,) = ask(words, encoder)
        record = read_record(place)
        reasons[str(encoder)] = record["chosen"]["left_out"]
        assert set(record["artefacts"]) | set(record["chosen"]["left_out"]) == {
            "reconstruction",
            "attention",
            "training",
        }
    no_run = {
        "reconstruction": "there is no training checkpoint with the parts beside this encoder",
        "training": "no training of ours made this encoder",
    }
    assert reasons == {
        str(folder): {"reconstruction": "SimSiam makes no pixels"},
        "random": no_run,
        "mean_frame": {**no_run, "attention": "MeanFrame has no attention maps"},
    }


def test_attention_is_drawn_where_it_lies_and_the_probe_beside_it(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = caught(monkeypatch, picture_attention)
    only = ["eval.pictures.only=[attention]", "eval.pictures.videos=2"]
    probe = ["eval.attentive.lrs=[0.01]", "eval.attentive.weight_decays=[0.1]", "eval.attentive.epochs=1"]
    ask([*tiny, "eval=attentive,pictures", *only, *probe], "random")
    assert [[strip.name for strip in block.strips] for block in drawn] == [["clip", "encoder", "attentive"]] * 2
    weights = torch.zeros(2, 2, 2)
    weights[1, 0, 1] = 1.0
    frames = np.full((4, 8, 8, 3), 200, dtype=np.uint8)
    over = picture_attention.overlaid(frames, weights, np.arange(4), 4).astype(int)
    bright = over.sum(axis=-1) > over.sum(axis=-1).min()
    expected = np.zeros((4, 8, 8), dtype=bool)
    expected[2:, :4, 4:] = True
    assert np.array_equal(bright, expected)


def test_nearest_equals_a_loop_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    queries, bank = rng.normal(size=(5, 7)).astype(np.float32), rng.normal(size=(30, 7)).astype(np.float32)
    bank[11] = 3 * bank[4]  # as near as 4, which comes first
    order, cosine = nearest(queries, bank, 30)
    for row, query in enumerate(queries):
        found = [query @ one / np.sqrt(query @ query * (one @ one)) for one in bank]
        np.testing.assert_allclose(cosine[row], sorted(found, reverse=True), rtol=1e-5)
        np.testing.assert_allclose(cosine[row], [found[place] for place in order[row]], rtol=1e-5)
    assert nearest(queries, bank, 3)[0].tolist() == order[:, :3].tolist()


def test_neighbours_are_drawn_in_their_order_and_called_right_or_wrong(
    world: Any, pixels: MeanFrame, tmp_path: Path, random_images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each test video is a training video darkened; the second training video is it with noise, of another class.
    bases = random_images(3).astype(float)
    noise = random_images(3, seed=1).astype(float)
    near, far = bases, 0.8 * bases + 0.2 * noise
    train = world.samples("train", np.concatenate([near, far]).astype(np.uint8), motion=np.array([0, 1, 2, 1, 2, 0]))
    select = world.samples("select", random_images(3, seed=2), motion=np.array([0, 1, 2]))
    test = world.samples("test", (0.97 * bases).astype(np.uint8), motion=np.array([0, 1, 2]))
    task = world.task(train, select, test)
    drawn = caught(monkeypatch, picture_neighbours)
    settings = Pictures(only=("neighbours",), videos=3, neighbours=2)
    settings.check(task)
    settings.run(pixels, task, place_of(task, tmp_path))
    assert [block.heading for block in drawn] == ["test0000", "test0001", "test0002"]
    for place, block in enumerate(drawn):
        query, first, second = block.strips
        assert (query.right, first.right, second.right) == (None, True, False)
        assert first.notes.startswith(f"class {place}, the same class; cosine 0.9")
        assert f"class {(place + 1) % 3}, another class" in second.notes
        assert np.array_equal(first.frames[0], near[place].astype(np.uint8))
        assert np.array_equal(second.frames[0], far[place].astype(np.uint8))


def test_counts_and_accuracy_are_those_of_the_protocol_knn(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(noise=150.0)
    scene = Scene(pixels, task, place_of(task, tmp_path), videos=4)
    found = Knn().run(pixels, task, tmp_path)
    rows = found.predictions
    assert isinstance(rows, pd.DataFrame) and 0.3 < found.metrics["top1"]["value"] < 1
    assert np.array_equal(counts(scene), confusion_matrix(rows["label"], rows["prediction"]))


def test_principal_components_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(50, 9)) * np.arange(1, 10) + 5).astype(np.float32)
    reference = PCA(2, svd_solver="full").fit(values.astype(np.float64))
    places, share = pca(values)
    expected = reference.transform(values.astype(np.float64))
    np.testing.assert_allclose(np.abs(places), np.abs(expected), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(share, reference.explained_variance_ratio_, rtol=1e-9)
    # The sign is the data's own: turning the whole cloud round turns the picture.
    turned, _ = pca(10 - values)
    np.testing.assert_allclose(turned, -places, rtol=1e-4, atol=1e-4)
    assert np.isfinite(pca(np.ones((5, 3), dtype=np.float32))[0]).all()


def test_pictures_need_no_label(world: Any, pixels: MeanFrame, tmp_path: Path, random_images: Any) -> None:
    lists = [world.samples(split, random_images(6, seed)) for seed, split in enumerate(("train", "select", "test"))]
    train, select, test = lists
    task = replace(world.blobs(), train=train, select=select, test=test, label="label", classes=())
    settings, out = Pictures(videos=2, neighbours=2), place_of(task, tmp_path)
    settings.check(task)
    results = settings.run(pixels, task, out)
    assert set(results.artefacts) == {"neighbours", "embedding"}
    assert all((out / name).is_file() for name in results.artefacts.values())
    left_out = results.chosen["left_out"]
    assert left_out["confusion"] == left_out["classes"] == "the videos have no label"


def test_a_folder_of_clips_without_labels_is_asked_once(tiny: list[str], tmp_path: Path, make_video: Any) -> None:
    for place in range(5):
        make_video(tmp_path / "clips" / f"{place}.mp4", frames=20 + place)
    (tmp_path / "clips" / "list.csv").write_text("path\n" + "".join(f"{place}.mp4\n" for place in range(5)))
    data = ["data=video_list", "data.root=clips", "data.manifest=clips/list.csv", "run.workers=0"]
    words = [word for word in tiny if not word.startswith("scale")] + [*data, "clip.frames=4", "clip.size=32"]
    (place,) = ask([*words, "eval=pictures", "eval.pictures.videos=2", "eval.pictures.neighbours=1"], "random")
    record = read_record(place)
    assert place.name.startswith("pictures-all-") and record["identity"]["label"] == "all"
    assert set(record["artefacts"]) == {"attention", "neighbours", "embedding"}
    assert record["chosen"]["left_out"]["confusion"] == "the videos have no label"


def test_without_a_test_list_all_videos_are_asked_and_none_is_its_own_neighbour(
    world: Any, pixels: MeanFrame, tmp_path: Path, random_images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.samples("folder", random_images(6))
    nothing = folder.take(np.arange(0))
    task = replace(
        world.blobs(), train=nothing, select=nothing, test=nothing, unlabelled=folder, label="all", classes=()
    )
    drawn = caught(monkeypatch, picture_neighbours)
    settings = Pictures(only=("neighbours",), videos=6, neighbours=9)
    settings.check(task)
    settings.run(pixels, task, place_of(task, tmp_path))
    images = [world.reader.images[name] for name in folder.id]
    for place, block in enumerate(drawn):
        query, *found = [strip.frames[0] for strip in block.strips]
        assert np.array_equal(query, images[place]) and len(found) == 5
        assert not any(np.array_equal(query, frame) for frame in found)
    alone = replace(task, unlabelled=folder.take(np.arange(1)))
    out = tmp_path / "encoders" / "pixels-0" / "eval" / "pictures-motion-0"
    left_out = settings.run(pixels, alone, out).chosen["left_out"]
    assert left_out == {"neighbours": "there is no other video to compare with"}
    with pytest.raises(UserError, match="no videos to draw"):
        settings.check(replace(task, unlabelled=None))


def test_umap_that_is_not_installed_is_refused_and_pca_is_not(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    task = world.blobs(videos=(6, 4, 4))
    with pytest.raises(ConfigError, match=r"umap-learn is not installed\n.*pip install 'vssl\[umap-learn\]'"):
        Pictures(embedding="umap").check(task)
    Pictures().check(task)


def test_the_videos_that_are_shown_are_spread_over_the_classes(
    world: Any, pixels: MeanFrame, tmp_path: Path, random_images: Any
) -> None:
    labels = np.array([0] * 9 + [1] * 9 + [2] * 9)[np.random.default_rng(0).permutation(27)]
    lists = [world.samples(split, random_images(27), motion=labels) for split in ("train", "select", "test")]
    for videos, expected in ((3, [0, 1, 2]), (6, [0, 0, 1, 1, 2, 2]), (99, sorted(labels))):
        scene = Scene(pixels, world.task(*lists), tmp_path, videos)
        assert labels[scene.shown].tolist() == list(expected) and len(set(scene.shown)) == len(expected)


def test_the_error_is_over_hidden_pixels_that_were_made_also_where_they_are_right() -> None:
    clip = torch.zeros(3, 2, 4, 2)
    made = clip.clone()
    made[:, 0, 0, 0], made[:, 1, 0, 0], made[:, 1, 3] = 0.5, torch.nan, 9.0
    hidden = torch.tensor([True, False]).view(1, 2, 1)  # the upper half of both frames: 8 pixels, one of them not made
    assert error(made, clip, hidden) == pytest.approx(np.sqrt(0.25 / 7))
    assert error(clip, clip, hidden) == 0.0


@pytest.mark.parametrize(
    ("settings", "text"),
    [({"videos": 0}, "videos=0"), ({"neighbours": 0}, "neighbours=0"), ({"only": ()}, "known are")],
)
def test_settings_out_of_range(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Pictures(**settings)


def test_an_unknown_picture_is_named_with_the_right_ones(tiny: list[str]) -> None:
    with pytest.raises(ConfigError, match="atention"):
        bind(compose([*tiny, "eval=pictures", "eval.pictures.only=[atention]"]).tree)


def test_frames_of_a_sheet_are_rgb_rounded_and_in_range() -> None:
    clip = torch.tensor([[[[0.0, 1.0]]], [[[0.5, 2.0]]], [[[-1.0, torch.nan]]]])  # [C, T, H, W]
    assert pictures_of(clip, np.array([0])).tolist() == [[[[0, 128, 0], [255, 255, 0]]]]

"""Features as files: a row a video, with or without labels, from the request to the files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.conftest import write_grey_video
from vssl.backbones.base import Backbone
from vssl.backbones.vit import VisionTransformer
from vssl.cli.main import main
from vssl.records.record import read_record

ENCODER = ["random", "backbone=vit_nano", "backbone.patch_size=8", "backbone.depth=1"]
CLIP = ["clip.frames=4", "clip.stride=2", "clip.size=32", "run.threads=1", "run.workers=0"]


@pytest.fixture
def clips(tiny: list[str]) -> list[str]:
    """Eight clips of two classes and two without one, as a manifest; and the words that name them."""
    rows = []
    for place in range(10):
        write_grey_video(Path(f"clips/{place}.mp4"), frames=12 + 3 * place)
        label = ("nod", "wave", "")[place % 2 if place < 8 else 2]
        rows.append(f"{place}.mp4,{label},{'test' if place < 2 else 'train' if place < 8 else 'unlabelled'}")
    Path("list.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    return [*ENCODER, *CLIP, "data=video_list", "data.root=clips", "data.manifest=list.csv"]


def test_all_lists_are_written_with_their_labels_in_one_order(clips: list[str], capsys: Any) -> None:
    assert main(["evaluate", *clips, "eval=features", "out=found"]) == 0
    assert capsys.readouterr().out == "found\n"
    values, videos = load_file("found/features.safetensors")["features"], pd.read_parquet("found/videos.parquet")
    assert values.shape == (10, 128) and values.dtype == np.float32
    assert videos["split"].tolist() == ["train"] * 6 + ["test"] * 2 + ["unlabelled"] * 2
    assert sorted(videos["id"]) == [f"{place}.mp4" for place in range(10)]
    expected = [None if int(name[0]) > 7 else ("nod", "wave")[int(name[0]) % 2] for name in videos["id"]]
    assert [None if pd.isna(name) else name for name in videos["label"]] == expected
    record = read_record(Path("found"))
    assert (record["identity"]["protocol"], record["results"]) == ("features", {})


def test_a_row_is_what_the_protocols_read_of_that_video(clips: list[str]) -> None:
    """The test list of knn and that of the product are the same videos: its row votes as the record says."""
    assert main(["evaluate", *clips, "eval=features,knn", "out=found", "eval.knn.k=1"]) == 0
    values, videos = load_file("found/features.safetensors")["features"], pd.read_parquet("found/videos.parquet")
    (knn,) = Path("runs").glob("encoders/*/eval/knn-*")
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    train, test = ((videos["split"] == split).to_numpy() for split in ("train", "test"))
    nearest = videos["label"][train].to_numpy()[(unit[test] @ unit[train].T).argmax(axis=1)]
    predicted = pd.read_parquet(knn / "predictions.parquet")
    assert predicted["id"].tolist() == videos["id"][test].tolist()
    assert [("nod", "wave")[index] for index in predicted["prediction"]] == nearest.tolist()


def test_a_folder_without_any_label_has_features_and_no_protocol_that_needs_one(tiny: list[str], capsys: Any) -> None:
    for place in range(3):
        write_grey_video(Path(f"clips/{place}.mp4"), frames=12)
    Path("list.csv").write_text("path\n0.mp4\n1.mp4\n2.mp4\n")
    words = [*ENCODER, *CLIP, "data=video_list", "data.root=clips", "data.manifest=list.csv"]
    assert main(["evaluate", *words, "eval=features", "out=found"]) == 0
    assert len(load_file("found/features.safetensors")["features"]) == len(pd.read_parquet("found/videos.parquet")) == 3
    assert main(["evaluate", *words, "eval=knn"]) == 2
    assert "the data set has no labels to evaluate on" in capsys.readouterr().err


def test_tokens_in_half_precision_of_two_views_and_a_csv(clips: list[str]) -> None:
    settings = ["tokens=true", "dtype=float16", "table=csv", "clips=2"]
    words = [f"eval.features.{setting}" for setting in settings]
    assert main(["evaluate", *clips, "eval=features", "out=found", *words]) == 0
    values = load_file("found/features.safetensors")["features"]
    assert values.shape == (10, 2, 2 * 4 * 4, 128) and values.dtype == np.float16  # tubelets of 2 frames and 8 pixels
    assert pd.read_csv("found/videos.csv")["id"].nunique() == 10
    # The mean over tokens is the summary that the encoder gives.
    assert main(["evaluate", *clips, "eval=features", "out=other", "eval.features.clips=2"]) == 0
    summary = load_file("other/features.safetensors")["features"]
    np.testing.assert_allclose(values.astype(np.float32).mean(axis=2), summary, atol=2e-3)


def test_the_same_request_is_done_once_and_another_one_is_refused(clips: list[str], capsys: Any) -> None:
    words = ["evaluate", *clips, "eval=features", "out=found"]
    assert main(words) == 0
    written = Path("found/features.safetensors").stat().st_mtime_ns
    assert main(words) == 0
    assert Path("found/features.safetensors").stat().st_mtime_ns == written
    assert main([*words, "eval.features.dtype=float16"]) == 2
    assert "out=found: another record lies there than this request would make" in capsys.readouterr().err
    assert Path("found/features.safetensors").stat().st_mtime_ns == written


def test_out_is_for_features_alone_and_tokens_need_an_encoder_that_has_them(
    clips: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["evaluate", *clips, "eval=knn", "out=found"]) == 2
    assert "out=found is the folder that eval=features writes into" in capsys.readouterr().err
    monkeypatch.setattr(VisionTransformer, "tokens", Backbone.tokens)
    assert main(["evaluate", *clips, "eval=features", "eval.features.tokens=true", "out=found"]) == 2
    assert "the encoder VisionTransformer gives one summary a clip and has no tokens" in capsys.readouterr().err
    assert not Path("found").exists() and not Path("runs").exists()


def test_a_table_of_runs_passes_over_features(clips: list[str]) -> None:
    assert main(["evaluate", *clips, "eval=features,knn", "eval.knn.k=1"]) == 0
    assert main(["table", "runs"]) == 0

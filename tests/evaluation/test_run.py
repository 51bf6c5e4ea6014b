"""Evaluations of real encoders on real files, from the request to records and predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from vssl.backbones.mean_frame import MeanFrame
from vssl.backbones.vit import VisionTransformer
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError, WorkError
from vssl.evaluation.knn import Knn
from vssl.evaluation.linear import Linear
from vssl.evaluation.protocol import Protocol
from vssl.evaluation.run import PREDICTIONS, evaluate
from vssl.records.record import find_records, read_record, records
from vssl.training.run import BACKBONE, pretrain

TEST_VIDEOS = 9  # of moving_shapes at scale=smoke
OUT = Path("runs")


def run(words: list[str]) -> Path:
    composed = compose(words)
    return pretrain(composed, bind(composed.tree))


def ask(words: list[str], encoder: str) -> list[Path]:
    composed = compose(words)
    return evaluate(bind(composed.tree), composed.choices, encoder, OUT)


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class Counting:
    """Counts the clips that pass through every ViT."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.clips = 0, 0
        forward = VisionTransformer.forward

        def counted(encoder: VisionTransformer, clip: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.clips += len(clip)
            return forward(encoder, clip)

        monkeypatch.setattr(VisionTransformer, "forward", counted)


def test_records_lie_beside_the_run_and_say_what_they_are(tiny: list[str]) -> None:
    folder = run([*tiny, "method=simsiam"])
    places = ask([*tiny, "eval=knn,linear", "eval.label=[motion,shape]"], str(folder))
    assert [place.parent for place in places] == [folder / "eval"] * 4
    names = [place.name.rpartition("-")[0] for place in places]
    assert names == ["knn-motion", "linear-motion", "knn-shape", "linear-shape"]
    own = read_record(folder)
    for place in places:
        record = read_record(place)
        who = record["identity"]
        assert (record["kind"], record["status"], record["seed"]) == ("evaluate", "done", 0)
        assert (who["encoder"]["name"], who["encoder"]["method"]) == (folder.name, "simsiam")
        assert (who["protocol"], who["label"]) == tuple(place.name.split("-")[:2])
        for part in ("data", "backbone"):  # the encoder is read on what it was trained for
            assert who["hashes"][part] == own["identity"]["hashes"][part], part
        assert record["protocol"]["label"] == who["label"]
        assert 0 <= record["results"]["top1"]["low"] <= record["results"]["top1"]["value"] <= 1
    assert len({read_record(place)["identity"]["hashes"]["eval"] for place in places}) == 4


def test_predictions_have_a_row_a_test_video_and_give_the_recorded_accuracy(tiny: list[str]) -> None:
    for place in ask([*tiny, "eval=knn,linear"], "random"):
        rows = pd.read_parquet(place / PREDICTIONS)
        assert len(rows) == rows["id"].nunique() == TEST_VIDEOS
        assert all(name.startswith("test/") for name in rows["id"])
        assert (rows["scores"].map(np.argmax) == rows["prediction"]).all()
        top1 = (rows["prediction"] == rows["label"]).mean()
        assert read_record(place)["results"]["top1"]["value"] == pytest.approx(top1)


@pytest.mark.parametrize("encoder", ["random", "mean_frame"])
def test_baselines_lie_under_encoders_with_a_record_of_their_own(tiny: list[str], encoder: str) -> None:
    (place,) = ask([*tiny, "eval=knn"], encoder)
    home = place.parent.parent
    assert home.parent == OUT / "encoders"
    assert home.name.startswith(f"{encoder}-")
    record = read_record(home)
    assert (record["kind"], record["identity"]["method"], record["budget"]["steps"]) == ("encoder", encoder, 0)
    assert record["identity"]["backbone"] == {"random": "vit_nano", "mean_frame": "mean_frame"}[encoder]
    assert record["identity"]["hashes"]["method"] is None


def test_a_baseline_of_another_seed_or_backbone_has_a_folder_of_its_own(tiny: list[str]) -> None:
    homes = {
        ask([*tiny, "eval=knn", *words], "random")[0].parent.parent for words in ([], ["seed=1"], ["backbone.heads=2"])
    }
    assert len(homes) == 3


def test_a_second_call_does_nothing(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*tiny, "eval=knn,linear"]
    first = ask(words, "random")
    before, counting = stamps(OUT), Counting(monkeypatch)
    assert ask(words, "random") == first
    assert stamps(OUT) == before
    assert counting.calls == 0


def test_another_setting_is_another_evaluation_and_keeps_the_first(tiny: list[str]) -> None:
    (first,) = ask([*tiny, "eval=knn"], "random")
    before = stamps(first)
    (second,) = ask([*tiny, "eval=knn", "eval.knn.k=3"], "random")
    assert second != first
    assert stamps(first) == before
    assert [read_record(place)["chosen"]["k"] for place in (first, second)] == [20, 3]


def test_features_are_read_once_for_all_labels_and_protocols(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*tiny, "seed=17"]  # weights that no other test has put into the cache
    counting = Counting(monkeypatch)
    places = ask([*words, "eval=knn,linear", "eval.label=[motion,shape]"], "random")
    assert counting.clips == 48 + TEST_VIDEOS  # every training and test video, once
    assert len({read_record(place)["inputs"] for place in places}) == 1
    ask([*words, "eval=linear", "eval.label=colour", "eval.linear.epochs=3"], "random")
    assert counting.clips == 48 + TEST_VIDEOS


def test_a_lost_record_is_made_again_to_the_same_numbers(tiny: list[str]) -> None:
    words = [*tiny, "eval=knn,linear"]
    places = ask(words, "random")
    results = [read_record(place)["results"] for place in places]
    kept = stamps(places[1])
    (places[0] / "record.json").write_text("{")  # cut short
    assert ask(words, "random") == places
    assert [read_record(place)["results"] for place in places] == results
    assert stamps(places[1]) == kept


def test_the_encoder_of_a_run_stays_as_it_is(tiny: list[str]) -> None:
    folder = run([*tiny, "backbone.drop_path=0.5"])
    before, written = load_file(folder / BACKBONE), stamps(folder)
    ask([*tiny, "backbone.drop_path=0.5", "eval=knn,linear"], str(folder))
    after = load_file(folder / BACKBONE)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert stamps(folder).items() >= written.items()


def test_a_failed_evaluation_says_so_and_is_done_again(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise WorkError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(Knn, "run", fail)
        with pytest.raises(WorkError):
            ask([*tiny, "eval=knn"], "random")
    (record,) = [read_record(path) for path in find_records(OUT) if path.parent.parent.name == "eval"]
    assert (record["status"], record["error"]) == ("failed", "WorkError: the disk is full")
    (place,) = ask([*tiny, "eval=knn"], "random")
    assert read_record(place)["status"] == "done"


@pytest.mark.parametrize("encoder", ["random", "mean_frame"])
def test_what_cannot_work_is_refused_with_nothing_written(tiny: list[str], encoder: str) -> None:
    for words, told in (
        (["eval=null"], "no protocol is chosen"),
        (["eval.label=moton"], "the data set has no such label; did you mean 'motion'"),
        (["eval=knn", "eval.knn.k=1000"], "k=1000 is above the 48 training videos"),
    ):
        with pytest.raises(UserError, match=told):
            ask([*tiny, *words], encoder)
        assert not OUT.exists()


def test_records_show_evaluations_with_their_runs(tiny: list[str]) -> None:
    ask([*tiny, "eval=knn"], "mean_frame")
    folder = run(tiny)
    ask([*tiny, "eval=knn,linear"], str(folder))
    table = records(OUT).set_index("identity.encoder.method")
    assert sorted(table.index) == ["mean_frame", "videomae", "videomae"]
    assert table.loc["videomae", "run.budget.steps"].tolist() == [4, 4]
    assert table["results.top1.value"].between(0, 1).all()


@pytest.mark.parametrize("protocol", [Knn(), Linear(epochs=20)])
def test_shuffled_labels_are_read_at_chance(world: Any, pixels: MeanFrame, tmp_path: Path, protocol: Protocol) -> None:
    """Features that tell four classes apart tell nothing of labels that were dealt out by lot."""
    task = world.blobs(videos=(240, 60, 400))
    assert protocol.run(pixels, task, tmp_path).metrics["top1"]["value"] > 0.9
    deal = np.random.default_rng(1)
    for samples in (task.train, task.select, task.test):
        deal.shuffle(samples.labels["motion"])
    top1 = protocol.run(pixels, task, tmp_path).metrics["top1"]
    assert abs(top1["value"] - 0.25) < 0.07  # three standard errors of 400 videos

"""`vssl predict`: from a folder of videos and a classifier to a csv, through kills and bad files."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import write_grey_video
from vssl.cli.main import main
from vssl.evaluation.finetuning import predict as module
from vssl.evaluation.finetuning.saved import read_settings
from vssl.evaluation.run import PREDICTIONS
from vssl.records.folders import cache_dir

QUICK = ["eval.finetune.epochs=2", "eval.finetune.warmup_epochs=0", "eval.finetune.batch_size=8",
         "eval.finetune.init_scale=50", "eval.finetune.clips=2", "eval.finetune.crops=3"]  # fmt: skip


def rows(path: str = "predictions.csv") -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def classifier(tiny: list[str], cache: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder of a fine-tuned classifier; the test videos of its data set lie in `clips`."""
    assert main(["evaluate", "random", *tiny, "eval=finetune", *QUICK, "run.workers=0"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    (test,) = (cache_dir() / "moving_shapes").glob("test-*")
    ids = [name.removeprefix("test/") for name in pd.read_parquet(folder / PREDICTIONS)["id"]]
    for name in ids:
        Path("clips").mkdir(exist_ok=True)
        shutil.copy(test / name, Path("clips") / name)
    return folder


def test_the_csv_tells_what_the_evaluation_predicted(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = pd.read_parquet(classifier / PREDICTIONS)
    classes = read_settings(classifier).classes
    for spec in (classifier, classifier / "classifier.safetensors", classifier.parent.parent):
        assert main(["predict", "clips", f"encoder={spec}", "top=3", "workers=0"]) == 0
        assert capsys.readouterr().out.strip() == "predictions.csv"
        found = rows()
        assert list(found[0]) == ["path", "label", "score", "label_2", "score_2", "label_3", "score_3", "reason"]
        assert [row["path"] for row in found] == sorted(name.removeprefix("test/") for name in own["id"])
        by_name = {name.removeprefix("test/"): scores for name, scores in zip(own["id"], own["scores"], strict=True)}
        for row in found:
            scores = by_name[row["path"]]
            order = np.argsort(-scores)[:3]
            assert [row["label"], row["label_2"], row["label_3"]] == [classes[place] for place in order]
            told = [float(row[key]) for key in ("score", "score_2", "score_3")]
            np.testing.assert_allclose(told, scores[order], atol=1e-4)
            assert row["reason"] == ""
    assert len({row["label"] for row in found}) > 1, "a classifier that says one thing proves nothing"
    assert not Path("predictions.csv.partial").exists()


def test_videos_that_cannot_be_read_are_told_and_the_others_are_done(
    classifier: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    Path("clips/broken é.mp4").write_bytes(b"no video")
    (Path("clips") / "sub").mkdir()
    Path("clips/sub/empty.mp4").touch()
    write_grey_video(Path("clips/short.mp4"), frames=1, size=(32, 32))
    undecodable = b"clips/name \xff.mp4"
    shutil.copy(b"clips/00000.mp4", undecodable)
    with caplog.at_level("WARNING", logger="vssl"):
        assert main(["predict", "clips", f"encoder={classifier}", "workers=1", "out=out/labels.csv"]) == 1
    assert capsys.readouterr().out.strip() == "out/labels.csv"
    found = {row["path"]: row for row in rows("out/labels.csv")}
    bad = {name: row["reason"] for name, row in found.items() if row["reason"]}
    assert set(bad) == {"broken é.mp4", "sub/empty.mp4", "short.mp4"}
    assert bad["sub/empty.mp4"] == "empty: the file has 0 bytes"
    assert bad["short.mp4"].startswith("clips=2: a video has only 1 frame")
    assert all(found[name]["label"] == found[name]["score_5"] == "" for name in bad)
    assert "3 of 13 videos could not be read: broken é.mp4 (unreadable" in caplog.text
    same = {key: value for key, value in found[os.fsdecode(undecodable)[6:]].items() if key != "path"}
    assert same == {key: value for key, value in found["00000.mp4"].items() if key != "path"}
    # Repaired, and asked again.
    os.replace("clips/00001.mp4", "clips/broken é.mp4")
    for name in ("sub/empty.mp4", "short.mp4"):
        (Path("clips") / name).unlink()
    assert main(["predict", "clips", f"encoder={classifier}", "workers=0", "out=out/labels.csv"]) == 0


def test_a_killed_prediction_goes_on_where_it_was(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["predict", "clips", f"encoder={classifier}", "workers=0", "batch_size=6"]  # one video at a time
    assert main([*words, "out=whole.csv"]) == 0
    script = (
        "import os, signal, sys\n"
        "from vssl.video.upkeep import journal\n"
        "add, seen = journal.Journal.add, []\n"
        "def counted(*args):\n"
        "    add(*args)\n"
        "    seen.append(0)\n"
        "    if len(seen) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "journal.Journal.add = counted\n"
        "from vssl.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, *words, "out=parts.csv"], capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not Path("parts.csv").exists()
    with Path("parts.csv.partial").open("ab") as file:
        file.write(b'["half a line')
    asked: list[str] = []
    real = module.predict_missing

    def counting(paths: Any, *rest: Any) -> Any:
        asked.extend(paths)
        return real(paths, *rest)

    monkeypatch.setattr(module, "predict_missing", counting)
    assert main([*words, "out=parts.csv"]) == 0
    assert len(asked) == len(rows("whole.csv")) - 4
    assert Path("parts.csv").read_bytes() == Path("whole.csv").read_bytes()
    # Another classifier's findings are not taken over.
    asked.clear()
    assert main([*words, "out=parts.csv", "top=2"]) == 0
    assert len(asked) == len(rows("whole.csv"))


@pytest.mark.parametrize("normalise", ["standardise", "l2"])
def test_a_linear_probe_labels_by_the_encoder_of_its_run(
    tiny: list[str], cache: Path, capsys: pytest.CaptureFixture[str], normalise: str
) -> None:
    assert main(["pretrain", *tiny, "method=simsiam", "run.name=run"]) == 0
    probe = ["eval=linear", f"eval.linear.normalise={normalise}", "eval.linear.clips=2", "clip.stride=1"]
    assert main(["evaluate", "runs/run", *tiny, *probe, "run.workers=0"]) == 0
    folder = Path(capsys.readouterr().out.strip().splitlines()[-1])
    (test,) = (cache_dir() / "moving_shapes").glob("test-*")
    own = pd.read_parquet(folder / PREDICTIONS)
    names = {name.removeprefix("test/") for name in own["id"]}
    Path("new.csv").write_text("path\n" + "".join(f"{name}\n" for name in sorted(names)))
    assert main(["predict", "new.csv", f"data.root={test}", "encoder=runs/run", "workers=0", "top=1"]) == 0
    scores = {name.removeprefix("test/"): max(row) for name, row in zip(own["id"], own["scores"], strict=True)}
    assert {row["path"]: float(row["score"]) for row in rows()} == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["predict", "clips"], "predict needs encoder="),
        (["predict", "encoder=runs"], "predict needs a FOLDER of videos"),
        (["predict", "clips", "encoder=random"], "fine-tune it first: vssl evaluate random eval=finetune"),
        (["predict", "clips", "encoder=bare"], "encoder=bare: an encoder without a classifier has no labels to give"),
        (["predict", "clips", "encoder=bar"], "there is no such folder or file; did you mean 'bare'?"),
        (["predict", "nowhere", "encoder=bare"], "there is no folder or manifest nowhere"),
        (["predict", "clips", "encoder=bare", "top=0"], "top=0 must be 1 or more"),
        (["predict", "clips", "encoder=bare", "topp=1"], "did you mean 'top'?"),
        (["predict", "clips", "encoder=bare", "out=clips"], "out: clips is a folder"),
        (["predict", "clips", "encoder=bare", "out=clips/a.mp4"], "is one of the files to be read"),
    ],
)
def test_wrong_requests_are_refused_and_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clips/a.mp4", "bare/config.yaml"):
        Path(name).parent.mkdir()
        Path(name).write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    assert main(words) == 2
    assert told in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_several_classifiers_are_told_apart(
    classifier: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = classifier.with_name("finetune-other-00000000")
    shutil.copytree(classifier, other)
    run = classifier.parent.parent
    assert main(["predict", "clips", f"encoder={run}"]) == 2
    text = capsys.readouterr().err
    assert "2 classifiers are there: " in text and other.name in text
    advice = text.rpartition("encoder=")[2].strip()
    assert main(["predict", "clips", f"encoder={advice}", "workers=0"]) == 0

"""Files of a run that are not what vssl wrote: each is named, the advice holds, nothing is begun anew in silence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.faults.tools import Vssl, assert_same_run, content, wait_for
from tests.report.factory import Runs
from vssl.cli.main import main
from vssl.records.record import find_records, read_record
from vssl.training.run import BACKBONE, LAST

Damage = Callable[[Path], object]


def half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 20)


def no_json(path: Path) -> None:
    path.write_text("no longer JSON")


def no_schema(path: Path) -> None:
    record = json.loads(path.read_text())
    del record["schema"]
    path.write_text(json.dumps(record))


def no_identity(path: Path) -> None:
    record = json.loads(path.read_text())
    del record["identity"]
    path.write_text(json.dumps(record))


def newer(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))


RECORDS: dict[Damage, str] = {
    half: "not a whole record",
    nothing: "not a whole record",
    garbage: "not a whole record",
    no_json: "not a whole record",
    no_schema: "holds no schema version",
    no_identity: "there is no identity.name",
    newer: "written by a newer vssl (schema 99",
}
WORDS = ["method=videomae", "run.workers=0", "run.name=mine", "budget.steps=60", "run.save_steps=40"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def words(tiny: list[str]) -> list[str]:
    return [*tiny, *WORDS]


@pytest.fixture
def finished(words: list[str], kept: Path, vssl: Vssl) -> Path:
    """A finished run, runs/mine."""
    if not (kept / "mine").exists():
        running = vssl.start("pretrain", *words)
        last = Path("runs/mine") / LAST
        wait_for(last.exists, running)
        (kept / "step40.ckpt").hardlink_to(last)  # the file stays when the next one takes its name
        assert running.wait().code == 0
        shutil.copytree("runs/mine", kept / "mine")
    else:
        shutil.copytree(kept / "mine", "runs/mine")
    return Path("runs/mine")


@pytest.fixture
def unfinished(finished: Path, kept: Path) -> Path:
    """As a kill after step 40 and before the end leaves it."""
    (finished / BACKBONE).unlink()
    shutil.copy(kept / "step40.ckpt", finished / LAST)
    assert torch.load(finished / LAST, weights_only=True)["global_step"] == 40
    record = json.loads((finished / "record.json").read_text())
    (finished / "record.json").write_text(json.dumps({**record, "status": "running"}))
    return finished


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "told"), RECORDS.items())
def test_the_record_of_a_run(
    finished: Path, kept: Path, words: list[str], vssl: Vssl, damage: Damage, told: str
) -> None:
    """Asked by pretrain and by evaluate; by `table` it is named and the others are shown."""
    record = finished / "record.json"
    damage(record)
    before = content(finished)
    for command in (["pretrain", *words], ["evaluate", "runs/mine", "eval=knn", "run.workers=0"]):
        done = vssl(*command)
        assert done.code == 2
        assert f"error: {record}: " in done.message and told in done.message
        assert ("update vssl" if damage is newer else "delete the file") in done.message
        assert content(finished) == before
    shutil.copytree(kept / "mine", "runs/other")
    shown = vssl("table")
    assert shown.code == 0 and "Traceback" not in shown.err
    assert "mine/record.json" in shown.out and "no evaluation is finished" in shown.out.lower()
    if damage is newer:
        return
    record.unlink()
    assert vssl("pretrain", *words).code == 0
    assert_same_run(finished, kept / "mine")


def test_a_table_shows_the_others_and_names_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(tmp_path)
    runs.run("videomae", {("motion", "knn"): 0.5})
    for number, damage in enumerate(RECORDS):
        damage(runs.run("simsiam", {("motion", "knn"): 0.5}, seed=number) / "record.json")
    for number, damage in enumerate(RECORDS):
        run = runs.run("supervised", {("motion", "knn"): 0.25}, seed=number)
        (evaluation,) = (run / "eval").iterdir()
        damage(evaluation / "record.json")
    assert main(["table", str(tmp_path)]) == 0
    text = (tmp_path / "table.md").read_text().replace("\\_", "_")
    for told in RECORDS.values():
        assert text.count(told.split(" identity")[0]) >= 1, told
    assert text.count("simsiam-vit_nano-s") >= len(RECORDS) and "videomae" in text
    assert "KeyError" not in text


@pytest.mark.slow
@pytest.mark.parametrize("damage", [half, nothing, garbage, no_json])
def test_a_damaged_last_checkpoint(unfinished: Path, kept: Path, words: list[str], vssl: Vssl, damage: Damage) -> None:
    """Never trained from scratch in silence; without the file, as the advice says, it is."""
    damage(unfinished / LAST)
    before = content(unfinished)
    done = vssl("pretrain", *words)
    assert str(unfinished / LAST) in done.message
    assert f"{unfinished / LAST} is no whole checkpoint" in done.message
    assert "delete" in done.message
    assert all(content(unfinished)[name] == before[name] for name in (LAST, "metrics.csv", "config.yaml"))
    done = vssl("evaluate", "runs/mine", "eval=knn", "checkpoint=last", "run.workers=0")
    assert done.code == 2
    assert f"{unfinished / LAST} is no whole checkpoint of this run" in done.message
    (unfinished / LAST).unlink()
    assert vssl("pretrain", *words).code == 0
    assert_same_run(unfinished, kept / "mine")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [half, nothing, garbage, Path.unlink])
def test_damaged_weights_of_a_finished_run(
    finished: Path, kept: Path, words: list[str], vssl: Vssl, damage: Damage
) -> None:
    damage(finished / BACKBONE)
    before = content(finished)
    done = vssl("evaluate", "runs/mine", "eval=knn", "run.workers=0")
    assert done.code == 2
    assert f"error: {finished / BACKBONE}" in done.message
    assert f"hint: delete {finished}/record.json and give the run's pretrain command again" in done.message
    assert content(finished) == before
    (finished / "record.json").unlink()
    assert vssl("pretrain", *words).code == 0
    assert_same_run(finished, kept / "mine")
    assert vssl("evaluate", "runs/mine", "eval=knn", "run.workers=0").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("damage", [half, nothing, garbage])
def test_a_damaged_configuration(unfinished: Path, kept: Path, words: list[str], vssl: Vssl, damage: Damage) -> None:
    damage(unfinished / "config.yaml")
    before = content(unfinished)
    for command in (["pretrain", *words], ["evaluate", "runs/mine", "eval=knn", "run.workers=0"]):
        done = vssl(*command)
        assert done.code == 2
        assert f"error: {unfinished / 'config.yaml'}" in done.message
        assert "delete the file and give the run's pretrain command again" in done.message
        assert content(unfinished) == before
    (unfinished / "config.yaml").unlink()
    assert vssl("pretrain", *words).code == 0
    assert_same_run(unfinished, kept / "mine")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["middle", "row", "header", "gone"])
def test_a_damaged_curve(unfinished: Path, kept: Path, words: list[str], vssl: Vssl, place: str) -> None:
    """Weights and clips are not in it: the run goes on, and what cannot be read again is told and kept."""
    curve = unfinished / "metrics.csv"
    lines = curve.read_text().splitlines(keepends=True)
    damaged = {
        "middle": [*lines[:3], "gar\0bage\n", *lines[3:]],
        "row": [*lines[:3], "gar\0bage\n", *lines[4:]],
        "header": lines[1:],
        "gone": None,
    }[place]
    if damaged is None:
        curve.unlink()
    else:
        curve.write_text("".join(damaged))
    done = vssl("pretrain", *words)
    assert done.code == 0, done.err
    if place == "middle":  # no step is lost
        assert_same_run(unfinished, kept / "mine")
        return
    assert str(curve) in done.err
    assert (unfinished / BACKBONE).read_bytes() == (kept / "mine" / BACKBONE).read_bytes()
    assert read_record(unfinished)["clips"] == read_record(kept / "mine")["clips"]
    steps = pd.read_csv(curve)["step"].tolist()
    assert steps == ([1, 2, *range(4, 61)] if place == "row" else list(range(41, 61)))
    if damaged is not None:
        assert (unfinished / "metrics.damaged.csv").read_text() == "".join(damaged)


@pytest.mark.slow
def test_a_bench_makes_again_what_is_not_whole(tiny: list[str], vssl: Vssl) -> None:
    own = ["scale=smoke", "backbone.depth=1", "run.threads=1", "run.workers=0", "eval=knn", "method=videomae,simsiam"]
    assert vssl("bench", "quick", *own).code == 0
    folder = Path("runs/bench/quick")
    table = (folder / "table.csv").read_bytes()
    for file in folder.glob("trials/*/trial.json"):
        half(file)
    evaluations = [path for path in find_records(folder) if read_record(path)["kind"] == "evaluate"]
    for file, damage in zip(evaluations, [half, nothing, garbage, no_json], strict=False):
        damage(file)
    again = vssl("bench", "quick", *own)
    assert again.code == 0, again.err
    assert (folder / "table.csv").read_bytes() == table
    (run,) = folder.glob("videomae*")
    no_json(run / "record.json")
    failed = vssl("bench", "quick", *own)
    assert failed.code == 1 and "Traceback" not in failed.err
    assert "not a whole record" in failed.err and "not a whole record" in failed.out
    assert "simsiam" in failed.out
    (run / "record.json").unlink()
    assert vssl("bench", "quick", *own).code == 0
    assert (folder / "table.csv").read_bytes() == table


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", None), ("identity.hashes", "x"), ("clips.positions", [3]), ("results.top1.low", None),
        ("protocol.lists", [1]),
    ],
)  # fmt: skip
def test_a_table_names_a_value_that_no_record_holds_and_shows_the_others(
    tmp_path: Path, key: str, value: object
) -> None:
    runs = Runs(tmp_path)
    runs.run("videomae", {("motion", "knn"): 0.5})
    damaged = runs.run("simsiam", {("motion", "knn"): 0.4})
    (path,) = (
        damaged.glob("eval/*/record.json") if key.startswith(("results", "protocol")) else [damaged / "record.json"]
    )
    record = json.loads(path.read_text())
    *nodes, last = key.split(".")
    node = record
    for name in nodes:
        node = node[name]
    node[last] = value
    path.write_text(json.dumps(record))
    assert main(["table", str(tmp_path), "pairs=true", "ranks=true"]) == 0
    text = (tmp_path / "table.md").read_text().replace("\\", "")
    assert f"not a whole record: {key} is " in text and damaged.name in text and "videomae" in text

"""What each command hands to the work, which is replaced here."""

import configparser
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from vssl.cli.diagnosis import NEEDED
from vssl.cli.main import main
from vssl.records.record import write_record

SMALL = ("backbone=vit_nano", "backbone.patch_size=8", "scale=smoke")


class Work:
    """Stands in for a module of the framework; remembers what it was called with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: str, function: str, result: object) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.result = result
        stand_in = ModuleType(module)
        setattr(stand_in, function, self)
        monkeypatch.setitem(sys.modules, module, stand_in)

    def __call__(self, *arguments: Any, **named: Any) -> object:
        self.calls.append((arguments, named))
        return self.result


def test_pretrain_hands_over_a_bound_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = Work(monkeypatch, "vssl.training.run", "pretrain", Path("runs/x"))
    assert main(["pretrain", "method=simsiam", *SMALL, "run.out=视频 (a=b), c", "seed=3"]) == 0
    ((composed, bound), _) = work.calls[0]
    assert composed.choices["method"] == "simsiam"
    assert composed.choices["views"] == "pair"
    assert (bound["run"]["out"], bound["seed"], bound["method"]["dim"]) == ("视频 (a=b), c", 3, 2048)
    assert bound["budget"]["steps"] == 4
    assert capsys.readouterr().out == "runs/x\n"


def test_a_dry_run_starts_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    work = Work(monkeypatch, "vssl.training.run", "pretrain", Path("runs/x"))
    assert main(["pretrain", "method=simsiam", "--dry-run"]) == 0
    assert work.calls == []
    assert "method=simsiam" in capsys.readouterr().out


def test_a_wrong_key_is_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = Work(monkeypatch, "vssl.training.run", "pretrain", Path("runs/x"))
    assert main(["pretrain", "method=videomae", "method.mask_ration=0.9", "train.batch_sise=4"]) == 2
    assert work.calls == []
    err = capsys.readouterr().err
    assert "method.mask_ration: VideoMAE has no argument 'mask_ration'; did you mean 'mask_ratio'?" in err
    assert "train.batch_sise: Train has no argument 'batch_sise'; did you mean 'batch_size'?" in err


def test_pretrain_without_a_method_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "method=null"]) == 2
    assert "no method is chosen; choose method=..., one of " in capsys.readouterr().err


def test_evaluate_takes_over_what_the_run_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert main(["config", "method=simsiam", *SMALL, "seed=5"]) == 0
    run.mkdir()
    (run / "config.yaml").write_text(capsys.readouterr().out)
    identity = {"name": "n", "method": "simsiam", "backbone": "b", "data": "d", "hashes": {}}
    write_record(run, {"kind": "pretrain", "status": "done", "seed": 5, "identity": identity})
    work = Work(monkeypatch, "vssl.evaluation.run", "evaluate", [run / "eval" / "knn"])
    assert main(["evaluate", str(run), "eval=knn", "eval.knn.k=3"]) == 0
    ((bound, choices, encoder, out), _) = work.calls[0]
    assert (bound["seed"], bound["backbone"]["depth"], bound["clip"]["size"]) == (5, 4, 32)
    assert list(bound["eval"])[-1] == "knn"
    assert bound["eval"]["knn"]["k"] == 3
    assert (choices["backbone"], choices["data"], choices["eval"]) == ("b", "d", "knn")
    assert (encoder, out) == (str(run), Path("runs"))
    assert capsys.readouterr().out == f"{run}/eval/knn\n"


def test_evaluate_takes_its_encoder_by_key_too(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch, "vssl.evaluation.run", "evaluate", [])
    assert main(["evaluate", "encoder=random", *SMALL]) == 0
    ((_, choices, encoder, _), _) = work.calls[0]
    assert (encoder, choices["backbone"]) == ("random", "vit_nano")


@pytest.mark.parametrize("code", [0, 1])
def test_bench_hands_over_axes_and_paths_and_its_code(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    work = Work(monkeypatch, "vssl.sweeps.run", "sweep", code)
    assert main(["bench", "quick", "seed=0,1,2", "run.out=a, b"]) == code
    assert main(["sweep", "seed=0,1"]) == code
    assert work.calls == [
        (("bench", "quick", ("seed=0,1,2",), {"run.out": "a, b"}, ()), {}),
        (("sweep", None, ("seed=0,1",), {}, ()), {}),
    ]


def test_table_prints_and_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    comparison = Work(monkeypatch, "vssl.report.table", "comparison", SimpleNamespace(to_screen=lambda: "the table"))
    write_all = Work(monkeypatch, "vssl.report.files", "write_all", [tmp_path / "table.md"])
    assert main(["table", str(tmp_path), f"out={tmp_path / 'a=b'}"]) == 0
    (((folder,), given),) = comparison.calls
    assert folder == tmp_path and given["metrics"] == ("top1",)
    assert write_all.calls[0][0][1] == tmp_path / "a=b"
    assert capsys.readouterr().out == f"the table\n{tmp_path}/table.md\n"


def test_config_prints_yaml_sources_and_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "method=videomae", "method.mask_ratio=0.5", "data.root=x: y"]) == 0
    out = capsys.readouterr().out
    bound = yaml.safe_load(out)
    assert bound["method"]["mask_ratio"] == 0.5
    assert bound["data"]["root"] == "x: y"
    comments = [line for line in out.splitlines() if line.startswith("#")]
    assert any(line.split()[1:] == ["override", "method.mask_ratio=0.5"] for line in comments)
    assert any(line.split()[1] == "method" and line.endswith("method/videomae.yaml") for line in comments)
    assert {line.split()[1] for line in comments if len(line.split()[-1]) == 64} == {
        "views", "backbone", "method", "train", "eval"
    }  # fmt: skip


def test_doctor_reports_and_is_content(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for told in ("torch", "pyav", "prepared", "libx264", "cores", "GPU:", "cache"):
        assert told in out
    assert "MISSING" not in out


def test_doctor_looks_for_all_that_the_installation_requires() -> None:
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    required = settings["options"]["install_requires"].split()
    assert {re.split("[<>=]", line)[0] for line in required} == set(NEEDED)


def test_doctor_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("vssl.cli.diagnosis.NEEDED", ("no-such-library",))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "file" / "cache"))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "pip install no-such-library" in out
    assert "needed and missing: no-such-library, folder" in out

"""Loggers of others: asked for by name, told the run's name, and named with their extra where they are missing."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.loggers import MLFlowLogger, WandbLogger

from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.training import loggers
from vssl.training.loggers import MLFLOW_RUN


def node(name: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = bind(compose([f"logger={name}", *words]).tree)["logger"]
    return found


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_library_is_named_with_its_extra(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    with pytest.raises(UserError, match=rf"needs a library that is missing\n.*vssl\[{name}\]"):
        loggers.loggers(node(name), tmp_path / "run", {})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the libraries' own loggers are made with; MLflow calls every run that it does not know `new`."""
    found: dict[str, Any] = {}

    def made(self: Any, **given: Any) -> None:
        found.update(given)
        self._run_id = given.get("run_id") or "new"

    for cls in (WandbLogger, MLFlowLogger):
        monkeypatch.setattr(cls, "__init__", made)
        monkeypatch.setattr(cls, "log_hyperparams", lambda self, config: found.update(config=config))
    monkeypatch.setattr(MLFlowLogger, "run_id", property(lambda self: self._run_id))
    return found


def test_a_run_is_one_run_of_wandb_however_often_it_starts(told: dict[str, Any], tmp_path: Path) -> None:
    loggers.loggers(node("wandb", "logger.group=sweep", "logger.offline=true"), tmp_path / "run", {"seed": 3})
    assert (told["id"], told["name"], told["resume"]) == ("run", "run", "allow")
    assert (told["project"], told["group"], told["offline"]) == ("vssl", "sweep", True)
    assert told["config"] == {"seed": 3}


def test_a_run_is_one_run_of_mlflow_however_often_it_starts(told: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    loggers.loggers(node("mlflow"), tmp_path / "run", {})
    assert (told["run_name"], told["run_id"]) == ("run", None)
    assert told["tracking_uri"] == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert (tmp_path / "run" / MLFLOW_RUN).read_text() == "new"
    loggers.loggers(node("mlflow", "logger.tracking_uri=http://there"), tmp_path / "run", {})
    assert (told["run_id"], told["tracking_uri"]) == ("new", "http://there")

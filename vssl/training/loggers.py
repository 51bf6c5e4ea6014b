"""Who else is told of a training: Weights & Biases and MLflow. `metrics.csv` does not depend on them.

A run that goes on after a kill is the same run there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
from pytorch_lightning.loggers import Logger, MLFlowLogger, WandbLogger

from vssl.config.bind import construct, import_target
from vssl.config.errors import UserError
from vssl.records.atomic import write_text

MLFLOW_RUN = "mlflow_run.txt"
EXTRAS = {"WeightsAndBiases": "wandb", "MLflow": "mlflow"}


class WeightsAndBiases(WandbLogger):
    """Args:
    save_dir: the run's folder; its name is the run's there.
    project, entity, group: where it stands there.
    offline: nothing is sent; `wandb sync` does so later.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = "vssl",
        entity: str | None = None,
        group: str | None = None,
        offline: bool = False,
    ) -> None:
        name = Path(save_dir).name
        super().__init__(
            name=name, save_dir=save_dir, id=name, project=project, offline=offline, resume="allow",
            entity=entity, group=group,
        )  # fmt: skip


class MLflow(MLFlowLogger):
    """Args:
    save_dir: the run's folder; its name is the run's there, and its id is kept in it.
    experiment_name: that all runs stand in.
    tracking_uri: a server's address; None: `mlflow.db` beside the run's folder.
    """

    def __init__(self, save_dir: str, experiment_name: str = "vssl", tracking_uri: str | None = None) -> None:
        folder = Path(save_dir)
        kept = folder / MLFLOW_RUN
        super().__init__(
            experiment_name=experiment_name, run_name=folder.name,
            tracking_uri=tracking_uri or f"sqlite:///{folder.parent.resolve() / 'mlflow.db'}",
            run_id=kept.read_text(encoding="utf-8") if kept.is_file() else None,
        )  # fmt: skip
        if self.run_id:  # rank 0's
            write_text(kept, self.run_id)


def loggers(node: Mapping[str, Any], folder: Path, config: Mapping[str, Any]) -> list[Logger]:
    """What a node describes, for the run in `folder`; none where it describes nothing.

    Raises:
        UserError: its library is not installed.
    """
    if "_target_" not in node:
        return []
    try:
        logger = construct(node, Logger, "logger", save_dir=str(folder))
    except ModuleNotFoundError as error:
        cls = import_target(node["_target_"])
        raise UserError(
            f"logger: {cls.__name__} needs a library that is missing",
            f"pip install 'vssl[{EXTRAS.get(cls.__name__, 'tensorboard')}]'",
        ) from error
    if isinstance(logger, WandbLogger | MLFlowLogger):
        logger.log_hyperparams(dict(config))
    return [logger]


def end(watching: Sequence[Logger]) -> None:
    """A process that trains several runs, one after the other, tells of each by itself."""
    for logger in watching:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()

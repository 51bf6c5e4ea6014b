"""Pictures in the event files of a run that was watched by TensorBoard."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from vssl.config.bind import construct
from vssl.records.record import read_record
from vssl.records.run_config import read_config


def log_to_tensorboard(run: Path, pictures: Mapping[str, Path]) -> bool:
    """Whether the run was logged there, and tensorboard is installed: then its event files hold every picture, too, at
    the run's last step."""
    node = read_config(run).get("logger") or {}
    if not pictures or "_target_" not in node or find_spec("tensorboard") is None:
        return False
    logger = construct(node, Logger, "logger", save_dir=str(run))
    if not isinstance(logger, TensorBoardLogger):
        return False
    step = int(read_record(run).get("budget", {}).get("steps", 0))
    for name, path in pictures.items():
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        logger.experiment.add_image(f"pictures/{name}", pixels, step, dataformats="HWC")
    logger.experiment.close()
    return True

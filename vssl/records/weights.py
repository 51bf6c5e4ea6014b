"""Which file holds the weights that a path names: a file itself, a run folder, or a folder of transformers."""

from pathlib import Path

from vssl.config.errors import UserError
from vssl.records.folders import BACKBONE

IN_FOLDERS = (BACKBONE, Path(BACKBONE).name, "model.safetensors", "pytorch_model.bin")


def weights_file(path: Path) -> Path:
    """The file to read.

    Raises:
        UserError: there is nothing at `path`, or a folder without one of `IN_FOLDERS`.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"{path}: there is no such file or folder")
    for name in IN_FOLDERS:
        if (path / name).is_file():
            return path / name
    raise UserError(
        f"{path} holds no weights: there is none of {', '.join(IN_FOLDERS)} in it",
        "give a file of weights, a finished run's folder, or a folder that save_pretrained wrote",
    )

"""Checkpoints written where they are asked for: Lightning's own way keeps a second copy in memory and one in /tmp."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO


class StreamedCheckpoints(TorchCheckpointIO):
    """Writes straight into the file; whether it is whole is the caller's business, see `vssl.records.atomic`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Raises OSError where the operating system refuses a write."""
        with open(path, "wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # What torch tells of a full disk is a position in its own code.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise

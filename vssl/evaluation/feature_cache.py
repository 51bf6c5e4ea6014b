"""Features on disk: one file an encoder and list, whole or recomputed."""

import hashlib
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vssl.records.atomic import remove_leftovers, writable, write_bytes

ABANDONED_S = 86400.0  # no lock here: a temporary file of this age is nobody's any more

logger = logging.getLogger(__name__)


def read_features(path: Path) -> tuple[NDArray[np.float32], str] | None:
    """Features [N, D] and the digest of the clips they were read from; None where there is no whole file.

    A damaged file, also one with a single flipped bit, is reported and counts as absent.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            values, notes = file.get_tensor("features"), file.metadata() or {}
    except (SafetensorError, OSError) as error:
        logger.warning("%s: damaged, the features are computed again (%s)", path, error)
        return None
    if notes.get("sha256") != _checksum(values, notes.get("inputs", "")):
        logger.warning("%s: damaged, the features are computed again (checksum)", path)
        return None
    return values, notes["inputs"]


def write_features(path: Path, values: NDArray[np.float32], inputs: str) -> None:
    """Writes features [N, D] and the digest `inputs`, atomically.

    Raises:
        UserError: the cache's folder cannot be written to.
        WorkError: the disk is full.
    """
    writable(path.parent)
    remove_leftovers(path.parent, ABANDONED_S)
    write_bytes(path, save({"features": values}, {"inputs": inputs, "sha256": _checksum(values, inputs)}))


def _checksum(values: NDArray[np.float32], inputs: str) -> str:
    digest = hashlib.sha256(f"{inputs} {values.dtype} {values.shape};".encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()

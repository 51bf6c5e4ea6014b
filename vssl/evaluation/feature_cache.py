"""Features on disk: one file an encoder, list and set of views, whole or recomputed.

The bytes are those of safetensors. A file is written part by part and mapped into memory where it is large: tokens of a
whole data set need not fit.
"""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from vssl.records.atomic import atomic, remove_leftovers, writable

ABANDONED_S = 86400.0  # a temporary file of this age is nobody's any more
ROWS = 64  # videos that are written at once
IN_MEMORY = 2**26  # bytes of features up to which they are read at once

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]
FLOAT32 = np.dtype(np.float32)


def read_features(path: Path) -> tuple[Floats, str] | None:
    """Features [N, ...] and the digest of the clips they were read from; None where there is no whole file.

    A damaged file, also one with a single flipped bit, is reported and counts as absent.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            shape, notes = tuple(file.get_slice("features").get_shape()), file.metadata() or {}
        values = _mapped(path, shape)
    except (SafetensorError, OSError, ValueError) as error:
        logger.warning("%s: damaged, the features are computed again (%s)", path, error)
        return None
    if notes.get("sha256") != _checksum([values], notes.get("inputs", "")):
        logger.warning("%s: damaged, the features are computed again (checksum)", path)
        return None
    return (values if values.nbytes > IN_MEMORY else np.array(values)), notes["inputs"]


def write_features(path: Path, parts: Sequence[Floats], inputs: str) -> None:
    """Writes the features of consecutive parts of a list, [n, ...] each, and the digest `inputs`, atomically.

    Args:
        parts: at least one; read twice, one after the other, so that they may be mapped.
    Raises:
        UserError: the cache's folder cannot be written to.
        WorkError: the disk is full.
    """
    writable(path.parent)
    remove_leftovers(path.parent, ABANDONED_S)
    write_tensor(path, parts, {"inputs": inputs, "sha256": _checksum(parts, inputs)})


def write_tensor(path: Path, parts: Sequence[Floats], notes: dict[str, str], dtype: np.dtype = FLOAT32) -> None:
    """A safetensors file that holds nothing but `features`, the rows of `parts`, written as they come, atomically."""
    shape = _joined_shape(parts)
    size = dtype.itemsize * math.prod(shape)
    tensor = {"dtype": f"F{8 * dtype.itemsize}", "shape": list(shape), "data_offsets": [0, size]}
    text = json.dumps({"__metadata__": notes, "features": tensor}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # data begin at a multiple of 8
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in parts:
            for row in range(0, len(part), ROWS):
                file.write(np.ascontiguousarray(part[row : row + ROWS], dtype).data)


def _mapped(path: Path, shape: tuple[int, ...]) -> Floats:
    """Copy on write: what somebody changes in memory never reaches the file."""
    if 0 in shape:
        return np.zeros(shape, np.float32)  # nothing cannot be mapped
    with path.open("rb") as file:
        begin = 8 + int.from_bytes(file.read(8), "little")
    return np.memmap(path, np.float32, "c", begin, shape)


def _joined_shape(parts: Sequence[Floats]) -> tuple[int, ...]:
    return sum(len(part) for part in parts), *parts[0].shape[1:]


def _checksum(parts: Sequence[Floats], inputs: str) -> str:
    digest = hashlib.sha256(f"{inputs} {np.dtype(np.float32)} {_joined_shape(parts)};".encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()

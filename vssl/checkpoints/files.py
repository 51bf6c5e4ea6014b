"""A file of weights from anywhere, opened without running anything that it says."""

import json
import pickletools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vssl.config.errors import UserError
from vssl.config.folders import read_yaml
from vssl.records.folders import BACKBONE
from vssl.records.run_config import CONFIG
from vssl.records.weights import weights_file

SETTINGS = "config.json"
OURS = "backbone.yaml"  # what an exported backbone.safetensors was built from

_REFUSED = re.compile(r"(?:GLOBAL|unsupported class|unrecognized function) (\S+)")


@dataclass(frozen=True)
class Opened:
    """What a file holds.

    Args:
        path: of the file itself.
        content: its mapping as it stands, tensors and containers of tensors among other values.
        settings: of the `config.json` or `backbone.yaml` beside it, or the `config.yaml` of its run; empty without one.
    """

    path: Path
    content: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def args(self) -> Mapping[str, Any]:
        """The command-line arguments of the training, where the file keeps them."""
        kept = self.content.get("args")
        return kept if isinstance(kept, Mapping) else getattr(kept, "__dict__", {})


def open_weights(path: Path, safe_globals: Sequence[type] = ()) -> Opened:
    """Opens a file `*.safetensors`, a file of `torch.save`, a run folder, or a folder of transformers.

    Args:
        safe_globals: classes that a pickle may name beside tensors; each only holds values.
    Raises:
        UserError: there is none, it is not whole, or it is a pickle that names anything else, which is not run.
    """
    file = weights_file(path)
    content = _safetensors(file) if file.suffix == ".safetensors" else _pickle(file, safe_globals)
    return Opened(file, content, _settings(file))


def tensors_in(content: Mapping[str, Any], container: Sequence[str] = ()) -> dict[str, Tensor]:
    """The tensors of the mapping at `container`, by name; none where there is no such mapping."""
    inner: Any = content
    for key in container:
        inner = inner.get(key) if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping):
        return {}
    return {name: value for name, value in inner.items() if isinstance(name, str) and isinstance(value, Tensor)}


def containers(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(name, tensors) of every mapping of tensors directly in the file; "" is the file itself."""
    for key in ("", *(key for key in content if isinstance(key, str))):
        if found := tensors_in(content, (key,) if key else ()):
            yield key, found


def _safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} is no whole file of weights (safetensors): {error}", _COPY) from error


def _pickle(file: Path, safe_globals: Sequence[type]) -> Mapping[str, Any]:
    try:
        with torch.serialization.safe_globals(list(safe_globals)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that are refused in the same moment
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file can fail in any way that its bytes suggest.
        if isinstance(error, UnpicklingError) and (named := _refused(error, file)):
            raise UserError(
                f"{file} would run code while it is read: it names {named}, which is no tensor and no plain data",
                "nothing of it was run. If you trust its origin, save its tensors alone with safetensors where it was "
                "made",
            ) from error
        if "TorchScript" in str(error):
            raise UserError(
                f"{file} is a TorchScript archive, which is a program; it was not run", "save its state_dict() instead"
            ) from error
        first = (str(error).strip().splitlines() or [""])[0].split(". ")[0][:200]
        raise UserError(f"{file} is no whole file of weights: {type(error).__name__}: {first}", _COPY) from error
    if not isinstance(content, Mapping):
        raise UserError(f"{file} holds a {type(content).__name__}; a mapping from names to tensors is expected")
    return content


def _refused(error: UnpicklingError, file: Path) -> str | None:
    """The class or function that a pickle names and that was not run; None where the file is only damaged."""
    if named := _REFUSED.search(str(error)):
        return named[1]
    texts: list[str] = []
    try:
        with file.open("rb") as handle:
            # torch's reader knows older pickles only; the operations of any can be listed without carrying them out.
            for operation, argument, _ in pickletools.genops(handle):
                if operation.name == "GLOBAL":
                    return str(argument).replace(" ", ".")
                if operation.name == "STACK_GLOBAL":
                    return ".".join(texts[-2:])
                if isinstance(argument, str):
                    texts.append(argument)
    except (ValueError, OSError, IndexError, MemoryError, OverflowError):
        return None  # noise can claim to be a text of any length
    return None


def _settings(file: Path) -> Mapping[str, Any]:
    run = file.parent.parent
    ours = run / CONFIG if file == run / BACKBONE else file.with_name(OURS)
    if ours.is_file():
        return read_yaml(ours)
    beside = file.with_name(SETTINGS)
    if not beside.is_file():
        return {}
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{beside}: cannot be read as JSON: {error}", "it belongs to the weights beside it") from error
    return found if isinstance(found, dict) else {}


_COPY = "copy it again from where it came from"

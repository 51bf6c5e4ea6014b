"""vssl: comparing self-supervised methods for video, fairly.

The public names are loaded when they are first used, so that `import vssl` and `vssl --help` stay instant.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "build": "vssl.training.build",
    "load": "vssl.evaluation.encoders",
    "Backbone": "vssl.backbones.base",
    "Method": "vssl.method",
    "PairMethod": "vssl.method",
    "Protocol": "vssl.evaluation.protocol",
    "VideoDataModule": "vssl.datamodule",
}

__all__ = ["__version__", "records", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name == "records":  # a package that can be called, `vssl.records(folder)`
        return importlib.import_module("vssl.records")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vssl' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

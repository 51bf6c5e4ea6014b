"""Makes `import torchvision` work beside a CPU-only torch.

The wheel of torchvision on the package index is built for CUDA. Where its compiled extension cannot load, registering
the fake kernels of `nms` and `qnms` raises, because the operators have no schema. Defining the two schemas is all that
is missing. Imported before the first import of torchvision, pytorch_lightning, lightly or timm.
"""

import importlib.util

import torch


def _operator_exists(name: str) -> bool:
    return torch._C._dispatch_has_kernel(f"torchvision::{name}")


def _extension_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return True
    for folder in spec.submodule_search_locations:
        try:
            torch.ops.load_library(f"{folder}/_C.so")  # type: ignore[no-untyped-call]
        except OSError:
            return False
    return True


def _define_missing_schemas() -> list[torch.library.Library]:
    if _operator_exists("nms") or _extension_loads():
        return []
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    return [library]


_LIBRARIES = _define_missing_schemas()  # kept alive: a schema goes when its library object does

"""`vssl._torchvision` makes torchvision usable beside a CPU-only torch, and does nothing where it is not needed."""

import subprocess
import sys

import pytest

EXTENSION_LOADS = """
import importlib.util, torch
(folder,) = importlib.util.find_spec("torchvision").submodule_search_locations
torch.ops.load_library(f"{folder}/_C.so")
"""

USES = """
import vssl._torchvision
import torch
from torchvision.models.video import swin3d_t
from torchvision.transforms.v2 import functional as F
import pytorch_lightning

image = torch.rand(3, 9, 7)
expected = torch.nn.functional.interpolate(image[None], (4, 5), mode="bilinear", antialias=True)[0]
assert torch.allclose(F.resize(image, [4, 5]), expected)
with torch.inference_mode():
    scores = swin3d_t(num_classes=5).eval()(torch.rand(1, 3, 4, 32, 32))
assert scores.shape == (1, 5) and scores.isfinite().all()
"""

TWICE = """
import importlib, vssl._torchvision as cure
made_up = len(cure._LIBRARIES)
importlib.reload(cure)
print(made_up)
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def extension_loads() -> bool:
    return python(EXTENSION_LOADS).returncode == 0


def test_models_transforms_and_lightning_work_after_the_cure() -> None:
    done = python(USES)
    assert done.returncode == 0, done.stderr


def test_without_the_cure_the_import_fails(extension_loads: bool) -> None:
    if extension_loads:
        pytest.skip("torchvision's extension loads here, so nothing needs a cure")
    done = python("import torchvision")
    assert done.returncode != 0
    assert "torchvision::nms" in done.stderr


def test_operators_are_made_up_once_and_only_where_they_are_missing(extension_loads: bool) -> None:
    done = python(TWICE)
    assert done.stdout.strip() == ("0" if extension_loads else "1"), done.stderr

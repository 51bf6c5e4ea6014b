"""What `vssl doctor` looks at: each check returns findings and never raises."""

import importlib
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from vssl import __version__
from vssl.records.folders import cache_dir
from vssl.video.decoding.libraries import LIBRARIES, trouble_with, version_of

Verdict = Literal["ok", "missing", "optional", "warning"]
MARKS: dict[Verdict, str] = {"ok": "ok", "missing": "MISSING", "optional": "-", "warning": "!"}

# Distribution names; `_MODULES` has the import names that differ by more than a hyphen.
NEEDED = (
    "torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "PyYAML", "av", "numpy", "scipy", "pandas",
    "pyarrow", "safetensors", "rich", "matplotlib", "pillow",
)  # fmt: skip
OPTIONAL = ("tensorboard",)
_MODULES = {"hydra-core": "hydra", "PyYAML": "yaml", "pillow": "PIL"}
LOW_DISK_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says how to get or to change it."""

    section: str
    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def diagnose() -> list[Finding]:
    return [*_versions(), *_decoders(), *_codecs(), *_machine(), *_gpu(), *_cache()]


def _versions() -> Iterator[Finding]:
    section = "versions"
    yield Finding(section, "vssl", "ok", f"{__version__} ({Path(__file__).resolve().parents[1]})")
    yield Finding(section, "python", "ok", platform.python_version())
    for name in NEEDED:
        yield _library(section, name, needed=True)
    for name in OPTIONAL:
        yield _library(section, name, needed=False)


def _library(section: str, name: str, needed: bool) -> Finding:
    absent: Verdict = "missing" if needed else "optional"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(section, name, absent, "not installed", f"pip install {name}")
    trouble = _import_trouble(_MODULES.get(name, name.replace("-", "_")))
    if trouble:
        return Finding(section, name, absent, f"{version}, but it does not load: {trouble}", _advice_for_load(name))
    return Finding(section, name, "ok", version)


def _import_trouble(module: str) -> str:
    """The first line of what an import raises; compiled libraries raise OSError and RuntimeError as well."""
    try:
        if module == "torchvision":
            importlib.import_module("vssl._torchvision")
        importlib.import_module(module)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return ""


def _advice_for_load(name: str) -> str:
    return f"pip install --force-reinstall {name}, in versions that belong together (constraints.txt)"


def _decoders() -> Iterator[Finding]:
    section = "decoders"
    trouble = _import_trouble("av")
    verdict: Verdict = "missing" if trouble else "ok"
    yield Finding(section, "pyav", verdict, trouble or "the default", "pip install av" if trouble else "")
    yield Finding(section, "prepared", verdict, trouble or "decodes once into the cache, for sets that fit there")
    yield Finding(section, "frames", "ok", "folders of images, through Pillow")
    for name in LIBRARIES:
        found, advice = trouble_with(name) or (str(version_of(name)), "")
        yield Finding(section, name, "optional" if advice else "ok", found, advice)


def _codecs() -> Iterator[Finding]:
    section = "ffmpeg in PyAV"
    if _import_trouble("av"):
        return
    import av

    versions = ", ".join(f"{name} {'.'.join(map(str, number))}" for name, number in av.library_versions.items())
    yield Finding(section, "libraries", "ok", versions)
    for name, purpose in (("h264", "reading most videos"), ("libx264", "writing data=moving_shapes")):
        if name in av.codecs_available:
            yield Finding(section, name, "ok", purpose)
        else:
            found = f"PyAV's FFmpeg was built without it; needed for {purpose}"
            yield Finding(section, name, "missing", found, "pip install --force-reinstall --only-binary av av")


def _machine() -> Iterator[Finding]:
    section = "machine"
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding(section, "system", "ok", platform.platform())
    yield Finding(section, "cores", "ok", f"{usable} usable of {os.cpu_count()}")
    threads = f"run.threads is max(1, cores - 1) = {max(1, usable - 1)} unless you say otherwise"
    limit = os.environ.get("OMP_NUM_THREADS")
    yield Finding(section, "threads", "ok", threads + (f"; OMP_NUM_THREADS={limit}" if limit else ""))
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
        yield Finding(section, "memory", "ok", f"{memory:.1f} GB")
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free / 1e9
        small = free < 0.5
        advice = "loader workers hand clips over through it; use run.workers=0 or enlarge it (--shm-size in containers)"
        yield Finding(section, "/dev/shm", "warning" if small else "ok", f"{free:.1f} GB free", advice if small else "")


def _gpu() -> Iterator[Finding]:
    section = "GPU"
    if _import_trouble("torch"):
        return
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        found = f"none usable; torch is built for {f'CUDA {built}' if built else 'the CPU alone'}"
        yield Finding(section, "cuda", "optional", found, "with an NVIDIA GPU: install torch from its CUDA index")
        return
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        found = f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}, {bf16}"
        yield Finding(section, f"cuda:{number}", "ok", found)


def _cache() -> Iterator[Finding]:
    section = "cache (made videos, prepared clips, features)"
    folder = cache_dir()
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        found = f"{folder} cannot be written"
        yield Finding(section, "folder", "missing", found, "set VSSL_CACHE to a folder of yours")
    else:
        yield Finding(section, "folder", "ok", str(folder), "set VSSL_CACHE to have it elsewhere")
    low = free < LOW_DISK_GB
    advice = f"less than {LOW_DISK_GB:.0f} GB; make room or set VSSL_CACHE" if low else ""
    yield Finding(section, "free", "warning" if low else "ok", f"{free:.1f} GB", advice)

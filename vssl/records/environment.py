"""What a number was made with: code, libraries, machine. Asks no library to load."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    "vssl", "torch", "torchvision", "pytorch-lightning", "av", "numpy", "scipy", "pandas", "safetensors", "hydra-core",
)  # fmt: skip

_PACKAGE = Path(__file__).resolve().parents[1]


def environment() -> dict[str, object]:
    """Plain data for a record; what cannot be known here is None.

    Keys: `commit` (with `+changes` where files of it are edited), `versions` of the installed `LIBRARIES`, `python`,
    `platform`, `cpu` (model), `cores` (those this process may use), `memory_bytes` (of the machine).
    """
    return {
        "commit": commit(_PACKAGE.parent),
        "versions": _versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def commit(checkout: Path) -> str | None:
    """Commit of the git checkout whose top is `checkout`, `+changes` where tracked files differ from it.

    None where it is no checkout or has no commit. An environment that lies *inside* someone's checkout is none: its
    commit would say nothing about the installed code.
    """
    top, head = _git(checkout, "rev-parse", "--show-toplevel"), _git(checkout, "rev-parse", "HEAD")
    if not top or not head or Path(top).resolve() != checkout.resolve():
        return None
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+changes" if changed else head


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)

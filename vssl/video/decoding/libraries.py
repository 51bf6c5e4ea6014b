"""Decoders that are libraries of their own: whether one is there and loads, and how to get it."""

import importlib
from importlib import metadata

from vssl.config.errors import ConfigError

# The least versions with which equal pixels were measured: torchcodec before 0.12 is not known to turn frames upright.
LIBRARIES = {"torchcodec": (0, 12), "decord": (0, 6)}
LOAD_ERRORS = (ImportError, OSError, RuntimeError, AttributeError)  # what compiled libraries raise while they load


def version_of(name: str) -> str | None:
    """The installed version, whether it loads or not; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def trouble_with(name: str) -> tuple[str, str] | None:
    """What keeps a library of `LIBRARIES` from being used, and what to do about it; None where it can be used."""
    install, version = f"pip install 'vssl[{name}]'", version_of(name)
    if version is None:
        return f"{name} is not installed", install
    least = LIBRARIES[name]
    if tuple(int(part) for part in version.split(".")[:2]) < least:
        return f"{name} {version} is older than {'.'.join(map(str, least))}", install
    try:
        importlib.import_module(name)
    except LOAD_ERRORS as error:
        return _why_it_does_not_load(f"{name} {version} does not load", str(error), install)
    return None


def _why_it_does_not_load(what: str, error: str, install: str) -> tuple[str, str]:
    if "undefined symbol" in error:
        return f"{what}: it was built for another version of torch", f"{install}, in the version that fits torch"
    if "libav" in error:
        hint = "install FFmpeg 4 to 8 with its shared libraries (apt install ffmpeg, conda install ffmpeg)"
        return f"{what}: it brings no FFmpeg and finds none", hint
    return f"{what}: {(error.splitlines() or ['no reason is given'])[0]}", install


def refuse_absent(decoder: str) -> None:
    """Raises ConfigError where `data.decoder` names a library that cannot be used."""
    if decoder in LIBRARIES and (trouble := trouble_with(decoder)):
        problem, cure = trouble
        raise ConfigError(f"data.decoder={decoder}: {problem}", f"{cure}; or data.decoder=pyav, which brings its own")

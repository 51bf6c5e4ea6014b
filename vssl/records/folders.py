"""Where things lie: the cache, a run, its evaluations, the baselines."""

import os
from pathlib import Path

RECORD = "record.json"
BACKBONE = "checkpoints/backbone.safetensors"


def cache_dir() -> Path:
    """`$VSSL_CACHE`, else `$XDG_CACHE_HOME/vssl`, else `~/.cache/vssl`. Not created here."""
    if own := os.environ.get("VSSL_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "vssl"
    return Path.home() / ".cache" / "vssl"


def eval_folder(encoder_folder: Path, protocol: str, label: str, eval_hash: str) -> Path:
    """`<encoder folder>/eval/<protocol>-<label>-<hash8>`: the folder of one evaluation, beside the encoder it reads."""
    return Path(encoder_folder) / "eval" / f"{protocol}-{label}-{eval_hash[:8]}"


def baseline_folder(out: Path, name: str, identity_hash: str) -> Path:
    """`<run.out>/encoders/<name>-<hash8>`: the folder of an encoder that no run of ours made."""
    return Path(out) / "encoders" / f"{name}-{identity_hash[:8]}"

"""The program end to end on short clips, and that every reader it compares gives the same frames."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_program_measures_ours_and_names_what_is_missing() -> None:
    done = subprocess.run([sys.executable, BENCHMARKS / "data.py", "--smoke"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    titles = ["opened per sample", "files kept open", "two views of one video"]
    assert all(f"{title}, GOP {gop}" in done.stdout for title in titles for gop in (12, 250))
    assert "loader alone, 2 workers" in done.stdout and "waiting for clips" in done.stdout
    ours = [line.split("│") for line in done.stdout.splitlines() if line.startswith("│ ours")]
    assert len(ours) == 5 and all(float(cells[2]) > 0 and float(cells[3]) == 1.0 for cells in ours)
    for library in ("torchcodec", "decord", "opencv", "pytorchvideo", "kornia"):
        assert library in done.stdout, f"{library} is neither measured nor told to be missing"


@pytest.mark.parametrize("gop", [12, 250])
def test_all_readers_give_the_same_frames(shared_data: Path, monkeypatch: pytest.MonkeyPatch, gop: int) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import decoding
    import peers

    path, indices = str(shared_data / "clips" / f"bikes_g{gop}.mp4"), np.arange(70, 134, 4)
    missing: dict[str, str] = {}
    expected = decoding.ours(path)(indices).astype(int)
    for name, opener in peers.loaded(peers.READERS, missing).items():
        found = opener(path)(indices)
        assert np.abs(found - expected).mean() < 2.0, name  # other conversions to RGB; the next frame differs by more
    neighbour = decoding.ours(path)(indices + 1).astype(int)
    assert np.abs(neighbour - expected).mean() > 2.0

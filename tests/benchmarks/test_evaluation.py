"""The program end to end on a few videos: a row for each limit, and its numbers are times."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_program_measures_every_limit() -> None:
    command = [sys.executable, BENCHMARKS / "evaluation.py", "--smoke"]
    done = subprocess.run(command, capture_output=True, text=True, env={"COLUMNS": "140", "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "against" in line]
    assert [row[4] for row in rows] == ["1.3", "1.5", "1.2", ""]
    for name, own, base, ratio, _ in rows:
        # One round: the median ratio is that of the two times, but for what was rounded.
        assert abs(float(own) / float(base) - float(ratio)) < 0.1 * float(ratio), name

"""The program end to end on a tiny model, and its limit against the count by hand."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_program_measures_equal_models_and_counts_every_product() -> None:
    # Its own process: it forks children, which a process with threads must not.
    words = ["--smoke", "--rounds", "1", "--precision", "fp32", "--threads", "1"]
    done = subprocess.run([sys.executable, BENCHMARKS / "videomae_step.py", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # 2 visible of 8 tokens of 1536 values, width 128; decoder: 8 tokens, width 64; 6 predicted. A backward pass makes
    # two products for each one forward; only the pixels need no gradient.
    encoder = 2 * (2 * 12 * 128**2 + 2 * 2**2 * 128)
    decoder = 4 * (8 * 12 * 64**2 + 2 * 8**2 * 64)
    products = 2 * (3 * (encoder + 2 * 128 * 64 + decoder + 6 * 64 * 1536) + 2 * 2 * 1536 * 128)
    text = " ".join(done.stdout.split())
    assert f"{products / 1e9:.4g} GFLOP of products" in text
    rows = {
        cells[1].strip(): cells for cells in (line.split("│") for line in done.stdout.splitlines()) if len(cells) > 5
    }
    assert {"transformers", "ours"} <= set(rows)
    assert rows["ours"][5].strip() and float(rows["ours"][6]) > 0


def test_replayed_products_have_the_recorded_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import products

    layer = torch.nn.Linear(5, 7)
    x = torch.randn(3, 5, requires_grad=True)
    found = products.record(lambda: layer(x).sum().backward())
    assert sorted((p.left.shape, p.right.shape) for p in found) == [
        ((3, 5), (5, 7)),
        ((3, 7), (7, 5)),
        ((7, 3), (3, 5)),
    ]
    assert products.record(products.replay(found, "cpu", torch.float32)) == found

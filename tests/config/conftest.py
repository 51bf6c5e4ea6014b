"""A small configuration folder, and the classes that it names."""

from collections.abc import Mapping
from pathlib import Path

import pytest

FILES = {
    "config.yaml": """
        defaults:
          - _self_
          - data: toy
          - backbone: small
          - views: single
          - optim: slow
          - eval: [knn]
          - method: null
          - bench: null
          - experiment: null
          - scale: null
        seed: 0
        clip: {frames: 8, size: 32}
        budget: {epochs: 3}
        eval: {_target_: vssl_toys.Evaluation}
        run: {_target_: vssl_toys.Options, out: runs}
    """,
    "data/toy.yaml": "{_target_: vssl_toys.Data}",
    "data/listed.yaml": "{_target_: vssl_toys.Listed, manifest: '???'}",
    "backbone/small.yaml": "{_target_: vssl_toys.Encoder, width: '${clip.size}'}",
    "backbone/large.yaml": "{_target_: vssl_toys.Encoder, width: 64}",
    "views/single.yaml": "{_target_: vssl_toys.Views, clip: {frames: '${clip.frames}'}}",
    "views/pair.yaml": "{_target_: vssl_toys.Views, a: {frames: 4}, b: {frames: 4}}",
    "optim/slow.yaml": "{_target_: vssl_toys.Optimiser, lr: 1}",
    "optim/fast.yaml": "{_target_: vssl_toys.Fast}",
    "eval/knn.yaml": "# @package eval.knn\n_target_: vssl_toys.Knn",
    "eval/linear.yaml": "# @package eval.linear\n_target_: vssl_toys.Knn\nk: 1",
    "method/masked.yaml": "defaults: [override /views@_global_.views: pair]\n_target_: vssl_toys.Masked",
    "scale/smoke.yaml": "# @package _global_\nbudget: {steps: 2}\nclip: {frames: 2}",
    "experiment/paper.yaml": "# @package _global_\ndefaults: [override /optim: fast]\nbudget: {samples: 100}",
    "experiment/two.yaml": "# @package _global_\nbudget: {samples: 100, steps: 4}",
    "bench/quick.yaml": "# @package _global_\nbudget: {flops: 1.5e3}\nbench: {points: [[method=masked]]}",
}


def write_configs(root: Path, files: Mapping[str, str]) -> Path:
    """Writes YAML files given as {relative path: text}."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        path.write_text("\n".join(line[indent:] for line in lines) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def config_root(tmp_path: Path) -> Path:
    return write_configs(tmp_path / "configs", FILES)


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `vssl_toys` importable, as an installed package of a stranger would be."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toys"))

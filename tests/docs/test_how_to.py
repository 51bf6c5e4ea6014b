"""The how-to pages do what they say: their code is extracted, put where they say, and run."""

import re
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import write_grey_video
from vssl.cli.main import main

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    found = BLOCK.findall((HOW_TO / page).read_text(encoding="utf-8"))
    return [code for kind, code in found if kind == language]


def test_a_method_in_the_readers_own_package(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, test = blocks("add-a-method.md", "python")
    (yaml,) = blocks("add-a-method.md", "yaml")
    (command,) = blocks("add-a-method.md", "sh")
    for path, text in (("mine/__init__.py", ""), ("mine/arrow.py", code), ("conf/method/arrow.yaml", yaml)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        words = command.split()
        assert words[0] == "vssl"
        assert main([*words[1:], "run.name=arrow"]) == 0
        assert (tmp_path / "runs/arrow/checkpoints/backbone.safetensors").is_file()
        namespace: dict[str, object] = {}
        exec(compile(test, "test_arrow.py", "exec"), namespace)
        namespace["test_a_blind_head_costs_ln_2"]()  # type: ignore[operator]
    finally:
        for name in [name for name in sys.modules if name == "mine" or name.startswith("mine.")]:
            del sys.modules[name]


def test_a_data_set(tmp_path: Path) -> None:
    (code,) = blocks("add-a-data-set.md", "python")
    namespace: dict[str, object] = {"__name__": "page"}
    exec(compile(code, "page.py", "exec"), namespace)
    for name in ("wave", "nod"):
        for number in range(5):
            write_grey_video(tmp_path / f"{name}_{number}.mp4")
    data = namespace["Pairs"](str(tmp_path))  # type: ignore[operator]
    assert data.classes == {"label": ("nod", "wave")}
    assert [len(data.samples(split)) for split in ("train", "test", "unlabelled")] == [8, 2, 0]
    assert len(data.content_hash()) == 64


def test_a_backbone() -> None:
    (code,) = blocks("add-a-backbone.md", "python")
    namespace: dict[str, object] = {"__name__": "page"}
    exec(compile(code, "page.py", "exec"), namespace)
    encoder = namespace["Slices"]()  # type: ignore[operator]
    clip = torch.rand(2, 3, 4, 16, 16)
    assert encoder(clip).shape == (2, 64)
    assert encoder.feature_map(clip).shape == (2, 64, *encoder.grid(clip.shape))
    keep = torch.tensor([[0, 3], [1, 7]])
    assert torch.equal(encoder.tokens(clip, keep)[1, 1], encoder.tokens(clip)[1, 7])

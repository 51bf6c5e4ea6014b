"""Every command of the README works: at smoke scale here, in full where marked slow."""

import argparse
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch

from tests.checkpoints.test_videomae import official, vit
from tests.conftest import write_grey_video
from vssl.cli.main import main

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def code(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [block for kind, block in BLOCK.findall(text) if kind == language]


def commands(program: str) -> list[list[str]]:
    lines = [line for block in code("sh") for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if line.strip()]
    return [found for found in words if found and found[0] == program]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of clips, one folder a class, as a user has it."""
    for name in ("nod", "wave"):
        for number in range(24):
            write_grey_video(tmp_path / f"clips/{name}/{name}_{number:02d}.mp4", frames=20)
    return tmp_path / "clips"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file as VideoMAE's authors release them, of a small encoder."""
    encoder = vit(frames=4, size=32, embed_dim=384, depth=1, heads=6, patch_size=16)
    args = argparse.Namespace(num_frames=4, input_size=32, model="pretrain_videomae_base_patch16_224")
    torch.save({"model": official(encoder, "encoder."), "args": args}, tmp_path / "checkpoint.pth")
    return tmp_path / "checkpoint.pth"


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory and a cache of its own, as a newcomer has them."""
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("tiny", "clips", "checkpoint")
def test_every_vssl_command_at_smoke_scale(capsys: pytest.CaptureFixture[str]) -> None:
    found = commands("vssl")
    assert len(found) > 7
    for _, name, *rest in found:
        smoke = ["scale=smoke"] if name in ("pretrain", "evaluate", "bench") and "--help" not in rest else []
        assert main([name, *_without_budget(rest), *smoke]) == 0, (name, rest)
        assert capsys.readouterr().out


def _without_budget(words: list[str]) -> list[str]:
    """The command line wins over `scale=smoke`, so what would take minutes is left to it."""
    return [word for word in words if not word.startswith(("budget.", "train.batch_size="))]


FULL = [words[1:] for words in commands("vssl")] + [["bench", "quick"]]  # the last is `make bench`


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.usefixtures("full", "clips", "checkpoint")
def test_every_command_in_full() -> None:
    for words in FULL:
        assert main(words) == 0, words


def test_the_notebook_lines(tiny: list[str]) -> None:
    block, _ = code("python")
    namespace: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["run"].method.trainer.global_step == 4  # type: ignore[attr-defined]


@pytest.mark.usefixtures("tiny", "clips", "checkpoint")
def test_features_and_neighbours_of_a_folder_of_videos(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = (words[1:] for words in commands("vssl") if "eval=features" in words)
    assert main(command) == 0
    capsys.readouterr()
    _, block = code("python")
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.count(".mp4") == 5


def test_the_make_targets_exist() -> None:
    targets = [words[1] for words in commands("make")]
    assert {"bench", "test"} <= set(targets)
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_table_is_that_of_the_results_page() -> None:
    readme, results = ((ROOT / path).read_text(encoding="utf-8") for path in ("README.md", "docs/results.md"))
    table = [line for line in readme.splitlines() if line.startswith("|")]
    assert len(table) > 5 and "<!-- quick-table -->" not in readme
    assert all(line in results for line in table if line.startswith("| ") and "---" not in line)

"""`vssl checkpoint` through the command line: in, out, evaluated, trained on; and everything that is refused."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import vssl
from tests.checkpoints.samples import chosen, write
from tests.checkpoints.test_videomae import official
from tests.checkpoints.tools import randomised, same
from vssl.backbones.vit import VisionTransformer
from vssl.checkpoints.known import LAYOUTS, facts_of
from vssl.checkpoints.load import open_known
from vssl.cli import main as cli
from vssl.cli.main import main
from vssl.records.folders import BACKBONE
from vssl.records.record import read_record
from vssl.records.run_config import read_config

PAGE = Path(__file__).parents[2] / "docs" / "checkpoints.md"
HEADS = "backbone.heads=4"


def encoder() -> VisionTransformer:
    """As wide as `tiny` makes vit_nano."""
    return randomised(VisionTransformer(8, 32, 128, 1, 4, patch_size=8))


@pytest.fixture
def file(tiny: list[str]) -> str:
    """An official pretraining of that encoder, in the working directory."""
    args = argparse.Namespace(num_frames=8, input_size=32)
    weights = {**official(encoder(), "encoder."), "mask_token": torch.ones(1, 1, 8)}
    torch.save({"model": weights, "args": args}, "official.pth")
    return "official.pth"


def out_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one message of a request that is wrong; nothing was written."""
    before = sorted(Path().rglob("*"))
    assert main(words) == 2
    assert sorted(Path().rglob("*")) == before
    told = capsys.readouterr()
    assert told.err.count("error: ") == 1 and told.out == ""
    return told.err


def test_import_and_evaluate(file: str, tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert out_of(capsys, "checkpoint", "import", file, "out=runs/official", HEADS) == "runs/official\n"
    assert same(load_file(Path("runs/official") / BACKBONE), dict(encoder().state_dict()))
    config = read_config(Path("runs/official"))
    assert list(config) == ["seed", "clip", "backbone"]
    assert (config["clip"]["frames"], config["clip"]["size"], config["backbone"]["heads"]) == (8, 32, 4)
    record = read_record(Path("runs/official"))
    assert (record["kind"], record["status"], record["identity"]["method"]) == ("encoder", "done", "videomae")
    assert record["loaded"]["matched"] == record["loaded"]["tensors"] == 17
    assert record["loaded"]["left_out"] == {"mask_token": "the decoder of the pretraining"}
    assert same(dict(vssl.load("runs/official").state_dict()), dict(encoder().state_dict()))
    scores = []
    for asked in ("runs/official", f"runs/official/{BACKBONE}", file):
        words = ["evaluate", asked, "eval=knn", "scale=smoke", "run.threads=1", *([HEADS] if asked == file else [])]
        folders = out_of(capsys, *words).split()
        scores.append([read_record(Path(folder))["results"] for folder in folders])
    assert scores[0] == scores[1] == scores[2]
    beside = [path for path in Path("runs/encoders").iterdir() if path.name.startswith("official-")]
    assert len(beside) == 1, "the evaluation of the file itself lies with the encoders that no run made"
    out_of(capsys, "table", "runs")
    rows = Path("runs/table.md").read_text(encoding="utf-8")
    assert "| official " in rows and "| videomae" not in rows, "a row of a file is called by its name"


def test_inspect_writes_nothing_and_tells_all(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    text = out_of(capsys, "checkpoint", "inspect", file)
    assert sorted(Path().rglob("*")) == before
    assert "model: 18 tensors" in text
    assert "encoder.patch_embed.proj.weight  (128, 3, 2, 8, 8)  float32" in text
    assert "layout: videomae, official VideoMAE" in text
    assert "embed_dim=128 depth=1 heads=???" in text
    assert "to be given, the file does not tell: backbone.heads=" in text
    out_of(capsys, "checkpoint", "import", file, "out=imported", HEADS)
    text = out_of(capsys, "checkpoint", "inspect", "imported")
    assert "layout: vssl" in text and "17 of 17 tensors matched" in text
    torch.save({"a": torch.ones(2)}, "other.pth")
    assert "layout: none that is known" in out_of(capsys, "checkpoint", "inspect", "other.pth")


@pytest.mark.parametrize("layout", ["vssl", "huggingface"])
def test_export_and_back(layout: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    out_of(capsys, "checkpoint", "import", file, "out=in", HEADS)
    out_of(capsys, "checkpoint", "export", "in", f"layout={layout}", "out=exported")
    out_of(capsys, "checkpoint", "import", "exported", "out=again")
    assert same(load_file(f"again/{BACKBONE}"), load_file(f"in/{BACKBONE}"))
    words = ("evaluate", "exported", "eval=knn", "scale=smoke", "run.threads=1")
    assert len(out_of(capsys, *words).split()) >= 1


def test_a_training_starts_from_weights(file: str, tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out_of(capsys, "checkpoint", "import", file, "out=imported", HEADS)
    start = encoder().state_dict()
    for source in (file, "imported", f"imported/{BACKBONE}"):
        built = vssl.build([*tiny, "method=simsiam", f"backbone.weights={source}"])
        assert same(dict(built.method.encoder.state_dict()), dict(start)), source
    words = ["pretrain", *tiny, "method=simsiam", "budget.steps=1", "run.name=started"]
    out_of(capsys, *words, f"backbone.weights={file}")
    record = read_record(Path("runs/started"))
    assert record["loaded"]["layout"] == "videomae"
    ended = load_file(Path("runs/started") / BACKBONE)
    moved = (ended["blocks.0.mlp.fc1.weight"] - start["blocks.0.mlp.fc1.weight"]).abs().max()
    assert 0 < moved < 0.05, "one step away from where it started"

    # The content is in the hash of the backbone, its place is not; the evaluation needs the file no more.
    os.rename(file, "moved.pth")
    assert main([*words, "backbone.weights=moved.pth"]) == 0
    assert "finished already" in capsys.readouterr().err
    weights = official(randomised(encoder(), seed=5))
    torch.save({"model": weights}, "another.pth")
    assert main([*words, "backbone.weights=another.pth"]) == 2
    assert "backbone.weights_sha256" in capsys.readouterr().err
    os.remove("moved.pth")
    out_of(capsys, "evaluate", "runs/started", "eval=knn", "run.threads=1")


def fitting(path: Path, words: list[str]) -> list[str]:
    """A training's words for the backbone that a file tells."""
    opened, layout = open_known(path)
    given = [word.partition("=")[0] for word in words]
    return [*(word for word in chosen(facts_of(opened, layout)) if word.partition("=")[0] not in given), *words]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_training_starts_from_any_layout(layout: str, tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path, words = write(layout, Path())
    out_of(capsys, "checkpoint", "import", str(path), "out=in", *words)
    loaded = read_record(Path("in"))["loaded"]
    assert (loaded["layout"], loaded["matched"] + len(loaded["missing"])) == (layout, loaded["tensors"])
    own = [*fitting(path, words), "scale=smoke", "run.threads=1"]
    built = vssl.build([*own, "method=simsiam", f"backbone.weights={path}"])
    assert same(dict(built.method.encoder.state_dict()), load_file(Path("in") / BACKBONE))


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_is_evaluated_and_fine_tuned(
    layout: str, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, words = write(layout, Path())
    out_of(capsys, "checkpoint", "import", str(path), "out=in", *words)
    scores = []
    for asked in ("in", str(path)):
        own = ["data.num_videos=48", "run.threads=1", *(words if asked == str(path) else [])]
        (folder,) = out_of(capsys, "evaluate", asked, "eval=knn", "eval.label=motion", *own).split()
        scores.append(read_record(Path(folder))["results"])
    assert scores[0] == scores[1]
    own = [*fitting(path, words), "data.num_videos=48", "train.batch_size=8", "budget.steps=1", "run.threads=1"]
    out_of(capsys, "pretrain", "method=supervised", "run.name=tuned", f"backbone.weights={path}", *own)
    assert read_record(Path("runs/tuned"))["loaded"]["layout"] == layout


def test_an_export_is_read_as_its_run(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Clip and pixels too, which neither transformers nor torchvision has a word for."""
    pixels = ["backbone.mean=[0.4,0.5,0.6]", "clip.stride=3"]
    out_of(capsys, "pretrain", *tiny, "method=simsiam", "budget.steps=1", "run.name=mine", *pixels)
    (first,) = out_of(capsys, "evaluate", "runs/mine", "eval=knn", "eval.label=motion").split()
    for layout in ("vssl", "huggingface"):
        out_of(capsys, "checkpoint", "export", "runs/mine", f"layout={layout}", f"out={layout}")
        words = ("eval=knn", "eval.label=motion", "data.num_videos=48", "run.threads=1")
        (again,) = out_of(capsys, "evaluate", layout, *words).split()
        here, there = read_record(Path(again)), read_record(Path(first))
        assert (here["results"], here["protocol"]) == (there["results"], there["protocol"]), layout
        assert here["inputs"] == there["inputs"]


def test_hashes_know_the_content_and_not_the_place(file: str, tiny: list[str]) -> None:
    from vssl.config.bind import bind
    from vssl.config.compose import compose
    from vssl.records.hashes import part_hashes

    def hashed(weights: str | None) -> dict[str, str]:
        paths = {} if weights is None else {"backbone.weights": weights}
        return part_hashes(bind(compose(tiny, paths=paths).tree), "")

    first = hashed(file)
    os.link(file, "视频 (a=b), c.pth")
    assert hashed("视频 (a=b), c.pth") == first
    assert {part for part, value in hashed(None).items() if value != first[part]} == {"backbone"}
    torch.save({"model": official(randomised(encoder(), seed=5), "encoder.")}, "another.pth")
    assert hashed("another.pth")["backbone"] != first["backbone"]


def test_bad_input(file: str, tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, ("touch run",)

    whole = Path(file).read_bytes()
    Path("cut.pth").write_bytes(whole[: len(whole) // 2])
    torch.save({"model": torch.ones(1), "extra": Hostile()}, "hostile.pth")
    torch.save({"state_dict": {"conv1.weight": torch.ones(2)}}, "other.pth")
    save_file({name: tensor.contiguous() for name, tensor in encoder().state_dict().items()}, "alone.safetensors")
    os.mkdir("full")
    Path("full/something").touch()
    start = ("pretrain", *tiny, "method=simsiam")
    out_of(capsys, *start, "budget.steps=1", "run.name=mine")
    for words, told in {
        ("import", "cut.pth", "out=x"): "cut.pth is no whole file of weights",
        ("import", "hostile.pth", "out=x"): "it names posix.system",
        ("inspect", "hostile.pth"): "it names posix.system",
        ("import", "other.pth", "out=x"): "its names are those of no known layout",
        ("import", "none.pth", "out=x"): "there is no such file or folder",
        ("import", file, "out=x", "layout=videmae"): "did you mean 'videomae'",
        ("inspect", file, "layout=svt"): "it is not of layout=svt",
        ("import", file, "out=x"): "backbone.heads must be given",
        ("import", file, "out=x", HEADS, "backbone.embed_dim=64"): "is (128, 384) there, (64, 384) here",
        ("import", file, "out=x", "backbone=timesformer_nano"): "does not fit this backbone",
        ("import", file, "out=x", HEADS, "clip.frames=7"): "clip: a clip of 7 frames of 32 x 32 pixels does not fit",
        ("import", file, "out=x", HEADS, "method=simsiam"): "method=simsiam: an import keeps seed, clip and backbone",
        ("import", file, "out=x", HEADS, "data.root=full"): "data.root=full: an import keeps seed, clip and backbone",
        ("import", "alone.safetensors", "out=x"): "the file alone does not tell its backbone: choose backbone=",
        ("import", file, "out=full", HEADS): "full is there already",
        ("import", "runs/mine/checkpoints/last.ckpt", "out=x"): "last.ckpt is a checkpoint of a Lightning training",
        ("import", file, "out=official.pth/x", HEADS): "cannot write to the folder official.pth/x",
        ("import", file, HEADS): "needs a FILE and out=FOLDER",
        ("export", "none", "out=x"): "none is no run",
        ("export", file, "out=x"): "a file of others is imported first",
        (): "needs to be told what to do",
    }.items():  # fmt: skip
        assert told in refused(capsys, "checkpoint", *words), words
    out_of(capsys, "checkpoint", "import", file, "out=in", HEADS)
    assert "nothing is exported so; did you mean 'huggingface'" in refused(
        capsys, "checkpoint", "export", "in", "layout=hugingface", "out=x"
    )
    assert "it has no VisionTransformer" in refused(capsys, "checkpoint", "export", "in", "layout=torchvision", "out=x")
    assert "does not fit this backbone" in refused(capsys, *start, "backbone.depth=2", f"backbone.weights={file}")
    assert "is no whole file" in refused(capsys, *start, "backbone.weights=cut.pth")
    assert "posix.system" in refused(capsys, *start, "backbone.weights=hostile.pth")
    assert "starts a training" in refused(capsys, "evaluate", "random", "backbone.weights=in", "eval=knn")
    assert "does not fit" in refused(capsys, "evaluate", file, HEADS, "backbone.depth=2", "eval=knn", "scale=smoke")
    assert not Path("run").exists()


def test_dry_run_writes_nothing(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing was started" in out_of(capsys, "checkpoint", "import", file, "out=x", HEADS, "--dry-run")
    assert not Path("x").exists()


def test_help_imports_no_torch() -> None:
    for words in (["checkpoint"], ["checkpoint", "inspect"], ["checkpoint", "import"], ["checkpoint", "export"]):
        code = (
            f"import sys; from vssl.cli.main import main; code = main({[*words, '--help']}); "
            "sys.exit(code or int('torch' in sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert f"usage: vssl {' '.join(words)}" in done.stdout


def test_the_page_shows_commands_that_are_taken() -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("vssl ")]
    assert len(lines) >= 6
    for line in lines:
        _, name, *words = shlex.split(line, comments=True)
        command, rest = cli.chosen(cli.COMMANDS[name], words)
        cli.read_arguments(
            command.name, rest, first=command.first, own_paths=command.paths, configured=command.configured,
            flags=command.flags, own_keys=[key.name for key in command.keys],
        )  # fmt: skip


def test_the_page_names_every_layout() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in LAYOUTS if f"| `{name}` |" not in text] == []


def test_a_record_is_plain(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No path of this machine stands in it."""
    out_of(capsys, "checkpoint", "import", str(Path(file).resolve()), "out=in", HEADS)
    kept = json.loads(Path("in/record.json").read_text(encoding="utf-8"))
    assert str(Path.cwd()) not in json.dumps(kept["loaded"])

"""Files that are damaged, hostile, or of nobody: one message each, and nothing of them is run."""

import argparse
import os
import pickle
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.checkpoints.test_videomae import official, vit
from vssl.checkpoints.files import open_weights
from vssl.checkpoints.known import LAYOUTS, facts_of, recognised, safe_globals
from vssl.checkpoints.load import open_known
from vssl.config.errors import UserError


class Hostile:
    """Makes a file when it is unpickled, as it could do anything."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("kind", ["torch", "protocol 2", "protocol 4"])
def test_a_hostile_pickle_is_not_run_and_named(kind: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "run", tmp_path / "hostile.pth"
    content = {"model": official(vit()), "args": Hostile(mark)}
    if kind == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content["args"], protocol=int(kind[-1])))
    with pytest.raises(UserError, match=r"would run code while it is read: it names posix\.system"):
        open_known(path)
    assert not mark.exists()
    with path.open("rb") as file:  # without the guard it would have been
        pickle.loads(file.read()) if kind != "torch" else torch.load(file, weights_only=False)
    assert mark.exists()


def test_only_the_named_classes_pass(tmp_path: Path) -> None:
    path = tmp_path / "args.pth"
    torch.save({"model": official(vit()), "args": argparse.Namespace(lr=1.0)}, path)
    with pytest.raises(UserError, match=r"it names argparse\.Namespace"):
        open_weights(path)
    with pytest.raises(UserError, match=r"it names argparse\.Namespace"):
        open_weights(path, safe_globals("torchvision_r3d"))
    assert open_weights(path, safe_globals("videomae")).args == {"lr": 1.0}
    assert safe_globals() == [argparse.Namespace]


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors", "empty.pth", "noise.pth", "huge.pth", "text.pth"])
def test_a_damaged_file(name: str, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / name
    if name.endswith("pth"):
        torch.save({"model": official(vit())}, whole)
    else:
        save_file(official(vit()), whole)
    bytes_of = {
        "cut": whole.read_bytes()[: whole.stat().st_size // 2], "empty": b"",
        "noise": random.Random(0).randbytes(999), "huge": b"\x80\x04\x8d" + (2**62).to_bytes(8, "little"),
        "text": b"<html>404</html>",
    }  # fmt: skip
    path.write_bytes(bytes_of[path.stem])
    with pytest.raises(UserError, match="is no whole file of weights"):
        open_known(path)


def test_a_program_is_not_run(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "program.pt")
    with pytest.raises(UserError, match="is a TorchScript archive, which is a program; it was not run"):
        open_known(tmp_path / "program.pt")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file or folder"):
        open_known(tmp_path / "none.pth")
    with pytest.raises(UserError, match="holds no weights"):
        open_known(tmp_path)


def test_weights_of_nobody_known(tmp_path: Path) -> None:
    torch.save({"state_dict": {"conv1.weight": torch.ones(2)}, "epoch": 1}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="its names are those of no known layout") as told:
        open_known(tmp_path / "other.pth")
    assert "1 tensor under 'state_dict', such as conv1.weight" in str(told.value)
    assert all(name in str(told.value) for name in LAYOUTS)
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds a list"):
        open_known(tmp_path / "list.pth")


def test_a_layout_by_name(tmp_path: Path) -> None:
    torch.save({"model": official(vit())}, tmp_path / "v.pth")
    opened = open_weights(tmp_path / "v.pth")
    assert recognised(opened, "videomae").name == "videomae"
    with pytest.raises(UserError, match="did you mean 'videomae'"):
        recognised(opened, "videmae")
    with pytest.raises(UserError, match="it is not of layout=svt"):
        recognised(opened, "svt")
    cut = {name: tensor for name, tensor in official(vit()).items() if "mlp" not in name}
    torch.save({"model": cut}, tmp_path / "v.pth")
    opened = open_weights(tmp_path / "v.pth")
    with pytest.raises(UserError, match="is no whole encoder of layout videomae"):
        facts_of(opened, LAYOUTS["videomae"])


def test_every_layout_has_a_name_a_line_and_a_signature() -> None:
    assert list(LAYOUTS) == [layout.name for layout in LAYOUTS.values()]
    assert all(layout.told and layout.signature for layout in LAYOUTS.values())

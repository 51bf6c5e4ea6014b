"""Where encoders come from: runs (finished or not), files, baselines; `vssl.load`, `vssl.build`, `vssl.records`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vssl
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.evaluation.encoders import load_encoder
from vssl.evaluation.freeze import weights_hash
from vssl.records.record import read_record, write_record
from vssl.training.run import BACKBONE, LAST, pretrain


def bound_of(words: list[str]) -> dict[str, Any]:
    return bind(compose(words).tree)


def run(words: list[str]) -> Path:
    return pretrain(compose(words), bound_of(words))


def unfinished(folder: Path) -> Path:
    """As a run looks whose process was killed: its last checkpoint is there, its final file is not."""
    (folder / BACKBONE).unlink()
    write_record(folder, {**read_record(folder), "status": "running", "budget": {"planned": {}}})
    return folder


def test_a_run_gives_what_it_exported(tiny: list[str]) -> None:
    folder = run([*tiny, "method=simsiam"])
    encoder, who = load_encoder(str(folder), bound_of(tiny))
    exported = load_file(folder / BACKBONE)
    assert all(torch.equal(encoder.state_dict()[name], exported[name]) for name in exported)
    assert who == {"name": folder.name, "kind": "run", "method": "simsiam", "weights": weights_hash(encoder)}
    of_file, _ = load_encoder(str(folder / BACKBONE), bound_of(tiny))
    assert weights_hash(of_file) == who["weights"]


def test_random_is_where_every_method_starts(tiny: list[str]) -> None:
    """The first weights of a training are those of `random`, whatever the method draws after the encoder."""
    encoder, who = load_encoder("random", bound_of([*tiny, "seed=3"]))
    for method in ("videomae", "simsiam"):
        built = vssl.build([*tiny, "seed=3", f"method={method}"])
        assert weights_hash(built.method.encoder) == who["weights"], method
    other, _ = load_encoder("random", bound_of([*tiny, "seed=4"]))
    assert weights_hash(other) != weights_hash(encoder)


def test_loading_leaves_the_random_generator_as_it_was(tiny: list[str]) -> None:
    before = torch.get_rng_state()
    load_encoder("random", bound_of(tiny))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_mean_frame_needs_no_backbone(tiny: list[str]) -> None:
    encoder, who = load_encoder("mean_frame", bound_of(tiny))
    assert (who["kind"], list(encoder.parameters())) == ("mean_frame", [])
    clip = torch.rand(2, 3, 8, 32, 32)
    assert torch.allclose(encoder(clip), encoder(clip.flip(2)), atol=1e-6)  # no order in time


def test_an_unfinished_run_is_refused_and_the_advice_holds(tiny: list[str]) -> None:
    folder = run([*tiny, "method=simsiam"])
    whole = weights_hash(vssl.load(folder))
    unfinished(folder)
    with pytest.raises(UserError, match=r"is not finished \(its status is 'running'\)") as caught:
        load_encoder(str(folder), bound_of(tiny))
    assert "checkpoint=last" in str(caught.value)
    encoder, who = load_encoder(str(folder), bound_of(tiny), "last")
    assert who["checkpoint"] == "last"
    assert weights_hash(encoder) == whole  # the last checkpoint was written at the last step
    (folder / LAST).unlink()
    with pytest.raises(UserError, match="no checkpoint yet"):
        load_encoder(str(folder), bound_of(tiny), "last")


def test_last_of_a_finished_run_is_the_finished_one(tiny: list[str]) -> None:
    _, who = load_encoder(str(run(tiny)), bound_of(tiny), "last")
    assert "checkpoint" not in who


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("backbone.embed_dim=64", r"patch_embed\.weight is \(128, 384\) there, \(64, 384\) here"),
        ("backbone.depth=2", r"blocks\.1\.[\w.]+ is absent there, \(128,\) here"),
        ("backbone.pool=cls", r"cls_token is absent there, \(1, 1, 128\) here"),
    ],
)
def test_weights_of_another_backbone_name_the_tensors(tiny: list[str], change: str, told: str) -> None:
    folder = run(tiny)
    with pytest.raises(UserError, match=told) as caught:
        load_encoder(str(folder), bound_of([*tiny, change]))
    assert caught.value.exit_code == 2


def test_a_tensor_too_many_is_refused_too(tiny: list[str], tmp_path: Path) -> None:
    encoder, _ = load_encoder("random", bound_of(tiny))
    save_file({**encoder.state_dict(), "head.weight": torch.zeros(2, 3)}, tmp_path / "more.safetensors")
    with pytest.raises(UserError, match=r"head\.weight is \(2, 3\) there, absent here"):
        load_encoder(str(tmp_path / "more.safetensors"), bound_of(tiny))


def test_a_damaged_file_is_no_weights(tiny: list[str]) -> None:
    folder = run(tiny)
    (folder / BACKBONE).write_bytes((folder / BACKBONE).read_bytes()[:1000])
    with pytest.raises(UserError, match="is no whole file of weights"):
        load_encoder(str(folder), bound_of(tiny))
    (folder / BACKBONE).unlink()
    with pytest.raises(UserError, match="there is no such file, although its run is finished"):
        load_encoder(str(folder), bound_of(tiny))


@pytest.mark.parametrize(("name", "meant"), [("randon", "random"), ("runs/mime", "mine"), ("mean-frame", "mean_frame")])
def test_a_mistyped_encoder_names_the_nearest(tiny: list[str], name: str, meant: str) -> None:
    Path("runs/mine").mkdir(parents=True)
    with pytest.raises(UserError, match=f"there is no such folder or file; did you mean '{meant}'"):
        load_encoder(name, bound_of(tiny))


def test_a_folder_that_is_no_run(tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=r"other holds no run: there is no config\.yaml in it"):
        load_encoder(str(tmp_path / "other"), bound_of(tiny))


def test_load_gives_an_encoder_that_reads_clips(tiny: list[str]) -> None:
    folder = run(tiny)
    encoder = vssl.load(folder)
    assert isinstance(encoder, vssl.Backbone)
    with torch.no_grad():
        assert encoder(torch.rand(2, 3, 8, 32, 32)).shape == (2, 128)
    assert weights_hash(vssl.load(str(folder / BACKBONE))) == weights_hash(encoder)
    with pytest.raises(UserError, match=f"there is no such run; did you mean '{folder.name}'"):
        vssl.load(f"{folder}x")


def test_load_gives_the_whole_method_with_its_weights(tiny: list[str]) -> None:
    folder = run([*tiny, "method=simsiam"])
    threads = torch.get_num_threads()
    method = vssl.load(folder, method=True)
    assert isinstance(method, vssl.Method)
    assert type(method).__name__ == "SimSiam"
    state = torch.load(folder / LAST, weights_only=True)["state_dict"]
    assert all(torch.equal(method.state_dict()[name], state[name]) for name in state)
    assert torch.get_num_threads() == threads


def test_build_trains_in_a_notebook_and_writes_no_run(tiny: list[str]) -> None:
    built = vssl.build([*tiny, "method=simsiam", "budget.steps=3", "data.label=shape"])
    assert built.config["data"]["label"] == "shape"
    before = weights_hash(built.method.encoder)
    built.trainer.fit(built.method, built.datamodule)
    assert built.trainer.global_step == 3
    assert weights_hash(built.method.exported) != before
    assert not Path("runs").exists()


def test_records_can_be_called_and_imported_from(tiny: list[str]) -> None:
    folder = run(tiny)
    table = vssl.records(folder.parent)
    assert table["path"].tolist() == [folder.name]
    assert table["budget.steps"].tolist() == [4]
    assert table["identity.method"].tolist() == [json.loads((folder / "record.json").read_text())["identity"]["method"]]

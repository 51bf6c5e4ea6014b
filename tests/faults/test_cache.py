"""What a killed process leaves in the cache, and what somebody else does to it: made again, never trusted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.tools import Vssl, assert_same_run, leftovers, wait_for

WORDS = ["method=videomae", "run.workers=0", "run.name=mine", "data.decoder=prepared"]


@pytest.fixture
def own_cache(tiny: list[str], shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("VSSL_CACHE", str(folder))
    return folder


@pytest.mark.slow
def test_killed_while_the_pixels_are_prepared(tiny: list[str], own_cache: Path, vssl: Vssl) -> None:
    words = [*tiny, *WORDS, "data.num_videos=160"]
    first = vssl.start("pretrain", *words)
    half = own_cache / "prepared"
    wait_for(lambda: any(file.stat().st_size > 2**20 for file in half.glob(".*.tmp.bin")), first)
    first.kill()
    assert leftovers(half)
    assert vssl("pretrain", *words).code == 0
    assert leftovers(own_cache) == []
    assert vssl("pretrain", *words, "run.out=again").code == 0
    assert_same_run(Path("runs/mine"), Path("again/mine"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Of the same size, and no longer the same."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def empty(path: Path) -> None:
    path.write_bytes(b"")


Damage = Callable[[Path], None]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, garbage, empty, Path.unlink])
@pytest.mark.parametrize("ending", ["bin", "npz"])
def test_a_damaged_prepared_set_is_made_again(
    tiny: list[str], own_cache: Path, vssl: Vssl, ending: str, damage: Damage
) -> None:
    words = [*tiny, *WORDS]
    assert vssl("pretrain", *words).code == 0
    (file,) = own_cache.glob(f"prepared/*.{ending}")
    whole = file.read_bytes()
    damage(file)
    done = vssl("pretrain", *words, "run.out=again")
    assert done.code == 0, done.err
    if ending == "bin":
        assert file.read_bytes() == whole
    assert_same_run(Path("runs/mine"), Path("again/mine"))


@pytest.mark.slow
def test_changed_pixels_are_named_and_the_advice_holds(tiny: list[str], own_cache: Path, vssl: Vssl) -> None:
    """Of the right size, so that only reading finds it."""
    words = [*tiny, *WORDS]
    assert vssl("pretrain", *words).code == 0
    (file,) = own_cache.glob("prepared/*.bin")
    whole = file.read_bytes()
    file.write_bytes(bytes(len(whole)))
    done = vssl("pretrain", *words, "run.out=again")
    assert done.code == 1
    assert f"error: {file} is damaged: the frames of {own_cache}" in done.message
    assert "delete the file and run the same command again" in done.message
    file.unlink()
    assert vssl("pretrain", *words, "run.out=again").code == 0
    assert file.read_bytes() == whole
    assert_same_run(Path("runs/mine"), Path("again/mine"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, flip, garbage, empty])
def test_damaged_features_are_told_and_computed_again(
    tiny: list[str], own_cache: Path, vssl: Vssl, damage: Damage
) -> None:
    words = ["evaluate", "random", *tiny, "run.workers=0", "eval=knn"]
    first = vssl(*words)
    assert first.code == 0, first.err
    files = list(own_cache.glob("features/*/*.safetensors"))
    assert len(files) == 3  # train, select, test
    for file in files:
        damage(file)
    again = vssl(*words, "run.out=again")
    assert again.code == 0, again.err
    assert again.err.count("damaged, the features are computed again") == 3
    third = vssl(*words, "run.out=third")
    assert third.code == 0 and "damaged" not in third.err
    (one,), (other,) = (list(Path(out).rglob("predictions.parquet")) for out in ("runs", "again"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_two_processes_prepare_one_set(tiny: list[str], own_cache: Path, vssl: Vssl) -> None:
    words = ["pretrain", *tiny, *WORDS]
    both = [vssl.start(*words, f"run.out={out}") for out in ("one", "other")]
    assert [running.wait().code for running in both] == [0, 0]
    assert sum("Decoding" in running.err.read_text() for running in both) >= 1
    assert len(list(own_cache.glob("prepared/*.bin"))) == 1 and leftovers(own_cache) == []
    assert_same_run(Path("one/mine"), Path("other/mine"))

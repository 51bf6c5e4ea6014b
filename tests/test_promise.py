"""The headline promise: methods see the same clips, encoders the same evaluation inputs, and a difference shows."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.datamodule import Loading
from vssl.evaluation.run import evaluate
from vssl.records.record import read_record
from vssl.training.build import assemble
from vssl.training.run import pretrain


def run(words: list[str]) -> Path:
    composed = compose(words)
    return pretrain(composed, bind(composed.tree))


def first_position(folder: Path) -> dict[str, Any]:
    place: dict[str, Any] = read_record(folder)["clips"]["positions"][0]
    return place


def inputs(folder: Path, words: list[str]) -> set[str]:
    composed = compose(words)
    records = evaluate(bind(composed.tree), composed.choices, str(folder), Path("runs"))
    return {read_record(record)["inputs"] for record in records}


def test_videomae_and_simsiam_see_the_same_clips_and_are_read_alike(tiny: list[str]) -> None:
    videomae, simsiam = run([*tiny, "method=videomae"]), run([*tiny, "method=simsiam", "optim=adamw"])
    clip, a = first_position(videomae), first_position(simsiam)
    assert (clip["name"], a["name"]) == ("clip", "a")
    for proof in ("settings", "digest", "tensors"):
        assert clip[proof] == a[proof], proof
    second = read_record(simsiam)["clips"]["positions"][1]
    assert second["digest"] != a["digest"] and second["tensors"] != a["tensors"]  # the other view is another clip

    read = inputs(videomae, [*tiny, "method=videomae"])
    assert len(read) == 1 and read == inputs(simsiam, [*tiny, "method=simsiam"])


@pytest.mark.parametrize(
    "change",
    [
        "views.a.augment.jitter_p=0.79", "views.a.augment.crop_scale=[0.21,1.0]", "views.a.augment.solarise_p=0.01",
        "views.a.stride=1",
    ],
)  # fmt: skip
def test_one_changed_augmentation_value_shows_from_the_first_step(tiny: list[str], change: str) -> None:
    same, other = run([*tiny, "method=simsiam"]), run([*tiny, "method=simsiam", change])
    first, second = (pd.read_csv(folder / "metrics.csv") for folder in (same, other))
    assert first["clips.a"][0] != second["clips.a"][0]
    assert first["clips.b"].equals(second["clips.b"])  # and only where it was changed


@pytest.mark.parametrize(("batch_size", "accumulate"), [(8, 2), (8, 4), (8, 8)])
def test_accumulation_changes_neither_clips_nor_draws_nor_masks(
    tiny: list[str], batch_size: int, accumulate: int
) -> None:
    whole = seen(tiny, batch_size, 1)
    assert seen(tiny, batch_size, accumulate) == whole


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(tiny: list[str], workers: int) -> None:
    words = [*tiny, "data.decoder=pyav"]
    assert seen(words, 8, 1, workers) == seen(words, 8, 1, 0)


def test_a_run_reads_the_whole_list_and_nothing_twice(tiny: list[str]) -> None:
    """Seven steps cross an epoch of six; the digest of the run is that of the list read by hand."""
    words = [*tiny, "method=videomae", "method.mask=random", "method.mask_ratio=0.75"]
    folder = run([*words, "budget.steps=7", "train.accumulate=2"])
    assert first_position(folder)["digest"] == seen(words, 8, 1, steps=7)["digests"][0]["digest"]


def seen(words: list[str], batch_size: int, accumulate: int, workers: int = 0, steps: int = 3) -> dict[str, Any]:
    """Digests of clips, pixels and masks over some steps."""
    study = assemble(compose([*words, "method=videomae", "method.mask=random", "method.mask_ratio=0.75"]))
    data, method = study.datamodule, study.method
    data.attach(
        Loading(study.views, batch_size=batch_size, seed=0, accumulate=accumulate, steps=steps, workers=workers)
    )
    masks: list[list[int]] = []
    loader = iter(data.train_dataloader())
    for _ in range(steps * accumulate):
        batch = data.on_before_batch_transfer(next(loader), 0)
        batch = data.on_after_batch_transfer(batch, 0)
        grid = method.encoder.grid(batch["views"]["clip"].shape)
        masks += method.draw_mask(batch["key"], grid)[1].tolist()  # type: ignore[operator]
    return {"digests": data.digests(), "masks": masks}

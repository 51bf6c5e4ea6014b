"""Published augmentations, chosen by `views=`, from the configuration to the clips that a method is given."""

from typing import Any

import torch

from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.datamodule import Loading
from vssl.training.build import Study, assemble


def study(tiny: list[str], words: list[str]) -> Study:
    built = assemble(compose([*tiny, *words]))
    built.check()
    return built


def digests(built: Study, accumulate: int) -> list[dict[str, Any]]:
    """Of two steps of 8 clips."""
    data = built.datamodule
    data.attach(Loading(built.views, batch_size=8, seed=0, accumulate=accumulate, steps=2))
    loader = iter(data.train_dataloader())
    for _ in range(2 * accumulate):
        data.on_after_batch_transfer(data.on_before_batch_transfer(next(loader), 0), 0)
    return data.digests()


def test_videomaes_fine_tuning_is_the_releases_numbers() -> None:
    """MCG-NJU/VideoMAE: run_class_finetuning.py; rand-m7-n4-mstd0.5-inc1."""
    augment = bind(compose(["method=videomae", "views=videomae_finetune"]).tree)["views"]["clip"]["augment"]
    assert augment["rand_augment"] == {
        "magnitude": 7.0, "count": 4, "magnitude_std": 0.5, "increasing": True, "probability": 0.5,
    }  # fmt: skip
    erase = augment["erase"]
    assert (erase["probability"], erase["mode"]) == (0.25, "noise")
    assert [round(value, 6) for value in (*erase["area"], *erase["ratio"])] == [0.02, 0.333333, 0.3, 3.333333]
    assert augment["crop_scale"] == (0.08, 1.0) and augment["crop_ratio"] == (3 / 4, 4 / 3) and augment["flip"] == 0.5
    assert augment["jitter_p"] == augment["grey_p"] == augment["blur_p"] == augment["solarise_p"] == 0


def test_videomaes_fine_tuning_reaches_the_method_and_knows_no_batches(tiny: list[str]) -> None:
    words = ["method=videomae", "views=videomae_finetune"]
    built = study(tiny, words)
    clip = built.datamodule.first_batch()["views"]["clip"]
    assert clip.dtype == torch.float32 and clip.min() >= 0 and clip.max() <= 1
    plain = study(tiny, [*words, "views.clip.augment.rand_augment=null", "views.clip.augment.erase=null"])
    changed = (clip != plain.datamodule.first_batch()["views"]["clip"]).flatten(1).any(dim=1)
    assert changed.float().mean() > 0.5  # 15 in 16 have an operation; some of these change nothing
    assert digests(built, 1) == digests(built, 4)
    assert digests(built, 1)[0]["digest"] != digests(plain, 1)[0]["digest"]


def test_fame_merges_the_first_view_and_the_second_is_that_of_views_pair(tiny: list[str]) -> None:
    merged, pair = (study(tiny, ["method=simsiam", f"views={views}"]) for views in ("fame", "pair"))
    found, plain = merged.datamodule.first_batch(), pair.datamodule.first_batch()
    assert torch.equal(found["views"]["b"], plain["views"]["b"])
    differs = (found["views"]["a"] != plain["views"]["a"]).flatten(1).any(dim=1)
    assert differs.float().mean() > 0.5
    (a, b), (_, plain_b) = digests(merged, 1), digests(pair, 1)
    assert b == plain_b
    # Partners are of the micro-batch, and the digest tells.
    apart, same = digests(merged, 4)
    assert same == b
    assert apart["settings"] == a["settings"] and apart["digest"] != a["digest"]


def test_one_word_on_the_command_line_merges_the_view_of_any_method(tiny: list[str]) -> None:
    word = "views.clip.augment.fame.probability=1.0"
    found = study(tiny, ["method=videomae", word]).datamodule.first_batch()["views"]["clip"]
    plain = study(tiny, ["method=videomae"]).datamodule.first_batch()["views"]["clip"]
    assert not torch.equal(found, plain)

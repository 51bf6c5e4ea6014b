"""Unreadable videos while training: replaced alike for everybody, counted, shown, and too many of them end the run."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import MakeVideo
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import WorkError
from vssl.datamodule import Loading
from vssl.records.record import read_record
from vssl.training.build import assemble
from vssl.training.callbacks import Checkpoints
from vssl.training.run import pretrain


def run(words: list[str]) -> Path:
    composed = compose(words)
    return pretrain(composed, bind(composed.tree))


@pytest.fixture
def clips(tiny: list[str], tmp_path: Path, make_video: MakeVideo) -> list[str]:
    """Overrides of a run on 40 small videos; `damage` spoils some of those that train."""
    for number in range(40):
        make_video(tmp_path / "clips" / ("wave" if number % 2 else "nod") / f"{number:02}.mp4", frames=12)
    # scale=smoke without its number of videos
    return [*tiny, "data=video_list", f"data.root={tmp_path / 'clips'}", "data.num_videos=null", "budget.steps=9"]


def trained(words: list[str]) -> list[str]:
    """Ids of the training videos."""
    composed = compose(words)
    return assemble(composed, bind(composed.tree)).datamodule.samples("train").id.tolist()


def damage(words: list[str], count: int) -> list[str]:
    bad = trained(words)[3 : 3 + count]
    for name in bad:
        Path("clips", name).write_bytes(b"no video")
    return bad


def seen(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_record(folder)["clips"]
    return found


def test_the_same_clips_take_the_place_for_methods_workers_and_accumulation(clips: list[str]) -> None:
    bad = damage(clips, 1)
    videomae = run([*clips, "method=videomae"])
    simsiam = run([*clips, "method=simsiam", "train.accumulate=2", "run.workers=2", "data.decoder=pyav"])
    for folder in (videomae, simsiam):
        (replaced,) = seen(folder)["replaced"]
        assert replaced["id"] == bad[0] and replaced["times"] > 1 and "Invalid data" in replaced["reason"]
        told = f"1 of 32 videos could not be read and were replaced by others: {bad[0]}"
        assert told in (folder / "log.txt").read_text()
    first = [seen(folder)["positions"][0] for folder in (videomae, simsiam)]
    assert first[0]["digest"] == first[1]["digest"] and first[0]["tensors"] == first[1]["tensors"]


def test_the_replacement_is_the_next_of_the_epoch_and_is_told_from_it(clips: list[str]) -> None:
    words = [*clips, "method=videomae"]
    bad = damage(words, 1)
    composed = compose(words)
    study = assemble(composed, bind(composed.tree))
    data = study.datamodule
    data.attach(Loading(views=study.views, batch_size=8, seed=0, steps=4))
    slots = [slot for batch in data.sampler() for slot in batch][:32]
    items = [data._dataset[slot] for slot in slots]
    names = data.samples("train").id
    (place,) = [place for place, slot in enumerate(slots) if names[slot.sample] == bad[0]]
    item = items[place].item  # type: ignore[union-attr]
    following = slots[place + 1]
    assert (item["id"], item["key"]) == (following.sample, following.key)
    assert (item["digest"]["clip"] != items[place + 1]["digest"]["clip"]).any()  # type: ignore[index]


def test_too_many_end_the_run_with_their_names_and_a_higher_limit_goes_on(clips: list[str]) -> None:
    bad = damage(clips, 3)
    words = [*clips, "method=videomae", "run.name=mine", "run.save_steps=1"]
    with pytest.raises(WorkError, match=r"2 of 32 videos cannot be read.*max_bad_fraction=0\.05 allows 1") as caught:
        run(words)
    assert all(name in str(caught.value) for name in [r["id"] for r in seen(Path("runs/mine"))["replaced"]])
    assert read_record(Path("runs/mine"))["status"] == "failed"
    assert run([*words, "data.max_bad_fraction=0.1"]) == Path("runs/mine")  # no other configuration: it goes on
    assert {replaced["id"] for replaced in seen(Path("runs/mine"))["replaced"]} == set(bad)
    assert pd.read_csv("runs/mine/metrics.csv")["step"].tolist() == list(range(1, 10))


def test_what_was_met_before_a_kill_is_remembered(clips: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    damage(clips, 1)
    words = [*clips, "method=videomae", "run.save_steps=1"]
    whole = run([*words, "run.name=whole"])
    save = Checkpoints.save

    def die(self: Checkpoints, trainer: Any, module: Any) -> None:
        save(self, trainer, module)
        if trainer.global_step in (4, 8):  # an epoch has 4 steps
            raise SystemExit(143)

    monkeypatch.setattr(Checkpoints, "save", die)
    for _ in range(2):
        with pytest.raises(SystemExit):
            run([*words, "run.name=parts"])
    parts = run([*words, "run.name=parts"])
    assert seen(whole) == seen(parts)


def test_none_readable_is_an_end_not_a_search(clips: list[str]) -> None:
    damage(clips, 32)
    with pytest.raises(WorkError, match="cannot be read"):
        run([*clips, "method=videomae"])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_clip_too_short_for_a_view_that_refuses_padding_is_no_damage(clips: list[str], workers: int) -> None:
    words = [*clips, "method=videomae", "views.clip.pad=refuse", "views.clip.stride=9", f"run.workers={workers}"]
    with pytest.raises(WorkError, match=r"\.mp4: view clip: .*\n  hint: views\.clip\.pad") as caught:
        run(words)
    assert "Traceback" not in str(caught.value)

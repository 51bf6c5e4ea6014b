"""`vssl data show` shows what a method is given, tensor for tensor, token for token; pages' pictures are its own."""

import errno
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import vssl
from tests.conftest import grey_level
from vssl.cli.main import main
from vssl.config.compose import compose
from vssl.config.paths import take_paths
from vssl.training.build import Study, assemble
from vssl.training.shown import Show, ShownSample, shown
from vssl.video.augmentation.rand_augment import OPERATIONS

MakeVideo = Callable[..., Path]

DOCS = Path(__file__).parents[2] / "docs" / "methods"
PAGES = sorted(page for page in DOCS.glob("*.md") if page.stem != "baselines")  # those have no views of their own
SVT = ["method=svt", "method.prototypes=32", "method.hidden_dim=32", "method.bottleneck_dim=16"]


def study_of(words: list[str]) -> Study:
    rest, paths = take_paths(words)
    study = assemble(compose(rest, paths=paths))
    study.check()
    return study


def looked_at(words: list[str], **show: int) -> list[ShownSample]:
    return list(shown(study_of(words), Show(**show)))


class Run:
    """A real training, and what its method was given in each optimiser step."""

    def __init__(self, words: list[str], monkeypatch: pytest.MonkeyPatch, steps: int = 1) -> None:
        run = vssl.build([*words, f"budget.steps={steps}"])
        self.method: Any = run.method
        self.samples = run.datamodule.pretraining().id
        self.given: list[list[tuple[str, dict[str, Tensor]]]] = [[] for _ in range(steps)]
        losses = run.method.losses

        def spy(views: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
            for place, number in enumerate(batch["id"].tolist()):
                clips = {name: clip[place].clone() for name, clip in views.items()}
                self.given[run.trainer.global_step].append((str(self.samples[number]), clips))
            return losses(views, batch)

        monkeypatch.setattr(run.method, "losses", spy)
        self.fit = lambda: run.trainer.fit(run.method, run.datamodule)


def assert_equal(samples: list[ShownSample], given: list[tuple[str, dict[str, Tensor]]]) -> None:
    assert [sample.id for sample in samples] == [name for name, _ in given]
    for sample, (_, clips) in zip(samples, given, strict=True):
        assert [view.name for view in sample.views] == list(clips)
        for view in sample.views:
            assert torch.equal(view.clip, clips[view.name]), (sample.id, view.name)


@pytest.mark.parametrize(
    "words",
    [
        [*SVT, "views.local.size=16", "seed=3"],
        ["method=simsiam", "data.flip_safe=true", "train.accumulate=2"],
        ["method=cvrl", "views=cvrl", "views.a.augment.per_frame=true"],
        ["method=supervised", "method.label=shape"],
        ["method=simsiam", "views=fame", "train.accumulate=2"],
        ["method=videomae", "views.repeats=2"],
    ],
    ids=["svt", "simsiam", "cvrl", "supervised", "fame", "repeats"],
)
def test_tensors_are_those_that_the_losses_get(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    run = Run([*tiny, *words], monkeypatch)
    run.fit()
    assert_equal(looked_at([*tiny, *words], videos=8), run.given[0])


def test_later_steps_are_those_of_the_training_too(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*tiny, "method=simsiam", "data.num_videos=24", "train.accumulate=2"]  # 3 steps an epoch
    run = Run(words, monkeypatch, steps=6)
    run.fit()
    assert_equal(looked_at(words, videos=12, epoch=1), [*run.given[3], *run.given[4][:4]])
    assert_equal(looked_at(words, videos=2, epoch=1, step=1), run.given[4][:2])
    assert_equal(looked_at(words, videos=1, step=5), run.given[5][:1])


@pytest.mark.parametrize(
    "words",
    [
        ["method=videomae_v2"],
        ["method=videomae", "method.mask=random", "method.mask_ratio=0.5", "views.clip.augment.fame.probability=1"],
        [
            "method=videomae",
            "method.target=denser_clip",
            "method.mask=random",
            "views.clip.frames=16",
            "views.clip.stride=1",
        ],
    ],
    ids=["two masks", "random", "denser clip"],
)
def test_masks_are_those_of_the_training(tiny: list[str], monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    run = Run([*tiny, *words, "method.decoder_depth=1"], monkeypatch)
    method, seen, asked = run.method, [], []
    tokens, decode = method.encoder.tokens, method.decode
    monkeypatch.setattr(method.encoder, "tokens", lambda clip, keep: [seen.extend(keep), tokens(clip, keep)][1])
    monkeypatch.setattr(method, "decode", lambda *given: [asked.extend(given[2]), decode(*given)][1])
    run.fit()
    grid = method.encoder.grid((8, 32, 32))
    samples = looked_at([*tiny, *words, "method.decoder_depth=1"], videos=8)
    for place, sample in enumerate(samples):
        (view,) = sample.views
        hidden = view.hidden["encoder sees"]
        if view.clip.shape[1] == 16:
            assert hidden[1::2].all()  # the frames in between are for the target alone
            assert torch.equal(hidden[::4], hidden[2::4])  # the two frames of a tubelet
            hidden = hidden[::4]
        assert hidden.shape == grid
        assert torch.equal((~hidden.flatten()).nonzero()[:, 0], seen[place])
        if "videomae_v2" in words[0]:
            predicted = ~view.hidden["decoder predicts"].flatten()
            assert torch.equal(predicted.nonzero()[:, 0], asked[place])
        else:
            assert list(view.hidden) == ["encoder sees"]


@pytest.fixture
def grey(tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A set whose frames tell their own numbers; the second half of each class cannot be read."""
    monkeypatch.chdir(tmp_path)
    for name in ("nod", "wave"):
        for number in range(8):
            path = tmp_path / f"clips/{name}/{number}.mp4"
            if number < 4:
                make_video(path, frames=20, fps=10)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("no video")
    return [
        "data=video_list", "data.root=clips", "data.max_bad_fraction=0.6", "backbone=vit_nano", "backbone.patch_size=8",
        "clip.frames=4", "clip.stride=3", "clip.size=32", "train.batch_size=8", "run.workers=0",
    ]  # fmt: skip


def test_frame_numbers_and_times_are_those_of_the_frames(grey: list[str]) -> None:
    words = [*grey, "method=simsiam", "views.a.augment=null", "views.b.augment=null", "views.b.stride=9"]
    words += ["views.b.pad=loop"]
    samples = looked_at(words, videos=4)
    for view in [view for sample in samples for view in sample.views]:
        levels = (255 * view.clip.mean(dim=(0, 2, 3))).tolist()
        assert levels == pytest.approx([grey_level(place) for place in view.index], abs=3)
        assert view.time == pytest.approx(view.index / 10)
        assert view.padded == (view.name == "b") and view.changes == ()
    assert len({tuple(view.index) for sample in samples for view in sample.views}) > 2
    assert all(np.allclose(sample.times, np.arange(20) / 10) and sample.aspect == 64 / 48 for sample in samples)


def test_what_stands_beside_the_frames(
    grey: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("vssl.drawing.contact_sheet.draw_sheet", lambda *given: drawn.extend(given))
    words = ["method=videomae_v2", "method.mask=frame", "method.mask_ratio=0.5", "backbone.tubelet_size=2"]
    words += ["views.clip.augment=null", "clip.frames=24", "clip.stride=1", "data.show.videos=8", "data.show.step=1"]
    assert main(["data", "show", *grey, *words]) == 0
    title, blocks, note, out, colours = drawn
    assert (
        title == "method videomae_v2, views single, data video_list, seed 0, from epoch 1, step 1"
    )  # a batch an epoch
    assert (out, colours) == (Path("sheet.png"), None)
    assert note.endswith("Grey: hidden. Orange: the same frame once more.")
    places = [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 19, 19]  # of 24, of which the last 4 are frame 19
    for block in blocks:
        clip, encoder, decoder = block.strips
        assert list(clip.captions) == [f"{place} · {place / 10:.2f} s" for place in places]
        assert list(clip.repeated) == [False] * 14 + [True] * 2
        assert (clip.name, clip.notes) == ("clip", "cropped only; 16 of 24 frames shown; padded")
        assert clip.place.taken == pytest.approx(np.minimum(np.arange(24), 19) / 19)
        levels = [grey_level(place) for place in places]
        assert clip.frames.mean(axis=(1, 2, 3)).tolist() == pytest.approx(levels, abs=3)
        assert (encoder.name, encoder.notes) == ("encoder sees", "50 % of the clip")
        assert (decoder.name, decoder.notes) == ("decoder predicts", "50 % of the clip")
        slots = [frame // 2 for frame in range(24) if frame % 3 < 2]  # of the frames that are shown
        hidden = [set(encoder.hidden[np.equal(slots, slot)].flatten().tolist()) for slot in range(12)]
        assert hidden.count({True}) == hidden.count({False}) == 6  # whole time slots, of two frames each
        assert block.facts.endswith(f"20 frames, 0.00 to 1.90 s · label: {block.heading.split('/')[0]}")
    replaced = [block.facts for block in blocks if block.facts.startswith("takes the place of ")]
    assert replaced and all(re.match(r".*of (nod|wave)/[4-7].mp4, which cannot be read · 20", one) for one in replaced)


def test_the_place_of_an_unreadable_video_is_taken_as_in_training(
    grey: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run([*grey, "method=simsiam"], monkeypatch)
    run.fit()
    samples = looked_at([*grey, "method=simsiam"], videos=8)
    assert_equal(samples, run.given[0])
    replaced = [sample for sample in samples if sample.replaces]
    assert replaced and len(replaced) < 8
    for sample in replaced:
        assert int(Path(str(sample.replaces)).stem) >= 4 > int(Path(sample.id).stem)


def test_too_many_unreadable_videos_end_it_without_a_picture(
    grey: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "show", *grey, "method=simsiam", "data.max_bad_fraction=0.05"]) == 1
    assert "`vssl data check FOLDER` finds them all" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


def test_what_is_changed_is_told(tiny: list[str]) -> None:
    always = (
        "{flip: 1, jitter_p: 0, grey_p: 1, blur_p: 1, solarise_p: 1, solarise_threshold: 0.3, blur_sigma: [1.5, 1.5]}"
    )
    words = ["method=simsiam", "data.flip_safe=true", f"views.a.augment={always}"]
    words.append("views.b.augment={flip: 0, jitter_p: 1, grey_p: 0, blur_p: 0, erase: {probability: 1}}")
    (sample,) = looked_at([*tiny, *words], videos=1)
    assert [view.changes for view in sample.views] == [("flip", "grey", "blur 1.5 px", "solarise"), ("jitter", "erase")]


def test_other_clips_and_rand_augment_are_told(tiny: list[str]) -> None:
    plain = "flip: 0, jitter_p: 0, grey_p: 0, blur_p: 0"
    words = ["method=simsiam", f"views.a.augment={{{plain}, fame: {{probability: 1}}}}"]
    words.append(f"views.b.augment={{{plain}, rand_augment: {{probability: 1, count: 3}}}}")
    samples = looked_at([*tiny, *words], videos=8)
    told = [sample.views[0].changes for sample in samples]
    assert set(told) <= {("another background",), ()} and told.count(("another background",)) > 4
    operations = "|".join(OPERATIONS)
    for sample in samples:
        assert 0 < len(sample.views[1].changes) <= 3
        assert all(re.fullmatch(rf"({operations}) [-\d.]+", one) for one in sample.views[1].changes)


def test_the_sheet_holds_the_clips_pixel_for_pixel(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = [*tiny, "method=videomae", "seed=2", "data.flip_safe=true"]
    assert main(["data", "show", *words, "data.show.videos=2", "out=new/folder/sheet.PNG"]) == 0
    assert capsys.readouterr().out == "new/folder/sheet.PNG\n"
    sheet = np.asarray(Image.open("new/folder/sheet.PNG").convert("RGB"))
    rows = set()
    for sample in looked_at(words, videos=2):
        frames = (255 * sample.views[0].clip).round().byte().permute(1, 2, 3, 0).numpy()
        for number, frame in enumerate(frames):
            left = 240 + number * 136
            columns = sheet[:, left : left + 128]
            large = frame.repeat(4, axis=0).repeat(4, axis=1)
            tops = [y for y in range(len(sheet) - 128) if np.array_equal(columns[y : y + 128], large)]
            assert tops
            rows.add(tops[0])
    assert len(rows) == 2


def test_a_sheet_is_written_over_an_older_one_or_not_at_all(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "show", *tiny, "method=simsiam", "data.show.videos=1"]
    (tmp_path / "sheet.png").write_bytes(b"older")
    save = Image.Image.save

    def full(picture: Image.Image, path: Path, **how: Any) -> None:
        save(picture, path, **how)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as disk:
        disk.setattr(Image.Image, "save", full)
        assert main(words) == 1
    assert "cannot write sheet.png: No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    assert (tmp_path / "sheet.png").read_bytes() == b"older"
    assert main(words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    with Image.open("sheet.png") as picture:
        assert picture.size[0] == 24 + 216 + 8 * 136 - 8 + 24


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data.show.video=2"], "data show does not take data.show.video=2; did you mean 'data.show.videos'?"),
        (["+data.show.videos=2"], "data show does not take +data.show.videos=2; did you mean 'data.show.videos'?"),
        (["data.show.videos=two"], "data.show.videos: 'two' given, int expected"),
        (["data.show.videos=1,2"], "data.show.videos: '1,2' given, int expected"),
        (["data.show.videos=0"], "data.show: videos is 0, allowed is 1 to 64"),
        (["data.show.videos=65"], "data.show: videos is 65, allowed is 1 to 64"),
        (["data.show.epoch=-1"], "data.show: epoch is -1, allowed is 0 to 1e+06"),
        (["data.show.colours=2"], "data.show: colours is 2, allowed is 16 to 256"),
        (["out=folder"], "out: folder is a folder\n  hint: give the file to write: out=folder/sheet.png"),
        (["out=sheet.jpg"], "out: sheet.jpg does not end in .png\n  hint: a PNG is written: out=sheet.png"),
        (["out=file.png/sheet.png"], "cannot write to the folder file.png"),
        (["backbone.weights=file.png", "out=file.png"], "file.png"),
        (["folder"], "data show: 'folder' is not of the form key=value"),
        (["method=simsam"], "did you mean 'simsiam'?"),
        (["views=single"], "SimSiam needs the views a, b; this views file gives clip"),
        (["data.showw=1"], "data.showw"),
        (["method=videomae", "backbone=r3d_nano", "~backbone.patch_size", "~backbone.depth"], "VideoMAE encodes"),
        (["train.batch_size=64"], "train.batch_size=64 is larger than the 48 training videos"),
    ],
)
def test_wrong_requests_write_nothing(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.png").write_bytes(b"a file")
    assert main(["data", "show", *tiny, "method=simsiam", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err and err.count("error: ") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file.png", "folder"]
    assert (tmp_path / "file.png").read_bytes() == b"a file"


def test_a_place_where_nothing_can_be_written_is_told_before_anything_is_read(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.png").touch()
    monkeypatch.setattr("vssl.training.build.assemble", lambda *_: pytest.fail("something was built"))
    assert main(["data", "show", *tiny, "method=simsiam", "out=file.png/sheet.png"]) == 2
    assert "cannot write to the folder file.png" in capsys.readouterr().err


def test_no_file_that_is_read_is_written_over(
    grey: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.png").write_text("path,label\nnod/0.mp4,nod\nwave/0.mp4,wave\nwave/1.mp4,wave\nnod/1.mp4,nod\n")
    before = (tmp_path / "list.png").read_bytes()
    words = [*grey, "data.manifest=list.png", "method=simsiam", "train.batch_size=2", "out=list.png"]
    assert main(["data", "show", *words]) == 2
    assert "out: list.png is one of the files that are read; give another name" in capsys.readouterr().err
    assert (tmp_path / "list.png").read_bytes() == before


def test_a_dry_run_reads_no_video(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vssl.training.build.assemble", lambda *_: pytest.fail("something was built"))
    assert main(["data", "show", *tiny, "method=simsiam", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("data show would start with ")
    assert not list(tmp_path.iterdir())


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from vssl.cli.main import main; code = main(['data', 'show', 'method=svt', '--help']); "
        "sys.exit(code or sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "data.show.videos how many, in the order in which training takes them (default 4)" in told
    assert "method.prototypes int = 65536" in told


def picture_and_command(page: Path) -> tuple[Path, list[str]]:
    text = page.read_text(encoding="utf-8")
    ((alt, picture),) = re.findall(r"!\[([^\]]+)\]\((images/[^)]+)\)", text)
    (command,) = re.findall(r"`vssl (data show [^`]+)`", text)
    assert len(alt) > 40
    return page.parent / picture, shlex.split(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_picture_of_a_page_is_what_its_command_draws(
    page: Path, shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSSL_CACHE", str(shared_cache))
    monkeypatch.chdir(tmp_path)
    kept, words = picture_and_command(page)
    assert main(words) == 0
    (made,) = tmp_path.iterdir()
    assert made.name == kept.name == f"{page.stem}.png"
    before, now = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (kept, made))
    assert before.shape == now.shape
    # Another H.264 encoder may show a little; a hue jitter of twice the strength, which is little, makes 0.5 to 0.9.
    assert abs(before - now).mean() < 0.4


def test_pictures_are_small_and_each_is_on_its_page() -> None:
    named = [picture_and_command(page)[0] for page in PAGES]
    assert sorted((DOCS / "images").iterdir()) == sorted(named)
    assert max(path.stat().st_size for path in named) < 60_000
